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

#[cfg(test)]
mod tests {
    use super::*;

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
