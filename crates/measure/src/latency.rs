//! How long answers take: mean, percentiles, the longest.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Times of answers, of which every one is kept, so that percentiles are exact.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latencies {
    milliseconds: Vec<f64>,
}

/// How long answers take, in milliseconds. A percentile is by the nearest rank: the shortest time
/// that as large a share of the answers took at most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatencyReport {
    /// Answers.
    pub count: u64,
    /// Their mean.
    pub mean_ms: f64,
    /// Half of them took at most so long.
    pub p50_ms: f64,
    /// 90 % of them did.
    pub p90_ms: f64,
    /// 99 % of them did.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Latencies {
    /// No answers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the time of an answer.
    pub fn update(&mut self, latency: Duration) {
        self.milliseconds.push(latency.as_secs_f64() * 1e3);
    }

    /// Adds another's answers.
    pub fn merge(&mut self, other: &Self) {
        self.milliseconds.extend_from_slice(&other.milliseconds);
    }

    /// The answers.
    pub fn count(&self) -> usize {
        self.milliseconds.len()
    }

    /// Every answer's time in milliseconds, in the order in which they came.
    pub fn milliseconds(&self) -> &[f64] {
        &self.milliseconds
    }

    /// All times added up, in milliseconds.
    pub fn total_ms(&self) -> f64 {
        self.milliseconds.iter().sum()
    }

    /// What the times come to; none without an answer.
    pub fn finish(&self) -> Option<LatencyReport> {
        let mut sorted = self.milliseconds.clone();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        Some(LatencyReport {
            count: count as u64,
            mean_ms: self.total_ms() / count as f64,
            p50_ms: percentile(&sorted, 50)?,
            p90_ms: percentile(&sorted, 90)?,
            p99_ms: percentile(&sorted, 99)?,
            max_ms: percentile(&sorted, 100)?,
        })
    }
}

/// The percentile of numbers in ascending order by the nearest rank: the smallest of them that
/// `percent` per cent of them do not exceed. None of an empty list.
pub fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent.min(100)).div_ceil(100);
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(milliseconds: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::new();
        for time in milliseconds {
            latencies.update(Duration::from_millis(time));
        }
        latencies
    }

    #[test]
    fn percentiles_are_by_the_nearest_rank() {
        // In no order: each of 1 to 200 once.
        let report = latencies((1..=200).map(|n| n * 67 % 201)).finish().unwrap();
        let found = [
            report.mean_ms,
            report.p50_ms,
            report.p90_ms,
            report.p99_ms,
            report.max_ms,
        ];
        let expected = [100.5, 100.0, 180.0, 198.0, 200.0];
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
        }
        assert_eq!(report.count, 200);
    }

    #[test]
    fn a_percentile_between_two_answers_is_the_longer() {
        let five = [15.0, 20.0, 35.0, 40.0, 50.0];
        let cases = [(0, 15.0), (20, 15.0), (21, 20.0), (40, 20.0), (50, 35.0)];
        for (percent, expected) in cases {
            assert_eq!(percentile(&five, percent), Some(expected), "{percent}");
        }
        assert_eq!(percentile(&five, 100), Some(50.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn one_answer_is_every_percentile_and_none_has_none() {
        let one = latencies([7]).finish().unwrap();
        assert_eq!([one.p50_ms, one.p99_ms, one.max_ms], [7.0; 3]);
        assert_eq!(Latencies::new().finish(), None);
    }

    #[test]
    fn merging_gives_what_one_pass_gives() {
        let mut first = latencies([3, 1]);
        first.merge(&latencies([2]));
        assert_eq!(first, latencies([3, 1, 2]));
        assert_eq!(first.total_ms(), 6.0);
    }
}
