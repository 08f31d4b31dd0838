//! Images with several labels, from the folder to the served answer.

use ferrotype_testkit::http::{get, post_file};
use ferrotype_testkit::images::{labelled_folder, png};
use ferrotype_testkit::project::TestProject;
use serde_json::{Value, json};

use crate::project;

/// A project with the dataset `lights@v1`.
fn with_labels() -> TestProject {
    let project = project::empty();
    labelled_folder(&project.join("set"), 96, project::SIDE);
    let imported = project.succeed(&["data", "import", "set", "--name", "lights"]);
    assert!(
        imported.stderr.contains("96 images of 3 labels"),
        "{}",
        imported.describe()
    );
    assert!(
        imported.stdout.contains("no label"),
        "{}",
        imported.describe()
    );
    project
}

fn training<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![
        "train",
        "--name",
        name,
        "data.image_size=16",
        "data.dataset=lights",
        "train.batch_size=8",
        "data.workers=1",
        "train.early_stopping=null",
    ];
    arguments.extend(more);
    arguments
}

#[test]
fn images_with_labels_become_served_labels() {
    let project = with_labels();
    let trained = project.succeed(&training(
        "first",
        &[
            "train.epochs=20",
            "train.learning_rate=0.003",
            "train.threshold=0.4",
            "--register",
            "lights",
        ],
    ));
    assert!(
        trained.stderr.contains("val AUROC"),
        "{}",
        trained.describe()
    );
    let run = project::run(&project, "first");
    assert!(run["metrics"]["val/auroc"].as_f64().unwrap() > 0.9, "{run}");
    assert!(run["metrics"]["test/map"].as_f64().unwrap() > 0.9, "{run}");
    assert_eq!(run["params"]["task"], "multi_label");
    for list in ["runs", "models"] {
        let listed = project.succeed(&[list, "list"]);
        assert!(listed.stdout.contains("AUROC "), "{}", listed.describe());
        assert!(!listed.stdout.contains("accuracy"), "{}", listed.describe());
    }

    let page = project.join("report.html").display().to_string();
    let evaluate = |more: &[&str]| -> Value {
        let arguments = [&["evaluate", "first", "--json"], more].concat();
        project.succeed(&arguments).json()
    };
    let plain = evaluate(&["--html", &page]);
    let scores = &plain["label_scores"];
    assert!(scores["auroc"].as_f64().unwrap() > 0.9, "{plain}");
    assert_eq!(scores["threshold"], json!(0.4));
    assert_eq!(scores["per_label"].as_array().unwrap().len(), 3);
    assert_eq!(plain["views"], Value::Null);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("exact match") && !page.contains("Confusion matrix"));
    let seen = evaluate(&["--views", "flips"]);
    assert_eq!(seen["views"], "flips");
    assert_ne!(seen["label_scores"]["loss"], scores["loss"]);

    let file = png(20, 20, [210, 40, 205]);
    project.write("magenta.png", &file);
    let asked = project
        .succeed(&["predict", "magenta.png", "--model", "lights", "--json"])
        .json();
    let mut labels = names(&asked["predictions"][0]["labels"]);
    labels.sort();
    assert_eq!(labels, ["blue", "red"], "{asked}");

    let server = project::serve(&project, &["--model", "lights"]);
    let answer = post_file(&server.at("/predict"), "magenta.png", &file).json();
    let mut served = names(&answer["labels"]);
    assert_eq!(answer["class"], served[0].as_str());
    served.sort();
    assert_eq!(served, labels, "{answer}");
    assert_eq!(answer["probabilities"].as_array().unwrap().len(), 3);
    assert!((answer["threshold"].as_f64().unwrap() - 0.4).abs() < 1e-6);
    agree(&asked["predictions"][0], &answer);
    for threshold in ["0.01", "0.99,0.01,0.99"] {
        let asked = ["predict", "magenta.png", "--model", "lights", "--json"];
        let asked = [&asked[..], &["--threshold", threshold]].concat();
        let asked = project.succeed(&asked).json();
        let address = server.at(&format!("/predict?threshold={threshold}"));
        let served = post_file(&address, "magenta.png", &file).json();
        agree(&asked["predictions"][0], &served);
        assert_ne!(served["threshold"], answer["threshold"]);
    }
    let wrong = post_file(
        &server.at("/predict?threshold=0.3,0.4"),
        "magenta.png",
        &file,
    );
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    assert!(wrong.text().contains("in this order: "), "{}", wrong.text());
    let shown = get(&server.at("/ui/models/lights")).text().to_string();
    assert!(
        shown.contains("Per label") && !shown.contains("Confusion"),
        "{shown}"
    );
    let id = run["id"].as_str().unwrap();
    let shown = get(&server.at(&format!("/ui/runs/{id}")))
        .text()
        .to_string();
    assert!(
        shown.contains("<dt>Val. AUROC</dt>") && shown.contains("<h2>Exact match</h2>"),
        "{shown}"
    );
    assert!(!shown.contains(">Accuracy<"), "{shown}");
    let shown = get(&server.at("/ui/datasets/lights")).text().to_string();
    assert!(
        shown.contains("Labels and splits") && shown.contains(">no label<"),
        "{shown}"
    );
    let set = get(&server.at("/api/v1/datasets/lights")).json();
    assert_eq!(set["unlabelled"]["total"], 12, "{set}");
    let black = post_file(
        &server.at("/predict"),
        "black.png",
        &png(20, 20, [45, 52, 48]),
    )
    .json();
    assert_eq!(black["labels"], json!([]), "{black}");
    assert!(black["confidence"].as_f64().unwrap() < 0.4);
}

/// The terminal's JSON and the server's answer say the same of an image.
fn agree(asked: &Value, served: &Value) {
    for key in [
        "class",
        "labels",
        "threshold",
        "probabilities",
        "confidence",
    ] {
        assert_eq!(asked[key], served[key], "{key}: {asked} {served}");
    }
}

fn names(labels: &Value) -> Vec<String> {
    let labels = labels.as_array().unwrap().iter();
    labels
        .map(|name| name.as_str().unwrap().to_string())
        .collect()
}

#[test]
fn the_recipe_holds_for_labels_or_says_why_not() {
    let project = with_labels();
    let recipe = [
        "train.epochs=1",
        "train.mixup=0.2",
        "train.cutmix=1.0",
        "train.label_smoothing=0.1",
        "train.class_weights=balanced",
        "train.monitor=val/f1",
        "train.ema=0.9",
        "data.test_time_augmentation=flip",
    ];
    project.succeed(&training("mixed", &recipe));
    let refused = project.fail(&training("even", &["train.sampling=balanced"]));
    assert!(
        refused.stderr.contains("may have several labels")
            && refused
                .stderr
                .contains("hint: `train.class_weights=balanced`"),
        "{}",
        refused.describe()
    );
    let refused = project.fail(&training("even", &["+recipe=imbalanced"]));
    assert!(
        refused
            .stderr
            .contains("`train.sampling=balanced`, set by the recipe `imbalanced`,")
            && refused
                .stderr
                .contains("hint: `train.sampling=shuffle train.class_weights=balanced`"),
        "{}",
        refused.describe()
    );
    let instead = [
        "train.epochs=1",
        "+recipe=imbalanced",
        "train.sampling=shuffle",
        "train.class_weights=balanced",
    ];
    project.succeed(&training("rare", &instead));
}

#[test]
fn weights_that_do_not_fit_the_labels_are_refused_before_there_is_a_run() {
    let project = with_labels();
    for (weights, message) in [
        (
            "train.class_weights=[1,2]",
            "`train.class_weights` has 2 weights, but `lights@v1` has 3 labels",
        ),
        (
            "train.class_weights=[0,0,0]",
            "are all zero: no label is learned",
        ),
    ] {
        let refused = project.fail(&training("weighed", &[weights]));
        assert!(
            refused.stderr.contains(message) && refused.stderr.contains("hint:"),
            "{}",
            refused.describe()
        );
    }
    let runs = project.succeed(&["runs", "list", "--json"]).json();
    assert_eq!(runs, json!([]));
}

#[test]
fn each_label_may_have_the_threshold_that_suits_it() {
    let project = with_labels();
    let quick = ["train.epochs=3", "train.learning_rate=0.003"];
    let tuned = [
        &quick[..],
        &["train.threshold=best_f1", "--register", "lights"],
    ]
    .concat();
    project.succeed(&training("tuned", &tuned));
    let evaluated = project.succeed(&["evaluate", "lights", "--json"]).json();
    let labels = evaluated["label_scores"]["per_label"].as_array().unwrap();
    assert_eq!(labels.len(), 3);
    for label in labels {
        assert_eq!(label["threshold"], label["best"]["threshold"], "{label}");
        assert!(label["best"]["f1"].as_f64().unwrap() > 0.5, "{label}");
    }
    let table = project.succeed(&["evaluate", "tuned", "--threshold", "0.2,0.3,0.4"]);
    for part in ["each its own", "best threshold", "val F1 there", "  0.2  "] {
        assert!(table.stdout.contains(part), "{}", table.describe());
    }
    let wrong = project.run(&["evaluate", "tuned", "--threshold", "0.2,0.3"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.describe());
    assert!(
        wrong.stderr.contains("2 thresholds for 3 labels") && wrong.stderr.contains("red"),
        "{}",
        wrong.describe()
    );

    let chosen = [
        &quick[..],
        &["train.threshold=[0.2,0.3,0.4]", "--register", "picked"],
    ]
    .concat();
    project.succeed(&training("chosen", &chosen));
    let chosen = project.succeed(&["evaluate", "chosen", "--json"]).json();
    assert_eq!(chosen["label_scores"]["threshold"], Value::Null);
    let first = &chosen["label_scores"]["per_label"][0];
    assert_eq!(first["threshold"], json!(0.2));
    let shown = project.succeed(&["models", "show", "picked"]);
    for part in [
        "any number of labels",
        "each label has its own",
        "measured on",
        "exact match",
        "best by F1 on validation",
    ] {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.describe());
    }
    let shown = project
        .succeed(&["models", "show", "picked", "--json"])
        .json();
    assert_eq!(shown["task"], "multi_label");
    let first = chosen["classes"][0].as_str().unwrap();
    assert!((shown["label_thresholds"][first].as_f64().unwrap() - 0.2).abs() < 1e-6);
    assert!(
        shown["metrics"]["best_thresholds"][first].is_number(),
        "{shown}"
    );
    let refused = project.fail(&training("short", &["train.threshold=[0.2,0.3]"]));
    assert!(
        refused
            .stderr
            .contains("`train.threshold` has 2 numbers, but `lights@v1` has 3 labels"),
        "{}",
        refused.describe()
    );
}

#[test]
fn one_class_and_several_labels_are_not_mixed_up() {
    let project = project::with_model();
    labelled_folder(&project.join("set"), 24, project::SIDE);
    project.succeed(&["data", "import", "set", "--name", "lights"]);
    let refused = project.fail(&["evaluate", "colours@v1", "--dataset", "lights"]);
    assert!(
        refused
            .stderr
            .contains("the model answers with one class an image"),
        "{}",
        refused.describe()
    );
    let refused = project.fail(&project::training("t", &["train.threshold=0.3"]));
    assert!(
        refused
            .stderr
            .contains("`train.threshold` is for images with several labels"),
        "{}",
        refused.describe()
    );
    let plain = project.succeed(&["evaluate", "first", "--json"]).json();
    let seen = project
        .succeed(&["evaluate", "first", "--views", "dihedral", "--json"])
        .json();
    assert_eq!(seen["views"], "dihedral");
    assert_ne!(seen["scores"]["loss"], plain["scores"]["loss"]);
}
