use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferrotype_testkit::hub::{Answered, Asked, Hub as Server};
use sha2::{Digest as _, Sha256};

use super::*;

/// Larger than what a socket takes at once.
fn content() -> Vec<u8> {
    (0..3_000_000_u32)
        .map(|index| (index % 251) as u8)
        .collect()
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What fetching from a server leads to, in a cache that stays.
struct Case {
    folder: tempfile::TempDir,
    server: Server,
}

impl Case {
    fn new(answer: impl Fn(&Asked) -> Answered + Send + 'static) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            server: Server::start(answer),
        }
    }

    fn cache(&self) -> Cache {
        Cache::in_folder(self.folder.path())
    }

    fn remote(&self, path: &str) -> Remote {
        let address = format!("{}{path}", self.server.address());
        Remote::public(address.parse().unwrap())
    }

    fn fetch(&self, remote: &Remote) -> anyhow::Result<download::Fetched> {
        Downloader::direct()
            .unwrap()
            .fetch(remote, &self.cache(), false, &mut |_, _| {})
    }

    fn fails(&self, remote: &Remote) -> String {
        format!("{:#}", self.fetch(remote).unwrap_err())
    }

    /// All files of the cache that are weights or parts of them.
    fn files(&self) -> Vec<String> {
        fn below(folder: &Path, names: &mut Vec<String>) {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    below(&path, names);
                } else {
                    let name = path.file_name().unwrap();
                    names.push(name.to_string_lossy().into_owned());
                }
            }
        }
        let mut names = Vec::new();
        below(self.folder.path(), &mut names);
        names.sort();
        names
    }
}

#[test]
fn a_file_is_fetched_once_and_again_when_it_has_changed() {
    let version = std::sync::Arc::new(AtomicUsize::new(1));
    let served = std::sync::Arc::clone(&version);
    let case = Case::new(move |asked| {
        let version = served.load(Ordering::SeqCst);
        let mut bytes = content();
        bytes[0] = version as u8;
        Answered::file(asked, &bytes, &version.to_string())
    });
    let remote = case.remote("/models/net.pth?download=1");
    let first = case.fetch(&remote).unwrap();
    assert_eq!(first.note, None);
    assert_eq!(first.path.file_name().unwrap(), "net.pth");
    assert_eq!(fs::read(&first.path).unwrap()[0], 1);
    let before = fs::metadata(&first.path).unwrap().modified().unwrap();
    assert_eq!(case.fetch(&remote).unwrap(), first);
    assert_eq!(
        fs::metadata(&first.path).unwrap().modified().unwrap(),
        before
    );
    version.store(2, Ordering::SeqCst);
    let second = case.fetch(&remote).unwrap();
    assert_ne!(second.path, first.path);
    assert_eq!(fs::read(&second.path).unwrap()[0], 2);
}

#[test]
fn a_broken_download_goes_on_where_it_broke_off() {
    let count = AtomicUsize::new(0);
    let case = Case::new(move |asked| {
        let mut answer = Answered::file(asked, &content(), "one");
        if count.fetch_add(1, Ordering::SeqCst) < 2 {
            answer.breaks_after = Some(1_000_000);
        }
        answer
    });
    let fetched = case.fetch(&case.remote("/net.pth")).unwrap();
    assert!(fs::read(fetched.path).unwrap() == content());
    let begins: Vec<_> = case
        .server
        .take_asked()
        .iter()
        .map(Asked::range_start)
        .collect();
    assert_eq!(begins[0], None);
    assert!(begins[1].unwrap() > 0, "{begins:?}");
    assert!(begins[2].unwrap() > begins[1].unwrap(), "{begins:?}");
    assert_eq!(case.files(), ["current.json", "net.pth"]);
}

#[test]
fn the_next_command_goes_on_with_what_an_earlier_one_left() {
    let whole = std::sync::Arc::new(AtomicUsize::new(0));
    let is_whole = std::sync::Arc::clone(&whole);
    let case = Case::new(move |asked| {
        let mut answer = Answered::file(asked, &content(), "one");
        if is_whole.load(Ordering::SeqCst) == 0 {
            answer.breaks_after = Some(500_000);
        }
        answer
    });
    let remote = case.remote("/net.pth");
    let error = case.fails(&remote);
    assert!(error.contains("the connection broke after"), "{error}");
    assert_eq!(case.files(), ["net.pth.partial"]);
    case.server.take_asked();
    whole.store(1, Ordering::SeqCst);
    let fetched = case.fetch(&remote).unwrap();
    assert!(fs::read(fetched.path).unwrap() == content());
    let asked = case.server.take_asked();
    assert!(asked.last().unwrap().range_start().unwrap() > 0);
}

#[test]
fn a_server_without_versions_and_ranges_is_asked_for_all_of_it() {
    let count = AtomicUsize::new(0);
    let case = Case::new(move |_| {
        let breaks = count.fetch_add(1, Ordering::SeqCst) == 0;
        Answered {
            status: 200,
            body: content(),
            breaks_after: breaks.then_some(700_000),
            ..Answered::default()
        }
    });
    let fetched = case.fetch(&case.remote("/net.pth")).unwrap();
    assert!(fs::read(fetched.path).unwrap() == content());
}

#[test]
fn the_hub_sends_on_to_where_the_file_lies_and_only_the_hub_sees_the_token() {
    let files = Server::start(|asked| Answered::file(asked, &content(), "cdn"));
    let location = format!("{}/blob?signature=1", files.address());
    let case = Case::new(move |_| {
        Answered::status(302)
            .header("location", location.clone())
            .header("x-repo-commit", "abc")
            .header("x-linked-etag", format!("\"{}\"", sha256(&content())))
            .header("x-linked-size", content().len().to_string())
    });
    let address = case.server.address().to_string();
    let hub = Hub::from_environment(&|name| match name {
        "HF_ENDPOINT" => Some(address.clone()),
        "HF_TOKEN" => Some("hf_word".to_string()),
        _ => None,
    })
    .unwrap();
    let remote = hub.remote("me/net/model.safetensors").unwrap();
    let fetched = case.fetch(&remote).unwrap();
    assert!(fs::read(&fetched.path).unwrap() == content());
    let asked = case.server.take_asked();
    assert_eq!(asked[0].target, "/me/net/resolve/main/model.safetensors");
    assert_eq!(asked[0].header("authorization"), Some("Bearer hf_word"));
    let asked = files.take_asked();
    assert_eq!(asked[0].target, "/blob?signature=1");
    assert_eq!(asked[0].header("authorization"), None);
    // What is kept of it names neither token nor signature.
    for file in fs::read_dir(fetched.path.parent().unwrap().parent().unwrap()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let text = fs::read_to_string(path).unwrap();
            assert!(!text.contains("word") && !text.contains("signature"));
        }
    }
}

#[test]
fn a_file_with_another_checksum_is_not_kept() {
    let case = Case::new(|asked| {
        Answered::file(asked, b"changed on the way", "x")
            .header("x-linked-etag", format!("\"{}\"", sha256(b"the real file")))
    });
    let error = case.fails(&case.remote("/net.pth"));
    assert!(error.contains("SHA-256"), "{error}");
    assert!(case.files().is_empty());
}

#[test]
fn lengths_that_lie_are_errors() {
    let longer =
        Case::new(|asked| Answered::file(asked, &content(), "one").header("x-linked-size", "1000"));
    let error = longer.fails(&longer.remote("/net.pth"));
    assert!(error.contains("longer than the 1.0 kB"), "{error}");
    let huge = Case::new(|asked| {
        Answered::file(asked, b"x", "one").header("x-linked-size", "99999999999")
    });
    let error = huge.fails(&huge.remote("/net.pth"));
    assert!(error.contains("larger than 4.3 GB"), "{error}");
    let shorter =
        Case::new(|asked| Answered::file(asked, b"short", "one").header("x-linked-size", "1000"));
    let error = shorter.fails(&shorter.remote("/net.pth"));
    assert!(error.contains("answers 416"), "{error}");
    assert!(shorter.files().is_empty());
}

#[test]
fn refusals_say_what_to_do() {
    let case = Case::new(|asked| match asked.target.as_str() {
        "/a/b/resolve/main/private" => {
            Answered::status(401).header("x-error-message", "Access is restricted")
        }
        "/a/b/resolve/main/none" => Answered::status(404).header("x-error-code", "EntryNotFound"),
        "/round" => Answered::status(302).header("location", "/round"),
        _ => Answered::status(503),
    });
    let hub = Hub::from_environment(&|name| {
        (name == "HF_ENDPOINT").then(|| case.server.address().to_string())
    })
    .unwrap();
    let hint = |remote: &Remote| {
        let error = case.fetch(remote).unwrap_err();
        let failure = error.downcast_ref::<Failure>().unwrap();
        format!("{failure}\n{}", failure.hints().join("\n"))
    };
    let text = hint(&hub.remote("a/b/private").unwrap());
    assert!(text.contains("answers 401: Access is restricted"), "{text}");
    assert!(text.contains("`HF_TOKEN`"), "{text}");
    let text = hint(&hub.remote("a/b/none").unwrap());
    assert!(text.contains("has no such file"), "{text}");
    let text = hint(&case.remote("/round"));
    assert!(text.contains("more than 10 times"), "{text}");
    let text = hint(&case.remote("/busy"));
    assert!(text.contains("answers 503"), "{text}");
}

#[test]
fn without_a_network_the_file_fetched_before_is_used() {
    let works = std::sync::Arc::new(AtomicUsize::new(1));
    let answers = std::sync::Arc::clone(&works);
    let case = Case::new(move |asked| match answers.load(Ordering::SeqCst) {
        1 => Answered::file(asked, &content(), "one"),
        _ => Answered::status(502),
    });
    let remote = case.remote("/net.pth");
    let first = case.fetch(&remote).unwrap();
    works.store(0, Ordering::SeqCst);
    let again = case.fetch(&remote).unwrap();
    assert_eq!(again.path, first.path);
    assert!(again.note.unwrap().contains("fetched before is used"));
    case.server.take_asked();
    let offline = |remote: &Remote| {
        Downloader::direct()
            .unwrap()
            .fetch(remote, &case.cache(), true, &mut |_, _| {})
    };
    assert_eq!(offline(&remote).unwrap(), first);
    let error = offline(&case.remote("/other.pth")).unwrap_err();
    assert!(error.to_string().contains("HF_HUB_OFFLINE"), "{error}");
    assert!(case.server.take_asked().is_empty());
    let nobody = Remote::public("http://127.0.0.1:1/net.pth".parse().unwrap());
    let error = case.fails(&nobody);
    assert!(
        error.contains("`http://127.0.0.1:1` cannot be reached"),
        "{error}"
    );
}

#[test]
fn a_source_is_told_apart_by_how_it_is_written() {
    let project = tempfile::tempdir().unwrap();
    fs::write(project.path().join("mine.pth"), "").unwrap();
    let parse = |named: &str| Source::parse(named, project.path(), &Hub::default());
    let file = Source::File(project.path().join("mine.pth"));
    assert_eq!(parse("mine.pth").unwrap(), file);
    assert!(matches!(parse("hf://a/b/c").unwrap(), Source::Remote(r) if r.is_of_hub));
    assert!(matches!(parse("https://h/c").unwrap(), Source::Remote(r) if !r.is_of_hub));
    assert_eq!(parse("land@v3").unwrap(), Source::Own("land@v3".into()));
    for (named, expected) in [
        ("s3://a/b", "`s3://` is not known"),
        ("yours.pth", "no file of weights `yours.pth`"),
        ("folder/yours", "no file of weights"),
    ] {
        let error = parse(named).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
