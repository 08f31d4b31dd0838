//! Composition as its users meet it.

use std::collections::BTreeMap;

use ferrotype_core::config::augment::{CropPadding, Transform};
use ferrotype_core::config::schema::{Config, Monitor, OptimizerConfig, ScheduleConfig};
use ferrotype_core::config::{
    Composed, ConfigError, ConfigErrorKind, ConfigSource, MemorySource, SourceFile, compose,
};

/// A project with these files; `ferrotype.yaml` is the primary one.
fn project(files: &[(&str, &str)]) -> MemorySource {
    let mut source = MemorySource::default();
    for (name, text) in files {
        let file = SourceFile {
            name: (*name).to_string(),
            text: (*text).to_string(),
        };
        match name
            .strip_prefix("configs/")
            .and_then(|rest| rest.strip_suffix(".yaml"))
        {
            Some(path) => {
                source.files.insert(path.to_string(), file);
            }
            None => source.primary = Some(file),
        }
    }
    source
}

fn environment() -> BTreeMap<String, String> {
    BTreeMap::from([("EPOCHS".to_string(), "7".to_string())])
}

fn try_compose(source: &MemorySource, overrides: &[&str]) -> Result<Composed, ConfigError> {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    compose(source, &overrides, &environment())
}

fn composed(source: &MemorySource, overrides: &[&str]) -> Composed {
    try_compose(source, overrides).unwrap()
}

fn config(overrides: &[&str]) -> Config {
    composed(&MemorySource::default(), overrides).config
}

fn origin(composed: &Composed, key: &str) -> String {
    composed
        .origins()
        .into_iter()
        .find(|(found, ..)| found == key)
        .map(|(_, _, origin)| origin.to_string())
        .unwrap()
}

#[test]
fn without_any_file_there_is_a_recipe() {
    let composed = composed(&MemorySource::default(), &[]);
    insta::assert_snapshot!("without_any_file", composed.to_yaml());
    assert_eq!(composed.config.model.name, "baseline");
    assert_eq!(composed.config.train.monitor, Monitor::Auto);
    assert_eq!(
        composed.choices["train/optimizer"],
        Some("adamw".to_string())
    );
}

#[test]
fn the_command_line_changes_adds_and_deletes() {
    let config = config(&[
        "model=baseline",
        "train.epochs=20",
        "train.learning_rate=2e-3",
        "+train.note=x",
        "~data.augment",
    ]);
    assert_eq!(config.train.epochs, 20);
    assert_eq!(config.train.learning_rate, 2e-3);
    assert_eq!(config.train.note.as_deref(), Some("x"));
    assert_eq!(config.data.augment, None);
}

#[test]
fn an_optimizer_brings_the_learning_rate_that_suits_it() {
    let sgd = config(&["train/optimizer=sgd"]);
    assert_eq!(sgd.train.learning_rate, 0.05);
    assert!(matches!(sgd.train.optimizer, OptimizerConfig::Sgd { .. }));
    let given = config(&["train.learning_rate=0.1", "train/optimizer=sgd"]);
    assert_eq!(given.train.learning_rate, 0.1);
}

/// The padding of the crops that a configuration trains with.
fn crop_padding(composed: &Composed) -> CropPadding {
    let augment = composed.config.data.augment.as_ref().unwrap();
    let crop = augment.0.iter().find_map(|change| match change {
        Transform::CropPadding(crop) => Some(crop.clone()),
        _ => None,
    });
    crop.unwrap()
}

#[test]
fn padding_is_a_share_until_pixels_are_given() {
    let nothing = MemorySource::default();
    let share = |share| CropPadding {
        share,
        ..CropPadding::default()
    };
    for (option, expected) in [
        ("light", 0.125),
        ("aerial", 0.125),
        ("auto", 0.125),
        ("strong", 0.25),
    ] {
        let chosen = composed(&nothing, &[&format!("data/augment={option}")]);
        assert_eq!(crop_padding(&chosen), share(expected), "{option}");
    }
    let pixels = CropPadding {
        padding: 4,
        ..CropPadding::default()
    };
    for given in [
        "data.augment.crop_padding=4",
        "+data.augment.crop_padding.padding=4",
        "++data.augment.crop_padding={padding:4}",
        "data.augment={crop_padding:4}",
    ] {
        assert_eq!(
            crop_padding(&composed(&nothing, &[given])),
            pixels,
            "{given}"
        );
    }
    // As runs keep them, also from before there were shares.
    let stored = project(&[("ferrotype.yaml", "data:\n  augment:\n    crop_padding: 4\n")]);
    assert_eq!(crop_padding(&composed(&stored, &[])), pixels);
    let rare = "data:\n  augment:\n    crop_padding:\n      padding: 4\n      p: 0.5\n";
    let rare = project(&[("ferrotype.yaml", rare)]);
    assert_eq!(
        crop_padding(&composed(&rare, &[])),
        CropPadding { p: 0.5, ..pixels }
    );
    let back = composed(&rare, &["++data.augment.crop_padding.share=0.25"]);
    assert_eq!(
        crop_padding(&back),
        CropPadding {
            p: 0.5,
            ..share(0.25)
        }
    );
    let error = try_compose(
        &nothing,
        &["++data.augment.crop_padding={padding:4,share:0.1}"],
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("has both `padding` and `share`"), "{error}");
}

#[test]
fn nothing_can_be_chosen_for_a_group() {
    assert_eq!(config(&["~data/augment"]).data.augment, None);
    let source = project(&[(
        "ferrotype.yaml",
        "defaults:\n  - override data/augment: null\n",
    )]);
    assert_eq!(composed(&source, &[]).config.data.augment, None);
}

#[test]
fn a_project_keeps_the_built_in_choices_that_it_does_not_make() {
    let source = project(&[
        (
            "ferrotype.yaml",
            "defaults:\n  - model: small\n  - override train/schedule: step\n  - _self_\n\ntrain:\n  epochs: 9\n",
        ),
        ("configs/model/small.yaml", "name: baseline\ndropout: 0.5\n"),
    ]);
    let composed = composed(&source, &[]);
    assert_eq!(composed.config.model.dropout, Some(0.5));
    assert_eq!(composed.config.train.epochs, 9);
    assert_eq!(composed.config.train.batch_size, 32);
    assert!(matches!(
        composed.config.train.schedule,
        ScheduleConfig::Step { .. }
    ));
}

#[test]
fn a_file_without_a_defaults_list_changes_single_values() {
    let source = project(&[("ferrotype.yaml", "data:\n  image_size: 32\n")]);
    let config = composed(&source, &[]).config;
    assert_eq!(config.data.image_size, 32);
    assert_eq!(config.train.epochs, 30);
}

#[test]
fn an_option_of_the_project_extends_a_built_in_one() {
    let source = project(&[(
        "configs/train/long.yaml",
        "defaults:\n  - default\n  - override optimizer: sgd\n  - _self_\nepochs: 200\n",
    )]);
    let config = composed(&source, &["train=long"]).config;
    assert_eq!(config.train.epochs, 200);
    assert_eq!(config.train.learning_rate, 0.05);
    assert!(matches!(
        config.train.optimizer,
        OptimizerConfig::Sgd { .. }
    ));
}

#[test]
fn every_value_knows_where_it_came_from() {
    let source = project(&[
        (
            "ferrotype.yaml",
            "defaults:\n  - model: small\n  - _self_\n\ntrain:\n  seed: 5\n  note: ${model.name}\n  epochs: ${oc.decode:${oc.env:EPOCHS}}\n",
        ),
        (
            "configs/model/small.yaml",
            "# mine\nname: baseline\ndropout: 0.5\n",
        ),
    ]);
    let composed = composed(
        &source,
        &["train.batch_size=8", "+train.optimizer={beta1:0.8}"],
    );
    insta::assert_snapshot!(
        "origins",
        composed
            .origins()
            .iter()
            .map(|(key, value, origin)| format!("{key} = {value}  ({origin})\n"))
            .collect::<String>()
    );
    assert_eq!(
        origin(&composed, "model.dropout"),
        "configs/model/small.yaml:3"
    );
    assert_eq!(origin(&composed, "train.note"), "ferrotype.yaml:7");
    assert_eq!(
        origin(&composed, "train.epochs"),
        "environment variable EPOCHS"
    );
    assert_eq!(
        origin(&composed, "train.monitor"),
        "built in (train/default)"
    );
    assert_eq!(
        origin(&composed, "train.batch_size"),
        "command line: train.batch_size=8"
    );
}

#[test]
fn a_text_from_the_environment_becomes_the_number_that_is_expected() {
    let composed = composed(
        &MemorySource::default(),
        &["train.epochs=${oc.env:EPOCHS}", "train.note=2024"],
    );
    assert_eq!(composed.config.train.epochs, 7);
    assert_eq!(composed.config.train.note.as_deref(), Some("2024"));
}

#[test]
fn a_written_configuration_composes_to_the_same_again() {
    let layers = "configs/model/mine.yaml";
    let source = project(&[(
        layers,
        "name: mine\nlayers:\n  - {name: a, op: relu, inputs: [x]}\n  - name: b\n    size: [1, 2]\n    deep: [[1], {c: null}]\n",
    )]);
    let cases: &[&[&str]] = &[
        &[],
        &["~data.augment", "~train.early_stopping"],
        &[
            "train/optimizer=sgd",
            "train/schedule=step",
            "data/augment=none",
        ],
        &[
            "train.note='a \\${b} # \"c\": ü\\\\'",
            "train.learning_rate=1e-7",
        ],
        &["train.note=\"\"", "train.gradient_clip=null"],
        &["train.seed=18446744073709551615", "data.dataset=land@v3"],
        &["model=mine"],
    ];
    for overrides in cases {
        let first = composed(&source, overrides);
        let replay = project(&[("ferrotype.yaml", &first.to_yaml())]);
        let second = composed(&replay, &[]);
        assert_eq!(second.config, first.config, "{}", first.to_yaml());
        assert_eq!(second.to_yaml(), first.to_yaml());
    }
}

#[test]
fn a_configuration_survives_json() {
    let config = config(&["train/optimizer=sgd", "train.learning_rate=0.1"]);
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
}

#[test]
fn an_interpolation_follows_the_command_line() {
    let source = project(&[
        (
            "ferrotype.yaml",
            "train:\n  note: ${.epochs} epochs on ${data.dataset}\n",
        ),
        (
            "configs/data/asked.yaml",
            "defaults:\n  - default\n  - _self_\nimage_size: 32\n",
        ),
    ]);
    let config = composed(
        &source,
        &["data=asked", "data.dataset=land", "train.epochs=3"],
    )
    .config;
    assert_eq!(config.train.note.as_deref(), Some("3 epochs on land"));
    let error = try_compose(&source, &["data.dataset=???"]).unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::Missing);
}

/// What is said of a project, a line for the error and one for the hint.
fn told(files: &[(&str, &str)], overrides: &[&str]) -> String {
    let shown: Vec<String> = files
        .iter()
        .map(|(name, text)| format!("{name}: {text:?}"))
        .chain(overrides.iter().map(ToString::to_string))
        .collect();
    let error = try_compose(&project(files), overrides).unwrap_err();
    let hint = error
        .hint()
        .map(|hint| format!("\n  hint: {hint}"))
        .unwrap_or_default();
    format!(
        "{}\n  {:?}: {error}{hint}\n\n",
        shown.join(" | "),
        error.kind()
    )
}

#[test]
fn errors_on_the_command_line_say_what_and_what_next() {
    let cases: &[&[&str]] = &[
        &["train.epocs=3"],
        &["+train.epocs=3"],
        &["modle=small"],
        &["model=basline"],
        &["train/optimzer=sgd"],
        &["train/optimizer=rmsprop"],
        &["train.optimizer=sgd"],
        &["train.optimizer.name=sgd"],
        &["+train.optimizer.momentum=0.5"],
        &["train.optimizer.momentum=0.5"],
        &["train.schedule.step_epochs=3"],
        &["~train/schedule"],
        &["model.layrs=[]"],
        &["~data.augment", "data.augment.brightness=0.1"],
        &["nothing=1"],
        &["model.name=resnet"],
        &["train.epochs=0"],
        &["train.epochs=many"],
        &["train.epochs=1.5"],
        &["train.epochs=null"],
        &["~train.epochs"],
        &["train.learning_rate=0"],
        &["train.learning_rate=-1e-3"],
        &["train.learning_rate=nan"],
        &["train.learning_rate=inf"],
        &["model.dropout=1"],
        &["data.augment.horizontal_flip=1.5"],
        &["data.image_size=9000"],
        &["data.image_size=4", "data.augment.crop_padding=4"],
        &["data.std=[0.2,0,0.2]"],
        &["data.mean=[0.5]"],
        &["data.mean=0.5"],
        &["data.resize=strech"],
        &["data.dataset=../x"],
        &["train.monitor=accuracy"],
        &["train.monitor=val/acc"],
        &["train.schedule.warmup_epochs=50"],
        &["train.threshold=1.5"],
        &["train.threshold=[0.5,1]"],
        &["+recipe=imbalanced", "train.class_weights=balanced"],
        &["train.optimizer.beta1=yes"],
        &["train={epochs:5,epoch:6}"],
        &["+train.epochs=5"],
        &["~train.epochs=21"],
        &["~train.nothing"],
        &["~model=other"],
        &["train.epochs=1,2"],
        &["train.epochs=choice(1,2)"],
        &["train.epochs"],
        &["train.note=a b,"],
        &["train.note=[1"],
        &["train.note='x"],
        &["train.note=f(x)"],
        &["train.note=range(x)"],
        &["train.note=shuffle(1,2)"],
        &["train.note=${nothing}"],
        &["train.note=${train.epocs}"],
        &["train.note=${train.note}"],
        &["train.note=${oc.env:NOTHING}"],
        &["train.note=${now:%Y}"],
        &["train.note=${train}"],
        &["train.note=x-${train}"],
        &["train.note=???"],
        &["hydra.run.dir=x"],
        &["+hydra.run.dir=x"],
        &["model=../../secret"],
        &["train.note.deep=1"],
        &["+data=images"],
        &["+data/augment=strong"],
        &["+model=baseline"],
        &["model@other=baseline"],
        &["model=null"],
        &["++model=baseline"],
        &["train.seed=18446744073709551616"],
    ];
    let report: String = cases.iter().map(|case| told(&[], case)).collect();
    insta::assert_snapshot!("errors_on_the_command_line", report);
}

#[test]
fn errors_in_files_say_where() {
    let primary = |text: &'static str| vec![("ferrotype.yaml", text)];
    let mut cases = vec![
        primary("train:\n  epocs: 3\n"),
        primary("trian:\n  epochs: 3\n"),
        primary("train:\n  epochs: 3\n  seed: 1\n  epochs: 4\n"),
        primary("train:\n  epochs: zero\n"),
        primary("train: 5\n"),
        primary("train:\n\tepochs: 5\n"),
        primary("train: [1\n"),
        primary("- 1\n"),
        primary("1: a\n"),
        primary("train: !tag x\n"),
        primary("a: 1\n---\nb: 2\n"),
        primary("defaults:\n  - model: nothing\n"),
        primary("defaults:\n  - models: baseline\n"),
        primary("defaults:\n  - model: ???\n"),
        primary("defaults:\n  - override train/optimizer: sgd\n  - model: baseline\n"),
        primary("defaults:\n  - override model/x: sgd\n"),
        primary("defaults:\n  - data/augment: aerial\n"),
        primary("defaults:\n  - data/augment: light\n"),
        primary("defaults:\n  - data/augment: aerial\n  - data: default\n"),
        primary("defaults:\n  - model: other\n  - model: baseline\n"),
        primary("defaults:\n  - train: default\n    model: x\n"),
        primary("defaults: model\n"),
        primary("train:\n  notes: ???\n  mote: ???\n"),
        primary("train:\n  note: ${oc.env:NAME\n"),
        primary("hydra:\n  run: {dir: x}\n"),
        primary("model: {layers: {a: 1}}\n"),
        primary("data:\n  augment: ${x}\nx: {brightness: 1}\n"),
        primary("data:\n  mean: [0.5, 0.5,\n    x]\n"),
    ];
    cases.push(vec![(
        "configs/model/mine.yaml",
        "# @package _group_\nname: x\n",
    )]);
    cases.push(vec![("configs/model/mine.yaml", "# @pakage x\nname: x\n")]);
    cases.push(vec![("configs/model/mine.yaml", "defaults:\n  - mine\n")]);
    cases.push(vec![("configs/model/mine.yaml", "name: x\ndropuot: 0.5\n")]);
    let report: String = cases
        .iter()
        .map(|files| {
            let is_model = files[0].0.starts_with("configs/");
            told(files, if is_model { &["model=mine"] } else { &[] })
        })
        .collect();
    insta::assert_snapshot!("errors_in_files", report);
}

#[test]
fn a_choice_made_twice_is_placed_where_it_is_written_even_when_overridden() {
    let source = project(&[("ferrotype.yaml", "defaults:\n  - data/augment: aerial\n")]);
    let error = try_compose(&source, &["data/augment=strong"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`data/augment` is chosen twice (ferrotype.yaml:2)"
    );
    assert_eq!(
        error.hint().as_deref(),
        Some("to replace the other choice write `- override data/augment: aerial`")
    );
}

#[test]
fn a_source_that_cannot_be_read_stops_the_composition() {
    struct Unreadable;
    impl ConfigSource for Unreadable {
        fn primary(&self) -> Result<Option<SourceFile>, ConfigError> {
            Err(ConfigError::new(
                ConfigErrorKind::Unreadable,
                "cannot read `ferrotype.yaml`: permission denied",
            ))
        }
        fn group(&self, _: &str, _: &str) -> Result<Option<SourceFile>, ConfigError> {
            Ok(None)
        }
        fn options(&self, _: &str) -> Vec<String> {
            Vec::new()
        }
    }
    let error = compose(&Unreadable, &[], &environment()).unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::Unreadable);
}

#[test]
fn a_name_that_leaves_the_configuration_folder_is_never_asked_for() {
    struct Guarded;
    impl ConfigSource for Guarded {
        fn primary(&self) -> Result<Option<SourceFile>, ConfigError> {
            Ok(None)
        }
        fn group(&self, group: &str, name: &str) -> Result<Option<SourceFile>, ConfigError> {
            for part in group.split('/').chain([name]) {
                assert!(!["", ".", ".."].contains(&part), "{group} {name}");
                assert!(!part.contains(['/', '\\']), "{group} {name}");
            }
            Ok(None)
        }
        fn options(&self, group: &str) -> Vec<String> {
            assert!(!group.contains(".."));
            Vec::new()
        }
    }
    for name in [
        "../x",
        "..",
        ".",
        "/etc/passwd",
        "a/../../b",
        "a//b",
        "a\\\\b",
        "C:x",
    ] {
        let given = format!("model='{name}'");
        let error = compose(&Guarded, std::slice::from_ref(&given), &environment()).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::NotFound, "{given}: {error}");
    }
}

#[test]
fn expansions_without_end_are_refused() {
    let mut laughs = String::from("train:\n  note: ${x.a0}\nx:\n  a0: lol\n");
    for level in 1..40 {
        let before = level - 1;
        laughs.push_str(&format!("  a{level}: ${{x.a{before}}}${{x.a{before}}}\n"));
    }
    let mut nested = String::from("a0: &a0 [x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let before = level - 1;
        nested.push_str(&format!(
            "a{level}: &a{level} [*a{before}, *a{before}, *a{before}, *a{before}]\n"
        ));
    }
    let mut chain = String::from("x4999: 1\n");
    for level in (0..4_999).rev() {
        chain.push_str(&format!("x{level}: ${{x{}}}\n", level + 1));
    }
    chain.insert_str(0, "a: ${x0}\n");
    let lists = (0..40).fold(String::from("a0: [1, 2]\n"), |text, level| {
        format!("{text}a{}: ['${{a{level}}}', '${{a{level}}}']\n", level + 1)
    });
    let deep = format!("a: {}1{}\n", "[".repeat(5_000), "]".repeat(5_000));
    let long = "a".repeat(2 << 20);
    for text in [&laughs, &nested, &chain, &lists, &deep, &long] {
        let error = try_compose(&project(&[("ferrotype.yaml", text)]), &[]).unwrap_err();
        assert_eq!(
            error.kind(),
            ConfigErrorKind::TooLarge,
            "{}: {error}",
            &text[..40]
        );
    }
}
