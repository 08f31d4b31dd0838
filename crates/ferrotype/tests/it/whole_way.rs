//! From a folder of images to a served prediction, by the binary alone.

use ferrotype_testkit::http::{get, post_file};
use ferrotype_testkit::images::png;
use ferrotype_testkit::program::Signal;
use ferrotype_testkit::project::TestProject;
use serde_json::Value;

use crate::project;

#[test]
fn a_folder_becomes_a_served_prediction() {
    let project = project::with_colours();
    let trained = project::train(&project, "first", &["train.epochs=8", "--register", "land"]);
    assert!(trained.stderr.contains("epoch 8/8"), "{}", trained.stderr);

    let run = project::run(&project, "first");
    assert_eq!(run["status"], "finished");
    assert_eq!(run["dataset"], "colours@v1");
    assert_eq!(run["params"]["train.epochs"], "8");
    assert!(run["metrics"]["val/accuracy"].as_f64().unwrap() > 0.9);
    let artifacts = run["artifacts"].as_array().unwrap().iter();
    let names: Vec<_> = artifacts.map(|artifact| &artifact["name"]).collect();
    assert_eq!(names, ["augmentations.png", "model.onnx"]);

    let page = project.join("report.html");
    let page_path = page.display().to_string();
    let evaluated = project
        .succeed(&[
            "evaluate", "first", "--split", "test", "--json", "--html", &page_path,
        ])
        .json();
    assert!(
        evaluated["scores"]["accuracy"].as_f64().unwrap() > 0.9,
        "{evaluated}"
    );
    assert!(
        std::fs::read_to_string(page)
            .unwrap()
            .contains("Confusion matrix")
    );

    project.succeed(&["models", "alias", "land@v1", "production"]);
    let server = project::serve(&project, &["--model", "land@production"]);
    let answer = post_file(
        &server.at("/predict"),
        "red.png",
        &png(20, 20, [220, 30, 30]),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["class"], "red");
    assert_eq!(get(&server.at("/health/ready")).status, 200);
    server.program.signal(Signal::Terminate);
    let stopped = server.program.wait();
    assert_eq!(stopped.code, Some(0), "{}", stopped.describe());
}

#[test]
fn the_command_the_server_and_the_evaluation_say_the_same() {
    let project = project::with_model();
    let file = project.write("red.png", png(SIDE, SIDE, [220, 30, 30]));
    const SIDE: u32 = 33;
    let asked = project
        .succeed(&[
            "predict", "red.png", "--model", "colours", "--top", "3", "--json",
        ])
        .json();
    let server = project::serve(&project, &["--model", "colours"]);
    let answer = post_file(
        &server.at("/predict?top=3"),
        "red.png",
        &std::fs::read(file).unwrap(),
    )
    .json();
    let command = &asked["predictions"][0];
    assert_eq!(command["class"], answer["class"]);
    assert_eq!(command["confidence"], answer["confidence"]);
}

#[test]
fn a_folder_is_trained_on_in_one_step() {
    let project = project::empty();
    ferrotype_testkit::images::colour_folder(&project.join("my photos"), 10, 16);
    project.succeed(&[
        "train",
        "--data",
        "my photos",
        "--name",
        "quick",
        "data.image_size=16",
        "train.epochs=1",
    ]);
    assert_eq!(project::run(&project, "quick")["dataset"], "my-photos@v1");
}

#[test]
fn every_combination_of_a_multirun_is_a_run() {
    let project = project::with_colours();
    let arguments = project::training(
        "sweep",
        &[
            "--multirun",
            "train.epochs=1",
            "train.seed=1,2",
            "train.learning_rate=1e-3",
        ],
    );
    let finished = project.succeed(&arguments);
    assert!(
        finished.stdout.contains("sweep-1"),
        "{}",
        finished.describe()
    );
    let runs: Value = project.succeed(&["runs", "list", "--json"]).json();
    let mut seeds: Vec<u64> = runs
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["seed"].as_u64().unwrap())
        .collect();
    seeds.sort_unstable();
    assert_eq!(seeds, [1, 2]);
}

#[test]
fn a_users_own_graph_trains_and_exports() {
    let project = project::with_colours();
    project.write(
        "configs/model/tiny.yaml",
        "name: tiny\n\
         layers:\n\
         - {op: conv2d, name: conv1, out_channels: 4, kernel: 3, padding: 1}\n\
         - relu\n\
         - global_avg_pool\n\
         - flatten\n\
         - {op: linear, name: head, out_features: classes}\n",
    );
    let finished = project.run(&project::training("own", &["model=tiny", "train.epochs=2"]));
    assert_eq!(finished.code, Some(0), "{}", finished.describe());
    project.succeed(&["export", "own", "-o", "tiny.onnx"]);
    assert!(project.join("tiny.onnx").is_file());
    let again = project.fail(&["export", "own", "-o", "tiny.onnx"]);
    assert!(again.stderr.contains("--force"), "{}", again.stderr);
}

#[test]
fn a_strangers_onnx_file_is_imported_and_answers() {
    let project = project::empty();
    project.write("colours.onnx", ferrotype_testkit::onnx::colour_model(8));
    let imported = project.succeed(&[
        "models",
        "import",
        "colours.onnx",
        "--name",
        "colours",
        "--classes",
        "blue,green,red",
        "--input-size",
        "8",
        "--mean",
        "0",
        "--std",
        "1",
        "--alias",
        "production",
    ]);
    assert_eq!(imported.stdout.trim(), "colours@v1");
    project.write("green.png", png(30, 20, [20, 200, 30]));
    let answer = project
        .succeed(&[
            "predict",
            "green.png",
            "--model",
            "colours@production",
            "--json",
        ])
        .json();
    assert_eq!(answer["predictions"][0]["class"], "green");
}

#[test]
fn a_model_of_another_project_claims_nothing_of_this_one() {
    let home = project::with_model();
    home.succeed(&["export", "colours", "-o", "colours.onnx"]);
    let file = std::fs::read(home.join("colours.onnx")).unwrap();
    let shown = |project: &TestProject| {
        project.write("net.onnx", &file);
        project.succeed(&["models", "import", "net.onnx", "--name", "again"]);
        let table = project.succeed(&["models", "show", "again"]).stdout;
        let row = |name: &str| {
            let row = table.lines().find_map(|line| line.strip_prefix(name));
            row.unwrap_or_else(|| panic!("{name}: {table}"))
                .trim()
                .to_string()
        };
        ["trained on", "architecture", "source"].map(row)
    };
    assert_eq!(
        shown(&home),
        ["colours@v1", "baseline", "import net.onnx"].map(str::to_string)
    );
    let says = "import net.onnx, which says: trained on colours@v1";
    let elsewhere = project::empty();
    assert_eq!(
        shown(&elsewhere),
        ["unknown", "baseline", says].map(str::to_string)
    );
    let evaluated = elsewhere.run(&["evaluate", "again"]);
    assert!(
        evaluated
            .stderr
            .contains("does not say what it was trained on"),
        "{}",
        evaluated.describe()
    );
}

#[test]
fn the_same_seed_gives_the_same_weights_and_another_does_not() {
    let project = project::with_colours();
    let settings = ["train.epochs=2", "data/augment=strong"];
    for (name, seed) in [
        ("a", "train.seed=5"),
        ("b", "train.seed=5"),
        ("c", "train.seed=6"),
    ] {
        project::train(&project, name, &[&settings[..], &[seed]].concat());
    }
    let weights =
        |name| project::tensors(&project::run_folder(&project, name).join("last.safetensors"));
    assert!(weights("a") == weights("b"));
    assert!(weights("a") != weights("c"));
}

#[test]
fn what_would_fail_after_hours_is_refused_at_once() {
    let project = project::with_colours();
    project::train(&project, "taken", &["train.epochs=1"]);
    let cases: [(&[&str], &str); 5] = [
        (
            &["--register", "bad name!"],
            "`bad name!` is not a valid model",
        ),
        (&["--name", "bad/name"], "`bad/name` is not a valid run"),
        (&["--name", "taken"], "there is a run `taken` already"),
        (
            &["--data", "images", "data.dataset=colours"],
            "name two datasets",
        ),
        (&["--data", "images", "model=gone"], "gone"),
    ];
    for (more, complaint) in cases {
        let refused = project.run(&[&["train"], more].concat());
        assert!(
            matches!(refused.code, Some(1 | 2)),
            "{}",
            refused.describe()
        );
        assert!(refused.stderr.contains(complaint), "{}", refused.stderr);
        assert!(!refused.stderr.contains("Imported"), "{}", refused.stderr);
    }
    let runs = project.succeed(&["runs", "list", "--json"]).json();
    assert_eq!(runs.as_array().unwrap().len(), 1);
}

#[test]
fn a_preview_shows_what_a_training_sees() {
    let project = project::with_colours();
    let sheet = project.join("sheet.png");
    let path = sheet.display().to_string();
    let preview = |more: &[&str]| {
        let arguments = [&["data", "preview", "colours", "--output", &path], more].concat();
        project.succeed(&arguments);
        std::fs::read(&sheet).unwrap()
    };
    let plain = preview(&["--count", "4"]);
    assert!(plain.starts_with(b"\x89PNG"));
    let changed = preview(&["--count", "4", "--augment", "data/augment=strong"]);
    assert_ne!(changed, plain);
    assert_eq!(
        preview(&["--count", "4", "--augment", "data/augment=strong"]),
        changed
    );
    let none = project.run(&["data", "preview", "colours", "--augment", "~data.augment"]);
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("no random changes"), "{}", none.stderr);

    let starts: [(&str, &[u8]); 2] = [("sheet.JPG", b"\xff\xd8"), ("sheet.webp", b"RIFF")];
    for (name, start) in starts {
        project.succeed(&["data", "preview", "colours", "--output", name]);
        let written = std::fs::read(project.join(name)).unwrap();
        assert!(written.starts_with(start), "{name}");
    }
    let refused = [
        ("sheet.gif", 2, "hint: give it one of the endings `.png`"),
        ("sheet", 2, "does not say in which format"),
        (".", 1, "cannot write `.`: it is a folder"),
        ("no/sheet.png", 1, "there is no folder `no`"),
    ];
    for (name, code, said) in refused {
        let refused = project.run(&["data", "preview", "colours", "--output", name]);
        assert_eq!(refused.code, Some(code), "{}", refused.describe());
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
}
