//! Refuses requests meant for another server, or sent by a page of another origin.
//!
//! A web page anywhere may make a browser send requests to `127.0.0.1`. A foreign page's own name
//! resolved to this machine (DNS rebinding) shows in `Host`; a request across origins shows in
//! `Origin`. An address written as numbers cannot be rebound, so when the server listens on all
//! addresses any numeric host is its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::{ApiError, ErrorKind};

/// The hosts that this server answers for.
#[derive(Debug, Clone)]
pub(crate) struct HostPolicy {
    bound: SocketAddr,
    allowed: Vec<String>,
}

/// A host and, if written, a port: `localhost:8000`, `[::1]`.
#[derive(Debug, PartialEq, Eq)]
struct Authority {
    host: String,
    port: Option<u16>,
}

impl Authority {
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']')?;
                (
                    address,
                    after
                        .strip_prefix(':')
                        .or((!after.is_empty()).then_some("?")),
                )
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(digits) => Some(digits.parse().ok()?),
            None => None,
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        (!host.is_empty()).then_some(Self { host, port })
    }

    fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl HostPolicy {
    /// The hosts of a server bound to `bound`, and those that the user allows besides.
    pub(crate) fn new(bound: SocketAddr, allowed: &[String]) -> Self {
        Self {
            bound,
            allowed: allowed
                .iter()
                .map(|host| host.trim().trim_end_matches('.').to_ascii_lowercase())
                .collect(),
        }
    }

    /// Checks the headers `Host` and `Origin`.
    ///
    /// # Errors
    /// When one of them names somebody else.
    pub(crate) fn check(
        &self,
        uri_host: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<(), ApiError> {
        let given = uri_host
            .or_else(|| text(headers, header::HOST))
            .unwrap_or("");
        let host = Authority::parse(given)
            .filter(|host| self.allows(host))
            .ok_or_else(|| foreign_host(given))?;
        match headers.get(header::ORIGIN) {
            None => Ok(()),
            Some(origin) => {
                let origin = origin.to_str().unwrap_or("");
                if self.allows_origin(origin, &host) {
                    Ok(())
                } else {
                    Err(foreign_origin(origin))
                }
            }
        }
    }

    fn allows(&self, authority: &Authority) -> bool {
        if authority.host == "localhost" || self.allowed.contains(&authority.host) {
            return true;
        }
        authority.address().is_some_and(|address| {
            address.is_loopback() || address == self.bound.ip() || self.bound.ip().is_unspecified()
        })
    }

    /// An origin is ours when it is the very host and port that was asked, or another of our
    /// names on the bound port.
    fn allows_origin(&self, origin: &str, host: &Authority) -> bool {
        let (scheme, rest) = origin.split_once("://").unwrap_or(("", ""));
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        let Some(authority) = Authority::parse(rest) else {
            return false;
        };
        let port = authority.port.unwrap_or(default_port);
        let same_host = authority.host == host.host && host.port.is_none_or(|asked| asked == port);
        same_host || (self.allows(&authority) && port == self.bound.port())
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn foreign_host(host: &str) -> ApiError {
    ApiError::new(
        ErrorKind::ForbiddenHost,
        format!("this server does not answer for the host `{}`", shown(host)),
    )
    .with_hint("use the address the server printed, or start it with `--allow-host NAME`")
}

fn foreign_origin(origin: &str) -> ApiError {
    ApiError::new(
        ErrorKind::ForbiddenOrigin,
        format!("requests from pages of `{}` are refused", shown(origin)),
    )
    .with_hint("call the API from a program or from this server's own pages")
}

/// A header's value, short enough to be repeated to whoever sent it.
fn shown(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// Answers 403 to requests that the policy refuses.
pub(crate) async fn refuse_foreign(
    State(policy): State<Arc<HostPolicy>>,
    request: Request,
    next: Next,
) -> Response {
    let uri_host = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    match policy.check(uri_host, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bound: &str, host: &str, origin: Option<&str>) -> Result<(), ErrorKind> {
        let policy = HostPolicy::new(bound.parse().unwrap(), &["ferro.example".to_string()]);
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        policy.check(None, &headers).map_err(|error| error.kind())
    }

    #[test]
    fn the_servers_own_names_are_answered_with_any_port() {
        for host in [
            "localhost",
            "localhost:8000",
            "LOCALHOST:9000",
            "127.0.0.1:8000",
            "[::1]:8000",
            "ferro.example",
            "localhost.:8000",
        ] {
            assert_eq!(check("127.0.0.1:8000", host, None), Ok(()), "{host}");
        }
    }

    #[test]
    fn a_foreign_host_is_refused_even_on_loopback() {
        for host in [
            "evil.example",
            "evil.example:8000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.168.1.7",
            "[::1",
            "[::1]x",
            "",
            "localhost:port",
        ] {
            assert_eq!(
                check("127.0.0.1:8000", host, None),
                Err(ErrorKind::ForbiddenHost),
                "{host}"
            );
        }
    }

    #[test]
    fn a_server_on_all_addresses_answers_for_numeric_hosts_only() {
        assert_eq!(check("0.0.0.0:8000", "192.168.1.7:8000", None), Ok(()));
        assert_eq!(
            check("0.0.0.0:8000", "evil.example", None),
            Err(ErrorKind::ForbiddenHost)
        );
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let origin = |origin| check("127.0.0.1:8000", "localhost:8000", Some(origin));
        assert_eq!(origin("http://localhost:8000"), Ok(()));
        assert_eq!(origin("http://127.0.0.1:8000"), Ok(()));
        assert_eq!(origin("http://ferro.example:8000"), Ok(()));
        for foreign in [
            "http://localhost:3000",
            "http://evil.example",
            "https://evil.example:8000",
            "null",
            "",
            "file://",
        ] {
            assert_eq!(
                origin(foreign),
                Err(ErrorKind::ForbiddenOrigin),
                "{foreign}"
            );
        }
    }

    #[test]
    fn behind_a_proxy_the_origin_is_the_host_that_was_asked() {
        assert_eq!(
            check(
                "127.0.0.1:8000",
                "ferro.example",
                Some("https://ferro.example")
            ),
            Ok(())
        );
    }
}
