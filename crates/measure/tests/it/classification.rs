use ferrotype_measure::{Classification, ClassificationReport};
use serde::Deserialize;

use crate::{assert_near, golden};

#[derive(Deserialize)]
struct Case {
    name: String,
    probabilities: Vec<Vec<f32>>,
    labels: Vec<u32>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    count: u64,
    accuracy: f64,
    loss: f64,
    macro_precision: f64,
    macro_recall: f64,
    macro_f1: f64,
    per_class: Vec<ExpectedClass>,
    confusion: Vec<Vec<u64>>,
    auroc: Option<f64>,
    expected_calibration_error: f64,
}

#[derive(Deserialize)]
struct ExpectedClass {
    precision: f64,
    recall: f64,
    f1: f64,
    support: u64,
    auroc: Option<f64>,
}

fn cases() -> Vec<Case> {
    golden("classification.json")
}

fn scored(case: &Case, samples: std::ops::Range<usize>) -> Classification {
    let mut scores = Classification::new(case.probabilities[0].len());
    for sample in samples {
        scores
            .update(&case.probabilities[sample], case.labels[sample])
            .unwrap();
    }
    scores
}

#[track_caller]
fn assert_option_near(what: &str, ours: Option<f64>, theirs: Option<f64>) {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => assert_near(what, ours, theirs, 1e-12),
        (ours, theirs) => assert_eq!(ours, theirs, "{what}"),
    }
}

#[test]
fn scores_are_those_of_scikit_learn() {
    for case in cases() {
        let report = scored(&case, 0..case.labels.len()).finish();
        let expected = &case.expected;
        let near = |what: &str, ours, theirs| {
            assert_near(&format!("{what} of {}", case.name), ours, theirs, 1e-12);
        };
        assert_eq!(report.count, expected.count, "{}", case.name);
        assert_eq!(report.confusion, expected.confusion, "{}", case.name);
        near("accuracy", report.accuracy, expected.accuracy);
        near("loss", report.loss, expected.loss);
        near(
            "precision",
            report.macro_precision,
            expected.macro_precision,
        );
        near("recall", report.macro_recall, expected.macro_recall);
        near("F1", report.macro_f1, expected.macro_f1);
        near(
            "calibration error",
            report.expected_calibration_error,
            expected.expected_calibration_error,
        );
        assert_option_near(&case.name, report.auroc, expected.auroc);
        for (class, expected) in report.per_class.iter().zip(&expected.per_class) {
            near("class precision", class.precision, expected.precision);
            near("class recall", class.recall, expected.recall);
            near("class F1", class.f1, expected.f1);
            assert_eq!(class.support, expected.support, "{}", case.name);
            assert_option_near(&case.name, class.auroc, expected.auroc);
        }
        assert_eq!(report.per_class.len(), expected.per_class.len());
    }
}

/// All that counting and ranking gives is equal; sums of floats may differ in their last bits.
fn assert_same(ours: &ClassificationReport, one_pass: &ClassificationReport) {
    assert_near("loss", ours.loss, one_pass.loss, 1e-12);
    let gap = ours.expected_calibration_error - one_pass.expected_calibration_error;
    assert!(gap.abs() < 1e-12, "{gap}");
    let without_sums = |report: &ClassificationReport| {
        let mut report = report.clone();
        report.loss = 0.0;
        report.expected_calibration_error = 0.0;
        for bin in &mut report.calibration_bins {
            bin.mean_confidence = 0.0;
        }
        report
    };
    assert_eq!(without_sums(ours), without_sums(one_pass));
}

#[test]
fn merged_parts_score_as_one_pass_does_wherever_the_cuts_are() {
    for case in cases() {
        let count = case.labels.len();
        let one_pass = scored(&case, 0..count).finish();
        for first_cut in 0..=count {
            let second_cut = first_cut + (count - first_cut) / 3;
            let mut merged = scored(&case, 0..first_cut);
            merged.merge(scored(&case, first_cut..second_cut)).unwrap();
            merged.merge(scored(&case, second_cut..count)).unwrap();
            assert_same(&merged.finish(), &one_pass);
        }
    }
}

#[test]
fn merging_in_another_order_gives_the_same_scores() {
    for case in cases() {
        let count = case.labels.len();
        let mut merged = scored(&case, count / 2..count);
        merged.merge(scored(&case, 0..count / 2)).unwrap();
        assert_same(&merged.finish(), &scored(&case, 0..count).finish());
    }
}

#[test]
fn a_batch_scores_as_its_samples_do() {
    for case in cases() {
        let mut scores = Classification::new(case.probabilities[0].len());
        scores
            .update_batch(&case.probabilities.concat(), &case.labels)
            .unwrap();
        assert_eq!(
            scores.finish(),
            scored(&case, 0..case.labels.len()).finish()
        );
    }
}
