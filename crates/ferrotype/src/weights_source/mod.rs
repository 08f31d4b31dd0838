//! Where weights come from: a file, an address, the hub of Hugging Face, or a run or a model of
//! this project. What is fetched is kept in `.ferrotype/cache/weights`.

mod address;
mod cache;
mod download;
mod hub;
mod request;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ferrotype_engine::checkpoint;

use crate::context::Context;
use crate::evaluation::Subject;
use crate::failure::Failure;
use crate::output::text;
use address::Address;
use cache::Cache;
use download::{Downloader, Remote};
use hub::Hub;

/// A file of weights on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located {
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// What to call it.
    pub(crate) title: String,
    /// BLAKE3 of its bytes.
    pub(crate) digest: String,
    /// Its length.
    pub(crate) bytes: u64,
}

/// What `model.weights` names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Remote(Remote),
    /// A run or a model of this project.
    Own(String),
}

/// Finds a file of weights, and fetches it when it is elsewhere.
///
/// # Errors
/// There is no such file, run or model, or it cannot be fetched.
pub(crate) fn locate(context: &Context, named: &str) -> anyhow::Result<Located> {
    let variable = |name: &str| std::env::var(name).ok();
    let hub = Hub::from_environment(&variable)?;
    let path = match Source::parse(named, context.project().root(), &hub)? {
        Source::File(path) => path,
        Source::Remote(remote) => fetch(context, &remote, &hub)?,
        Source::Own(name) => best_of(context, &name)?,
    };
    let (digest, bytes) =
        digest(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(Located {
        title: title(named),
        path,
        digest,
        bytes,
    })
}

/// The path of a file in full, so that it is found from any folder; other sources as they are.
pub(crate) fn pinned(context: &Context, named: &str) -> anyhow::Result<String> {
    let source = Source::parse(named, context.project().root(), &Hub::default())?;
    Ok(match source {
        Source::File(path) => full(&path)?.display().to_string(),
        Source::Remote(_) | Source::Own(_) => named.to_string(),
    })
}

/// The path from the root on, without `..`; a link is not followed to what it names.
fn full(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => Ok(folder.canonicalize()?.join(name)),
        _ => Ok(path),
    }
}

impl Source {
    fn parse(named: &str, project: &Path, hub: &Hub) -> anyhow::Result<Self> {
        if let Some(rest) = named.strip_prefix("hf://") {
            return Ok(Self::Remote(hub.remote(rest)?));
        }
        if named.starts_with("http://") || named.starts_with("https://") {
            let address: Address = named.parse()?;
            return Ok(Self::Remote(Remote::public(address)));
        }
        if let Some((scheme, _)) = named.split_once("://") {
            return Err(Failure::new(format!(
                "`model.weights` is `{named}`: `{scheme}://` is not known"
            ))
            .hint("name a file, `https://…`, or `hf://OWNER/REPOSITORY/FILE`")
            .into());
        }
        let candidates = [PathBuf::from(named), project.join(named)];
        if let Some(path) = candidates.iter().find(|path| path.is_file()) {
            return Ok(Self::File(path.clone()));
        }
        if looks_like_a_file(named) {
            return Err(no_file(named, &candidates[0]).into());
        }
        Ok(Self::Own(named.to_string()))
    }
}

/// Whether somebody who writes this means a file, and no run or model.
fn looks_like_a_file(named: &str) -> bool {
    const EXTENSIONS: [&str; 7] = ["safetensors", "pth", "pt", "bin", "ckpt", "tar", "onnx"];
    let extension = Path::new(named).extension().and_then(|e| e.to_str());
    named.contains(['/', '\\']) || extension.is_some_and(|e| EXTENSIONS.contains(&e))
}

fn no_file(named: &str, path: &Path) -> Failure {
    let failure = Failure::new(format!("there is no file of weights `{named}`"));
    if path.is_dir() {
        return failure.hint("it is a folder: name the file in it");
    }
    failure.hint("name a file, `https://…`, `hf://OWNER/REPOSITORY/FILE`, a run or a model")
}

/// The best weights of a run, or of the run that a model was made by.
fn best_of(context: &Context, name: &str) -> anyhow::Result<PathBuf> {
    let store = context.existing_store()?;
    let subject = Subject::find(context, &store, name)?;
    let run = subject.run().ok_or_else(|| {
        Failure::new(format!(
            "{} was imported: it has no weights to train on",
            subject.title()
        ))
        .hint("an ONNX file has its normalisations folded away; name the file of weights that it was made of")
    })?;
    let path = store.run_directory(run).join(checkpoint::BEST);
    if !path.is_file() {
        return Err(Failure::new(format!(
            "{} has no weights any more: `{}` is gone",
            subject.title(),
            path.display()
        ))
        .into());
    }
    Ok(path)
}

fn fetch(context: &Context, remote: &Remote, hub: &Hub) -> anyhow::Result<PathBuf> {
    let printer = context.printer();
    let cache = Cache::in_folder(&context.project().store_folder());
    let mut bar = None;
    let mut show = |done: u64, total: u64| {
        let bar = bar.get_or_insert_with(|| printer.progress("Fetching", total));
        bar.set(
            done,
            total,
            format!("{} of {}", text::bytes(done), text::bytes(total)),
        );
    };
    let fetched = Downloader::new()?.fetch(remote, &cache, hub.offline, &mut show)?;
    if let Some(note) = &fetched.note {
        printer.warning(note);
    }
    Ok(fetched.path)
}

/// The name without the query of an address, which may hold a secret.
fn title(named: &str) -> String {
    let end = match named.contains("://") {
        true => named.find(['?', '#']).unwrap_or(named.len()),
        false => named.len(),
    };
    named[..end].to_string()
}

/// BLAKE3 and length of a file.
fn digest(path: &Path) -> std::io::Result<(String, u64)> {
    let mut hasher = blake3::Hasher::new();
    let bytes = std::io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok((hasher.finalize().to_hex().to_string(), bytes))
}
