//! Reading typed columns. A value that cannot be read as its type was not written by us, so the
//! error is `Corrupt` and names the column.

use std::fmt::Display;
use std::str::FromStr;

use ferrotype_core::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{Database, Decode, Row, Type};

use crate::database::Engine;
use crate::error::{StoreError, StoreErrorKind};

pub(crate) type DatabaseRow = <Engine as Database>::Row;

fn corrupt(column: &str, reason: impl Display) -> StoreError {
    StoreError::new(
        StoreErrorKind::Corrupt,
        format!("column `{column}` of the store's database cannot be read: {reason}"),
    )
}

/// Typed access to the columns of a row.
pub(crate) trait Columns {
    /// A value of a type that the database knows.
    fn value<T>(&self, column: &str) -> Result<T, StoreError>
    where
        T: for<'r> Decode<'r, Engine> + Type<Engine>;

    /// Text.
    fn text(&self, column: &str) -> Result<String, StoreError> {
        self.value(column)
    }

    /// Text that reads as a `T`, such as an id.
    fn parsed<T>(&self, column: &str) -> Result<T, StoreError>
    where
        T: FromStr<Err: Display>,
    {
        self.text(column)?.parse().map_err(|e| corrupt(column, e))
    }

    /// Text that reads as a `T`, or nothing.
    fn parsed_or_none<T>(&self, column: &str) -> Result<Option<T>, StoreError>
    where
        T: FromStr<Err: Display>,
    {
        let text: Option<String> = self.value(column)?;
        text.map(|text| text.parse().map_err(|e| corrupt(column, e)))
            .transpose()
    }

    /// JSON of a `T`.
    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|e| corrupt(column, e))
    }

    /// A moment.
    fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_millis(self.value(column)?))
    }

    /// A moment, or none.
    fn time_or_none(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        let milliseconds: Option<i64> = self.value(column)?;
        Ok(milliseconds.map(Timestamp::from_millis))
    }

    /// A number that is never negative and fits `T`.
    fn whole<T: TryFrom<i64>>(&self, column: &str) -> Result<T, StoreError> {
        let number: i64 = self.value(column)?;
        T::try_from(number).map_err(|_| corrupt(column, format!("`{number}` is out of range")))
    }
}

impl Columns for DatabaseRow {
    fn value<T>(&self, column: &str) -> Result<T, StoreError>
    where
        T: for<'r> Decode<'r, Engine> + Type<Engine>,
    {
        self.try_get(column).map_err(|e| corrupt(column, e))
    }
}

/// A value as JSON text, as [`Columns::json`] reads it.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| {
        StoreError::new(
            StoreErrorKind::Database,
            format!("a value cannot be written as JSON: {error}"),
        )
    })
}
