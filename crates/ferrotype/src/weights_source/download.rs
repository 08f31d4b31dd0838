//! Fetches a file into the cache: it goes on where it broke off, and appears whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::address::Address;
use super::cache::{Cache, Slot, Version};
use super::hub::Token;
use super::request::{Answer, Trouble, agent, ask};
use crate::failure::Failure;
use crate::output::text;

/// The largest file that is fetched, as large as one that is read.
const MAX_BYTES: u64 = 4 << 30;

/// How often a connection may break before the user is asked to go on.
const MOST_BREAKS: u32 = 3;

/// What to do where there is no network.
const ELSEWHERE: &str = "download the file elsewhere and name it: `model.weights=FILE`";

/// A file on the web.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) address: Address,
    /// Who asks; told to the address's own host alone.
    pub(super) token: Option<Token>,
    /// Whether it is of the hub, whose answers say more.
    pub(super) is_of_hub: bool,
    /// Whether the address names one version for ever.
    pub(super) is_fixed: bool,
}

impl Remote {
    /// A file that anybody may fetch.
    pub(super) fn public(address: Address) -> Self {
        Self {
            address,
            token: None,
            is_of_hub: false,
            is_fixed: false,
        }
    }
}

/// A file in the cache.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) path: PathBuf,
    /// Why it may not be the newest.
    pub(super) note: Option<String>,
}

/// Fetches files.
pub(super) struct Downloader {
    agent: ureq::Agent,
    /// Between two attempts.
    pause: Duration,
}

impl Downloader {
    /// By the proxy that the environment names.
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            agent: agent(ureq::Proxy::try_from_env())?,
            pause: Duration::from_secs(1),
        })
    }

    /// For a server on this machine.
    #[cfg(test)]
    pub(super) fn direct() -> anyhow::Result<Self> {
        Ok(Self {
            agent: agent(None)?,
            pause: Duration::ZERO,
        })
    }

    /// The file's path in the cache; `show` is told how many bytes of how many are there.
    ///
    /// # Errors
    /// The server refuses, or cannot be reached and nothing was fetched before; what arrives is
    /// not what the server promised; the disk is full.
    pub(super) fn fetch(
        &self,
        remote: &Remote,
        cache: &Cache,
        offline: bool,
        show: &mut dyn FnMut(u64, u64),
    ) -> anyhow::Result<Fetched> {
        let slot = cache.slot(&remote.address);
        let kept = |path, note| Ok(Fetched { path, note });
        let current = slot.current();
        let answer = match (current, offline) {
            (Some((_, path)), _) if offline || remote.is_fixed => return kept(path, None),
            (None, true) => {
                return Err(Failure::new(format!(
                    "`{}` was not fetched before, and `HF_HUB_OFFLINE` is set",
                    remote.address
                ))
                .hint(ELSEWHERE)
                .into());
            }
            (current, _) => match (ask(&self.agent, remote, 0), current) {
                (Ok(answer), Some((version, path))) if version.is_same(&answer.version) => {
                    return kept(path, None);
                }
                (Ok(answer), _) => answer,
                (Err(Trouble::Unreachable(why)), Some((_, path))) => {
                    let note = format!("{why}: the file fetched before is used");
                    return kept(path, Some(note));
                }
                (Err(trouble), _) => return Err(trouble.into_failure().into()),
            },
        };
        let transfer = Transfer::begin(self, remote, &slot, answer.version.clone())?;
        let path = transfer.run(answer, show)?;
        kept(path, None)
    }
}

/// A file on its way into the cache.
struct Transfer<'a> {
    downloader: &'a Downloader,
    remote: &'a Remote,
    slot: &'a Slot,
    version: Version,
    partial: PathBuf,
    file: File,
}

impl<'a> Transfer<'a> {
    /// Opens the partial file of a version, alone with it.
    fn begin(
        downloader: &'a Downloader,
        remote: &'a Remote,
        slot: &'a Slot,
        version: Version,
    ) -> Result<Self, Failure> {
        if version.length.is_some_and(|length| length > MAX_BYTES) {
            return Err(too_large(remote));
        }
        let partial = slot.partial(&version);
        let file = open(&partial).map_err(|error| failed("written", &partial, &error))?;
        Ok(Self {
            downloader,
            remote,
            slot,
            version,
            partial,
            file,
        })
    }

    /// Receives what is missing, and answers with the path of the whole file.
    fn run(mut self, first: Answer, show: &mut dyn FnMut(u64, u64)) -> Result<PathBuf, Failure> {
        // Another process may have fetched it while this one waited for the file.
        if let Some((current, path)) = self.slot.current()
            && current.is_same(&self.version)
        {
            return Ok(path);
        }
        let mut first = Some(first);
        let mut breaks = 0;
        while !self.is_whole()? {
            match self.receive(first.take(), show) {
                Ok(()) => break,
                Err(Trouble::Unreachable(_)) if breaks < MOST_BREAKS => {
                    breaks += 1;
                    std::thread::sleep(self.downloader.pause * breaks);
                }
                Err(Trouble::Unreachable(why)) => return Err(self.broken(&why)),
                Err(Trouble::Refused(failure)) => return Err(failure),
                Err(Trouble::Ended(failure)) => {
                    self.discard();
                    return Err(failure);
                }
            }
        }
        self.check()?;
        self.file
            .sync_all()
            .and_then(|()| self.slot.finish(&self.remote.address, &self.version))
            .map_err(|error| failed("written", &self.partial, &error))
    }

    /// Bytes that are there.
    fn have(&self) -> Result<u64, Failure> {
        let metadata = self.file.metadata();
        metadata
            .map(|metadata| metadata.len())
            .map_err(|error| failed("read", &self.partial, &error))
    }

    fn is_whole(&self) -> Result<bool, Failure> {
        let have = self.have()?;
        Ok(have > 0 && self.version.is_known() && self.version.length == Some(have))
    }

    /// Receives up to the end of the file or of the connection.
    fn receive(
        &mut self,
        first: Option<Answer>,
        show: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Trouble> {
        let have = self.have().map_err(Trouble::Refused)?;
        let from = if self.version.is_known() { have } else { 0 };
        let answer = match first {
            Some(answer) if from == 0 => answer,
            first => {
                // Its connection is closed before there is another.
                drop(first);
                self.go_on(from)?
            }
        };
        if answer.begins_at != have {
            let emptied = self.file.set_len(0);
            emptied.map_err(|error| self.not_written(&error))?;
        }
        self.copy(answer, show)
    }

    fn go_on(&self, from: u64) -> Result<Answer, Trouble> {
        let answer = ask(&self.downloader.agent, self.remote, from)?;
        if self.version.is_known() && !self.version.is_same(&answer.version) {
            return Err(Trouble::Refused(
                Failure::new(format!(
                    "`{}` was changed while it was fetched",
                    self.remote.address
                ))
                .hint("run the command again"),
            ));
        }
        Ok(answer)
    }

    /// Adds an answer's body to the file.
    fn copy(&mut self, mut answer: Answer, show: &mut dyn FnMut(u64, u64)) -> Result<(), Trouble> {
        const PIECE_BYTES: usize = 64 << 10;
        let mut piece = vec![0; PIECE_BYTES];
        let mut done = answer.begins_at;
        let length = self.version.length;
        loop {
            let read = answer.body.read(&mut piece);
            let count =
                read.map_err(|error| Trouble::Unreachable(Failure::new(error.to_string())))?;
            if count == 0 {
                break;
            }
            done += count as u64;
            if done > length.unwrap_or(MAX_BYTES) {
                return Err(Trouble::Refused(self.too_long()));
            }
            let written = self.file.write_all(&piece[..count]);
            written.map_err(|error| self.not_written(&error))?;
            show(done, length.unwrap_or(done));
        }
        match length {
            Some(length) if done < length => Err(Trouble::Unreachable(Failure::new(
                "the connection ended too early",
            ))),
            _ => Ok(()),
        }
    }

    /// Holds the file against its SHA-256 where the server says it; a wrong one is removed.
    fn check(&self) -> Result<(), Failure> {
        let Some(expected) = &self.version.sha256 else {
            return Ok(());
        };
        let found = sha256(&self.partial).map_err(|error| failed("read", &self.partial, &error))?;
        if &found == expected {
            return Ok(());
        }
        self.discard();
        Err(Failure::new(format!(
            "what arrived of `{}` is damaged: its SHA-256 is `{found}`, expected `{expected}`",
            self.remote.address
        ))
        .hint("run the command again; a proxy in between may change files"))
    }

    /// Removes what arrived: it is of no use. That it cannot be removed is no second error.
    fn discard(&self) {
        let _ = fs::remove_file(&self.partial);
    }

    fn broken(&self, why: &Failure) -> Failure {
        let have = self.have().unwrap_or_default();
        let of = self.version.length.map_or(String::new(), |length| {
            format!(" of {}", text::bytes(length))
        });
        let failure = Failure::new(format!(
            "the connection broke after {}{of} of `{}`: {why}",
            text::bytes(have),
            self.remote.address
        ));
        failure.hint(if self.version.is_known() {
            "run the command again: it goes on where it broke off"
        } else {
            "run the command again"
        })
    }

    fn too_long(&self) -> Failure {
        match self.version.length {
            Some(length) => Failure::new(format!(
                "`{}` is longer than the {} that the server said",
                self.remote.address,
                text::bytes(length)
            ))
            .hint(ELSEWHERE),
            None => too_large(self.remote),
        }
    }

    fn not_written(&self, error: &io::Error) -> Trouble {
        Trouble::Refused(failed("written", &self.partial, error))
    }
}

/// Opens a partial file to add to it, and waits until no other process does.
fn open(partial: &Path) -> io::Result<File> {
    if let Some(folder) = partial.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).read(true).open(partial)?;
    file.lock()?;
    Ok(file)
}

/// SHA-256 of a file, in hexadecimal digits.
fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    let digest = hasher.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn too_large(remote: &Remote) -> Failure {
    Failure::new(format!(
        "`{}` is larger than {}",
        remote.address,
        text::bytes(MAX_BYTES)
    ))
}

/// A file that cannot be `verb` (read, written).
fn failed(verb: &str, path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::new(format!("`{}` cannot be {verb}: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            failure.hint("make room: weights are kept in `.ferrotype/cache/weights`")
        }
        _ => failure,
    }
}

/// What to do where the server cannot be reached.
pub(super) fn unreachable(address: &Address, why: &str) -> Failure {
    Failure::new(format!("`{}` cannot be reached: {why}", address.origin()))
        .hint(ELSEWHERE)
        .hint("behind a proxy, set `HTTPS_PROXY`")
}
