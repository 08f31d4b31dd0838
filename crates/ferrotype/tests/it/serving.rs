//! The real server: what it refuses, how it ends, what may run beside it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use ferrotype_testkit::http::{Part, get, post, post_file, post_files};
use ferrotype_testkit::images::{self, encode, jpeg_with_orientation, plain, png};
use ferrotype_testkit::program::Signal;

use crate::project;

#[test]
fn every_format_is_read_whatever_its_name_says() {
    let project = project::with_model();
    let server = project::serve(&project, &["--model", "colours"]);
    for (ending, format) in images::FORMATS {
        let bytes = encode(&plain(30, 20, [220, 30, 30]), format);
        let answer = post_file(&server.at("/predict"), &format!("a.{ending}"), &bytes);
        assert_eq!(answer.status, 200, "{ending}: {}", answer.text());
        assert_eq!(answer.json()["class"], "red", "{ending}");
    }
    let turned = post(
        &server.at("/predict"),
        "image/jpeg",
        &jpeg_with_orientation(30, 20, 6),
    );
    assert_eq!(turned.status, 200, "{}", turned.text());
}

#[test]
fn the_limit_of_pixels_is_an_option() {
    let project = project::with_model();
    let server = project::serve(&project, &["--max-pixels", "100"]);
    let answer = |side| post_file(&server.at("/predict"), "a.png", &png(side, side, [1, 2, 3]));
    assert_eq!(answer(10).status, 200);
    let refused = answer(11);
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert!(
        refused.text().contains("the limit of `100`"),
        "{}",
        refused.text()
    );
    assert!(
        refused.text().contains("--max-pixels"),
        "{}",
        refused.text()
    );
    let nothing = project.run(&["serve", "--port", "0", "--max-pixels", "0"]);
    assert_eq!(nothing.code, Some(2), "{}", nothing.describe());
}

#[test]
fn bad_requests_have_a_status_a_kind_and_a_hint() {
    let project = project::with_model();
    let server = project::serve(&project, &["--model", "colours"]);
    let predict = server.at("/predict");
    let good = png(8, 8, [1, 2, 3]);
    let cases = [
        ("empty", post_file(&predict, "a.jpg", b""), 400),
        (
            "text",
            post_file(&predict, "a.jpg", &images::not_an_image()),
            400,
        ),
        (
            "truncated",
            post_file(&predict, "a.jpg", &images::truncated_jpeg()),
            400,
        ),
        (
            "bomb",
            post_file(&predict, "a.png", &images::bomb_png()),
            413,
        ),
        (
            "over the limit",
            post_file(&predict, "a.jpg", &vec![0; 11_000_000]),
            413,
        ),
        (
            "wrong content type",
            post(&predict, "application/json", b"{}"),
            415,
        ),
        (
            "missing model",
            post_file(&server.at("/predict?model=gone"), "a.png", &good),
            404,
        ),
        ("unknown page", get(&server.at("/nothing/here")), 404),
    ];
    for (what, answer, status) in cases {
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        let body = answer.json();
        for field in ["error", "kind", "hint"] {
            assert!(body[field].is_string(), "{what}: no `{field}` in {body}");
        }
    }
    // It is well after all of that.
    assert_eq!(post_file(&predict, "a.png", &good).status, 200);
}

#[test]
fn a_batch_tells_of_bad_files_and_answers_for_the_others() {
    let project = project::with_model();
    let server = project::serve(&project, &["--model", "colours"]);
    let good = png(8, 8, [20, 40, 210]);
    let part = |name, bytes| Part {
        field: "files",
        name,
        content_type: "image/png",
        bytes,
    };
    let parts = [
        part("a.png", &good[..]),
        part("b.png", b"none"),
        part("c.png", &good[..]),
    ];
    let answer = post_files(&server.at("/predict-batch"), &parts);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("blue"), "{}", answer.text());
    assert!(answer.text().contains("not_an_image"), "{}", answer.text());
}

#[test]
fn a_port_in_use_is_an_error_with_a_hint() {
    let project = project::with_model();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let failed = project.fail(&["serve", "--model", "colours", "--port", &port]);
    assert!(
        failed
            .stderr
            .contains(&format!("error: port {port} on 127.0.0.1 is in use")),
        "{}",
        failed.stderr
    );
    assert!(failed.stderr.contains("hint: pass another by `--port N`"));
}

#[test]
fn a_training_beside_the_server_simply_works() {
    let project = project::with_model();
    let server = project::serve(&project, &["--model", "colours"]);
    let training = project.start(&project::training("beside", &["train.epochs=4"]));
    let picture = png(24, 24, [30, 190, 40]);
    for _ in 0..20 {
        let answer = post_file(&server.at("/predict"), "a.png", &picture);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let finished = training.wait();
    assert_eq!(finished.code, Some(0), "{}", finished.describe());
    assert_eq!(project::run(&project, "beside")["status"], "finished");
    assert_eq!(get(&server.at("/ui/runs")).status, 200);
}

#[test]
fn sigterm_finishes_what_is_in_flight() {
    let project = project::with_model();
    let server = project::serve(&project, &["--model", "colours"]);
    let picture = png(60, 60, [30, 190, 40]);
    let host = server.address.trim_start_matches("http://").to_string();
    let mut connection = TcpStream::connect(&host).unwrap();
    let head = format!(
        "POST /predict HTTP/1.1\r\nhost: {host}\r\ncontent-type: image/png\r\n\
         content-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        picture.len()
    );
    connection.write_all(head.as_bytes()).unwrap();
    // The server says so when it begins to read the body: the request is in flight.
    let mut go_on = [0; 25];
    connection.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");

    let mut program = server.program;
    program.signal(Signal::Terminate);
    program.wait_for_line("Stopping");
    connection.write_all(&picture).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"green\""), "{answer}");

    let stopped = program.wait();
    assert_eq!(stopped.code, Some(0), "{}", stopped.describe());
    assert!(TcpStream::connect(&host).is_err());
}

#[test]
fn an_alias_that_moves_is_followed_without_a_restart() {
    let project = project::with_model();
    project.succeed(&["models", "alias", "colours@v1", "production"]);
    let server = project::serve(&project, &["--model", "colours@production"]);
    let picture = png(24, 24, [30, 190, 40]);
    let version = || {
        let answer = post_file(&server.at("/predict"), "a.png", &picture).json();
        answer["model"]["version"].as_u64().unwrap()
    };
    assert_eq!(version(), 1);
    project.succeed(&["models", "register", "first", "--name", "colours"]);
    project.succeed(&["models", "alias", "colours@v2", "production"]);
    while version() != 2 {
        thread::sleep(std::time::Duration::from_millis(50));
    }
}
