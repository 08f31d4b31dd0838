"""Writes the golden cases of the configuration: what Hydra and OmegaConf themselves make of them.

    python3 -m venv .venv-config && .venv-config/bin/pip install hydra-core==1.3.8
    .venv-config/bin/python tools/golden_config.py [--random N] [--out FOLDER]

The cases lie in `crates/core/tests/golden/config/*.json`; the test `golden` of the crate `core` holds
our results against them. `--random` makes that many random scalars and overrides more, for a longer
hunt than what is committed. The files are the same on every run (the seed is fixed).

A case that Hydra takes and we refuse on purpose has `refused`: the reason. A case with `error` is
refused by both; its text is the name of Hydra's exception.

Values: null, booleans, whole numbers, texts and lists as in JSON; {"float": repr}; {"map": [[key,
value], ...]}.
"""

import argparse
import json
import math
import os
import random
import tempfile
import warnings
from pathlib import Path

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    QuotedString,
    RangeSweep,
)
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader

warnings.simplefilter("ignore")

OUT = Path(__file__).parent.parent / "crates/core/tests/golden/config"

NON_TEXT_KEY = "a key that is not a text"
TOO_LARGE = "a whole number that does not fit in 64 bits"


class Refused(Exception):
    """Hydra takes it, we do not."""


def encode(value):
    if value is None or isinstance(value, bool) or isinstance(value, str):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise Refused(TOO_LARGE)
        return value
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise Refused(NON_TEXT_KEY)
        return {"map": [[key, encode(item)] for key, item in value.items()]}
    raise TypeError(type(value))


def outcome(make):
    try:
        return {"value": make()}
    except Refused as reason:
        return {"refused": str(reason)}
    except Exception as error:
        return {"error": type(error).__name__}


# ---- YAML ---------------------------------------------------------------------------------------

SCALARS = """
~ null Null NULL nuLL yes Yes YES yEs no No NO on On ON off Off OFF true True TRUE tRUE false False
FALSE y n Y N 0 -0 +0 00 07 08 -07 0_7 0o7 1 -1 +1 1_000 1__0 1_ _1 0x1F 0X1F 0x_ -0x1f 0b101 0b2
-0b11 0b 1:30 1:60 1:5:9 190:20:30.15 -1:30.5 01:30 1. 1.5 .5 -.5 +.5 . .. ._5 .5e3 .5e+3 .5E-3 1e3
1E3 1e-3 -1e+3 1e 1.e3 1.5e3 1.5e+3 1_0.5 1_0.5e3 1_.5 1_.5e3 1_.5e+3 1e1_0 e3 -e3 .e3 .inf -.inf
+.inf .Inf .INF .iNF inf .nan .NaN .NAN -.nan nan Infinity 12e03 1e400 -1e400 0.1 0.30000000000000004
9223372036854775807 -9223372036854775808 18446744073709551615 18446744073709551616 2001-01-01
2001-12-14t21:59:43.10-05:00 12:30:45 1,000 0.0.1 1-2 +-1 -- - +x abc a_b a-b ??? <<x ${a.b} 0.
0.e1 00.5 01.5 1__0.5 0_.5 5e-324 1.7976931348623157e308 -0.0 1e-7 123456789012345678901234567890
""".split()

DOCUMENTS = [
    "", "# only a comment\n", "a: 1\nb: [1, 2.5, x]\nc: {d: null, e: ~}\n", "- 1\n- - 2\n  - 3\n- {a: 1}\n",
    "a: 1\nb: 2\na: 3\n", "a: {b: 1, b: 2}\n", "a: 1\n'a': 2\n", "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\n",
    "a: &x {b: 1}\nc: {b: 2, <<: *x}\n", "a: &x {b: 1}\ny: &y {b: 2, c: 3}\nc: {<<: [*x, *y]}\n", "a: *nothing\n",
    "a: !!str 5\nb: !!str yes\n", "a: 'it''s'\nb: \"\\u00e9\\n\\t\\\"\"\n", "a: |\n  x\n   y\n\n  z\n",
    "a: >\n  x\n  y\n\n  z\n", "a: |-\n  x\n", "a: |+\n  x\n\n", "a: x\n  y\n  z\n", "a: [1,\n  2,\n]\n",
    "a: b: c\n", "a: [1\n", "a:\n\t- 1\n", "a: 'x\n", "%YAML 1.1\n---\na: 1\n", "---\na: 1\n...\n", "1: a\n", "yes: a\n",
    "'1': a\n\"yes\": b\n", "? a\n: 1\n", "? [a]\n: 1\n", "a: [x: 1, y: 2]\n", "{a: 1, b}\n", "a:\n- 1\n- 2\nb: 3\n",
    "a: # comment\n  b: 1 # another\n", "a: \"x # y\"\nb: x #y\nc: x#y\n", "a:\n", "a: ''\n", "a: \"\"\n",
    "a: @x\n", "a: `x\n", "a: %x\n", "a: -\n", "a: - b\n", "a: 'b' c\n", "a: {b: 1, c: [1, {d: 2}]}\n", "null: 1\n",
    "a: 1\n--- \nb: 2\n", "é: ü\n", "a: ${b}\nb: 1\n", "a: x: y\n", "a:b\n", "a :b\n", "a : b\n", "- a\nb: 1\n",
    "a: 1\n b: 2\n", "\ufeffa: 1\n", "<<: {a: 1}\nb: 2\n", "<<: 5\n", "a: !x 5\n",
]

def load(text):
    return encode(yaml.load(text, Loader=get_yaml_loader()))


def scalar_cases(rng, count):
    texts = list(SCALARS)
    letters = "0011223789__..--++eEx:bnaifoyt~ "
    while len(texts) < len(SCALARS) + count:
        text = "".join(rng.choice(letters) for _ in range(rng.randint(1, 7)))
        # What is no plain scalar is the parser's matter, not the resolution's.
        try:
            plain = yaml.compose(f"a: {text}").value[0][1]
            is_plain = isinstance(plain, yaml.ScalarNode) and plain.value == text
        except Exception:
            is_plain = False
        if is_plain:
            texts.append(text)
    return [{"text": text, **outcome(lambda: load(f"- {text}")[0])} for text in dict.fromkeys(texts)]


def document_cases():
    return [{"text": text, **outcome(lambda: load(text))} for text in DOCUMENTS]


# ---- overrides ----------------------------------------------------------------------------------

OVERRIDES = r"""
a=b|a.b.c=10|a=|a= |a= b |a=b c|a=b  c |a=1|a=-1|a=+1|a=1_000|a=1__0|a=01|a=0x10|a=1.|a=1.5|a=.5|a=-.5e-3|a=1e3|a=1e-3
a=1_0e1_0|a=inf|a=-inf|a=NaN|a=nan1|a=true|a=TRUE|a=tRuE|a=True1|a=null|a=NULL|a=Null|a=none|a=yes|a=on|a=~|a=x-y|a=x_y
a=/x/y.z|a=x:y|a=x:y:z|a=http://x.y/z?q|a=x@y|a=50%|a=$x|a=${x}|a=${x.y}z|a=${|a=${}|a=${x|a=${oc.env:HOME}|a=${a:${b}}
a='x'|a="x"|a='x y'|a='x,y'|a="it's"|a='it\'s'|a="a\"b"|a='a\\'|a='a\\\'b'|a='a\b'|a='\\'|a='\\\\'|a=''|a=""|a='x|a="x'
a='x'y|a=x'y'|a='x' |a= 'x'|a='${x}'|a=x\ y|a=x\,y|a=x\=y|a=x\:y|a=\\|a=\\\\|a=\(x\)|a=\[x\]|a=\{x\}|a=x\y|a=\x|a=x\|a=\	x
a=[]|a=[1]|a=[1,2,3]|a=[1, 2 , 3]|a=[ 1 , 2 ]|a=[[1],[2,[3]]]|a=[a,b,c]|a=['a,b',"c"]|a=[a b, c d]|a=[1,]|a=[,1]|a=[1|a=]|a=[1]2
a={}|a={b:1}|a={b:1,c:2}|a={ b : 1 , c : {d:2} }|a={b:[1,2],c:x}|a={b:c:d}|a={1:2}|a={true:1}|a={'b':1}|a={b}|a={b:}|a={b:1
a={b c:1}|a={b-c:1}|a={b:1,b:2}|a={a.b:1}|a={\:b:1}|a={$b:1}|a={null:1}|a={1.5:1}
a=1,2|a=1, 2 , 3|a=x,y|a=[1],[2]|a={b:1},{b:2}|a='x','y'|a=1,|a=,1|a=x,1,null,true,1.5
a=choice(1,2,3)|a=choice(a)|a=choice()|a=choice(a,'b c',[1],{d:2})|a=choice(1, 2)|a=choice (1,2)|a=choice(choice(1,2))
a=choice(list=[1,2])|a=range(3)|a=range(1,5)|a=range(1,5,2)|a=range(start=1,stop=5,step=2)|a=range(0,1,0.25)|a=range(5,1,-1)
a=range(stop=3,start=1)|a=range(1.5)|a=range(x)|a=range()|a=range(1,2,3,4)|a=range(1,b=2)|a=range(start=1,2)|a=interval(0,1)
a=interval(0.5,1.5)|a=interval(start=1,end=2)|a=interval(1)|a=glob(*)|a=glob([a*,b?])|a=glob(*,exclude=x*)|a=glob(include=*)|a=glob(include=[a,b],exclude=[c])
a=int(3.7)|a=int('3')|a=int(3,4)|a=int([1.5,'2'])|a=int(true)|a=int(x)|a=int('1_000')|a=int({b:1.5})|a=int(choice(1.5,2.5))|a=int(null)
a=float(1)|a=float('1e-3')|a=float(1,2)|a=float(range(1,3))|a=float(interval(1,2))|a=float(x)|a=str(1)|a=str(1.0)|a=str(1e-7)|a=str(true)|a=str([1,2])|a=str(null)
a=bool(1)|a=bool(0)|a=bool('true')|a=bool(False)|a=bool(x)|a=bool(1.5)|a=bool(range(3))|a=int(value=3.5)
a=sort(3,1,2)|a=sort([3,1,2])|a=sort([b,a],reverse=true)|a=sort(choice(3,1))|a=sort(3)|a=sort()|a=sort(b,a,reverse=true)|a=sort([1,x])|a=sort(list=[2,1])
a=foo(1)|a=foo|a=foo()|a=x(1|a=x)1|a=(1)|a=f(g(1))|a=[choice(1,2)]|a={b:choice(1,2)}
+a=1|++a=1|+++a=1|~a|~a=1|~a=|~a.b|~a=1,2|+a.b.c=[1]|++a.b={c:1}|+a|++a|a|a.b|~|+|=1|+=1|~=1|a==1|a=b=c|a = 1|a =1|a b=1|-a=1|1=2|a-b=1|a--b.c=1|_a=1|$a=1|a.$b=1|a.0=1|a.0.b=1|a.01=1|0.a=1|a.=1|.a=1|a..b=1|a.b-c=1|a.-b=1|a:b=1|é=1|a=é
g/h=x|g/h/i=x|/g=x|g/=x|g//h=x|g/h.i=x|g.h/i=x|a@b=c|a@b.c=d|g/h@b.c=x|a@=c|a@b:c=d|a@b@c=d|+a@b=c|~a@b|~a@b=c|a@_global_=x|a@b/c=x|a@1=x|g/1=x|a@b-c=x
a=x y=z|a=*|a=?|a=???|a=x|y|a=!x|a=#x|a=&x|a=;x|a=<x>|a=^|a=`x`|a=x	y|a=	x	|a=x\ |a=\ x|a=a\\ b|a=[x\,y]|a=[a:b]|a=[${x},${y}]|a={b:${x}}|a=1:30|a=1.2.3|a=1.5.|a=-|a=--x|a=+|a=.|a=..|a=1-2|a=1 2|a=true false|a=null x|a= true |a=[ true , null ]
""".strip("\n")


def element(value):
    if isinstance(value, QuotedString):
        return {"quoted": value.text, "quote": "'" if value.quote.name == "single" else '"'}
    if isinstance(value, list):
        return [element(item) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise Refused(NON_TEXT_KEY)
        return {"map": [[key, element(item)] for key, item in value.items()]}
    if isinstance(value, (ChoiceSweep, RangeSweep, IntervalSweep, Glob)):
        raise Refused("a sweep inside another value")
    return encode(value)


def override_value(value):
    if isinstance(value, ChoiceSweep):
        return {"choice": [element(item) for item in value.list], "simple": value.simple_form}
    if isinstance(value, RangeSweep):
        return {"range": [encode(value.start), encode(value.stop), encode(value.step)]}
    if isinstance(value, IntervalSweep):
        return {"interval": [encode(value.start), encode(value.end)]}
    if isinstance(value, Glob):
        return {"glob": [value.include, value.exclude]}
    return {"element": element(value)}


def parse_override(text):
    override = OverridesParser.create().parse_overrides([text])[0]
    return {
        "action": override.type.name,
        "key": override.key_or_group,
        "package": override.package,
        "value": None if override.value_type is None else override_value(override._value),
    }


# Hydra takes these; we do not, for the reason.
OVERRIDES_REFUSED = {
    "=1": "an override without a key",
    "+=1": "an override without a key",
    "~=1": "an override without a key",
    "~": "an override without a key",
    "a={b:1,b:2}": "a key that is given twice",
}


def override_cases(rng, count):
    # A bar separates the cases of a line, except where it is the case.
    texts = [text for line in OVERRIDES.split("\n") for text in line.replace("a=x|y|", "a=x\0y|").split("|")]
    texts = [text.replace("\0", "|") for text in texts]
    pieces = [
        "a", "b-c", "1", "0.5", "-2", "1e-3", "true", "null", " ", ",", ":", "=", "[", "]", "{", "}", "(", ")", "\\,", "\\ ",
        "\\\\", "'x'", '"y z"', "${a.b}", "/", ".", "$", "@", "*", "choice(", "range(", "int(", "_", "é", "\\",
    ]
    while count > 0:
        text = "a=" + "".join(rng.choice(pieces) for _ in range(rng.randint(1, 6)))
        if text not in texts:
            texts.append(text)
            count -= 1
    cases = []
    for text in dict.fromkeys(texts):
        case = {"text": text, **outcome(lambda: parse_override(text))}
        if text in OVERRIDES_REFUSED and "value" in case:
            case = {"text": text, "refused": OVERRIDES_REFUSED[text]}
        cases.append(case)
    return cases


# ---- interpolations -----------------------------------------------------------------------------

ENVIRONMENT = {"FT_NAME": "land", "FT_NUMBER": "12", "FT_LIST": "[1,2.5,x]", "FT_EMPTY": ""}

INTERPOLATIONS = [
    "a: ${b}\nb: 1\n", "a: ${b.c}\nb: {c: [1, 2]}\n", "a: ${b}\nb: {c: 1, d: ${.c}}\n", "a: x${b}y${c}\nb: 1\nc: z\n",
    "a: ${b}\nb: ${c}\nc: ${d}\nd: 0.5\n", "a: ${a}\n", "a: ${b}\nb: ${a}\n", "a: x${b}\nb: ${c}\nc: ${a}\n", "a: {b: ${a}}\n",
    "a: ${b}\n", "a: ${b.c}\nb: {d: 1}\n", "a: ${b.c}\nb: 1\n", "a: ${b.c.d}\nb: {c: null}\n", "a: ${b}\nb: ???\n",
    "a: {b: ${.c}, c: 1}\n", "a: {b: {c: ${..d}}, d: 1}\n", "a: {b: {c: ${...d}}}\nd: 1\n", "a: {b: ${...c}}\nc: 1\n",
    "a: [1, ${.0}, ${..b}]\nb: 2\n", "a: ${b.1}\nb: [1, 2]\n", "a: ${b[1]}\nb: [1, 2]\n", "a: ${b[c].d}\nb: {c: {d: 1}}\n",
    "a: ${[b].c}\nb: {c: 1}\n", "a: ${b.5}\nb: [1]\n", "a: ${b.${c}}\nb: {x: 1}\nc: x\n", "a: ${${b}}\nb: c\nc: 1\n",
    "a: ${b.${c}.e}\nb: {x: {e: 2}}\nc: x\n", "a: ${${b}}\nb: c.d\nc: {d: 1}\n", "a: ${b.${c}}\nb: {x: 1}\nc: 5\n",
    "a: \\${b}\nb: 1\n", "a: \\\\${b}\nb: 1\n", "a: \\\\\\${b}\nb: 1\n", "a: x\\y${b}\nb: 1\n", "a: $b\nb: 1\n", "a: $${b}\nb: 1\n",
    "a: ${ b }\nb: 1\n", "a: ${b }\nb: 1\n", "a: ${b\n", "a: ${}\n", "a: ${b}}\nb: 1\n", "a: ${b c}\n", "a: '${b.}'\nb: {c: 1}\n",
    "a: ${b-c}\nb-c: 1\n", "a: ${b/c}\nb/c: 1\n", "a: ${1}\n'1': x\n", "a: ${é}\né: 1\n", "a: ${b$}\nb$: 1\n",
    "a: x${b}\nb: null\n", "a: x${b}\nb: true\n", "a: x${b}\nb: 1.0\n", "a: x${b}\nb: 1e-7\n", "a: x${b}\nb: 1e22\n", "a: x${b}\nb: ''\n",
    "a: ${b}\nb: null\n", "a: ${b}\nb: true\n", "a: ${oc.env:FT_NAME}\n", "a: ${oc.env:FT_NONE}\n", "a: ${oc.env:FT_NONE,x}\n",
    "a: ${oc.env:FT_NONE,5}\n", "a: ${oc.env:FT_NONE,null}\n", "a: ${oc.env:FT_NONE,1e-3}\n", "a: ${oc.env:FT_NONE,true}\n",
    "a: ${oc.env:FT_NONE, 'x y' }\n", "a: ${oc.env:FT_NONE,x y}\n", "a: ${oc.env:FT_NONE,}\n", "a: ${oc.env:FT_EMPTY,x}\n",
    "a: ${oc.env:FT_NONE,${b}}\nb: 3\n", "a: ${oc.env:${b}}\nb: FT_NAME\n", "a: ${oc.env:FT_NUMBER}\n", "a: /${oc.env:FT_NAME}/x\n",
    "a: ${oc.decode:${oc.env:FT_NUMBER}}\n", "a: ${oc.decode:${oc.env:FT_LIST}}\n", "a: ${oc.decode:'{b: 1}'}\n", "a: ${oc.decode:null}\n",
    "a: ${oc.decode:'null'}\n", "a: ${oc.decode:'1e-3'}\n", "a: ${oc.decode:x}\n", "a: ${oc.decode:5}\n", "a: ${oc.decode:'${b}'}\nb: 7\n",
    "a: ${oc.decode:'[1'}\n", "a: ${oc.decode:\"'x'\"}\n", "a: ${oc.select:b}\nb: 1\n", "a: ${oc.select:c}\n", "a: ${oc.select:c,5}\n",
    "a: ${oc.select:b.c,x}\nb: {c: 1}\n", "a: ${oc.select:b,x}\nb: ???\n", "a: ${oc.select:b,x}\nb: null\n",
    "a: {b: '${oc.select:.c,1}', c: 2}\n", "a: ${oc.dict.keys:b}\nb: {x: 1, y: 2}\n", "a: ${oc.dict.values:b}\nb: {x: 1, y: 2}\n",
    "a: ${oc.dict.keys:b}\nb: 1\n", "a: ${oc.dict.keys:c}\n", "a: ${oc.dict.values:b}\nb: {x: '${c}', y: 2}\nc: 3\n",
    "a: ${nothing:x}\n", "a: ${oc.env:}\n", "a: ${oc.env:A,B,C}\n", "a: ${:x}\n", "a: '${oc.env:FT_NONE,\"a''b\"}'\n",
    "a: \"${oc.env:FT_NONE,'it\\\\'s'}\"\n", "a: \"${oc.env:FT_NONE,'${b}'}\"\nb: 1\n", "a: \"${oc.env:FT_NONE,'x\\\\\\\\'}\"\n",
    "a: \"${oc.env:FT_NONE,'\\\\${b}'}\"\n", "a: ${oc.env:FT_NONE,a\\,b}\n", "a: ${oc.env:FT_NONE,a:b}\n", "a: '${oc.env:FT_NONE,http://x.y/z}'\n",
    "a: ${oc.env:FT_NONE,${oc.env:FT_NAME}}\n", "a: ${oc.env:FT_NONE,${oc.env:FT_NONE2,z}}\n", "a: ${b.c}\nb: ${d}\nd: {c: 4}\n",
    "a: ${b}\nb: {c: {d: ${...e}}}\ne: 5\n", "a: ${b}\nb: [1, '${c}']\nc: 2\n", "a: x${b}\nb: [1]\n", "a: x${b}\nb: {c: 1}\n",
    "a: ${oc.decode:'1 2'}\n", "a: ${oc.decode:' 1'}\n", "a: ${oc.decode:''}\n", "a: ${oc.env:FT_NONE,[1,2]}\n", "a: ${oc.env:FT_NONE,{b:1}}\n",
    "a: ${oc.decode:'[a, b c, ${d}]'}\nd: 9\n", "a: \"x ${oc.decode:'}'} y\"\n", "a: ${oc.decode:\"'}'\"}\n", "a: ${.b}\nb: 1\n", "a: ${..b}\nb: 1\n",
]

INTERPOLATIONS_REFUSED = {
    "a: x${b}\nb: [1]\n": "a list or a mapping inside a text",
    "a: x${b}\nb: {c: 1}\n": "a list or a mapping inside a text",
    "a: ${oc.env:FT_NONE,[1,2]}\n": "a list or a mapping inside a text",
    "a: ${oc.env:FT_NONE,{b:1}}\n": "a list or a mapping inside a text",
}


def resolve(text):
    config = OmegaConf.create(yaml.load(text, Loader=get_yaml_loader()))
    return encode(OmegaConf.to_container(config, resolve=True))


def interpolation_cases():
    cases = []
    for text in INTERPOLATIONS:
        case = {"text": text, **outcome(lambda: resolve(text))}
        if text in INTERPOLATIONS_REFUSED:
            case = {"text": text, "refused": INTERPOLATIONS_REFUSED[text]}
        cases.append(case)
    return cases


# ---- compositions -------------------------------------------------------------------------------

# A tree like the built-in one: groups, a nested group with its own defaults, packages.
TREE = {
    "config": "defaults:\n  - model: base\n  - train: default\n  - _self_\nseed: 1\nmodel:\n  extra: 1\n",
    "model/base": "name: base\ndropout: 0.2\n",
    "model/small": "defaults:\n  - base\n  - _self_\nname: small\nwidths: [8, 16]\n",
    "model/wide": "name: wide\nwidths: [64]\n",
    "train/default": "defaults:\n  - optimizer: adamw\n  - schedule: cosine\n  - _self_\nepochs: 20\nnote: null\n",
    "train/fast": "defaults:\n  - default\n  - override optimizer: sgd\n  - _self_\nepochs: 2\n",
    "train/optimizer/adamw": "name: adamw\nrate: 1e-3\nbetas: [0.9, 0.999]\n",
    "train/optimizer/sgd": "name: sgd\nrate: 0.1\n",
    "train/optimizer/global": "# @package train\nrate: 5\noptimizer: {name: global}\n",
    "train/schedule/cosine": "name: cosine\n",
    "train/schedule/step": "name: step\ngamma: 0.1\n",
    "data/images": "path: ${oc.env:FT_NAME}\nsize: 64\n",
    "top": "# @package _global_\nseed: 9\nadded: {x: 1}\n",
}

COMMAND_LINES = [
    "", "model=small", "model=wide", "model=none", "train=fast", "train/optimizer=sgd", "train/optimizer=sgd train=fast",
    "train/optimizer=adamw train=fast", "train/optimizer=global", "train/schedule=step", "train/schedule=step train/optimizer=sgd",
    "train.epochs=5", "train.epochs=5 train.epochs=6", "train.epoch=5", "+train.extra=x", "+train.epochs=5", "++train.epochs=5",
    "++train.new.deep=5", "+train.new.deep=5", "+train.note=x", "train.note=x", "~train.epochs", "~train.epochs=20",
    "~train.epochs=21", "~train.nothing", "~train", "~train/schedule", "~train/schedule=cosine", "~train/schedule=step",
    "~model", "~model=base", "~model.dropout", "~nothing", "model.widths=[1]", "+model.widths=[1]", "model={dropout:0.5}",
    "model={new:0.5}", "+model={new:0.5}", "model.dropout=null", "+data=images", "data=images", "+data=none", "+data@other=images",
    "+data@_global_=images", "+data@a.b=images", "model@other=small", "+model@other=small", "+model=small", "~model@other",
    "train/optimizer@other=sgd", "train.optimizer=sgd", "train.optimizer.rate=0.5", "train.optimizer.rate=0.5 train/optimizer=sgd",
    "+train.optimizer.momentum=0.9", "train.optimizer.betas.0=0.5", "train.optimizer.betas.5=0.5", "train.optimizer.betas=[1,2]",
    "seed=${train.epochs}", "train.note=${model.name}-${seed}", "train.note=${oc.env:FT_NAME}", "seed=${nothing}", "seed=???",
    "seed='???'", "model=[small,wide]", "model=[base]", "model=5", "model=null", "++model=small", "train.epochs=1,2", "model=small,wide",
    "nothing.x=1", "+nothing.x=1", "train.epochs.x=1", "+train.epochs.x=1", "++train.epochs.x=1", "+train.note={a:1}",
    "+train.note=x train.note=y", "+train.note=x +train.note=y", "train.epochs={a:1}", "train.epochs=[1,2]", "model/x=y", "nothing@x=y",
    "train=default", "train=fast ~train/optimizer", "train.epochs=20 ~train.epochs=20", "+train.epochs=[1]", "model=small model=wide",
    "model='small'", 'train/optimizer="sgd"', "+a.b.c=1 a.b.c=2", "+a={b:1} +a.c=2", "+a={b:1} a={b:2}", "+a=1 +a={b:2}",
    "train.optimizer=[1]", "+train.optimizer=[1]", "train.optimizer.betas={a:1}", "++train.optimizer.betas={a:1}",
]

PRIMARIES = {
    "self first": "defaults:\n  - _self_\n  - model: base\nmodel: {name: own}\n",
    "self last": "defaults:\n  - model: base\n  - _self_\nmodel: {name: own}\n",
    "no self": "defaults:\n  - model: base\nmodel: {name: own}\n",
    "two selves": "defaults:\n  - _self_\n  - model: base\n  - _self_\na: 1\n",
    "no defaults": "a: 1\n",
    "empty list": "defaults: []\na: 1\n",
    "empty file": "",
    "null choice": "defaults:\n  - model: null\n  - _self_\na: 1\n",
    "must choose": "defaults:\n  - model: ???\n",
    "list of options": "defaults:\n  - model: [base, wide]\n",
    "empty list of options": "defaults:\n  - model: []\n  - _self_\na: 1\n",
    "optional that is there": "defaults:\n  - optional model: base\n",
    "optional that is not": "defaults:\n  - optional model: none\n  - _self_\na: 1\n",
    "missing option": "defaults:\n  - model: none\n",
    "missing file": "defaults:\n  - none\n",
    "file": "defaults:\n  - model/base\n",
    "file at the top": "defaults:\n  - top\n  - _self_\na: 1\n",
    "absolute group": "defaults:\n  - /model: base\n",
    "package": "defaults:\n  - model@other: base\n",
    "package here": "defaults:\n  - model@_here_: base\n",
    "package global": "defaults:\n  - model@_global_: base\n",
    "package group": "defaults:\n  - model@_group_.x: base\n",
    "package of a file": "defaults:\n  - model/base@x.y: null\n",
    "package of a path": "defaults:\n  - model/base@x.y\n",
    "same group twice": "defaults:\n  - model@a: base\n  - model@b: wide\n",
    "same group and package twice": "defaults:\n  - model: base\n  - model: wide\n",
    "nested group": "defaults:\n  - train/optimizer: sgd\n",
    "nested group with a package": "defaults:\n  - train/optimizer@o: sgd\n",
    "override below": "defaults:\n  - train: default\n  - override train/optimizer: sgd\n",
    "override not last": "defaults:\n  - override train/optimizer: sgd\n  - train: default\n",
    "override of nothing": "defaults:\n  - train: default\n  - override model: base\n",
    "override from below is overridden": "defaults:\n  - train: fast\n  - override train/optimizer: adamw\n",
    "override of a header": "defaults:\n  - train: default\n  - override train/optimizer: global\n",
    "interpolated": "defaults:\n  - model: base\n  - train/optimizer@x: ${y}\ny: sgd\n",
    "interpolated by a choice": "defaults:\n  - model: base\n  - other: x_${model}\n",
    "interpolated by a choice that leads nowhere": "defaults:\n  - model: wide\n  - other: x_${model}\n",
    "two keys": "defaults:\n  - {model: base, train: default}\n",
    "number as an option": "defaults:\n  - model: 5\n",
    "number as an item": "defaults:\n  - 5\n",
    "not a list": "defaults: {model: base}\n",
    "text instead of a list": "defaults: model\n",
    "self with a package": "defaults:\n  - _self_@x\n",
    "not a mapping": "- 1\n",
    "merge lists": "defaults:\n  - model: small\n  - _self_\nmodel: {widths: [1]}\n",
    "merge null": "defaults:\n  - model: small\n  - _self_\nmodel: null\n",
    "merge scalar over map": "defaults:\n  - model: small\n  - _self_\nmodel: 5\n",
    "merge missing": "defaults:\n  - model: small\n  - _self_\nmodel:\n  name: ???\n  new: ???\n",
    "merge map over null": "defaults:\n  - train: default\n  - _self_\ntrain: {note: {a: 1}}\n",
    "merge map over list": "defaults:\n  - model: small\n  - _self_\nmodel: {widths: {a: 1}}\n",
    "relative in a package": "defaults:\n  - other: relative\n",
    "absolute in a package": "defaults:\n  - other: absolute\n  - _self_\nseed: 3\n",
    "header below a package": "defaults:\n  - other/headed@a: null\n  - other: headed\n",
    "headed with a package": "defaults:\n  - other@a: headed\n",
    "a list with options of a header": "defaults:\n  - other: [headed, relative]\n",
    "circle": "defaults:\n  - other: circle\n",
    "leaving the folder": "defaults:\n  - other: ../model/base\n",
}

OTHER = {
    "other/x_base": "chosen: 1\n",
    "other/relative": "a: 1\nb: ${.a}\n",
    "other/absolute": "a: ${seed}\nb: ${other.a}\n",
    "other/headed": "# @package deep.er\na: 1\n",
    "other/circle": "defaults:\n  - circle\n",
}

# Hydra takes these; we do not, for the reason.
COMPOSITIONS_REFUSED = {
    "leaving the folder": "a path out of the configuration folder",
}


def compose_case(files, overrides):
    with tempfile.TemporaryDirectory() as folder:
        for path, text in files.items():
            file = Path(folder, f"{path}.yaml")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        with initialize_config_dir(folder, version_base="1.3"):
            config = compose("config", overrides)
            return encode(OmegaConf.to_container(config, resolve=True))


def composition_cases():
    cases = []
    for line in COMMAND_LINES:
        overrides = line.split()
        case = {"name": line or "no overrides", "overrides": overrides}
        cases.append({**case, **outcome(lambda: compose_case(TREE, overrides))})
    for name, primary in PRIMARIES.items():
        files = {**TREE, **OTHER, "config": primary}
        case = {"name": name, "primary": primary, "overrides": []}
        result = outcome(lambda: compose_case(files, []))
        if name in COMPOSITIONS_REFUSED and "value" in result:
            result = {"refused": COMPOSITIONS_REFUSED[name]}
        cases.append({**case, **result})
    return cases


def write(folder, name, content):
    text = json.dumps(content, indent=None, ensure_ascii=False)
    # One case a line: small, and a change of one case is a change of one line.
    text = text.replace('}, {"text"', '},\n{"text"').replace('}, {"name"', '},\n{"name"')
    (folder / name).write_text(text + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--random", type=int, default=600)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in list(os.environ):
        if name.startswith("FT_"):
            del os.environ[name]
    os.environ.update(ENVIRONMENT)
    rng = random.Random(20260101)
    write(arguments.out, "scalars.json", scalar_cases(rng, arguments.random))
    write(arguments.out, "documents.json", document_cases())
    write(arguments.out, "overrides.json", override_cases(rng, arguments.random))
    write(
        arguments.out,
        "interpolations.json",
        {"environment": ENVIRONMENT, "cases": interpolation_cases()},
    )
    write(
        arguments.out,
        "compositions.json",
        {"environment": ENVIRONMENT, "files": {**TREE, **OTHER}, "cases": composition_cases()},
    )


if __name__ == "__main__":
    main()
