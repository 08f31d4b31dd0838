//! The store: opening it, and the parts it is made of.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferrotype_core::id::PredictionId;
use ferrotype_core::time::{Clock, Timestamp};

use crate::atomic_file::{create_folder, fill_random, write_file_atomically};
use crate::blobs::Blobs;
use crate::database::{self, ConnectOptions, Connection, Pool};
use crate::error::{StoreError, StoreErrorKind};
use crate::migrate;
use crate::write_thread::WriteThread;

/// The database file's name in the store's folder.
const DATABASE_FILE: &str = "ferrotype.db";

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// The folder, usually `.ferrotype` in the project; made if there is none.
    pub root: PathBuf,
    /// Another database than `ferrotype.db` in the folder: `sqlite://PATH`.
    pub database_url: Option<String>,
}

impl StoreOptions {
    /// A store in one folder.
    pub fn in_folder(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            database_url: None,
        }
    }

    fn database_path(&self) -> Result<PathBuf, StoreError> {
        let Some(url) = &self.database_url else {
            return Ok(self.root.join(DATABASE_FILE));
        };
        let path = url
            .strip_prefix("sqlite://")
            .or_else(|| url.strip_prefix("sqlite:"));
        match path {
            Some(path) if !path.is_empty() && !path.contains(['?', ':']) => Ok(PathBuf::from(path)),
            // The URL may carry a password, so it is not repeated.
            _ => Err(StoreError::new(
                StoreErrorKind::Database,
                "the database URL is not one that this program can open",
            )
            .with_hint("use `sqlite:///absolute/path/to/file.db`, or leave it out")),
        }
    }
}

/// The database and the blobs of a project. Cheap to clone; usable from several threads, and the
/// folder from several processes at once.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    connect_options: ConnectOptions,
    pool: Pool,
    write_thread: WriteThread,
    blobs: Blobs,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("root", &self.inner.root)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in a folder, making it and bringing its schema up to date as needed.
    ///
    /// # Errors
    /// `NewerSchema` when a newer program wrote it, `Corrupt` when the database file is none,
    /// `Full` or `Io` when the folder cannot be written.
    pub async fn open(options: StoreOptions, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let database_path = options.database_path()?;
        let root = options.root;
        create_folder(&root)?;
        for folder in ["runs", "jobs"] {
            create_folder(&root.join(folder))?;
        }
        keep_out_of_git(&root)?;
        let blobs = Blobs::open(root.join("blobs"))?;
        let connect_options = database::connect_options(&database_path);
        migrate::prepare(&connect_options, &root.join("open.lock"), clock.now())
            .await
            .map_err(|error| name_the_file(error, &database_path))?;
        let pool = database::pool(connect_options.clone());
        let write_thread = WriteThread::start(connect_options.clone())?;
        Ok(Self {
            inner: Arc::new(Inner {
                root,
                connect_options,
                pool,
                write_thread,
                blobs,
                clock,
            }),
        })
    }

    /// Waits until no statement runs and closes all connections, for a clean end.
    pub async fn close(&self) {
        self.inner.write_thread.close().await;
        self.inner.pool.close().await;
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// The content-addressed files.
    pub fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }

    /// The clock that rows are dated with.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// An id for a prediction that is being made now.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn new_prediction_id(&self) -> Result<PredictionId, StoreError> {
        self.new_id(PredictionId::new)
    }

    pub(crate) fn new_id<T>(&self, make: fn(Timestamp, &[u8; 10]) -> T) -> Result<T, StoreError> {
        let mut random = [0; 10];
        fill_random(&mut random)?;
        Ok(make(self.now(), &random))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(crate) fn connect_options(&self) -> &ConnectOptions {
        &self.inner.connect_options
    }

    /// Runs `act` in a transaction that may write, committed when it answers `Ok`. It runs on a
    /// thread of its own and to its end, even when the caller gives up.
    pub(crate) async fn transact<T, Act>(&self, act: Act) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Act: AsyncFnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.inner.write_thread.transact(act).await
    }
}

/// The folder holds data, not source: git shall not see it.
fn keep_out_of_git(root: &Path) -> Result<(), StoreError> {
    let path = root.join(".gitignore");
    if path.exists() {
        return Ok(());
    }
    write_file_atomically(&path, b"*\n")
}

/// Adds the database's path to an error met on opening it.
fn name_the_file(error: StoreError, path: &Path) -> StoreError {
    if error.path().is_some() {
        return error;
    }
    let hint = match error.kind() {
        StoreErrorKind::Corrupt => Some(format!(
            "restore `{}` from a backup, or move it away to start anew (blobs and runs stay)",
            path.display()
        )),
        _ => error.hint(),
    };
    let named = StoreError::new(error.kind(), format!("{error} (`{}`)", path.display())).at(path);
    match hint {
        Some(hint) => named.with_hint(hint),
        None => named,
    }
}
