use ferrotype_measure::{LinearBaseline, LinearOptions};
use serde::Deserialize;

use crate::{assert_near, golden};

#[derive(Deserialize)]
struct Case {
    name: String,
    l2: f64,
    classes: usize,
    features: Vec<Vec<f32>>,
    labels: Vec<u32>,
    probabilities: Vec<Vec<f64>>,
    accuracy: f64,
}

#[test]
fn probabilities_are_those_of_scikit_learns_logistic_regression() {
    for case in golden::<Case>("linear.json") {
        let features = case.features.concat();
        let options = LinearOptions {
            l2: case.l2,
            ..LinearOptions::default()
        };
        let dimension = case.features[0].len();
        let model = LinearBaseline::fit(&features, dimension, &case.labels, case.classes, &options)
            .unwrap();
        let ours = model.probabilities(&features).unwrap();
        for (ours, theirs) in ours.iter().zip(case.probabilities.iter().flatten()) {
            assert_near(&case.name, f64::from(*ours), *theirs, 2e-3);
        }
        let accuracy = model.accuracy(&features, &case.labels).unwrap();
        assert_near(&case.name, accuracy, case.accuracy, 1e-9);
    }
}
