//! One request for a file, with its redirects.

use std::io::Read;
use std::time::Duration;

use anyhow::Context as _;
use ureq::http::{HeaderMap, Response};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Error, Proxy};

use super::address::Address;
use super::cache::Version;
use super::download::{Remote, unreachable};
use crate::failure::Failure;

/// How often a request may be sent on.
const MOST_REDIRECTS: usize = 10;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Without a byte for so long, the connection counts as broken.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// Certificates of authorities besides the usual ones: where a company inspects its traffic.
const CERTIFICATES_VARIABLE: &str = "SSL_CERT_FILE";

/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// An answer that holds a file or the rest of one.
pub(super) struct Answer {
    pub(super) version: Version,
    /// The first byte of it.
    pub(super) begins_at: u64,
    pub(super) body: Box<dyn Read>,
}

/// Why there is no answer.
pub(super) enum Trouble {
    /// The server cannot be reached or the connection broke: later it may work.
    Unreachable(Failure),
    /// The server said no.
    Refused(Failure),
    /// The file ends before the byte that was asked for.
    Ended(Failure),
}

impl Trouble {
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Unreachable(failure) | Self::Refused(failure) | Self::Ended(failure) => failure,
        }
    }
}

/// What sends requests.
///
/// # Errors
/// The file of `SSL_CERT_FILE` cannot be read.
pub(super) fn agent(proxy: Option<Proxy>) -> anyhow::Result<Agent> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(proxy)
        .user_agent(concat!("ferrotype/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(SILENCE_TIMEOUT))
        .timeout_per_read(Some(SILENCE_TIMEOUT));
    let config = match std::env::var_os(CERTIFICATES_VARIABLE) {
        Some(path) if !path.is_empty() => {
            let pem = std::fs::read(&path)
                .with_context(|| format!("cannot read the file of `{CERTIFICATES_VARIABLE}`"))?;
            let certificates = parse_pem(&pem).filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            });
            let roots = RootCerts::from(certificates);
            config.tls_config(TlsConfig::builder().root_certs(roots).build())
        }
        _ => config,
    };
    Ok(config.build().into())
}

/// Asks for a file from the byte `from` on.
pub(super) fn ask(agent: &Agent, remote: &Remote, from: u64) -> Result<Answer, Trouble> {
    let mut address = remote.address.clone();
    let mut linked = Version::default();
    for _ in 0..=MOST_REDIRECTS {
        let response = send(agent, remote, &address, from)?;
        note_link(&mut linked, response.headers());
        let status = response.status().as_u16();
        let location = header(response.headers(), "location");
        match (status, location) {
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                address = address.redirected(&location).map_err(Trouble::Refused)?;
            }
            (200 | 206, _) => return answer(response, linked, from),
            _ => return Err(refused(remote, &address, status, response.headers())),
        }
    }
    Err(Trouble::Refused(Failure::new(format!(
        "`{}` is sent on more than {MOST_REDIRECTS} times",
        remote.address
    ))))
}

fn send(
    agent: &Agent,
    remote: &Remote,
    address: &Address,
    from: u64,
) -> Result<Response<Body>, Trouble> {
    let mut request = agent
        .get(address.as_str())
        // Lengths and ranges are those of the file itself.
        .header("accept-encoding", "identity");
    if let Some(token) = &remote.token
        && address.origin() == remote.address.origin()
    {
        request = request.header("authorization", token.header());
    }
    if from > 0 {
        request = request.header("range", format!("bytes={from}-"));
    }
    request.call().map_err(|error| match error {
        Error::BadUri(_) | Error::Http(_) => Trouble::Refused(Failure::new(format!(
            "`{address}` cannot be asked: {error}"
        ))),
        _ => Trouble::Unreachable(unreachable(address, &error.to_string())),
    })
}

/// What the hub says of a file before it sends the request on to where the file lies.
fn note_link(linked: &mut Version, headers: &HeaderMap) {
    let note = |known: &mut Option<String>, name: &str| {
        if known.is_none() {
            *known = header(headers, name);
        }
    };
    note(&mut linked.etag, "x-linked-etag");
    note(&mut linked.commit, "x-repo-commit");
    if linked.length.is_none() {
        linked.length = header(headers, "x-linked-size").and_then(|text| text.parse().ok());
    }
}

fn answer(response: Response<Body>, linked: Version, from: u64) -> Result<Answer, Trouble> {
    let headers = response.headers();
    let is_partial = response.status().as_u16() == 206;
    let range = header(headers, "content-range").and_then(|text| content_range(&text));
    let (begins_at, length) = match range {
        Some((begin, length)) if is_partial => (begin, length),
        _ => (0, response.body().content_length()),
    };
    if begins_at != 0 && begins_at != from {
        return Err(Trouble::Refused(Failure::new(
            "the server sends another part of the file than was asked for",
        )));
    }
    let etag = linked.etag.or_else(|| header(headers, "etag"));
    let etag = etag.map(|etag| bare(&etag).to_string());
    let sha256 = etag.as_ref().filter(|etag| is_sha256(etag)).cloned();
    let version = Version {
        sha256,
        etag,
        commit: linked.commit,
        length: linked.length.or(length),
    };
    let body = response.into_body().into_with_config().limit(u64::MAX);
    Ok(Answer {
        version,
        begins_at,
        body: Box::new(body.reader()),
    })
}

fn refused(remote: &Remote, address: &Address, status: u16, headers: &HeaderMap) -> Trouble {
    // The hub's own words, such as `Access to model … is restricted`.
    let said = header(headers, "x-error-message").unwrap_or_default();
    let code = header(headers, "x-error-code").unwrap_or_default();
    let said = match said.is_empty() {
        true => String::new(),
        false => format!(": {}", said.chars().take(200).collect::<String>()),
    };
    let failure = Failure::new(format!(
        "`{}` cannot be fetched, `{}` answers {status}{said}",
        remote.address,
        address.origin()
    ));
    let failure = match status {
        401 | 403 if remote.is_of_hub && remote.token.is_some() => failure
            .hint("the token in `HF_TOKEN` may not read this repository, or the repository asks to accept its conditions on its page"),
        401 | 403 if remote.is_of_hub => failure
            .hint("there is no such repository, or it is private: set `HF_TOKEN` to a token that may read it"),
        401 | 403 => failure.hint("download the file in a browser and name it: `model.weights=FILE`"),
        404 if code == "EntryNotFound" => failure.hint("the repository has no such file: look at its page"),
        404 if code == "RevisionNotFound" => failure.hint("the repository has no such revision"),
        404 | 410 => failure.hint("look whether the name is right"),
        416 => return Trouble::Ended(failure.hint("the file there is shorter than the server said")),
        429 => failure.hint("too many requests: wait a few minutes"),
        500.. => return Trouble::Unreachable(failure.hint("try again later")),
        _ => failure,
    };
    Trouble::Refused(failure)
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| value.to_string())
}

/// An entity tag without quotes and the mark of a weak one, as `huggingface_hub` compares them.
fn bare(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

fn is_sha256(text: &str) -> bool {
    text.len() == SHA256_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// First byte and whole length of `bytes 5-9/10` (RFC 9110, section 14.4).
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, length) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (begin, _) = range.split_once('-')?;
    Some((begin.parse().ok()?, length.parse().ok()))
}
