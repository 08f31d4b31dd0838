//! Who may ask, and what browsers are told.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::server::Server;

/// Sends a request as it is written and gives the whole answer.
fn raw(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(server: &Server, path: &str, headers: &str) -> String {
    raw(
        server,
        &format!("GET {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n"),
    )
}

#[test]
fn a_foreign_host_or_origin_is_refused_everywhere() {
    let server = Server::with_empty_store(|mut options| {
        options.allowed_hosts = vec!["ferro.example".into()];
        options
    });
    let port = server.address.port();
    for path in [
        "/",
        "/predict",
        "/api/v1/runs",
        "/metrics",
        "/assets/x/style.css",
        "/nothing",
    ] {
        let foreign = get(&server, path, "host: evil.example\r\n");
        assert!(foreign.starts_with("HTTP/1.1 403 "), "{path}: {foreign}");
        assert!(foreign.contains("forbidden_host"), "{path}");
        let origin = format!("host: localhost:{port}\r\norigin: http://evil.example\r\n");
        let foreign = get(&server, path, &origin);
        assert!(foreign.contains("forbidden_origin"), "{path}: {foreign}");
    }
    let absolute = raw(
        &server,
        "GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    );
    assert!(absolute.starts_with("HTTP/1.1 403 "), "{absolute}");
    for host in ["localhost", "127.0.0.1", "[::1]", "ferro.example"] {
        let answer = get(&server, "/health/live", &format!("host: {host}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
    }
    let own = format!("host: localhost:{port}\r\norigin: http://localhost:{port}\r\n");
    assert!(get(&server, "/health/live", &own).starts_with("HTTP/1.1 200 "));
}

#[test]
fn pages_and_answers_carry_the_security_headers() {
    let (server, _) = Server::with_sample();
    for path in [
        "/",
        "/ui/runs",
        "/docs",
        "/api/v1/runs",
        "/nothing",
        "/openapi.json",
    ] {
        let answer = get(&server, path, "host: localhost\r\n");
        let head = answer.split("\r\n\r\n").next().unwrap();
        for expected in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'",
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
            "referrer-policy: same-origin",
            "cache-control: no-store",
            "x-request-id: ",
        ] {
            assert!(head.contains(expected), "{path}: {expected}\n{head}");
        }
        assert!(!head.contains("unsafe-inline"));
    }
}

#[test]
fn a_request_keeps_the_name_that_its_sender_gave_it() {
    let server = Server::with_empty_store(|options| options);
    let answer = get(
        &server,
        "/health",
        "host: localhost\r\nx-request-id: build-7\r\n",
    );
    assert!(answer.contains("x-request-id: build-7\r\n"), "{answer}");
}

#[test]
fn blobs_are_shown_only_when_they_are_pictures() {
    let (server, sample) = Server::with_sample();
    let html = sample
        .store
        .blobs()
        .put(b"<script>alert(1)</script>")
        .unwrap();
    let svg = sample
        .store
        .blobs()
        .put(b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>")
        .unwrap();
    for digest in [html, svg] {
        let answer = get(
            &server,
            &format!("/api/v1/blobs/{digest}"),
            "host: localhost\r\n",
        );
        assert!(answer.contains("content-type: application/octet-stream"));
        assert!(answer.contains("content-disposition: attachment"));
        assert!(answer.contains("content-security-policy: default-src 'none'; sandbox"));
    }
    let page = server
        .get(&format!("/ui/datasets/{}", sample.dataset.reference()))
        .text();
    let start = page.find("/api/v1/blobs/").unwrap();
    let path: String = page[start..].chars().take_while(|c| *c != '"').collect();
    let picture = server.get(&path);
    assert_eq!(
        (picture.status, picture.content_type.as_str()),
        (200, "image/png")
    );
    let thumbnail = server.get(&format!(
        "{}/thumbnail",
        path.trim_end_matches("/thumbnail")
    ));
    assert_eq!(thumbnail.status, 200);
    assert!(thumbnail.content_type.starts_with("image/"));
    assert_eq!(
        server
            .get(&format!("/api/v1/blobs/{html}/thumbnail"))
            .status,
        400
    );
    let absent = "0".repeat(64);
    assert_eq!(server.get(&format!("/api/v1/blobs/{absent}")).status, 404);
}

#[test]
fn a_trailing_slash_is_no_error_and_head_works() {
    let (server, _) = Server::with_sample();
    for path in [
        "/models/",
        "/health/",
        "/metrics/",
        "/ui/runs/",
        "/openapi.json/",
        "/api/v1/runs/?limit=1",
    ] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    for path in [
        "/",
        "/models",
        "/health/ready",
        "/metrics",
        "/docs",
        "/api/v1/info",
    ] {
        let request =
            format!("HEAD {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = raw(&server, &request);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{path} has a body");
    }
}
