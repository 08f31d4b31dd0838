//! Start and stop.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use ferrotype_store::{PredictionFilter, Store};
use ferrotype_testkit::images::png;

use crate::sample;
use crate::server::Server;

async fn filled(folder: PathBuf) -> Store {
    sample::fill(&folder).await.store
}

#[test]
fn a_request_in_flight_is_finished_and_logged_when_the_server_stops() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::try_start(folder.path(), filled, |options| options).unwrap();
    let picture = png(64, 64, [220, 30, 30]);
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head = format!(
        "POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\ncontent-length: {}\r\n\r\n",
        picture.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&picture[..20]).unwrap();
    // The server has the head by now, or will have it before it closes its ears.
    std::thread::sleep(std::time::Duration::from_millis(300));
    server.tell_to_stop();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(
        TcpStream::connect(server.address).is_err(),
        "it still listens"
    );
    stream.write_all(&picture[20..]).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\"class\":\"red\""), "{answer}");
    server.join();
    let count = server.wait(server.store.prediction_count(&PredictionFilter::default()));
    assert_eq!(count.unwrap(), 1);
}

#[test]
fn a_missing_or_broken_model_keeps_the_server_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |model: &str| {
        let model = model.parse().unwrap();
        let started = Server::try_start(folder.path(), reopened, |mut options| {
            options.model = Some(model);
            options
        });
        started.err().unwrap()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let sample = sample::fill(folder.path()).await;
        sample::add_onnx(&sample.store, "broken", b"no onnx", sample::manifest(32)).await;
    });
    let missing = refused("colors");
    let text = chain(&missing);
    assert!(text.contains("there is no model `colors`"), "{text}");
    assert!(missing.hint().unwrap().contains("`colours`"));
    let broken = refused("broken");
    assert!(
        chain(&broken).contains("`broken@v1` cannot be used"),
        "{}",
        chain(&broken)
    );
}

async fn reopened(folder: PathBuf) -> Store {
    sample::empty_store(&folder).await
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[test]
fn without_a_model_named_the_only_one_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::try_start(folder.path(), filled, |options| options).unwrap();
    assert_eq!(server.get("/models").json()["default"], "colours@v1");
}
