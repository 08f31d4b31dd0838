//! Style, scripts and vendored libraries, in the binary.
//!
//! Every address holds a hash over all files (`/assets/1f2e3d4c5b6a/js/predict.js`), so that a
//! browser keeps a file for good and still never mixes two versions of the program. Modules name
//! each other by relative paths and so stay under the same hash.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ferrotype_store::Hasher;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::error::ApiError;
use crate::state::AppState;

const KEEP_FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
/// Hexadecimal digits of the hash in an address.
const HASH_DIGITS: usize = 12;

#[derive(RustEmbed)]
#[folder = "static/"]
struct OwnFiles;

#[derive(RustEmbed)]
#[folder = "vendor/"]
struct VendoredFiles;

/// The files, by address.
#[derive(Debug, Clone)]
pub(crate) struct Assets {
    hash: String,
}

impl Assets {
    pub(crate) fn new() -> Self {
        let mut hasher = Hasher::new();
        let own = OwnFiles::iter().map(|path| (OwnFiles::get(&path), path));
        let vendored = VendoredFiles::iter().map(|path| (VendoredFiles::get(&path), path));
        for (file, path) in own.chain(vendored) {
            hasher.update(path.as_bytes());
            if let Some(file) = file {
                hasher.update(&file.metadata.sha256_hash());
            }
        }
        let mut hash = hasher.finish().to_string();
        hash.truncate(HASH_DIGITS);
        Self { hash }
    }

    /// The address of a file such as `style.css` or `vendor/htmx/htmx.min.js`.
    pub(crate) fn address(&self, path: &str) -> String {
        format!("/assets/{}/{path}", self.hash)
    }
}

/// A file's bytes by its path below `/assets/<hash>/`.
fn find(path: &str) -> Option<EmbeddedFile> {
    match path.strip_prefix("vendor/") {
        Some(vendored) => VendoredFiles::get(vendored),
        None => OwnFiles::get(path),
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("webmanifest") => "application/manifest+json",
        _ => "text/plain; charset=utf-8",
    }
}

/// `GET /assets/{hash}/{*path}`. A page of another version of the program may ask with its own
/// hash; it gets what there is, and asks again the next time.
pub(crate) async fn asset(
    State(state): State<AppState>,
    Path((hash, path)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let caching = if hash == state.assets.hash {
        KEEP_FOR_GOOD
    } else {
        ASK_AGAIN
    };
    serve(&path, caching)
}

/// `GET /favicon.ico`, for browsers that ask before they have read a page.
pub(crate) async fn favicon() -> Result<Response, ApiError> {
    serve("logo.svg", ASK_AGAIN)
}

fn serve(path: &str, caching: HeaderValue) -> Result<Response, ApiError> {
    let file = find(path).ok_or_else(|| ApiError::not_found("file", path))?;
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(content_type(path)),
        ),
        (header::CACHE_CONTROL, caching),
    ];
    Ok((headers, file.data).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_found_at_its_address_and_has_a_type() {
        let assets = Assets::new();
        for path in ["style.css", "js/predict.js", "vendor/htmx/htmx.min.js"] {
            let address = assets.address(path);
            assert!(address.starts_with("/assets/") && address.ends_with(path));
            assert!(find(path).is_some(), "{path}");
            assert_ne!(content_type(path), "text/plain; charset=utf-8", "{path}");
        }
        assert!(find("../Cargo.toml").is_none());
        assert!(find("vendor/../static/style.css").is_none());
    }
}
