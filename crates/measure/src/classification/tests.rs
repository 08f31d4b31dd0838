use super::*;
use crate::error::MeasureErrorKind;

fn scored(samples: &[(&[f32], u32)]) -> Classification {
    let mut scores = Classification::new(samples[0].0.len());
    for (probabilities, label) in samples {
        scores.update(probabilities, *label).unwrap();
    }
    scores
}

#[test]
fn a_class_without_samples_or_predictions_scores_zero_and_counts_in_the_mean() {
    let report = scored(&[(&[0.9, 0.1, 0.0], 0), (&[0.2, 0.8, 0.0], 0)]).finish();
    assert_eq!(report.accuracy, 0.5);
    assert_eq!(report.per_class[2].f1, 0.0);
    assert_eq!(report.per_class[2].auroc, None);
    assert_eq!(report.macro_precision, 1.0 / 3.0);
    assert_eq!(report.macro_recall, 0.5 / 3.0);
}

#[test]
fn the_first_of_equally_probable_classes_is_predicted() {
    let report = scored(&[(&[0.5, 0.5], 1)]).finish();
    assert_eq!(report.confusion, vec![vec![0, 0], vec![1, 0]]);
}

#[test]
fn a_certain_wrong_answer_has_a_finite_loss() {
    let report = scored(&[(&[1.0, 0.0], 1)]).finish();
    assert!((report.loss - -f64::EPSILON.ln()).abs() < 1e-12);
}

#[test]
fn a_confidence_on_a_bin_edge_belongs_to_the_lower_bin() {
    let report = scored(&[(&[0.6, 0.4], 0), (&[1.0, 0.0], 0)]).finish();
    // 0.6 as f32 lies just above 9/15, 1.0 in the last bin.
    let filled: Vec<usize> = (0..CALIBRATION_BINS)
        .filter(|bin| report.calibration_bins[*bin].count > 0)
        .collect();
    assert_eq!(filled, vec![9, 14]);
}

#[test]
fn always_half_sure_and_half_right_is_calibrated() {
    let report = scored(&[(&[0.5, 0.5], 0), (&[0.5, 0.5], 1)]).finish();
    assert_eq!(report.expected_calibration_error, 0.0);
}

#[test]
fn an_empty_accumulator_reports_zeros_not_nan() {
    let report = Classification::new(3).finish();
    assert_eq!(report.count, 0);
    assert_eq!(report.loss, 0.0);
    assert_eq!(report.auroc, None);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(
        serde_json::from_str::<ClassificationReport>(&json).unwrap(),
        report
    );
}

#[test]
fn bad_input_is_refused_and_leaves_the_scores_as_they_were() {
    let mut scores = scored(&[(&[0.9, 0.1], 0)]);
    let before = scores.finish();
    let kind = |result: Result<(), MeasureError>| result.unwrap_err().kind();
    assert_eq!(
        kind(scores.update(&[0.5, 0.3, 0.2], 0)),
        MeasureErrorKind::WrongLength
    );
    assert_eq!(
        kind(scores.update(&[0.5, 0.5], 2)),
        MeasureErrorKind::UnknownLabel
    );
    assert_eq!(
        kind(scores.update(&[f32::NAN, 0.5], 0)),
        MeasureErrorKind::BadNumber
    );
    assert_eq!(
        kind(scores.update_batch(&[0.5, 0.5, 0.1], &[0, 1])),
        MeasureErrorKind::WrongLength
    );
    assert_eq!(
        kind(scores.merge(Classification::new(3))),
        MeasureErrorKind::DifferentClasses
    );
    assert_eq!(scores.finish(), before);
}

#[test]
fn an_accumulator_for_no_classes_takes_no_sample_and_does_not_panic() {
    let mut scores = Classification::new(0);
    assert!(scores.update(&[], 0).is_err());
    assert!(scores.update_batch(&[], &[]).is_ok());
    assert_eq!(scores.finish().count, 0);
}
