//! The vendored files are those that their packages hold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::Server;

fn vendor() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor")
}

/// The table of `vendor/README.md`: hash and file.
fn listed() -> Vec<(String, String)> {
    let readme = std::fs::read_to_string(vendor().join("README.md")).unwrap();
    readme
        .lines()
        .filter_map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let hash = cells.next()?.trim_matches('`').to_string();
            let file = cells.next()?.trim_matches('`').to_string();
            (hash.len() == 64).then_some((hash, file))
        })
        .collect()
}

#[test]
fn every_vendored_file_has_the_hash_that_is_written_down() {
    let listed = listed();
    assert!(listed.len() >= 7);
    for (hash, file) in &listed {
        let bytes = std::fs::read(vendor().join(file)).unwrap();
        assert_eq!(&sha256(&bytes), hash, "{file}");
    }
    let listed: BTreeSet<String> = listed.into_iter().map(|(_, file)| file).collect();
    for folder in ["htmx", "uplot"] {
        for entry in std::fs::read_dir(vendor().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(
                listed.contains(&format!("{folder}/{name}")),
                "{folder}/{name}"
            );
        }
        for kept in ["LICENSE", "VERSION"] {
            assert!(listed.contains(&format!("{folder}/{kept}")));
        }
    }
}

/// SHA-256 by the system's tool; rust-embed's own would be the code under test.
fn sha256(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let output = Command::new("sha256sum").arg(file.path()).output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_string()
}

#[test]
fn an_asset_is_kept_for_good_under_its_hash_and_asked_for_again_under_another() {
    let server = Server::with_empty_store(|options| options);
    let page = server.get("/").text();
    let start = page.find("/assets/").unwrap();
    let style: String = page[start..].chars().take_while(|c| *c != '"').collect();
    let caching = |path: &str| {
        let response = ureq::get(server.url(path)).call().unwrap();
        let header = response.headers()["cache-control"].to_str().unwrap();
        header.to_string()
    };
    assert!(caching(&style).contains("immutable"));
    let hash = style.split('/').nth(2).unwrap();
    assert_eq!(caching(&style.replace(hash, "000000000000")), "no-cache");
    assert_eq!(server.get("/assets/x/none.css").status, 404);
    assert_eq!(server.get("/assets/x/..%2f..%2fCargo.toml").status, 404);
}

#[test]
fn no_page_names_another_server() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for part in ["templates", "static", "static/js"] {
        for entry in std::fs::read_dir(folder.join(part)).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_file() {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let foreign = text
                .match_indices("://")
                .map(|(at, _)| &text[at.saturating_sub(5)..(at + 20).min(text.len())])
                .find(|around| !around.contains("{{ host }}") && !around.contains("www.w3.org"));
            assert_eq!(foreign, None, "{}", path.display());
        }
    }
}
