//! The JSON interface and the metrics.

use ferrotype_store::{NewRun, RunStatus};
use ferrotype_testkit::http::post_file;
use ferrotype_testkit::images::png;
use serde_json::Value;

use crate::server::Server;

#[test]
fn the_server_tells_what_it_is_and_how() {
    let (server, _) = Server::with_sample();
    let info = server.get("/api/v1/info").json();
    assert_eq!(info["name"], "ferrotype");
    assert_eq!(info["default_model"], "colours@v1");
    assert!(
        info["runtimes"]["built_in"]
            .as_str()
            .unwrap()
            .contains("rten")
    );
    assert!(
        info["runtimes"]["native"]
            .as_str()
            .unwrap()
            .starts_with("native ")
    );
    assert_eq!(info["limits"]["max_body_bytes"], 10_000_000);
    for path in ["/health", "/health/ready", "/health/live"] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.json()["status"].clone()),
            (200, "ok".into())
        );
    }
}

#[test]
fn models_are_listed_with_versions_and_aliases() {
    let (server, sample) = Server::with_sample();
    let list = server.get("/models").json();
    assert_eq!(list["default"], "colours@v1");
    let version = &list["models"][0]["versions"][0];
    assert_eq!(version["reference"], "colours@v1");
    assert_eq!(version["aliases"][0], "production");
    assert_eq!(version["classes"].as_array().unwrap().len(), 3);
    assert_eq!(version["default"], true);
    assert_eq!(list, server.get("/api/v1/models").json());
    let detail = server.get("/api/v1/models/colours@production").json();
    assert_eq!(detail["version"]["run"], sample.finished_run.to_string());
    assert_eq!(detail["version"]["onnx"]["opset"], 17);
    assert!(
        detail["version"]["graph"]["layers"]
            .as_array()
            .unwrap()
            .len()
            > 5
    );
    assert_eq!(detail["version"]["evaluations"][0]["split"], "test");
    let onnx = server.get(detail["version"]["onnx"]["address"].as_str().unwrap());
    assert_eq!(onnx.status, 200);
    assert_eq!(
        onnx.body.len() as u64,
        detail["version"]["onnx"]["byte_count"].as_u64().unwrap()
    );
}

#[test]
fn runs_are_listed_newest_first_and_page_by_page() {
    let (server, sample) = Server::with_sample();
    let first = server.get("/api/v1/runs?limit=1").json();
    assert_eq!(first["runs"][0]["name"], "too-hot");
    assert_eq!(first["runs"][0]["status"], "failed");
    let next = first["next"].as_str().unwrap();
    let second = server
        .get(&format!("/api/v1/runs?limit=1&before={next}"))
        .json();
    assert_eq!(second["runs"][0]["name"], "first-light");
    assert_eq!(second["next"], Value::Null);
    let finished = server.get("/api/v1/runs?status=finished").json();
    assert_eq!(finished["runs"].as_array().unwrap().len(), 1);
    assert!(finished["runs"][0]["loss_curve"].as_array().unwrap().len() > 5);

    let id = sample.finished_run;
    let detail = server.get(&format!("/api/v1/runs/{id}")).json();
    assert_eq!(detail["models"][0], "colours@v1");
    assert_eq!(detail["params"]["train.epochs"], "20");
    assert!(
        detail["log_tail"]
            .as_str()
            .unwrap()
            .contains("epoch 1 of 20")
    );
    let scores = &detail["evaluations"][0]["scores"];
    assert_eq!(scores["confusion"].as_array().unwrap().len(), 3);
    assert!(!scores["mistakes"].as_array().unwrap().is_empty());
    let log = server.get(&format!("/api/v1/runs/{id}/log"));
    assert!(log.content_type.starts_with("text/plain"));
    let by_name = server.get("/api/v1/runs/first-light").json();
    assert_eq!(by_name["id"], id.to_string());
}

#[test]
fn a_runs_metrics_are_thinned_and_chosen_by_key() {
    let (server, sample) = Server::with_sample();
    let path = format!("/api/v1/runs/{}/metrics", sample.finished_run);
    let all = server.get(&path).json();
    assert_eq!(all["keys"].as_array().unwrap().len(), 4);
    assert_eq!(all["series"].as_array().unwrap().len(), 4);
    let some = server
        .get(&format!("{path}?keys=train/loss,nothing&points=50"))
        .json();
    let series = some["series"].as_array().unwrap();
    assert_eq!(series.len(), 1);
    assert_eq!(series[0]["key"], "train/loss");
    let steps = series[0]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 50);
    assert_eq!(
        (steps[0].as_u64(), steps[49].as_u64()),
        (Some(1), Some(500))
    );
    assert_eq!(server.get(&format!("{path}?points=1")).status, 422);
}

#[test]
fn a_value_that_is_no_number_is_null() {
    let (server, sample) = Server::with_sample();
    let run = server.wait(async {
        let run = sample.store.create_run(NewRun::default()).await.unwrap().id;
        let writer = sample.store.writer().unwrap();
        writer.log_metric(run, "train/loss", 1, 1.0).unwrap();
        writer.log_metric(run, "train/loss", 2, f64::NAN).unwrap();
        writer.flush().unwrap();
        let failed = RunStatus::Failed;
        sample
            .store
            .set_run_status(run, failed, Some("the loss is NaN"))
            .await
            .unwrap();
        run
    });
    let metrics = server.get(&format!("/api/v1/runs/{run}/metrics")).json();
    assert_eq!(
        metrics["series"][0]["values"],
        serde_json::json!([1.0, null])
    );
    assert_eq!(server.get(&format!("/ui/runs/{run}")).status, 200);
}

#[test]
fn datasets_and_jobs_are_listed() {
    let (server, sample) = Server::with_sample();
    let list = server.get("/api/v1/datasets").json();
    assert_eq!(list["datasets"][0]["reference"], "colours@v1");
    let detail = server.get("/api/v1/datasets/colours").json();
    assert_eq!(detail["splits"]["total"], 36);
    assert_eq!(detail["counts"].as_array().unwrap().len(), 3);
    assert!(!detail["samples"].as_array().unwrap().is_empty());
    let job = server.wait(async {
        let job = sample.store.enqueue_job("train", "{}", None).await.unwrap();
        job.id.to_string()
    });
    assert_eq!(
        server.get("/api/v1/jobs?status=queued").json()["jobs"][0]["id"],
        job.as_str()
    );
    assert_eq!(
        server.get(&format!("/api/v1/jobs/{job}")).json()["kind"],
        "train"
    );
}

#[test]
fn metrics_count_what_happened_in_both_text_formats() {
    let (server, _) = Server::with_sample();
    post_file(
        &server.url("/predict"),
        "a.png",
        &png(32, 32, [220, 30, 30]),
    );
    post_file(&server.url("/predict"), "a.png", b"no picture");
    let plain = server.get("/metrics");
    assert_eq!(
        plain.content_type,
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = plain.text();
    for expected in [
        "ferrotype_predictions_total{model=\"colours\",version=\"1\"} 1",
        "ferrotype_prediction_errors_total{kind=\"not_an_image\"} 1",
        "ferrotype_http_requests_total{method=\"POST\",route=\"/predict\",status=\"200\"} 1",
        "ferrotype_http_requests_total{method=\"POST\",route=\"/predict\",status=\"400\"} 1",
        "ferrotype_http_request_duration_seconds_bucket",
        "ferrotype_prediction_stage_duration_seconds_count{stage=\"network\"} 1",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let open = ureq::get(server.url("/metrics"))
        .header("accept", "application/openmetrics-text;version=1.0.0")
        .call()
        .unwrap();
    let content_type = open.headers()["content-type"].to_str().unwrap();
    assert!(content_type.starts_with("application/openmetrics-text"));
}

#[test]
fn the_openapi_document_describes_every_endpoint() {
    let server = Server::with_empty_store(|options| options);
    let document = server.get("/openapi.json").json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/predict",
        "/predict-batch",
        "/models",
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/api/v1/info",
        "/api/v1/runs",
        "/api/v1/runs/{id}",
        "/api/v1/runs/{id}/metrics",
        "/api/v1/datasets",
        "/api/v1/models",
        "/api/v1/models/{name}",
        "/api/v1/jobs",
        "/api/v1/predictions",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    let text = document.to_string();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("#/components/schemas/") {
        rest = &rest[at + "#/components/schemas/".len()..];
        let name: String = rest.chars().take_while(|c| *c != '"').collect();
        let schemas = &document["components"]["schemas"];
        assert!(
            !schemas[&name].is_null(),
            "{name} is named but not described"
        );
    }
}
