//! What a network costs, where a training's time goes, which learning rate suits.

use std::collections::BTreeMap;

use ferrotype_testkit::http::get;
use ferrotype_testkit::snapshot;
use serde_json::Value;

use crate::project;

#[test]
fn a_summary_has_the_published_figures() {
    let project = project::empty();
    let arguments = ["summary", "model=vgg16", "data.image_size=224", "--json"];
    let summary = project.succeed(&arguments).json();
    // torchvision's: 138,357,544 parameters and 15.47 billion multiply-adds.
    assert_eq!(summary["parameters"], 138_357_544_u64);
    let layers = summary["layers"].as_array().unwrap();
    let products: u64 = layers
        .iter()
        .filter(|layer| layer["op"] == "conv2d" || layer["op"] == "linear")
        .map(|layer| layer["flops"].as_u64().unwrap() / 2)
        .sum();
    assert_eq!(products / 10_000_000, 1547);
    assert_eq!(summary["classes"], 1000);
    let memory = &summary["memory"];
    assert_eq!(memory["training"]["weights"], 4 * 138_357_544_u64);
    assert_eq!(memory["training"]["optimizer"], 8 * 138_357_544_u64);
    let total = |kind: &str| memory[kind].as_u64().unwrap();
    assert!(total("inference_total") < total("training_total"));
    // A smaller batch takes less.
    let smaller = project
        .succeed(&[&arguments[..], &["train.batch_size=4"]].concat())
        .json();
    assert!(smaller["memory"]["training_total"].as_u64().unwrap() < total("training_total"));
}

#[test]
fn a_summary_is_two_tables() {
    let project = project::with_colours();
    let finished = project.succeed(&["summary", "data.dataset=colours", "data.image_size=16"]);
    let mut settings = insta::Settings::clone_current();
    settings.set_filters(snapshot::filters());
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!("summary", finished.describe()));
    let own = project
        .succeed(&["summary", "--classes", "7", "--json"])
        .json();
    assert_eq!(own["classes"], 7);
    let refused = project.fail(&["summary", "data.dataset=gone"]);
    assert!(refused.stderr.contains("gone"), "{}", refused.stderr);
    let small = project.fail(&["summary", "model=vgg16", "data.image_size=16"]);
    assert!(
        small.stderr.contains("hint: `data.image_size=32`"),
        "{}",
        small.stderr
    );
}

#[test]
fn a_profile_is_kept_with_its_run_and_opens_as_a_trace() {
    let project = project::with_colours();
    let trained = project::train(&project, "first", &["train.epochs=6", "--profile=8"]);
    assert!(trained.stderr.contains("Profiled"), "{}", trained.stderr);
    assert!(
        trained.stderr.contains("ui.perfetto.dev"),
        "{}",
        trained.stderr
    );
    assert!(
        trained.stdout.contains("waiting for images"),
        "{}",
        trained.stdout
    );

    let profile = project.succeed(&["profile", "first", "--json"]).json();
    assert_eq!(profile["steps"], 8);
    assert_eq!(profile["first_step"], 11);
    let phases = profile["phases"].as_array().unwrap();
    let names: Vec<&str> = phases
        .iter()
        .map(|row| row["phase"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "waiting for images",
            "forward",
            "loss",
            "backward",
            "update",
            "other",
            "validation",
            "checkpoint"
        ]
    );
    let shares: f64 = phases.iter().filter_map(|row| row["share"].as_f64()).sum();
    assert!((shares - 1.0).abs() < 1e-6, "{shares}");
    let layers = profile["layers"].as_array().unwrap();
    let conv = layers.iter().find(|row| row["layer"] == "conv2").unwrap();
    for pass in ["forward", "backward"] {
        assert_eq!(conv[pass]["calls"], 8, "{conv}");
        assert!(conv[pass]["flops"].as_u64().unwrap() > 0, "{conv}");
        assert!(conv[pass]["bytes"].as_u64().unwrap() > 0, "{conv}");
    }

    let shown = project.succeed(&["profile", "first", "--top", "2", "--trace", "trace.json"]);
    assert!(shown.stdout.contains("backward ms"), "{}", shown.stdout);
    let written = std::fs::read(project.join("trace.json")).unwrap();
    let kept = std::fs::read(project::run_folder(&project, "first").join("trace.json")).unwrap();
    assert!(written == kept);
    let trace: Value = serde_json::from_slice(&written).unwrap();
    check_trace(&trace).unwrap();
    let steps = events(&trace)
        .filter(|event| event["cat"] == "step")
        .count();
    assert_eq!(steps, 8);
    let validated = events(&trace).any(|event| event["cat"] == "validation");
    assert!(validated);

    let run = project::run(&project, "first");
    let server = project::serve(&project, &[]);
    let page = get(&server.at(&format!("/ui/runs/{}", run["id"].as_str().unwrap())));
    let page = page.text();
    for name in ["profile.json", "trace.json"] {
        assert!(page.contains(&format!("download=\"{name}\"")), "{page}");
    }
    let artifacts = run["artifacts"].as_array().unwrap();
    let artifact = artifacts
        .iter()
        .find(|file| file["name"] == "trace.json")
        .unwrap();
    let digest = artifact["digest"].as_str().unwrap();
    let downloaded = get(&server.at(&format!("/api/v1/blobs/{digest}")));
    assert_eq!(downloaded.json(), trace);
}

#[test]
fn a_number_of_steps_without_an_equals_sign_is_told() {
    let project = project::empty();
    for arguments in [
        &["train", "--profile", "5"][..],
        &["train", "--resume", "first", "--profile", "5"],
    ] {
        let refused = project.run(arguments);
        assert_eq!(refused.code, Some(2), "{}", refused.describe());
        assert!(
            refused.stderr.contains("hint: write `--profile=5`"),
            "{}",
            refused.stderr
        );
    }
    let refused = project.run(&["train", "--resume", "first", "train.epochs=5"]);
    assert_eq!(refused.code, Some(2), "{}", refused.describe());
    assert!(
        refused.stderr.contains("`train.epochs=5` cannot be set"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_run_without_a_profile_says_how_to_make_one() {
    let project = project::with_colours();
    project::train(&project, "first", &["train.epochs=1"]);
    let refused = project.fail(&["profile", "first"]);
    assert!(
        refused.stderr.contains("has no profile"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("hint: `ferrotype train --profile"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_profile_changes_no_weight() {
    let project = project::with_colours();
    project::train(&project, "plain", &["train.epochs=3"]);
    project::train(&project, "profiled", &["train.epochs=3", "--profile"]);
    let weights =
        |name| project::tensors(&project::run_folder(&project, name).join("last.safetensors"));
    assert!(weights("plain") == weights("profiled"));
}

#[test]
fn a_short_run_has_a_profile_and_the_machines_load() {
    let project = project::with_colours();
    project::train(&project, "short", &["train.epochs=1", "--profile"]);
    let profile = project.succeed(&["profile", "short", "--json"]).json();
    assert!(profile["steps"].as_u64().unwrap() >= 1, "{profile}");
    let metrics = &project::run(&project, "short")["metrics"];
    if cfg!(target_os = "linux") {
        assert!(
            metrics["system/memory_mb"].as_f64().unwrap() > 0.0,
            "{metrics}"
        );
        // Shorter than a tick, it may have taken none.
        assert!(
            metrics["system/process_cpu_percent"].is_number(),
            "{metrics}"
        );
    }
}

#[test]
fn a_learning_rate_is_found_and_no_run_is_made() {
    let project = project::with_colours();
    let arguments = [
        "find-rate",
        "data.dataset=colours",
        "data.image_size=16",
        "train.batch_size=8",
        "data.workers=1",
        "--steps",
        "60",
        "--from",
        "1e-5",
    ];
    let found = project.succeed(&arguments);
    assert!(
        found.stdout.contains("suggested: train.learning_rate="),
        "{}",
        found.describe()
    );
    assert!(
        found.stderr.contains("Next: ferrotype train"),
        "{}",
        found.stderr
    );
    let curve: Value =
        serde_json::from_slice(&std::fs::read(project.join("learning-rate.json")).unwrap())
            .unwrap();
    let suggestion = curve["suggestion"].as_f64().unwrap();
    assert!((1e-5..10.0).contains(&suggestion), "{suggestion}");
    assert_eq!(curve["dataset"], "colours@v1");
    let picture = std::fs::read_to_string(project.join("learning-rate.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));

    let again = project.succeed(&[&arguments[..], &["--json", "--output", "again"]].concat());
    assert_eq!(again.json(), curve);
    assert!(project.join("again.svg").is_file());

    let runs = project.succeed(&["runs", "list", "--json"]).json();
    assert_eq!(runs.as_array().unwrap().len(), 0);
    let jobs = project.succeed(&["job", "list", "--json"]).json();
    assert_eq!(jobs.as_array().unwrap().len(), 0);
}

#[test]
fn a_range_test_says_where_it_ended_and_suggests_nothing_from_noise() {
    let project = project::with_colours();
    let settings = ["find-rate", "data.dataset=colours", "data.image_size=16"];
    let small = ["train.batch_size=8", "data.workers=1"];
    let find = |more: &[&'static str]| [&settings[..], &small[..], more].concat();
    // So low that nothing is learnt, and so short that nothing could be told.
    let flat = ["--from", "1e-12", "--to", "1e-10", "--output", "flat.json"];
    let short = ["--steps", "10", "--to", "1e-3", "--output", "short.svg"];
    for (arguments, name, hint) in [
        (&flat[..], "flat", "hint: try `--steps 300`"),
        (&short[..], "short", "hint: take more"),
    ] {
        let found = project.succeed(&find(arguments));
        let said = &found.stderr;
        assert!(said.contains("no learning rate is suggested"), "{said}");
        assert!(said.contains(hint), "{said}");
        assert!(!found.stdout.contains("suggested"), "{}", found.stdout);
        let file = std::fs::read(project.join(format!("{name}.json"))).unwrap();
        let curve: Value = serde_json::from_slice(&file).unwrap();
        assert!(curve["suggestion"].is_null() && curve.get("suggestion").is_some());
        assert_eq!(curve["end"], "complete");
        assert!(project.join(format!("{name}.svg")).is_file());
    }

    let blown_up = ["--to", "1e12", "--steps", "60"];
    let found = project.succeed(&find(&blown_up));
    assert!(
        found.stdout.contains("where the test ended"),
        "{}",
        found.describe()
    );
    let curve = project.succeed(&find(&[&blown_up[..], &["--json"]].concat()));
    let curve = curve.json();
    assert!(["diverged", "not_finite"].contains(&curve["end"].as_str().unwrap()));
    assert!(curve["end_learning_rate"].as_f64().unwrap() < 1e12);

    for (arguments, said) in [
        (
            ["--from", "-1"],
            "`--from` is `-1`, expected a learning rate over 0",
        ),
        (["--to", "1e-9"], "is not over `--from"),
    ] {
        let refused = project.run(&find(&arguments));
        assert_eq!(refused.code, Some(2), "{}", refused.describe());
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    let refused = project.fail(&find(&["--output", "no/such"]));
    assert!(
        refused.stderr.contains("there is no folder `no`"),
        "{}",
        refused.stderr
    );
}

#[test]
fn what_is_no_trace_is_told() {
    let metadata = r#"{"name":"process_name","ph":"M","ts":0,"pid":1,"tid":1,"args":{"name":"a"}},
        {"name":"thread_name","ph":"M","ts":0,"pid":1,"tid":1,"args":{"name":"a"}}"#;
    let cases = [
        (r#"{"name":"a","ph":"X","ts":0,"pid":1,"tid":1}"#, "`dur`"),
        (
            r#"{"name":"a","ph":"X","ts":-1,"dur":1,"pid":1,"tid":1}"#,
            "`ts`",
        ),
        (
            r#"{"name":"a","ph":"X","ts":0,"dur":1,"pid":1,"tid":2}"#,
            "no name",
        ),
        (r#"{"name":"a","ph":"Q","ts":0,"pid":1,"tid":1}"#, "phase"),
        (
            r#"{"name":"a","ph":"C","ts":0,"pid":1,"tid":1,"args":{"a":"b"}}"#,
            "series",
        ),
        (
            r#"{"name":"a","ph":"X","ts":0,"dur":10,"pid":1,"tid":1},
               {"name":"b","ph":"X","ts":5,"dur":10,"pid":1,"tid":1}"#,
            "overlaps",
        ),
    ];
    for (events, complaint) in cases {
        let text = format!(r#"{{"traceEvents":[{metadata},{events}]}}"#);
        let error = check_trace(&serde_json::from_str(&text).unwrap()).unwrap_err();
        assert!(error.contains(complaint), "{error}");
    }
}

fn events(trace: &Value) -> impl Iterator<Item = &Value> {
    trace["traceEvents"].as_array().into_iter().flatten()
}

/// A process and a thread of it.
type Thread = (u64, u64);

/// From when to when, and what, in nanoseconds.
type Interval<'a> = (u64, u64, &'a str);

/// Holds a trace against the rules of the Trace Event Format's JSON object form, as far as they are
/// about complete, counter and metadata events
/// (<https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>), and against
/// Perfetto's, which shows no events of a thread that overlap without nesting
/// (<https://perfetto.dev/docs/faq>).
fn check_trace(trace: &Value) -> Result<(), String> {
    let list = trace["traceEvents"].as_array().ok_or("no `traceEvents`")?;
    let units = [None, Some("ms"), Some("ns")];
    if !units.contains(&trace.get("displayTimeUnit").and_then(Value::as_str)) {
        return Err("`displayTimeUnit` is neither `ms` nor `ns`".into());
    }
    let mut named: BTreeMap<(&str, Thread), &str> = BTreeMap::new();
    let mut complete: BTreeMap<Thread, Vec<Interval<'_>>> = BTreeMap::new();
    for event in list {
        let fault = |what: &str| format!("{what}: {event}");
        let name = event["name"].as_str().ok_or_else(|| fault("no `name`"))?;
        let process = event["pid"].as_u64().ok_or_else(|| fault("no `pid`"))?;
        let thread = event["tid"].as_u64().ok_or_else(|| fault("no `tid`"))?;
        let time = |key: &str| {
            let microseconds = event[key].as_f64().filter(|time| *time >= 0.0);
            // Perfetto's clock has nanoseconds.
            let nanoseconds = microseconds.map(|time| (time * 1e3).round() as u64);
            nanoseconds.ok_or_else(|| fault(&format!("no `{key}` of 0 or more")))
        };
        let start = time("ts")?;
        if !matches!(event.get("args"), None | Some(Value::Object(_))) {
            return Err(fault("`args` is no object"));
        }
        match event["ph"].as_str() {
            Some("X") => {
                if !matches!(event.get("cat"), None | Some(Value::String(_))) {
                    return Err(fault("`cat` is no text"));
                }
                let end = start + time("dur")?;
                complete
                    .entry((process, thread))
                    .or_default()
                    .push((start, end, name));
            }
            Some("C") => {
                let series = event["args"]
                    .as_object()
                    .ok_or_else(|| fault("no series"))?;
                if series.is_empty() || !series.values().all(Value::is_number) {
                    return Err(fault("its series are no numbers"));
                }
            }
            Some("M") => {
                let known = ["process_name", "thread_name"];
                let known = known.into_iter().find(|known| *known == name);
                let known = known.ok_or_else(|| fault("unknown metadata"))?;
                let value = event["args"]["name"].as_str();
                let value = value.ok_or_else(|| fault("no `args.name`"))?;
                let place = match known {
                    "process_name" => (process, 0),
                    _ => (process, thread),
                };
                named.insert((known, place), value);
            }
            _ => return Err(fault("unknown phase")),
        }
    }
    for ((process, thread), mut events) in complete {
        for place in [
            ("process_name", (process, 0)),
            ("thread_name", (process, thread)),
        ] {
            if !named.contains_key(&place) {
                return Err(format!("{place:?} has no name"));
            }
        }
        // Outer ones first.
        events.sort_by_key(|(start, end, _)| (*start, std::cmp::Reverse(*end)));
        let mut open: Vec<(u64, &str)> = Vec::new();
        for (start, end, name) in events {
            while open.last().is_some_and(|(outer, _)| *outer <= start) {
                open.pop();
            }
            if let Some((outer_end, outer)) = open.last()
                && end > *outer_end
            {
                return Err(format!("`{name}` at {start} overlaps `{outer}`"));
            }
            open.push((end, name));
        }
    }
    Ok(())
}
