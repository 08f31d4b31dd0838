//! How well scores put positive samples above negative ones.

/// The exact area under the ROC curve: the probability that a random positive sample scores above
/// a random negative one, where a tie counts half (the Mann–Whitney statistic).
///
/// `samples` are pairs of score and whether the sample is positive. Absent when there is no
/// positive or no negative sample. Counted in integers, so the order of the samples has no effect.
pub fn auroc(samples: impl IntoIterator<Item = (f32, bool)>) -> Option<f64> {
    let mut samples: Vec<(f32, bool)> = samples.into_iter().collect();
    samples.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut positives: u128 = 0;
    let mut negatives: u128 = 0;
    // Twice the number of pairs in the right order, so that a tie counts 1 rather than ½.
    let mut doubled_wins: u128 = 0;
    // -0.0 and 0.0 are one score: `==` rather than the total order decides what a tie is.
    for tied in samples.chunk_by(|a, b| a.0 == b.0) {
        let tied_positives = tied.iter().filter(|(_, positive)| *positive).count() as u128;
        let tied_negatives = tied.len() as u128 - tied_positives;
        doubled_wins += tied_positives * (2 * negatives + tied_negatives);
        positives += tied_positives;
        negatives += tied_negatives;
    }
    let pairs = positives * negatives;
    (pairs > 0).then(|| doubled_wins as f64 / (2 * pairs) as f64)
}

/// Average precision: the mean over the positive samples of the precision among all samples that
/// score at least as high, equal scores taken together (scikit-learn's `average_precision_score`,
/// without interpolation).
///
/// `samples` are pairs of score and whether the sample is positive. Absent when none is positive.
pub fn average_precision(samples: impl IntoIterator<Item = (f32, bool)>) -> Option<f64> {
    let mut samples: Vec<(f32, bool)> = samples.into_iter().collect();
    samples.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut positives: u64 = 0;
    let mut seen: u64 = 0;
    let mut sum = 0.0;
    for tied in samples.chunk_by(|a, b| a.0 == b.0) {
        let tied_positives = tied.iter().filter(|(_, positive)| *positive).count() as u64;
        positives += tied_positives;
        seen += tied.len() as u64;
        sum += tied_positives as f64 * (positives as f64 / seen as f64);
    }
    (positives > 0).then(|| sum / positives as f64)
}

/// A threshold and the F1 of answering everything above it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThresholdScore {
    /// Between 0 and 1.
    pub threshold: f32,
    /// The F1 there.
    pub f1: f64,
}

/// The threshold whose answers have the best F1; of several as good, the one nearest to a half.
///
/// It lies in the middle of two neighbouring scores, written with as few digits as still tell them
/// apart. `samples` are pairs of probability and whether the sample is positive. Absent when none
/// is positive, or no score is over 0.
pub fn best_f1_threshold(samples: impl IntoIterator<Item = (f32, bool)>) -> Option<ThresholdScore> {
    let mut samples: Vec<(f32, bool)> = samples.into_iter().collect();
    samples.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let positives = samples.iter().filter(|(_, positive)| *positive).count();
    let mut right = 0;
    let mut answered = 0;
    let mut best: Option<ThresholdScore> = None;
    let mut groups = samples.chunk_by(|a, b| a.0 == b.0).peekable();
    while let Some(tied) = groups.next() {
        let score = tied.first()?.0;
        if score <= 0.0 {
            break;
        }
        right += tied.iter().filter(|(_, positive)| *positive).count();
        answered += tied.len();
        let below = groups.peek().and_then(|next| next.first());
        let found = ThresholdScore {
            threshold: between(below.map_or(0.0, |(below, _)| *below), score),
            f1: 2.0 * right as f64 / (answered + positives) as f64,
        };
        if right > 0 && best.is_none_or(|best| found.is_better_than(&best)) {
            best = Some(found);
        }
    }
    best
}

impl ThresholdScore {
    fn is_better_than(&self, other: &Self) -> bool {
        let from_half = |score: &Self| (score.threshold - 0.5).abs();
        self.f1 > other.f1 || (self.f1 == other.f1 && from_half(self) < from_half(other))
    }
}

/// A number from `low` on and below `high`, near their middle, with few digits.
fn between(low: f32, high: f32) -> f32 {
    let middle = f64::midpoint(low.into(), high.into());
    let fits = |number: f32| number > 0.0 && number >= low && number < high;
    [1e2, 1e3, 1e4, 1e5]
        .into_iter()
        .map(|scale: f64| ((middle * scale).round() / scale) as f32)
        .chain([middle as f32, low])
        .find(|number| fits(*number))
        // Only where nothing but 0 is below a score that is hardly a number.
        .unwrap_or(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(samples: &[(f32, bool)]) -> Option<(f32, f64)> {
        let best = best_f1_threshold(samples.iter().copied())?;
        Some((best.threshold, best.f1))
    }

    #[test]
    fn the_best_threshold_lies_between_two_scores() {
        let samples = [(0.9, true), (0.2, false), (0.4, true), (0.1, false)];
        assert_eq!(best(&samples), Some((0.3, 1.0)));
        assert_eq!(best(&[(0.9, false), (0.9, true)]), Some((0.45, 2.0 / 3.0)));
        assert_eq!(best(&[(0.9, false)]), None);
        assert_eq!(best(&[(0.0, true)]), None);
    }

    #[test]
    fn no_threshold_has_a_better_f1_than_the_best() {
        let samples: Vec<(f32, bool)> = (0..60_u32)
            .map(|index| {
                let score = (index * 37 % 60) as f32 / 60.0;
                (
                    score,
                    score + ((index * 17 % 23) as f32 - 11.0) / 30.0 > 0.5,
                )
            })
            .collect();
        let f1 = |threshold: f32| {
            let answered = |sample: &&(f32, bool)| sample.0 > threshold;
            let right = samples.iter().filter(answered).filter(|s| s.1).count();
            let all = samples.iter().filter(answered).count()
                + samples.iter().filter(|sample| sample.1).count();
            2.0 * right as f64 / all as f64
        };
        let (threshold, best) = best(&samples).unwrap();
        assert_eq!(f1(threshold), best);
        assert!((1..1000).all(|place| f1(place as f32 / 1000.0) <= best));
    }

    #[test]
    fn a_threshold_has_few_digits_and_tells_its_neighbours_apart() {
        assert_eq!(between(0.2, 0.4), 0.3);
        assert_eq!(between(0.712_31, 0.712_39), 0.712_35);
        let next = 0.5_f32.next_up();
        assert_eq!(between(0.5, next), 0.5);
        assert!(between(0.0, 1e-30) > 0.0);
    }

    #[test]
    fn a_perfect_order_scores_one_and_the_reverse_zero() {
        assert_eq!(auroc([(0.1, false), (0.9, true)]), Some(1.0));
        assert_eq!(auroc([(0.9, false), (0.1, true)]), Some(0.0));
    }

    #[test]
    fn a_tie_counts_half() {
        assert_eq!(auroc([(0.5, false), (0.5, true)]), Some(0.5));
        assert_eq!(
            auroc([(0.5, false), (0.5, true), (0.2, false), (0.5, false)]),
            Some(2.0 / 3.0)
        );
        assert_eq!(auroc([(-0.0, true), (0.0, false)]), Some(0.5));
    }

    #[test]
    fn without_both_sides_there_is_no_area() {
        assert_eq!(auroc([]), None);
        assert_eq!(auroc([(0.3, true)]), None);
        assert_eq!(auroc([(0.3, false), (0.4, false)]), None);
    }

    #[test]
    fn average_precision_takes_equal_scores_together() {
        // scikit-learn: average_precision_score([1, 0, 1, 0], [0.9, 0.8, 0.8, 0.1])
        let samples = [(0.9, true), (0.8, false), (0.8, true), (0.1, false)];
        let found = average_precision(samples).unwrap();
        assert!((found - 5.0 / 6.0).abs() < 1e-15, "{found}");
        assert_eq!(average_precision([(0.4, false)]), None);
    }
}
