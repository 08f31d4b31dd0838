//! The connection to the database. Everything that is SQLite's own is in this file and in
//! `migrate.rs`; the statements elsewhere are read by PostgreSQL as well.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::error::{StoreError, StoreErrorKind};

/// The database that is spoken to.
pub(crate) type Engine = sqlx::Sqlite;
/// One connection.
pub(crate) type Connection = sqlx::SqliteConnection;
/// Connections that are shared by tasks.
pub(crate) type Pool = sqlx::SqlitePool;
/// How to connect.
pub(crate) type ConnectOptions = SqliteConnectOptions;

/// How long a statement waits for another process to finish writing. Transactions here take
/// milliseconds; a slow disk under load may need seconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);

/// Readers do not block each other, and there is one writer at a time in any case.
const MAX_CONNECTIONS: u32 = 6;

/// How a command that may write is begun. A transaction that starts as a reader and then writes
/// can fail with "busy" at once, whatever the time-out; one that takes the write lock first
/// waits for its turn.
const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

/// How to connect to the database file at `path`.
///
/// `synchronous = NORMAL` in WAL mode: a commit is written to the log but not flushed. A crash or
/// kill -9 of any process takes nothing that was committed, and the database is never damaged. A
/// power loss or a crash of the operating system may take the last commits, newest first,
/// back to the last flush. What that can be is an import, a registered version or some logged
/// predictions of the last moments, each whole or absent; blobs are flushed before a
/// row names them, so no row points to nothing. [`flushing`] is the exception.
pub(crate) fn connect_options(path: &Path) -> ConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(SqliteSynchronous::Normal)
        .disable_statement_logging()
}

/// The same, with every commit flushed to the disk: for the metric writer, whose few commits a
/// second carry hours of work and whose `flush` promises durability. Flushing the log makes all
/// earlier commits of other connections durable too.
pub(crate) fn flushing(options: ConnectOptions) -> ConnectOptions {
    options.synchronous(SqliteSynchronous::Full)
}

/// The same, switching the file to write-ahead logging (which it then remembers): readers never
/// wait for a writer. Only for the one connection that sets the store up, because the
/// switch needs the file alone.
pub(crate) fn switching_to_wal(options: ConnectOptions) -> ConnectOptions {
    options.journal_mode(SqliteJournalMode::Wal)
}

/// Opens a pool; connections are made as they are needed.
pub(crate) fn pool(options: ConnectOptions) -> Pool {
    SqlitePoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(BUSY_TIMEOUT * 2)
        .connect_lazy_with(options)
}

/// Begins a transaction that may write. Only on connections outside the pool, whose transactions
/// nobody can leave half-way.
pub(crate) async fn begin_write_on(
    connection: &mut Connection,
) -> Result<sqlx::Transaction<'_, Engine>, StoreError> {
    use sqlx::Connection as _;
    Ok(connection.begin_with(BEGIN_WRITE).await?)
}

/// A count or size as the database holds it.
pub(crate) fn to_database(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| {
        StoreError::new(
            StoreErrorKind::Database,
            format!("`{number}` is too large to be stored"),
        )
    })
}
