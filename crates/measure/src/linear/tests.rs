use super::*;

/// Points around one corner of a square a class, without any random generator.
fn corners(samples: usize) -> (Vec<f32>, Vec<u32>) {
    let mut features = Vec::new();
    let mut labels = Vec::new();
    for sample in 0..samples {
        let label = (sample % 4) as u32;
        let wobble = |step: usize| ((sample * step) % 17) as f32 / 17.0 - 0.5;
        features.push((label % 2) as f32 * 4.0 + wobble(5));
        features.push((label / 2) as f32 * 4.0 + wobble(11));
        labels.push(label);
    }
    (features, labels)
}

#[test]
fn separable_classes_are_told_apart() {
    let (features, labels) = corners(200);
    let model = LinearBaseline::fit(&features, 2, &labels, 4, &LinearOptions::default()).unwrap();
    assert_eq!(model.accuracy(&features, &labels).unwrap(), 1.0);
}

#[test]
fn the_fit_does_not_depend_on_the_number_of_threads() {
    let (features, labels) = corners(203);
    let fit = |threads| {
        let options = LinearOptions {
            threads,
            ..LinearOptions::default()
        };
        LinearBaseline::fit(&features, 2, &labels, 4, &options).unwrap()
    };
    assert_eq!(fit(1), fit(3));
}

#[test]
fn exclusive_or_is_beyond_a_linear_model() {
    let (features, labels) = corners(400);
    let labels: Vec<u32> = labels
        .iter()
        .map(|l| u32::from(*l == 1 || *l == 2))
        .collect();
    let model = LinearBaseline::fit(&features, 2, &labels, 2, &LinearOptions::default()).unwrap();
    assert!(model.accuracy(&features, &labels).unwrap() < 0.8);
}

#[test]
fn a_constant_feature_is_harmless() {
    let (features, labels) = corners(80);
    let with_constant: Vec<f32> = features.chunks(2).flat_map(|p| [p[0], 7.0, p[1]]).collect();
    let model =
        LinearBaseline::fit(&with_constant, 3, &labels, 4, &LinearOptions::default()).unwrap();
    assert_eq!(model.accuracy(&with_constant, &labels).unwrap(), 1.0);
}

#[test]
fn bad_input_is_refused() {
    let options = LinearOptions::default();
    let kind = |features: &[f32], dimension, labels: &[u32], classes| {
        LinearBaseline::fit(features, dimension, labels, classes, &options)
            .unwrap_err()
            .kind()
    };
    assert_eq!(kind(&[], 3, &[], 2), MeasureErrorKind::Empty);
    assert_eq!(kind(&[1.0], 0, &[], 2), MeasureErrorKind::WrongLength);
    assert_eq!(kind(&[1.0, 2.0], 1, &[0], 2), MeasureErrorKind::WrongLength);
    assert_eq!(kind(&[1.0], 1, &[5], 2), MeasureErrorKind::UnknownLabel);
    assert_eq!(kind(&[f32::NAN], 1, &[0], 2), MeasureErrorKind::BadNumber);
}
