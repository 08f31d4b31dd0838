//! Brings a store's database to the schema that this program knows.
//!
//! Migrations are SQL files under `migrations/`, embedded in the binary, applied in order inside
//! one transaction and recorded with their digest. They are never edited once released.

use std::path::Path;

use ferrotype_core::time::Timestamp;
use sqlx::ConnectOptions as _;
use sqlx::{Connection as _, Executor as _};

use crate::database::{self, ConnectOptions, Connection};
use crate::digest::Digest;
use crate::error::{StoreError, StoreErrorKind};
use crate::os_lock::OsLock;
use crate::row::Columns as _;

struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "initial",
    sql: include_str!("../migrations/0001_initial.sql"),
}];

/// The newest schema that this program knows.
pub const SCHEMA_VERSION: u32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Makes the database if there is none, and brings its schema up to date.
///
/// Several processes may do it at once: the file lock makes them take turns (switching a file to
/// write-ahead logging fails at once, without waiting, while another connection is open).
pub(crate) async fn prepare(
    options: &ConnectOptions,
    lock_path: &Path,
    now: Timestamp,
) -> Result<(), StoreError> {
    let _turn = wait_for_turn(lock_path).await?;
    let mut connection = database::switching_to_wal(options.clone())
        .connect()
        .await?;
    let outcome = migrate(&mut connection, now).await;
    let closed = connection.close().await;
    outcome?;
    Ok(closed?)
}

async fn wait_for_turn(lock_path: &Path) -> Result<OsLock, StoreError> {
    let path = lock_path.to_path_buf();
    let waiting = tokio::task::spawn_blocking(move || OsLock::acquire(&path));
    waiting.await.map_err(|error| {
        StoreError::new(
            StoreErrorKind::Io,
            format!("waiting for the store's lock was cut short: {error}"),
        )
    })?
}

async fn migrate(connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
    let mut transaction = database::begin_write_on(connection).await?;
    transaction
        .execute(
            "CREATE TABLE IF NOT EXISTS schema_migration (
                version BIGINT NOT NULL PRIMARY KEY,
                name TEXT NOT NULL,
                digest TEXT NOT NULL,
                applied_at BIGINT NOT NULL
            )",
        )
        .await?;
    let applied = applied_migrations(&mut transaction).await?;
    check_known(&applied)?;
    for migration in &MIGRATIONS[applied.len()..] {
        sqlx::raw_sql(migration.sql)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO schema_migration (version, name, digest, applied_at)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(i64::from(migration.version))
        .bind(migration.name)
        .bind(Digest::of(migration.sql.as_bytes()).to_string())
        .bind(now.as_millis())
        .execute(&mut *transaction)
        .await?;
    }
    Ok(transaction.commit().await?)
}

struct Applied {
    version: u32,
    digest: String,
}

async fn applied_migrations(connection: &mut Connection) -> Result<Vec<Applied>, StoreError> {
    let rows = sqlx::query("SELECT version, digest FROM schema_migration ORDER BY version")
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Applied {
                version: row.whole("version")?,
                digest: row.text("digest")?,
            })
        })
        .collect()
}

/// Refuses a store of a newer program, and one whose schema took another way than ours.
fn check_known(applied: &[Applied]) -> Result<(), StoreError> {
    if let Some(newest) = applied.last().filter(|a| a.version > SCHEMA_VERSION) {
        return Err(StoreError::new(
            StoreErrorKind::NewerSchema,
            format!(
                "the store has schema version `{}`, this program reads up to `{SCHEMA_VERSION}`",
                newest.version
            ),
        ));
    }
    let same = applied.iter().zip(MIGRATIONS).all(|(applied, migration)| {
        applied.version == migration.version
            && applied.digest == Digest::of(migration.sql.as_bytes()).to_string()
    });
    if same && applied.len() <= MIGRATIONS.len() {
        return Ok(());
    }
    Err(StoreError::new(
        StoreErrorKind::Corrupt,
        "the store's schema was made by a program that is no release of Ferrotype",
    )
    .with_hint("use the program that made it, or another project folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_from_one_without_gaps() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version as usize, index + 1);
        }
    }

    #[test]
    fn a_migration_that_was_edited_is_noticed() {
        let error = check_known(&[Applied {
            version: 1,
            digest: "0".repeat(64),
        }])
        .unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    }
}
