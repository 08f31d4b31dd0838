//! HTTP requests as a test makes them: a status is an answer, never an error.

use std::time::Duration;

use serde_json::Value;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header `content-type`, empty when there is none.
    pub content_type: String,
    /// The header `location`, empty when there is none.
    pub location: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {} {}", self.status, self.text()))
    }
}

/// One file of a multipart form.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// The form field, such as `file`.
    pub field: &'a str,
    /// The file name that is sent.
    pub name: &'a str,
    /// The content type that is sent.
    pub content_type: &'a str,
    /// The file.
    pub bytes: &'a [u8],
}

/// `GET url`.
pub fn get(url: &str) -> Answer {
    answer(agent().get(url).call(), url)
}

/// `POST url` with a raw body.
pub fn post(url: &str, content_type: &str, body: &[u8]) -> Answer {
    let request = agent().post(url).header("content-type", content_type);
    answer(request.send(body), url)
}

/// `POST url` with JSON.
pub fn post_json(url: &str, body: &Value) -> Answer {
    post(url, "application/json", body.to_string().as_bytes())
}

/// `POST url` with a multipart form (RFC 7578).
pub fn post_files(url: &str, parts: &[Part<'_>]) -> Answer {
    const BOUNDARY: &str = "ferrotype-test-boundary";
    let mut body = Vec::new();
    for part in parts {
        body.extend(
            format!(
                "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{}\"; filename=\"{}\"\r\ncontent-type: {}\r\n\r\n",
                part.field, part.name, part.content_type
            )
            .bytes(),
        );
        body.extend(part.bytes);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    post(
        url,
        &format!("multipart/form-data; boundary={BOUNDARY}"),
        &body,
    )
}

/// `POST url` with one file in the field `file`.
pub fn post_file(url: &str, name: &str, bytes: &[u8]) -> Answer {
    let content_type = "application/octet-stream";
    let part = Part {
        field: "file",
        name,
        content_type,
        bytes,
    };
    post_files(url, &[part])
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(120)))
        .build()
        .into()
}

fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>, url: &str) -> Answer {
    let mut response = result.unwrap_or_else(|error| panic!("{url}: {error}"));
    let header = |name: &str| {
        let value = response.headers().get(name);
        value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let content_type = header("content-type").unwrap_or_default();
    let location = header("location").unwrap_or_default();
    Answer {
        status: response.status().as_u16(),
        content_type,
        location,
        body: response.body_mut().read_to_vec().unwrap_or_default(),
    }
}
