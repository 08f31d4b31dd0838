//! `ferrotype bench`, on networks so small that a measurement takes milliseconds.

use ferrotype_testkit::images::colour_folder;
use ferrotype_testkit::onnx::{colour_model, unknown_operator_model};
use ferrotype_testkit::program::{Finished, Signal};
use ferrotype_testkit::project::TestProject;
use serde_json::Value;

use crate::project;

/// A project with the file `colours.onnx`, for images of 8 pixels.
fn with_file() -> TestProject {
    let project = project::empty();
    project.write("colours.onnx", colour_model(8));
    project
}

/// Measures for a short time, where no ONNX Runtime is found.
fn bench(project: &TestProject, more: &[&str]) -> Finished {
    let arguments = [&["bench", "--seconds", "0.05"], more].concat();
    let mut command = project.command(&arguments);
    command.env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so");
    Finished::of(command)
}

fn is_ascending(latency: &Value) -> bool {
    let keys = ["p50_ms", "p90_ms", "p99_ms", "max_ms"];
    let times: Vec<f64> = keys
        .iter()
        .map(|key| latency[*key].as_f64().unwrap())
        .collect();
    times[0] > 0.0 && times.is_sorted()
}

#[test]
fn every_runtime_is_measured_in_every_scenario() {
    let project = with_file();
    let finished = bench(&project, &["colours.onnx", "--json", "--layers"]);
    assert_eq!(finished.code, Some(0), "{}", finished.describe());
    let report = finished.json();
    assert_eq!(report["image_shape"], serde_json::json!([3, 8, 8]));
    // A linear layer of 3 by 3; pooling is not counted.
    assert_eq!(report["flops_per_image"], 18);
    assert!(
        report["machine"]["peaks"][0]["gflops_per_second"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    let runtimes = report["runtimes"].as_array().unwrap();
    let names: Vec<&str> = runtimes
        .iter()
        .map(|runtime| runtime["runtime"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["native", "rten", "onnxruntime"]);
    for runtime in &runtimes[..2] {
        let name = runtime["name"].as_str().unwrap();
        assert!(name.contains(" 0."), "a name and a version: {name}");
        assert_eq!(runtime["problem"], Value::Null, "{runtime:#}");
        assert!(runtime["load_ms"].as_f64().unwrap() > 0.0);
        let [single, offline] = ["single_stream", "offline"].map(|scenario| &runtime[scenario][0]);
        assert_eq!(
            (&single["batch"], &offline["batch"]),
            (&1.into(), &8.into())
        );
        for one in [single, offline, &runtime["server"]] {
            assert!(one["latency"]["count"].as_u64().unwrap() > 0, "{one:#}");
            assert!(is_ascending(&one["latency"]), "{one:#}");
        }
        assert!(single["images_per_second"].as_f64().unwrap() > 0.0);
        assert!(single["share_of_peak"].as_f64().unwrap() > 0.0);
        assert!(runtime["server"]["rate_per_second"].as_f64().unwrap() > 0.0);
        if cfg!(target_os = "linux") {
            let bytes = |key| runtime["memory"][key].as_u64().unwrap();
            assert!(bytes("peak_bytes") >= bytes("resident_bytes"));
        }
    }
    let steps = runtimes[0]["layers"][0]["steps"].as_array().unwrap();
    let product = steps
        .iter()
        .find(|step| step["name"] == "Gemm gemm_1")
        .unwrap();
    assert_eq!(product["flops"], 18);
    assert!(product["share_of_peak"].as_f64().unwrap() > 0.0);
    assert!(product["bytes"].as_u64().unwrap() >= 4 * (3 + 3 + 9));
    // What cannot be used is told, and the rest is measured.
    let problem = runtimes[2]["problem"].as_str().unwrap();
    assert!(problem.contains("no ONNX Runtime library"), "{problem}");
    assert_eq!(runtimes[2]["single_stream"], serde_json::json!([]));
}

#[test]
fn a_registered_model_is_measured_and_shown_as_tables() {
    let project = with_file();
    let import =
        "models import colours.onnx --name colours --classes blue,green,red --input-size 8";
    project.succeed(&import.split(' ').collect::<Vec<_>>());
    colour_folder(&project.join("images"), 1, 8);
    let finished = bench(
        &project,
        &[
            "colours@v1",
            "--layers",
            "--images",
            "images",
            "--batch",
            "1,4",
            "--threads",
            "1,2",
            "--rate",
            "200",
        ],
    );
    assert_eq!(finished.code, Some(0), "{}", finished.describe());
    let stdout = &finished.stdout;
    for part in [
        "model colours@v1: 3×8×8, 3 images of `images`, 18 FLOP an image",
        "single-stream: one query after the other",
        "offline: all images at once, in batches",
        "server: queries come by chance at 200 a second, p99 at most 100 ms",
        "batch 4, 2 threads, medians of ",
        "not used: there is no ONNX Runtime library",
        "Gemm gemm_1",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    let rows = stdout.lines().filter(|line| line.starts_with("native 0."));
    // One of the runtimes, two of batches for each of two scenarios, one of the server; two numbers of threads.
    assert_eq!(rows.count(), 2 * (1 + 2 + 2 + 1), "{stdout}");
}

#[test]
fn a_runtime_that_is_forced_and_cannot_be_used_is_an_error() {
    let project = with_file();
    let failed = bench(&project, &["colours.onnx", "--runtime", "onnxruntime"]);
    assert_eq!(failed.code, Some(1), "{}", failed.describe());
    assert!(
        failed.stderr.contains("hint: install it with"),
        "{}",
        failed.stderr
    );
    project.write("unknown.onnx", unknown_operator_model(8));
    let refused = bench(&project, &["unknown.onnx", "--runtime", "native"]);
    assert_eq!(refused.code, Some(1), "{}", refused.describe());
    assert!(refused.stderr.contains("Frobnicate"), "{}", refused.stderr);
    let all = bench(&project, &["unknown.onnx"]);
    assert_eq!(all.code, Some(1), "{}", all.describe());
    assert!(
        all.stderr.contains("no runtime can run unknown.onnx"),
        "{}",
        all.stderr
    );
    let missing = bench(&project, &["gone.onnx"]);
    assert!(
        missing.stderr.contains("cannot read `gone.onnx`"),
        "{}",
        missing.stderr
    );
}

#[test]
fn a_bound_that_no_rate_meets_is_told() {
    let project = with_file();
    let arguments = [
        "colours.onnx",
        "--scenario",
        "server",
        "--latency-bound",
        "0.000001",
    ];
    let finished = bench(&project, &[&arguments[..], &["--json"]].concat());
    assert_eq!(finished.code, Some(0), "{}", finished.describe());
    let native = &finished.json()["runtimes"][0];
    assert_eq!(native["server"], Value::Null);
    let problem = native["server_problem"].as_str().unwrap();
    assert!(problem.contains("a query alone takes"), "{problem}");
    let table = bench(&project, &arguments).stdout;
    assert!(table.contains("a query alone takes"), "{table}");
}

#[test]
fn a_wrong_call_of_bench_exits_with_two() {
    let project = with_file();
    for wrong in [
        &["--runtime", "tensorrt"][..],
        &["--scenario", "batch"],
        &["--seconds", "0"],
        &["--rate", "5", "--scenario", "offline"],
        &["--layers", "--runtime", "rten"],
        &["--image-size", "9"],
        &["--threads", "0"],
    ] {
        let finished = project.run(&[&["bench", "colours.onnx"], wrong].concat());
        assert_eq!(finished.code, Some(2), "{wrong:?}: {}", finished.describe());
    }
}

#[test]
fn ctrl_c_ends_a_measurement() {
    let project = with_file();
    let mut running = project.start(&["bench", "colours.onnx", "--seconds", "600"]);
    running.wait_for_line("Loaded");
    running.signal(Signal::Interrupt);
    let finished = running.wait();
    assert_eq!(finished.code, Some(1), "{}", finished.describe());
    assert!(
        finished.stderr.contains("the measurement was interrupted"),
        "{}",
        finished.stderr
    );
    assert_eq!(finished.stdout, "");
}
