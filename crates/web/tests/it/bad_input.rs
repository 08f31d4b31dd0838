//! Whatever is sent, the answer is JSON with `error`, `kind` and `hint`, and the server goes on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use ferrotype_testkit::http::{Answer, Part, post, post_file, post_files};
use ferrotype_testkit::images::{bomb_png, corrupt_png, jpeg, png, truncated_jpeg};

use crate::sample;
use crate::server::Server;

const RED: [u8; 3] = [220, 30, 30];

/// Checks an error and that it says what to do.
#[track_caller]
fn refused(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.content_type, "application/json");
    let json = answer.json();
    assert_eq!(json["kind"], kind, "{json}");
    assert!(!json["error"].as_str().unwrap().is_empty());
    assert!(json.as_object().unwrap().contains_key("hint"));
}

#[track_caller]
fn still_answers(server: &Server) {
    let answer = post_file(&server.url("/predict"), "a.png", &png(32, 32, RED));
    assert_eq!(answer.json()["class"], "red");
}

#[test]
fn bad_pictures_are_the_senders_fault() {
    let (server, _) = Server::with_sample();
    let cases = [
        ("empty", Vec::new(), 400, "empty"),
        ("text", b"hello, world\n".to_vec(), 400, "not_an_image"),
        ("truncated", truncated_jpeg(), 400, "truncated"),
        ("corrupt", corrupt_png(), 400, "corrupt"),
        ("bomb", bomb_png(), 413, "too_many_pixels"),
    ];
    for (name, bytes, status, kind) in cases {
        let form = post_file(&server.url("/predict"), name, &bytes);
        refused(&form, status, kind);
        let raw = post(&server.url("/predict"), "application/octet-stream", &bytes);
        refused(&raw, status, kind);
    }
    still_answers(&server);
}

#[test]
fn real_nasty_files_never_break_the_server() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/nasty");
    if !folder.is_dir() {
        return;
    }
    let (server, _) = Server::with_sample();
    for kind in std::fs::read_dir(&folder).unwrap() {
        let kind = kind.unwrap().path();
        if !kind.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(kind).unwrap() {
            let path = file.unwrap().path();
            let answer = post_file(&server.url("/predict"), "a", &std::fs::read(&path).unwrap());
            assert!(
                matches!(answer.status, 200 | 400 | 413),
                "{}: {} {}",
                path.display(),
                answer.status,
                answer.text()
            );
        }
    }
    still_answers(&server);
}

#[test]
fn a_body_over_the_limit_is_refused_with_and_without_an_announced_length() {
    let (server, _) = Server::with_sample_and(|mut options| {
        options.limits.max_body_bytes = 100_000;
        options.limits.max_batch_bytes = 300_000;
        options
    });
    let large = vec![0_u8; 20_000_000];
    for body in [&large[..150_000], &large] {
        let form = post_file(&server.url("/predict"), "large.bin", body);
        refused(&form, 413, "body_too_large");
        let raw = post(&server.url("/predict"), "image/png", body);
        refused(&raw, 413, "body_too_large");
    }
    let batch = post_file(&server.url("/predict-batch"), "large.bin", &large);
    refused(&batch, 413, "body_too_large");

    let chunked = chunked_post(&server, "/predict", &large[..5_000_000]);
    assert!(chunked.starts_with("HTTP/1.1 413 "), "{chunked}");
    assert!(chunked.contains("body_too_large"), "{chunked}");
    still_answers(&server);
}

#[test]
fn a_file_of_a_batch_over_the_limit_of_one_does_not_sink_the_others() {
    let (server, _) = Server::with_sample_and(|mut options| {
        options.limits.max_body_bytes = 100_000;
        options
    });
    let (good, large) = (png(32, 32, RED), vec![0_u8; 150_000]);
    let part = |name, bytes| Part {
        field: "files",
        name,
        content_type: "image/png",
        bytes,
    };
    let answer = post_files(
        &server.url("/predict-batch"),
        &[part("good.png", &good), part("large.png", &large)],
    );
    let json = answer.json();
    assert_eq!(json["results"][0]["prediction"]["class"], "red");
    assert_eq!(json["results"][1]["error"]["kind"], "body_too_large");
}

/// A POST whose length is not announced; answers with the raw answer.
fn chunked_post(server: &Server, path: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    for chunk in body.chunks(100_000) {
        let sent = stream
            .write_all(format!("{:x}\r\n", chunk.len()).as_bytes())
            .and_then(|()| stream.write_all(chunk))
            .and_then(|()| stream.write_all(b"\r\n"));
        if sent.is_err() {
            break;
        }
    }
    let _ = stream.write_all(b"0\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_wrong_content_type_is_told_what_to_send() {
    let (server, _) = Server::with_sample();
    let picture = png(32, 32, RED);
    for content_type in [
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
    ] {
        let answer = post(&server.url("/predict"), content_type, &picture);
        refused(&answer, 415, "unsupported_media_type");
        assert!(answer.json()["hint"].as_str().unwrap().contains("curl -F"));
    }
    let batch = post(&server.url("/predict-batch"), "image/png", &picture);
    refused(&batch, 415, "unsupported_media_type");
}

#[test]
fn a_form_without_the_file_or_with_a_broken_boundary_is_refused() {
    let (server, _) = Server::with_sample();
    let picture = png(32, 32, RED);
    let part = Part {
        field: "photo",
        name: "a.png",
        content_type: "image/png",
        bytes: &picture,
    };
    let single = post_files(&server.url("/predict"), std::slice::from_ref(&part));
    refused(&single, 400, "missing_file");
    assert!(single.json()["hint"].as_str().unwrap().contains("-F file="));
    let batch = post_files(&server.url("/predict-batch"), &[part]);
    refused(&batch, 400, "missing_file");
    for content_type in ["multipart/form-data", "multipart/form-data; boundary=other"] {
        let broken = post(&server.url("/predict"), content_type, b"--x\r\nnonsense");
        refused(&broken, 400, "malformed_body");
    }
}

#[test]
fn a_body_that_breaks_off_harms_nobody() {
    let (server, _) = Server::with_sample();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream
        .write_all(b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\ncontent-length: 1000\r\n\r\nhalf")
        .unwrap();
    drop(stream);
    still_answers(&server);
}

#[test]
fn too_many_files_are_refused() {
    let (server, _) = Server::with_sample_and(|mut options| {
        options.limits.max_batch_files = 2;
        options
    });
    let picture = png(8, 8, RED);
    let part = Part {
        field: "files",
        name: "a.png",
        content_type: "image/png",
        bytes: &picture,
    };
    let answer = post_files(
        &server.url("/predict-batch"),
        &[part.clone(), part.clone(), part],
    );
    refused(&answer, 413, "too_many_files");
}

#[test]
fn parameters_that_make_no_sense_are_refused() {
    let (server, _) = Server::with_sample();
    let picture = png(8, 8, RED);
    for query in [
        "top=0",
        "top=-1",
        "top=three",
        "model=../etc/passwd",
        "model=a@v0",
    ] {
        let answer = post_file(&server.url(&format!("/predict?{query}")), "a.png", &picture);
        refused(&answer, 422, "invalid_parameter");
    }
    let wrong = [
        ("/predict?top=-1", "top: `-1`, expected a whole number"),
        (
            "/predict?top=three",
            "top: `three`, expected a whole number",
        ),
    ];
    for (path, said) in wrong {
        let answer = post_file(&server.url(path), "a.png", &picture);
        assert!(answer.text().contains(said), "{}", answer.text());
    }
    for path in ["/api/v1/runs?limit=-1", "/api/v1/predictions?limit=1.5"] {
        let answer = server.get(path);
        refused(&answer, 422, "invalid_parameter");
        assert!(answer.text().contains("limit: `"), "{}", answer.text());
    }
    for path in [
        "/api/v1/runs?limit=0",
        "/api/v1/runs?limit=100000",
        "/api/v1/runs?status=asleep",
        "/api/v1/runs?before=yesterday",
        "/api/v1/predictions/none",
        "/api/v1/jobs/none",
        "/api/v1/blobs/../../etc/passwd",
        "/api/v1/blobs/abc",
        "/api/v1/models/a%20b",
    ] {
        let status = server.get(path).status;
        assert!(matches!(status, 422 | 404), "{path}: {status}");
    }
}

#[test]
fn a_parameter_that_predict_does_not_know_is_named_with_the_known_ones() {
    let (server, _) = Server::with_sample();
    let picture = png(8, 8, RED);
    for path in ["/predict?treshold=0.3", "/predict-batch?top=1&n=2"] {
        let answer = post_file(&server.url(path), "a.png", &picture);
        refused(&answer, 400, "unknown_parameter");
        let hint = answer.json()["hint"].to_string();
        assert!(hint.contains("`model`, `top`, `threshold`"), "{hint}");
    }
    for (threshold, part) in [
        ("2", "is `2`, expected a number between 0 and 1"),
        ("half", "is `half`"),
        // The sample's model answers with one class.
        ("0.3", "answers with one class"),
    ] {
        let url = server.url(&format!("/predict?threshold={threshold}"));
        let answer = post_file(&url, "a.png", &picture);
        refused(&answer, 400, "invalid_threshold");
        assert!(answer.text().contains(part), "{}", answer.text());
    }
    still_answers(&server);
}

#[test]
fn a_missing_model_is_told_apart_from_having_none() {
    let (server, _) = Server::with_sample();
    let picture = png(8, 8, RED);
    let ask = |model: &str| {
        let url = server.url(&format!("/predict?model={model}"));
        post_file(&url, "a.png", &picture)
    };
    let near = ask("colour");
    refused(&near, 404, "model_not_found");
    assert!(near.json()["hint"].as_str().unwrap().contains("`colours`"));
    refused(&ask("colours@v9"), 404, "model_not_found");
    refused(&ask("colours@staging"), 404, "model_not_found");

    let empty = Server::with_empty_store(|options| options);
    let answer = post_file(&empty.url("/predict"), "a.png", &picture);
    refused(&answer, 503, "no_model");
}

#[test]
fn a_corrupt_model_file_is_a_clear_error() {
    let (server, sample) = Server::with_sample();
    let manifest = sample::manifest(32);
    let onnx = ferrotype_testkit::onnx::colour_model(32);
    server.wait(async {
        let store = &sample.store;
        sample::add_onnx(store, "text", b"not onnx at all", manifest.clone()).await;
        sample::add_onnx(store, "cut", &onnx[..onnx.len() / 2], manifest.clone()).await;
        let odd = ferrotype_testkit::onnx::unknown_operator_model(32);
        sample::add_onnx(store, "odd", &odd, manifest.clone()).await;
        let lost = sample::add_onnx(store, "lost", &[&onnx[..], &[0]].concat(), manifest).await;
        std::fs::remove_file(store.blobs().path(&lost.onnx)).unwrap();
    });
    for model in ["text", "cut", "odd", "lost"] {
        let url = server.url(&format!("/predict?model={model}"));
        let answer = post_file(&url, "a.png", &png(32, 32, RED));
        refused(&answer, 503, "model_unusable");
        assert_eq!(server.get(&format!("/ui/models/{model}")).status, 200);
        assert_eq!(server.get(&format!("/api/v1/models/{model}")).status, 200);
    }
    still_answers(&server);
}

#[test]
fn a_full_line_is_refused_with_a_time_to_try_again() {
    let (server, _) = Server::with_sample_and(|mut options| {
        options.workers = 1;
        options.queue_length = 0;
        options
    });
    // Large enough to keep the only worker busy for a while.
    let large = jpeg(4000, 3000, RED);
    let url = server.url("/predict");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| post_file(&url, "a.jpg", &large)))
            .collect();
        clients
            .into_iter()
            .map(|client| {
                let answer = client.join().unwrap();
                if answer.status != 200 {
                    refused(&answer, 503, "overloaded");
                }
                answer.status
            })
            .collect()
    });
    assert!(
        statuses.contains(&200) && statuses.contains(&503),
        "{statuses:?}"
    );
    still_answers(&server);
}

#[test]
fn unknown_paths_and_methods_are_errors_in_json_or_a_page() {
    let (server, _) = Server::with_sample();
    refused(&server.get("/api/v1/nothing"), 404, "not_found");
    refused(&server.get("/nothing"), 404, "not_found");
    refused(&server.get("/predict"), 405, "method_not_allowed");
    refused(&server.get("/api/v1/runs/ffffffff"), 404, "not_found");
    let page = browser_get(&server, "/ui/nothing");
    assert_eq!(page.0, 404);
    assert!(page.1.contains("<!doctype html>") && page.1.contains("/ui/nothing"));
    let api = browser_get(&server, "/api/v1/nothing");
    assert!(api.1.starts_with("{\"error\""));
}

/// What a browser gets.
fn browser_get(server: &Server, path: &str) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let mut response = agent
        .get(server.url(path))
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .call()
        .unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    (response.status().as_u16(), text)
}
