//! The one error of this crate.

use std::io;
use std::path::{Path, PathBuf};

use ferrotype_core::name::NameError;

/// What kind of thing went wrong, for programs to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// What was asked for is not in the store.
    NotFound,
    /// There is one already.
    AlreadyExists,
    /// The text fits more than one thing.
    Ambiguous,
    /// The thing's state does not allow it, such as deleting what an alias points to.
    Conflict,
    /// A newer program wrote the store.
    NewerSchema,
    /// Another process holds the database for too long.
    Locked,
    /// Another process works on the run or job.
    RunBusy,
    /// No space is left on the disk (or a quota is reached).
    Full,
    /// What was read is not what was written.
    Corrupt,
    /// Reading or writing a file failed otherwise.
    Io,
    /// The database failed otherwise.
    Database,
    /// A name that is not allowed.
    InvalidName,
}

impl StoreErrorKind {
    /// The kind in snake case, as the API tells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Ambiguous => "ambiguous",
            Self::Conflict => "conflict",
            Self::NewerSchema => "newer_schema",
            Self::Locked => "locked",
            Self::RunBusy => "run_busy",
            Self::Full => "full",
            Self::Corrupt => "corrupt",
            Self::Io => "io",
            Self::Database => "database",
            Self::InvalidName => "invalid_name",
        }
    }

    /// What helps against most errors of the kind.
    const fn usual_hint(self) -> Option<&'static str> {
        match self {
            Self::NotFound => Some("list the datasets, models or runs to see what there is"),
            Self::NewerSchema => {
                Some("use the newer Ferrotype that wrote it, or another project folder")
            }
            Self::Locked => Some("try again; if it stays, see which process uses the store"),
            Self::RunBusy => Some("wait until it ends, or stop that process"),
            Self::Full => {
                Some("free some space and try again; nothing that was stored before is lost")
            }
            Self::Corrupt => Some("restore the file from a backup, or import the data again"),
            Self::Io => Some("check that the folder exists and that you may write to it"),
            _ => None,
        }
    }
}

/// An error of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    path: Option<PathBuf>,
    hint: Option<String>,
}

/// Names that are told when none is near to what was asked for.
const NAMES_TOLD: usize = 5;

/// Some of the names that there are, and how many more.
fn there_is(known: Vec<&str>) -> String {
    let mut names: Vec<String> = Vec::new();
    for name in known {
        let name = format!("`{name}`");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let more = names.len().saturating_sub(NAMES_TOLD);
    names.truncate(NAMES_TOLD);
    match more {
        0 => format!("there is {}", names.join(", ")),
        more => format!("there is {} and {more} more", names.join(", ")),
    }
}

impl StoreError {
    pub(crate) fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            path: None,
            hint: None,
        }
    }

    /// Nothing of that name; `known` are the names that there are.
    pub(crate) fn not_found<'a>(
        noun: &str,
        text: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let error = Self::new(
            StoreErrorKind::NotFound,
            format!("there is no {noun} `{text}`"),
        );
        let known: Vec<&str> = known.into_iter().collect();
        match ferrotype_core::name::nearest(text, known.iter().copied()) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None if known.is_empty() => error,
            None => error.with_hint(there_is(known)),
        }
    }

    /// A failed file operation; `doing` is what was attempted, such as `write`.
    pub(crate) fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        let (kind, cause) = match error.kind() {
            // Beyond a full disk and a quota: `ulimit -f` answers a write with "file too large".
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => (StoreErrorKind::Full, "no space is left".to_string()),
            io::ErrorKind::NotFound => (StoreErrorKind::NotFound, "it does not exist".to_string()),
            _ => (StoreErrorKind::Io, error.to_string()),
        };
        let failed = Self::new(
            kind,
            format!("cannot {doing} `{}`: {cause}", path.display()),
        )
        .at(path);
        // The usual hint of the kind is about what the store lists.
        if error.kind() == io::ErrorKind::NotFound {
            return failed.with_hint("check the spelling, and that its folder exists");
        }
        failed
    }

    /// The same error, with the file that it is about.
    pub(crate) fn at(mut self, path: &Path) -> Self {
        self.path = Some(path.to_path_buf());
        self
    }

    /// The same error about another file than it was met on.
    pub(crate) fn about(mut self, met: &Path, path: &Path) -> Self {
        let [met, shown] = [met, path].map(|path| path.display().to_string());
        self.message = self.message.replace(&met, &shown);
        self.at(path)
    }

    /// The same error, with what to do next.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The file that the error is about, if it is about one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What to do next, if that is known.
    pub fn hint(&self) -> Option<String> {
        self.hint
            .clone()
            .or_else(|| self.kind.usual_hint().map(str::to_string))
    }
}

impl From<NameError> for StoreError {
    fn from(error: NameError) -> Self {
        Self::new(StoreErrorKind::InvalidName, error.to_string())
    }
}

/// `SQLITE_IOERR_SHMSIZE`: the index of the write-ahead log cannot grow, for want of space.
const SQLITE_NO_SPACE_FOR_INDEX: u32 = 4874;
const SQLITE_FULL: u32 = 13;

/// The primary result code of SQLite (the low byte), if the error is SQLite's.
fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?;
    match code.parse::<u32>().ok()? {
        SQLITE_NO_SPACE_FOR_INDEX => Some(SQLITE_FULL),
        code => Some(code & 0xff),
    }
}

/// Result codes: <https://sqlite.org/rescode.html>.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::PoolTimedOut = error {
            return Self::new(
                StoreErrorKind::Locked,
                "no database connection came free in time",
            );
        }
        let database_error = error.as_database_error();
        let unique = database_error.is_some_and(|e| e.is_unique_violation());
        let dangling = database_error.is_some_and(|e| e.is_foreign_key_violation());
        match sqlite_code(&error) {
            _ if dangling => Self::new(
                StoreErrorKind::NotFound,
                "what it belongs to is not in the store",
            ),
            _ if unique => Self::new(
                StoreErrorKind::AlreadyExists,
                format!("it is in the store already: {error}"),
            ),
            Some(5 | 6) => Self::new(
                StoreErrorKind::Locked,
                "another process holds the database for too long",
            ),
            Some(SQLITE_FULL) => Self::new(
                StoreErrorKind::Full,
                "no space is left for the store's database",
            ),
            Some(11 | 26) => Self::new(
                StoreErrorKind::Corrupt,
                format!("the store's database is damaged: {error}"),
            ),
            Some(8) => Self::new(
                StoreErrorKind::Io,
                "the store's database may not be written",
            ),
            Some(10 | 14) => Self::new(
                StoreErrorKind::Io,
                format!("the store's database cannot be read or written: {error}"),
            ),
            _ => Self::new(StoreErrorKind::Database, format!("the database: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_and_says_what_to_do() {
        let error = StoreError::io(
            "write",
            Path::new("/x"),
            &io::Error::from(io::ErrorKind::StorageFull),
        );
        assert_eq!(error.kind(), StoreErrorKind::Full);
        assert_eq!(error.to_string(), "cannot write `/x`: no space is left");
        assert!(error.hint().unwrap().contains("free some space"));
    }

    #[test]
    fn a_name_that_is_not_there_names_the_nearest() {
        let error = StoreError::not_found("model", "lnad", ["land", "sea"]);
        assert_eq!(error.to_string(), "there is no model `lnad`");
        assert_eq!(error.hint().as_deref(), Some("did you mean `land`?"));
    }

    #[test]
    fn a_file_written_under_another_name_is_told_by_its_own() {
        let temporary = Path::new("/x/.0a.tmp");
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = StoreError::io("write", temporary, &full);
        let error = error.about(temporary, Path::new("/x/report.html"));
        assert_eq!(
            error.to_string(),
            "cannot write `/x/report.html`: no space is left"
        );
        assert_eq!(error.path(), Some(Path::new("/x/report.html")));
    }

    #[test]
    fn of_many_names_some_are_told_and_how_many_more_there_are() {
        let names = ["one", "two", "two", "three", "four", "five", "six", "seven"];
        let error = StoreError::not_found("dataset", "photographs", names);
        assert_eq!(
            error.hint().as_deref(),
            Some("there is `one`, `two`, `three`, `four`, `five` and 2 more")
        );
        let error = StoreError::not_found("dataset", "photographs", ["one", "two"]);
        assert_eq!(error.hint().as_deref(), Some("there is `one`, `two`"));
    }
}
