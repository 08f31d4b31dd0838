//! The pages, as text; how they look and work is in `browser`.

use crate::sample;
use crate::server::Server;
use ferrotype_store::RunStatus;

#[test]
fn every_page_is_shown_with_and_without_data() {
    let (full, sample) = Server::with_sample();
    let empty = Server::with_empty_store(|options| options);
    for path in [
        "/",
        "/docs",
        "/ui/runs",
        "/ui/models",
        "/ui/datasets",
        "/ui/predictions",
    ] {
        for server in [&full, &empty] {
            let answer = server.get(path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert_eq!(answer.content_type, "text/html; charset=utf-8");
            assert!(answer.text().contains("aria-current=\"page\""), "{path}");
        }
    }
    let run = format!("/ui/runs/{}", sample.finished_run);
    for (path, expected) in [
        (run.as_str(), "Worst mistakes"),
        ("/ui/models/colours", "class=\"graph\""),
        ("/ui/models/colours@v1", "Manifest"),
        ("/ui/datasets/colours@v1", "Classes and splits"),
    ] {
        let page = full.get(path);
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        assert!(page.text().contains(expected), "{path} has no {expected}");
    }
    let redirect = full.get("/ui");
    assert_eq!(
        (redirect.status, redirect.location.as_str()),
        (303, "/ui/runs")
    );
}

#[test]
fn runs_are_compared_by_their_network_and_test_scores() {
    let (server, sample) = Server::with_sample();
    let list = server.get("/api/v1/runs").json();
    let runs = list["runs"].as_array().unwrap();
    let of = |id: String| runs.iter().find(|run| run["id"] == id).unwrap();
    let finished = of(sample.finished_run.to_string());
    assert_eq!(finished["architecture"], "baseline");
    assert!(finished["test"]["macro_f1"].is_number(), "{finished}");
    assert_eq!(finished["task"], "classification");
    assert_eq!(finished["monitored"]["key"], "val/accuracy");
    assert!(finished["monitored"]["validation"].is_number());
    let failed = runs.iter().find(|run| run["status"] == "failed").unwrap();
    assert!(failed["test"].is_null(), "{failed}");
    let page = server.get("/ui/runs").text();
    assert!(
        page.contains("Test AUROC") && page.contains(r#"<td class="roomy-only">baseline</td>"#)
    );
    assert!(page.contains(r#"<span class="soft small below">accuracy</span>"#));
}

#[test]
fn a_page_follows_a_run_only_while_it_is_going() {
    let (server, sample) = Server::with_sample();
    let page = |run| server.get(&format!("/ui/runs/{run}")).text();
    assert!(!page(sample.finished_run).contains("hx-get"));
    let start = sample::start_run(&sample.store, &sample.dataset, "going", 1.0);
    let (run, lock) = server.wait(start);
    assert!(page(run).contains("hx-trigger=\"every 2s\""));
    assert!(page(run).contains("data-live=\"true\""));
    drop(lock);
    let finished = RunStatus::Finished;
    server
        .wait(sample.store.set_run_status(run, finished, None))
        .unwrap();
    let poll = ureq::get(server.url(&format!("/ui/runs/{run}")))
        .header("hx-request", "true")
        .call()
        .unwrap();
    assert_eq!(poll.headers()["hx-refresh"], "true");
}

#[test]
fn names_with_markup_are_shown_as_text() {
    let (server, sample) = Server::with_sample();
    let run = server.wait(async {
        let new = ferrotype_store::NewRun {
            name: Some("x".into()),
            config_yaml: "note: <script>alert(1)</script>".into(),
            ..Default::default()
        };
        sample.store.create_run(new).await.unwrap().id
    });
    let page = server.get(&format!("/ui/runs/{run}")).text();
    assert!(page.contains("&lt;script&gt;alert(1)"));
    assert!(!page.contains("<script>alert"));
}
