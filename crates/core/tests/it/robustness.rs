//! Malformed input of all kinds is an error, never a panic.

use std::collections::BTreeMap;

use ferrotype_core::config::{
    Map, MemorySource, Node, Origin, SourceFile, Value, compose, overrides, yaml,
};

/// A small generator of pseudo-random numbers (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

const PIECES: [&str; 48] = [
    "train",
    "model",
    "data",
    "epochs",
    "defaults",
    "name",
    "augment",
    "a",
    "1",
    "0.5",
    "-",
    ":",
    " ",
    "\n",
    "\n  ",
    "\n    ",
    "\t",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&x ",
    "*x",
    "<<",
    "!!str ",
    "#",
    "'",
    "\"",
    "|",
    ">",
    "?",
    "~",
    "null",
    "${",
    "${train.epochs}",
    "${oc.env:",
    "oc.select:",
    "\\",
    "@",
    "/",
    "=",
    "???",
    "_self_",
    "override ",
    "é",
    "\u{0}",
    "---",
];

fn soup(dice: &mut Dice, pieces: usize) -> String {
    (0..dice.below(pieces))
        .map(|_| *dice.pick(&PIECES))
        .collect()
}

fn source(text: &str) -> MemorySource {
    let file = |name: &str| SourceFile {
        name: name.to_string(),
        text: text.to_string(),
    };
    MemorySource {
        primary: Some(file("ferrotype.yaml")),
        files: BTreeMap::from([("model/a".to_string(), file("configs/model/a.yaml"))]),
    }
}

#[test]
fn no_text_makes_the_composition_panic() {
    let mut dice = Dice(1);
    let environment = BTreeMap::new();
    for _ in 0..4_000 {
        let text = soup(&mut dice, 24);
        let given = [
            soup(&mut dice, 8),
            format!("train.note={}", soup(&mut dice, 8)),
        ];
        let _ = compose(&source(&text), &[], &environment);
        let _ = compose(&source(""), &given[..1], &environment);
        let _ = compose(&source(""), &given[1..], &environment);
        let _ = compose(
            &source(&format!("train:\n  note: {text}\n")),
            &[],
            &environment,
        );
        let _ = compose(&source(&format!("defaults: [{text}]\n")), &[], &environment);
    }
}

#[test]
fn a_valid_file_cut_anywhere_is_read_or_refused() {
    let text = "# é\ndefaults:\n  - model: a\n  - override train/optimizer: sgd\n  - _self_\ntrain: {epochs: 1e-3, note: 'x'}\ndata:\n  mean: [0.1, \"\\u00e9\"]\n";
    let ends = text.char_indices().map(|(index, _)| index);
    for end in ends {
        let _ = compose(&source(&text[..end]), &[], &BTreeMap::new());
    }
}

fn random_node(dice: &mut Dice, depth: usize) -> Node {
    let texts = [
        "",
        " ",
        "x",
        "yes",
        "1e3",
        "0x1F",
        "null",
        "~",
        "a: b",
        "- a",
        "# a",
        "x #y",
        "a\nb",
        "\t",
        "'",
        "\"",
        "\\",
        "é",
        "\u{1}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "😀",
        "${a}",
        "???",
        "<<",
        "=",
        "a\\",
        " a",
        "a ",
        "1:30",
        "!x",
        "&x",
        "*x",
        "@",
        "`",
        "%",
        "|",
        ">",
        "? x",
        "{}",
        "[]",
        "val/loss",
        "2001-01-01",
        ".inf",
        "+1",
        "_",
        "-1",
    ];
    let value = match dice.below(if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => Value::Bool(dice.below(2) == 0),
        2 => Value::Int(*dice.pick(&[0, -1, 7, i128::from(i64::MIN), i128::from(u64::MAX)])),
        3 => {
            Value::Float(*dice.pick(&[0.0, -0.0, 0.1, 1e-9, 1e22, 5e-324, f64::MAX, f64::INFINITY]))
        }
        4 => Value::Text((*dice.pick(&texts)).to_string()),
        5 => Value::List(
            (0..dice.below(4))
                .map(|_| random_node(dice, depth - 1))
                .collect(),
        ),
        _ => {
            let entries = (0..dice.below(4))
                .map(|_| {
                    let key = dice.pick(&texts).replace("<<", "<");
                    (key, random_node(dice, depth - 1))
                })
                .collect::<Map>();
            Value::Map(entries)
        }
    };
    Node::new(value, Origin::Program)
}

#[test]
fn any_tree_survives_being_written_and_read() {
    let mut dice = Dice(2);
    for _ in 0..5_000 {
        let node = random_node(&mut dice, 4);
        let text = yaml::to_yaml(&node);
        let back = yaml::parse(&text, "written.yaml");
        let back = back
            .map(|back| back.to_json())
            .map_err(|error| error.to_string());
        assert_eq!(back, Ok(node.to_json()), "{text}");
    }
}

#[test]
fn values_nested_to_the_limit_do_not_overflow_the_stack() {
    let key = |length: usize| vec!["a"; length].join(".");
    assert!(overrides::parse(&format!("+{}=1", key(32))).is_ok());
    assert!(overrides::parse(&format!("+{}=1", key(33))).is_err());
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(32), close.repeat(32));
    let given: Vec<String> = (1..4)
        .map(|_| format!("++{}={}", key(32), nested("{a:", "}")))
        .collect();
    assert!(compose(&source(""), &given, &BTreeMap::new()).is_err());
    let deep = format!("{}1{}", "{a: ".repeat(60), "}".repeat(60));
    let text = format!("x0: {deep}\nx1: {}\n", deep.replace('1', "${x0}"));
    let text = format!("{text}x2: {}\n", deep.replace('1', "${x1}"));
    assert!(compose(&source(&text), &[], &BTreeMap::new()).is_err());
}
