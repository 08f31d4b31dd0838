"""Holds an ONNX file against ONNX Runtime from PyPI: same input, same answer?

    python tools/check_onnx.py MODEL.onnx --input INPUT --expect LOGITS [--shape 4,3,32,32]
        [--output logits] [--input-name image]

INPUT and LOGITS are `.npy` files, or raw little-endian 32-bit floats (any other ending); `--shape`
is the input's shape, needed for raw input unless the network has a fixed one. Prints the largest
difference and the bound 1e-4 x (1 + largest |expected|), and whether all rows have the same
largest value in the same place. Exits with 0 when the difference is within the bound, 1 when it is
not, 2 when something cannot be read or run.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

BOUND = 1e-4


def read_floats(path, shape=None):
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False).astype(np.float32)
    values = np.fromfile(path, dtype="<f4")
    return values if shape is None else values.reshape(shape)


def input_shape(argument, declared, count):
    """The shape given, or the network's own with its one unknown size worked out."""
    if argument:
        return [int(size) for size in argument.split(",")]
    known = [size for size in declared if isinstance(size, int)]
    if len(declared) - len(known) > 1:
        raise ValueError(f"the input is {declared}: give its sizes with --shape")
    return [size if isinstance(size, int) else count // int(np.prod(known)) for size in declared]


def chosen(values, name, noun):
    """The input or output with this name, or the first."""
    if name is None:
        return values[0]
    for value in values:
        if value.name == name:
            return value
    raise ValueError(f"no {noun} `{name}`, there is {', '.join(v.name for v in values)}")


def compare(ours, theirs):
    """What the check found; `theirs` is the answer of ONNX Runtime."""
    if ours.size != theirs.size:
        raise ValueError(f"{ours.size} expected values, the network answers {theirs.size}")
    ours = ours.reshape(theirs.shape)
    finite = bool(np.isfinite(ours).all() and np.isfinite(theirs).all())
    difference = float(np.abs(ours - theirs).max(initial=0.0))
    bound = BOUND * (1.0 + float(np.abs(ours).max(initial=0.0)))
    places = ours.reshape(len(ours), -1).argmax(1) == theirs.reshape(len(theirs), -1).argmax(1)
    return {
        "rows": len(theirs),
        "largest_difference": difference,
        "bound": bound,
        "same_class": int(places.sum()),
        "agrees": finite and difference <= bound,
    }


def main():
    parser = argparse.ArgumentParser(description="Holds an ONNX file against ONNX Runtime.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--expect", type=Path, required=True)
    parser.add_argument("--shape", help="the input's shape, such as 4,3,32,32")
    parser.add_argument("--input-name")
    parser.add_argument("--output", help="the output to compare, else the first")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    try:
        session = onnxruntime.InferenceSession(
            arguments.model, providers=["CPUExecutionProvider"]
        )
        source = chosen(session.get_inputs(), arguments.input_name, "input")
        output = chosen(session.get_outputs(), arguments.output, "output")
        images = read_floats(arguments.input)
        if images.ndim != len(source.shape):
            images = images.reshape(input_shape(arguments.shape, source.shape, images.size))
        theirs = session.run([output.name], {source.name: images})[0]
        result = compare(read_floats(arguments.expect), theirs)
    except Exception as error:  # ONNX Runtime's errors have no common class
        print(f"error: {arguments.model}: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps({"model": str(arguments.model), "runtime": onnxruntime.__version__, **result}))
    else:
        print(
            f"{arguments.model}: {result['rows']} rows on ONNX Runtime {onnxruntime.__version__}, "
            f"largest difference {result['largest_difference']:.3g}, bound {result['bound']:.3g}, "
            f"same class {result['same_class']} of {result['rows']}: "
            f"{'agrees' if result['agrees'] else 'DIFFERS'}"
        )
    return 0 if result["agrees"] else 1


if __name__ == "__main__":
    sys.exit(main())
