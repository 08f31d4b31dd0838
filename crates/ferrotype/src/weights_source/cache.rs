//! Files that were fetched, by their address and what the server says of their version:
//!
//! ```text
//! cache/weights/<address>/current.json        what was fetched last
//! cache/weights/<address>/<version>/<name>    a file
//! cache/weights/<address>/<version>/<name>.partial
//! ```

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::address::Address;

/// The last file that was fetched from an address.
const CURRENT: &str = "current.json";

/// Hexadecimal digits of a folder's name.
const KEY_DIGITS: usize = 32;

/// The folder of everything that was fetched.
pub(super) struct Cache {
    folder: PathBuf,
}

/// What a server says of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    /// The entity tag, without quotes.
    pub(super) etag: Option<String>,
    /// The commit of the hub's repository.
    pub(super) commit: Option<String>,
    /// SHA-256 of the file.
    pub(super) sha256: Option<String>,
    /// Its length in bytes.
    pub(super) length: Option<u64>,
}

impl Version {
    /// Whether this says so much that the same version is known again.
    pub(super) fn is_known(&self) -> bool {
        self.etag.is_some() || self.sha256.is_some()
    }

    /// Whether both are the same file.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.is_known() && self.key() == other.key()
    }

    fn key(&self) -> String {
        let identity = (&self.sha256, &self.etag, self.length);
        key(&format!("{identity:?}"))
    }
}

/// The place of one address.
pub(super) struct Slot {
    folder: PathBuf,
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Current {
    /// For a person who looks into the folder.
    address: String,
    name: String,
    version: Version,
}

impl Cache {
    /// The cache of a project's store.
    pub(super) fn in_folder(store: &Path) -> Self {
        Self {
            folder: store.join("cache").join("weights"),
        }
    }

    pub(super) fn slot(&self, address: &Address) -> Slot {
        Slot {
            folder: self.folder.join(key(address.as_str())),
            name: address.file_name(),
        }
    }
}

impl Slot {
    /// The file that was fetched last, if it is still whole.
    pub(super) fn current(&self) -> Option<(Version, PathBuf)> {
        let text = fs::read_to_string(self.folder.join(CURRENT)).ok()?;
        let current: Current = serde_json::from_str(&text).ok()?;
        let path = self.path(&current.version);
        let length = fs::metadata(&path).ok()?.len();
        let is_whole = current.version.length.is_none_or(|whole| whole == length);
        is_whole.then_some((current.version, path))
    }

    /// The file of a version, whether it is there or not.
    pub(super) fn path(&self, version: &Version) -> PathBuf {
        self.folder.join(version.key()).join(&self.name)
    }

    /// Where a version is written while it is fetched.
    pub(super) fn partial(&self, version: &Version) -> PathBuf {
        let name = format!("{}.partial", self.name);
        self.folder.join(version.key()).join(name)
    }

    /// Makes what was fetched the current file.
    pub(super) fn finish(&self, address: &Address, version: &Version) -> std::io::Result<PathBuf> {
        let path = self.path(version);
        fs::rename(self.partial(version), &path)?;
        let current = Current {
            address: address.to_string(),
            name: self.name.clone(),
            version: version.clone(),
        };
        let temporary = self
            .folder
            .join(format!("{CURRENT}.{}", std::process::id()));
        let mut file = File::create(&temporary)?;
        file.write_all(serde_json::to_string_pretty(&current)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(temporary, self.folder.join(CURRENT))?;
        Ok(path)
    }
}

fn key(text: &str) -> String {
    let hex = blake3::hash(text.as_bytes()).to_hex();
    hex[..KEY_DIGITS].to_string()
}
