//! Metrics: one series of points per run and key, stored in chunks.
//!
//! A row per point would cost some 100 bytes and an index entry each; a chunk packs 512 points
//! into three arrays, so that reading a curve of 100,000 steps reads 200 rows. The last chunk is
//! rewritten until it is full.

use std::collections::BTreeMap;

use ferrotype_core::id::RunId;
use ferrotype_core::time::Timestamp;
use serde::Serialize;

use crate::database::Connection;
use crate::error::{StoreError, StoreErrorKind};
use crate::row::{Columns as _, DatabaseRow};
use crate::store::Store;

/// Points in a full chunk.
pub const CHUNK_POINTS: usize = 512;

/// One value of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MetricPoint {
    /// The training step (or epoch) that it belongs to.
    pub step: u64,
    /// When it was logged.
    pub time: Timestamp,
    /// The value; may be NaN or infinite.
    pub value: f64,
}

/// A chunk as the database holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chunk {
    number: i64,
    steps: Vec<u8>,
    times: Vec<u8>,
    values: Vec<u8>,
}

const WORD: usize = 8;

impl Chunk {
    fn pack(number: i64, points: &[MetricPoint]) -> Self {
        fn words(each: impl Iterator<Item = [u8; WORD]>) -> Vec<u8> {
            each.flatten().collect()
        }
        Self {
            number,
            steps: words(points.iter().map(|p| p.step.to_le_bytes())),
            times: words(points.iter().map(|p| p.time.as_millis().to_le_bytes())),
            values: words(points.iter().map(|p| p.value.to_le_bytes())),
        }
    }

    fn unpack(&self) -> Result<Vec<MetricPoint>, StoreError> {
        let same_length = self.steps.len() == self.times.len()
            && self.steps.len() == self.values.len()
            && self.steps.len().is_multiple_of(WORD);
        if !same_length {
            return Err(StoreError::new(
                StoreErrorKind::Corrupt,
                format!(
                    "metric chunk `{}` has arrays of unequal length",
                    self.number
                ),
            ));
        }
        let (steps, _) = self.steps.as_chunks::<WORD>();
        let (times, _) = self.times.as_chunks::<WORD>();
        let (values, _) = self.values.as_chunks::<WORD>();
        Ok(steps
            .iter()
            .zip(times)
            .zip(values)
            .map(|((step, time), value)| MetricPoint {
                step: u64::from_le_bytes(*step),
                time: Timestamp::from_millis(i64::from_le_bytes(*time)),
                value: f64::from_le_bytes(*value),
            })
            .collect())
    }

    fn from_row(row: &DatabaseRow) -> Result<Self, StoreError> {
        Ok(Self {
            number: row.value("chunk")?,
            steps: row.value("step_data")?,
            times: row.value("time_data")?,
            values: row.value("value_data")?,
        })
    }
}

/// A step as the database compares it.
fn step_to_database(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}

/// Adds points to a series, in a transaction that the caller holds. A point at a step that the
/// series has replaces that point, so that logging the same steps again changes nothing.
pub(crate) async fn add_points(
    connection: &mut Connection,
    run: RunId,
    key: &str,
    mut new: Vec<MetricPoint>,
) -> Result<(), StoreError> {
    new.sort_by_key(|point| point.step);
    let Some(first) = new.first() else {
        return Ok(());
    };
    let stored = end_of_series(connection, run, key, first.step).await?;
    let mut points = Vec::new();
    for chunk in &stored {
        points.extend(chunk.unpack()?);
    }
    let points = merged(points, new);
    let first_number = stored.first().map_or(0, |chunk| chunk.number);
    for (number, points) in (first_number..).zip(points.chunks(CHUNK_POINTS)) {
        let chunk = Chunk::pack(number, points);
        if !stored.contains(&chunk) {
            write_chunk(connection, run, key, &chunk, points).await?;
        }
    }
    Ok(())
}

/// Both in rising steps, each step once, `new` before `old`. Both are sorted already but may
/// interleave.
fn merged(mut points: Vec<MetricPoint>, new: Vec<MetricPoint>) -> Vec<MetricPoint> {
    points.extend(new);
    points.sort_by_key(|point| point.step); // stable: later ones stay later
    points.reverse();
    points.dedup_by_key(|point| point.step); // keeps the first, which is the latest
    points.reverse();
    points
}

/// The chunks that points from `step` on may change: those that reach it, and the last.
async fn end_of_series(
    connection: &mut Connection,
    run: RunId,
    key: &str,
    step: u64,
) -> Result<Vec<Chunk>, StoreError> {
    let rows = sqlx::query(
        "SELECT chunk, step_data, time_data, value_data FROM metric_chunk
         WHERE run_id = $1 AND key = $2 AND (last_step >= $3 OR chunk =
             (SELECT MAX(chunk) FROM metric_chunk WHERE run_id = $1 AND key = $2))
         ORDER BY chunk",
    )
    .bind(run.to_string())
    .bind(key)
    .bind(step_to_database(step))
    .fetch_all(connection)
    .await?;
    rows.iter().map(Chunk::from_row).collect()
}

async fn write_chunk(
    connection: &mut Connection,
    run: RunId,
    key: &str,
    chunk: &Chunk,
    points: &[MetricPoint],
) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO metric_chunk (run_id, key, chunk, point_count, first_step, last_step,
             step_data, time_data, value_data)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (run_id, key, chunk) DO UPDATE SET
             point_count = excluded.point_count, first_step = excluded.first_step,
             last_step = excluded.last_step, step_data = excluded.step_data,
             time_data = excluded.time_data, value_data = excluded.value_data",
    )
    .bind(run.to_string())
    .bind(key)
    .bind(chunk.number)
    .bind(points.len() as i64)
    .bind(step_to_database(first.step))
    .bind(step_to_database(last.step))
    .bind(&chunk.steps)
    .bind(&chunk.times)
    .bind(&chunk.values)
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// All points of a metric, in rising steps. Empty when the run has no such metric.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn metric_history(
        &self,
        run: RunId,
        key: &str,
    ) -> Result<Vec<MetricPoint>, StoreError> {
        let rows = sqlx::query(
            "SELECT chunk, step_data, time_data, value_data FROM metric_chunk
             WHERE run_id = $1 AND key = $2 ORDER BY chunk",
        )
        .bind(run.to_string())
        .bind(key)
        .fetch_all(self.pool())
        .await?;
        let mut points = Vec::with_capacity(rows.len() * CHUNK_POINTS);
        for row in &rows {
            points.extend(Chunk::from_row(row)?.unpack()?);
        }
        Ok(points)
    }

    /// The metrics that a run has, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn metric_keys(&self, run: RunId) -> Result<Vec<String>, StoreError> {
        let rows =
            sqlx::query("SELECT DISTINCT key FROM metric_chunk WHERE run_id = $1 ORDER BY key")
                .bind(run.to_string())
                .fetch_all(self.pool())
                .await?;
        rows.iter().map(|row| row.text("key")).collect()
    }

    /// The point of the highest step, per metric.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn last_metrics(
        &self,
        run: RunId,
    ) -> Result<BTreeMap<String, MetricPoint>, StoreError> {
        let rows = sqlx::query(
            "SELECT key, chunk, step_data, time_data, value_data FROM metric_chunk c
             WHERE run_id = $1 AND chunk =
                 (SELECT MAX(chunk) FROM metric_chunk d WHERE d.run_id = $1 AND d.key = c.key)",
        )
        .bind(run.to_string())
        .fetch_all(self.pool())
        .await?;
        let mut last = BTreeMap::new();
        for row in &rows {
            if let Some(point) = Chunk::from_row(row)?.unpack()?.last() {
                last.insert(row.text("key")?, *point);
            }
        }
        Ok(last)
    }

    /// Removes all points of a run beyond `step`, in every metric: what a resumed run starts with
    /// when its checkpoint is older than the last points. Flush the [`crate::Writer`] before.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn truncate_metrics_after(&self, run: RunId, step: u64) -> Result<(), StoreError> {
        self.transact(async move |connection| truncate_after(connection, run, step).await)
            .await
    }
}

async fn truncate_after(
    connection: &mut Connection,
    run: RunId,
    step: u64,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM metric_chunk WHERE run_id = $1 AND first_step > $2")
        .bind(run.to_string())
        .bind(step_to_database(step))
        .execute(&mut *connection)
        .await?;
    let cut = sqlx::query(
        "SELECT key, chunk, step_data, time_data, value_data FROM metric_chunk
         WHERE run_id = $1 AND last_step > $2",
    )
    .bind(run.to_string())
    .bind(step_to_database(step))
    .fetch_all(&mut *connection)
    .await?;
    for row in &cut {
        let chunk = Chunk::from_row(row)?;
        let mut points = chunk.unpack()?;
        points.retain(|point| point.step <= step);
        let shorter = Chunk::pack(chunk.number, &points);
        write_chunk(connection, run, &row.text("key")?, &shorter, &points).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: u64, value: f64) -> MetricPoint {
        MetricPoint {
            step,
            time: Timestamp::from_millis(1_000 + step as i64),
            value,
        }
    }

    #[test]
    fn a_chunk_survives_packing_and_keeps_values_that_sql_does_not_know() {
        let points = [
            point(0, f64::INFINITY),
            point(7, -0.0),
            point(u64::MAX, 1e-300),
        ];
        assert_eq!(Chunk::pack(0, &points).unpack().unwrap(), points);
        let nan = Chunk::pack(0, &[point(0, f64::NAN)]).unpack().unwrap();
        assert!(nan[0].value.is_nan());
    }

    #[test]
    fn a_chunk_is_packed_little_endian() {
        let chunk = Chunk::pack(0, &[point(258, 1.0)]);
        assert_eq!(chunk.steps, [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(chunk.values, [0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    }

    #[test]
    fn a_chunk_of_unequal_arrays_is_corrupt() {
        let mut chunk = Chunk::pack(0, &[point(1, 1.0)]);
        chunk.times.pop();
        assert_eq!(chunk.unpack().unwrap_err().kind(), StoreErrorKind::Corrupt);
    }

    #[test]
    fn merging_sorts_by_step_and_the_latest_of_a_step_wins() {
        let points = merged(
            vec![point(1, 1.0), point(3, 3.0)],
            vec![point(2, 2.0), point(3, 30.0), point(3, 31.0)],
        );
        let pairs: Vec<_> = points.iter().map(|p| (p.step, p.value)).collect();
        assert_eq!(pairs, [(1, 1.0), (2, 2.0), (3, 31.0)]);
    }
}
