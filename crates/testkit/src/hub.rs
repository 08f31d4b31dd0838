//! An HTTP server that plays a hub of files: what it answers is up to the test.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Path and query.
    pub target: String,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
}

impl Asked {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Where `range: bytes=N-` begins.
    pub fn range_start(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.strip_suffix('-')?.parse().ok()
    }
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// Headers besides `content-length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The connection breaks after so many bytes of the body.
    pub breaks_after: Option<usize>,
}

impl Answered {
    /// An empty answer with this status.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_string(), value.into()));
        self
    }

    /// The file, from where the request wants it, as servers of files answer.
    pub fn file(asked: &Asked, bytes: &[u8], etag: &str) -> Self {
        let answer = match asked.range_start() {
            Some(start) if start >= bytes.len() => Self::status(416),
            Some(start) => Self {
                status: 206,
                body: bytes[start..].to_vec(),
                ..Self::default()
            }
            .header(
                "content-range",
                format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()),
            ),
            None => Self {
                status: 200,
                body: bytes.to_vec(),
                ..Self::default()
            },
        };
        answer.header("etag", format!("\"{etag}\""))
    }
}

/// A server on a free port of this machine; it goes on until the test ends.
pub struct Hub {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Hub {
    /// Starts a server that answers every request by `answer`, one connection for each.
    pub fn start(answer: impl Fn(&Asked) -> Answered + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                if let Some(request) = read(&stream) {
                    log.lock().unwrap().push(request.clone());
                    // A client that has gone away wants no answer.
                    let _ = write(stream, &answer(&request));
                }
            }
        });
        Self { address, asked }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What was asked since this was last called.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let target = lines.next()?.split(' ').nth(1)?.to_string();
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_string()))
        })
        .collect();
    Some(Asked { target, headers })
}

fn write(mut stream: TcpStream, answer: &Answered) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Answer\r\nconnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", answer.body.len()));
    stream.write_all(head.as_bytes())?;
    let end = answer.breaks_after.unwrap_or(answer.body.len());
    stream.write_all(&answer.body[..end.min(answer.body.len())])
}
