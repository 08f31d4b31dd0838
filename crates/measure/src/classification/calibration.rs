//! How far the confidence of the predicted class is from how often it is right.

use serde::{Deserialize, Serialize};

/// Number of confidence bins of equal width, as in Guo et al. 2017 (arXiv:1706.04599).
pub const CALIBRATION_BINS: usize = 15;

/// The samples whose predicted class has a confidence above `lower` and up to `upper`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Lower end of the confidences, exclusive (inclusive for the first bin).
    pub lower: f64,
    /// Upper end of the confidences, inclusive.
    pub upper: f64,
    /// Samples in the bin.
    pub count: u64,
    /// Their mean confidence, 0 in an empty bin.
    pub mean_confidence: f64,
    /// The fraction of them that is right, 0 in an empty bin.
    pub accuracy: f64,
}

/// Counts and sums of one bin.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    count: u64,
    right: u64,
    confidence_sum: f64,
}

/// A streaming accumulator of top-label calibration.
#[derive(Debug, Clone)]
pub(super) struct Calibration {
    tallies: [Tally; CALIBRATION_BINS],
}

impl Calibration {
    pub(super) fn new() -> Self {
        Self {
            tallies: [Tally::default(); CALIBRATION_BINS],
        }
    }

    pub(super) fn update(&mut self, confidence: f32, right: bool) {
        let tally = &mut self.tallies[bin_of(confidence)];
        tally.count += 1;
        tally.right += u64::from(right);
        tally.confidence_sum += f64::from(confidence);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (tally, more) in self.tallies.iter_mut().zip(&other.tallies) {
            tally.count += more.count;
            tally.right += more.right;
            tally.confidence_sum += more.confidence_sum;
        }
    }

    pub(super) fn bins(&self) -> Vec<CalibrationBin> {
        self.tallies
            .iter()
            .enumerate()
            .map(|(index, tally)| CalibrationBin {
                lower: index as f64 / CALIBRATION_BINS as f64,
                upper: (index + 1) as f64 / CALIBRATION_BINS as f64,
                count: tally.count,
                mean_confidence: mean(tally.confidence_sum, tally.count),
                accuracy: mean(tally.right as f64, tally.count),
            })
            .collect()
    }

    /// The mean over samples of |accuracy − mean confidence| of their bin
    /// (Guo et al. 2017, equation 3); 0 without samples.
    pub(super) fn expected_error(&self) -> f64 {
        let count: u64 = self.tallies.iter().map(|tally| tally.count).sum();
        let gap_sum: f64 = self
            .tallies
            .iter()
            .map(|tally| (tally.right as f64 - tally.confidence_sum).abs())
            .sum();
        mean(gap_sum, count)
    }
}

/// The bin `(m / 15, (m + 1) / 15]` of a confidence; 0 belongs to the first.
fn bin_of(confidence: f32) -> usize {
    let above = (f64::from(confidence) * CALIBRATION_BINS as f64).ceil() as usize;
    above.saturating_sub(1).min(CALIBRATION_BINS - 1)
}

fn mean(sum: f64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}
