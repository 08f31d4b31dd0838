use ferrotype_measure::MultiLabel;
use serde::Deserialize;

use crate::{assert_near, golden};

#[derive(Deserialize)]
struct Case {
    name: String,
    threshold: f32,
    probabilities: Vec<Vec<f32>>,
    truths: Vec<Vec<u8>>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    count: u64,
    exact_match: f64,
    loss: f64,
    /// Precision, recall, F1.
    r#macro: [f64; 3],
    micro: [f64; 3],
    auroc: f64,
    mean_average_precision: f64,
    per_label: Vec<ExpectedLabel>,
}

#[derive(Deserialize)]
struct ExpectedLabel {
    precision: f64,
    recall: f64,
    f1: f64,
    support: u64,
    auroc: Option<f64>,
    average_precision: Option<f64>,
    best_f1: Option<f64>,
}

fn scored(case: &Case, samples: std::ops::Range<usize>) -> MultiLabel {
    let mut scores = MultiLabel::new(case.probabilities[0].len(), case.threshold);
    for sample in samples {
        let truths = (0..).zip(&case.truths[sample]);
        let labels: Vec<u32> = truths.filter(|(_, t)| **t == 1).map(|(l, _)| l).collect();
        scores.update(&case.probabilities[sample], &labels).unwrap();
    }
    scores
}

#[test]
fn scores_of_labels_are_those_of_scikit_learn() {
    let cases: Vec<Case> = golden("multi_label.json");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let report = scored(&case, 0..case.truths.len()).finish();
        let expected = &case.expected;
        let near = |what: &str, ours: f64, theirs: f64| {
            assert_near(&format!("{what} of {}", case.name), ours, theirs, 1e-12);
        };
        let option_near = |what: &str, ours: Option<f64>, theirs: Option<f64>| match (ours, theirs)
        {
            (Some(ours), Some(theirs)) => near(what, ours, theirs),
            (ours, theirs) => assert_eq!(ours, theirs, "{what} of {}", case.name),
        };
        assert_eq!(report.count, expected.count);
        near("exact match", report.exact_match, expected.exact_match);
        near("loss", report.loss, expected.loss);
        let macros = [report.macro_precision, report.macro_recall, report.macro_f1];
        let micros = [report.micro_precision, report.micro_recall, report.micro_f1];
        for place in 0..3 {
            near("macro score", macros[place], expected.r#macro[place]);
            near("micro score", micros[place], expected.micro[place]);
        }
        option_near("AUROC", report.auroc, Some(expected.auroc));
        let precision = Some(expected.mean_average_precision);
        option_near("mAP", report.mean_average_precision, precision);
        assert_eq!(report.per_label.len(), expected.per_label.len());
        let best = scored(&case, 0..case.truths.len()).best_thresholds();
        for (best, expected) in best.iter().zip(&expected.per_label) {
            option_near("best F1", best.map(|best| best.f1), expected.best_f1);
        }
        for (label, expected) in report.per_label.iter().zip(&expected.per_label) {
            near("precision", label.precision, expected.precision);
            near("recall", label.recall, expected.recall);
            near("F1", label.f1, expected.f1);
            assert_eq!(label.support, expected.support, "{}", case.name);
            option_near("label's AUROC", label.auroc, expected.auroc);
            option_near("AP", label.average_precision, expected.average_precision);
        }
    }
}

#[test]
fn merged_parts_of_labels_score_as_one_pass_does() {
    let cases: Vec<Case> = golden("multi_label.json");
    for case in cases {
        let count = case.truths.len();
        let one_pass = scored(&case, 0..count).finish();
        for cut in 0..=count {
            let mut merged = scored(&case, 0..cut);
            merged.merge(scored(&case, cut..count)).unwrap();
            let mut merged = merged.finish();
            assert_near("loss", merged.loss, one_pass.loss, 1e-12);
            merged.loss = one_pass.loss;
            assert_eq!(merged, one_pass);
        }
    }
}
