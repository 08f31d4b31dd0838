//! Metrics of a run over its steps.

use ferrotype_core::id::RunId;
use ferrotype_store::{MetricPoint, Store, StoreError};
use serde::Serialize;
use utoipa::ToSchema;

/// The last value of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct MetricValue {
    /// The metric's key.
    #[schema(example = "val/accuracy")]
    pub(crate) key: String,
    /// The step it was measured at.
    pub(crate) step: u64,
    /// Its value; absent when it is not a number.
    pub(crate) value: Option<f64>,
}

/// A metric over the steps of a run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct MetricSeries {
    /// The metric's key.
    #[schema(example = "train/loss")]
    pub(crate) key: String,
    /// The steps, ascending.
    pub(crate) steps: Vec<u64>,
    /// The value at each step; absent when it is not a number.
    pub(crate) values: Vec<Option<f64>>,
}

/// Metrics of a run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RunMetrics {
    /// All keys of the run.
    pub(crate) keys: Vec<String>,
    /// The metrics asked for.
    pub(crate) series: Vec<MetricSeries>,
}

impl MetricSeries {
    /// The history of a metric, thinned to at most `points`.
    pub(crate) async fn load(
        store: &Store,
        run: RunId,
        key: &str,
        points: usize,
    ) -> Result<Self, StoreError> {
        let history = store.metric_history(run, key).await?;
        let kept = thin(&history, points);
        Ok(Self {
            key: key.to_string(),
            steps: kept.iter().map(|point| point.step).collect(),
            values: kept.iter().map(|point| finite(point.value)).collect(),
        })
    }
}

impl RunMetrics {
    /// The metrics of those keys that the run has; of all when no key is given.
    pub(crate) async fn load(
        store: &Store,
        run: RunId,
        wanted: &[String],
        points: usize,
    ) -> Result<Self, StoreError> {
        let keys = store.metric_keys(run).await?;
        let mut series = Vec::new();
        for key in &keys {
            if wanted.is_empty() || wanted.contains(key) {
                series.push(MetricSeries::load(store, run, key, points).await?);
            }
        }
        Ok(Self { keys, series })
    }
}

/// JSON has no NaN and no infinity.
pub(crate) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// At most `limit` points (at least 2) that keep the curve's look: the first, the last, and of
/// each stretch between them the one that makes the largest triangle with its neighbours
/// (Steinarsson 2013, "Downsampling Time Series for Visual Representation").
fn thin(points: &[MetricPoint], limit: usize) -> Vec<MetricPoint> {
    let limit = limit.max(2);
    if points.len() <= limit {
        return points.to_vec();
    }
    let inner = limit - 2;
    let mut kept = vec![points[0]];
    let edge = |bucket: usize| 1 + bucket * (points.len() - 2) / inner.max(1);
    for bucket in 0..inner {
        let stretch = &points[edge(bucket)..edge(bucket + 1)];
        let next = match bucket + 1 < inner {
            true => &points[edge(bucket + 1)..edge(bucket + 2)],
            false => &points[points.len() - 1..],
        };
        let after = middle(next);
        let before = position(&kept[kept.len() - 1]);
        let largest = stretch.iter().max_by(|a, b| {
            triangle(before, position(a), after).total_cmp(&triangle(before, position(b), after))
        });
        kept.extend(largest);
    }
    kept.push(points[points.len() - 1]);
    kept
}

fn position(point: &MetricPoint) -> (f64, f64) {
    (point.step as f64, finite(point.value).unwrap_or(0.0))
}

fn middle(points: &[MetricPoint]) -> (f64, f64) {
    let count = points.len().max(1) as f64;
    let sum = points
        .iter()
        .map(position)
        .fold((0.0, 0.0), |sum, at| (sum.0 + at.0, sum.1 + at.1));
    (sum.0 / count, sum.1 / count)
}

/// Twice the area of a triangle.
fn triangle(a: (f64, f64), b: (f64, f64), c: (f64, f64)) -> f64 {
    ((a.0 - c.0) * (b.1 - a.1) - (a.0 - b.0) * (c.1 - a.1)).abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrotype_core::time::Timestamp;

    fn points(values: impl Iterator<Item = f64>) -> Vec<MetricPoint> {
        values
            .enumerate()
            .map(|(step, value)| MetricPoint {
                step: step as u64,
                time: Timestamp::from_millis(0),
                value,
            })
            .collect()
    }

    #[test]
    fn a_thinned_curve_keeps_its_ends_and_its_peak() {
        let curve = points((0..1000).map(|i| if i == 500 { 100.0 } else { 1.0 }));
        let thinned = thin(&curve, 50);
        assert_eq!(thinned.len(), 50);
        assert_eq!((thinned[0].step, thinned[49].step), (0, 999));
        assert!(thinned.iter().any(|point| point.value == 100.0));
        assert!(thinned.windows(2).all(|pair| pair[0].step < pair[1].step));
    }

    #[test]
    fn a_short_curve_and_a_tiny_limit_are_no_special_case() {
        let curve = points([1.0, f64::NAN, 3.0].into_iter());
        assert_eq!(thin(&curve, 50).len(), 3);
        assert_eq!(thin(&points((0..9).map(f64::from)), 0).len(), 2);
        assert_eq!(thin(&[], 10).len(), 0);
        assert_eq!(finite(f64::NAN), None);
    }
}
