use super::*;
use crate::pooling::{Pooling, max_backward, max_forward};

/// Numbers without pattern in −1 to 1.
fn pattern(count: usize, seed: usize) -> Vec<f32> {
    (0..count)
        .map(|index| ((index * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0)
        .collect()
}

/// The definitions, one number at a time in f64.
struct Reference {
    output: Vec<f64>,
    input_gradient: Vec<f64>,
    shortcut_gradient: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
}

struct Case {
    channels: usize,
    activation: Option<Activation>,
    input: Vec<f32>,
    shortcut: Option<Vec<f32>>,
    gradient: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Case {
    fn new(
        channels: usize,
        rows: usize,
        activation: Option<Activation>,
        has_shortcut: bool,
    ) -> Self {
        let len = channels * rows;
        Self {
            channels,
            activation,
            input: pattern(len, 1).iter().map(|x| 3.0 * x + 0.5).collect(),
            shortcut: has_shortcut.then(|| pattern(len, 2)),
            gradient: pattern(len, 3),
            weight: pattern(channels, 4).iter().map(|x| 2.0 * x).collect(),
            bias: pattern(channels, 5),
        }
    }

    fn statistics(&self) -> (Statistics, Vec<f32>) {
        let statistics = statistics(&self.input, self.channels);
        let inverse = inverse_deviation(&statistics.variance, 1e-5);
        (statistics, inverse)
    }

    fn reference(&self) -> Reference {
        let (channels, rows) = (self.channels, self.input.len() / self.channels);
        let mut reference = Reference {
            output: vec![0.0; self.input.len()],
            input_gradient: vec![0.0; self.input.len()],
            shortcut_gradient: vec![0.0; self.input.len()],
            weight: vec![0.0; channels],
            bias: vec![0.0; channels],
        };
        for channel in 0..channels {
            let at = |row: usize| row * channels + channel;
            let value = |row: usize| f64::from(self.input[at(row)]);
            let mean = (0..rows).map(value).sum::<f64>() / rows as f64;
            let squares = (0..rows).map(|row| (value(row) - mean).powi(2));
            let deviation = (squares.sum::<f64>() / rows as f64 + 1e-5).sqrt();
            let [weight, bias] = [self.weight[channel], self.bias[channel]].map(f64::from);
            for row in 0..rows {
                let normal = (value(row) - mean) / deviation;
                let shortcut = self
                    .shortcut
                    .as_ref()
                    .map_or(0.0, |s| f64::from(s[at(row)]));
                let inner = normal * weight + bias + shortcut;
                let (output, slope) = function(self.activation, inner);
                let gradient = f64::from(self.gradient[at(row)]) * slope;
                reference.output[at(row)] = output;
                reference.shortcut_gradient[at(row)] = gradient;
                reference.weight[channel] += gradient * normal;
                reference.bias[channel] += gradient;
            }
            for row in 0..rows {
                let normal = (value(row) - mean) / deviation;
                reference.input_gradient[at(row)] = weight / deviation
                    * (reference.shortcut_gradient[at(row)]
                        - reference.bias[channel] / rows as f64
                        - normal * reference.weight[channel] / rows as f64);
            }
        }
        reference
    }
}

fn function(activation: Option<Activation>, x: f64) -> (f64, f64) {
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    match activation {
        None => (x, 1.0),
        Some(Activation::Relu) => (x.max(0.0), f64::from(u8::from(x > 0.0))),
        Some(Activation::Relu6) => (x.clamp(0.0, 6.0), f64::from(u8::from(x > 0.0 && x < 6.0))),
        Some(Activation::Silu) => (x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid))),
        Some(Activation::HardSwish) => (
            x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            ((2.0 * x + 3.0) / 6.0).clamp(0.0, f64::from(u8::from(x > -3.0)))
                * f64::from(u8::from(x.abs() < 3.0))
                + f64::from(u8::from(x >= 3.0)),
        ),
        other => panic!("no reference for {other:?}"),
    }
}

fn assert_near(what: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1.0_f64, |m, x| m.max(x.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (f64::from(*found) - expected).abs() < 2e-5 * scale,
            "{what}[{index}]: {found}, expected {expected}"
        );
    }
}

#[test]
fn both_directions_are_those_of_the_definition() {
    let activations = [
        (None, false),
        (None, true),
        (Some(Activation::Relu), false),
        (Some(Activation::Relu), true),
        (Some(Activation::Relu6), true),
        (Some(Activation::Silu), false),
    ];
    for (activation, has_shortcut) in activations {
        // A width that tiles, one that does not fill its vectors, one wider than a tile.
        for (channels, rows) in [(3, 700), (33, 40), (300, 70)] {
            let case = Case::new(channels, rows, activation, has_shortcut);
            let reference = case.reference();
            let (statistics, inverse) = case.statistics();
            let normalization = Normalization {
                mean: &statistics.mean,
                inverse_deviation: &inverse,
                weight: &case.weight,
                bias: &case.bias,
                activation,
                source: Source::Batch,
            };
            let mut output = vec![0.0; case.input.len()];
            forward(
                &normalization,
                &case.input,
                case.shortcut.as_deref(),
                &mut output,
            );
            let what = format!("{activation:?}, {channels} channels, shortcut: {has_shortcut}");
            assert_near(&what, &output, &reference.output);
            let mut values = case.input.clone();
            let mut gradient = case.gradient.clone();
            let kept = case.shortcut.is_some().then_some(&output[..]);
            let gradients = backward(&normalization, &mut values, kept, &mut gradient);
            assert_near(&what, &values, &reference.input_gradient);
            assert_near(&what, &gradients.weight, &reference.weight);
            assert_near(&what, &gradients.bias, &reference.bias);
            if has_shortcut {
                assert_near(&what, &gradient, &reference.shortcut_gradient);
            }
        }
    }
}

#[test]
fn pooling_on_the_way_gives_what_pooling_afterwards_gives() {
    let windows = [([2, 2], [2, 2], [0, 0]), ([3, 3], [2, 2], [1, 1])];
    let activations = [None, Some(Activation::Relu), Some(Activation::Relu6)];
    for (kernel, stride, padding) in windows {
        for activation in activations {
            let (batch, side, channels) = (3, 7, 5);
            let out = (side + 2 * padding[0] - kernel[0]) / stride[0] + 1;
            let pooling = Pooling {
                input: [side; 2],
                output: [out; 2],
                channels,
                kernel,
                stride,
                padding,
            };
            let case = Case::new(channels, batch * side * side, activation, false);
            let (statistics, inverse) = case.statistics();
            let normalization = Normalization {
                mean: &statistics.mean,
                inverse_deviation: &inverse,
                weight: &case.weight,
                bias: &case.bias,
                activation,
                source: Source::Batch,
            };
            let count = batch * out * out * channels;
            let gradient = pattern(count, 6);
            let mut full = vec![0.0; case.input.len()];
            forward(&normalization, &case.input, None, &mut full);
            let (mut expected, mut taps) = (vec![0.0; count], vec![0; count]);
            max_forward(&pooling, None, &full, &mut expected, &mut taps);
            let mut full_gradient = vec![0.0; full.len()];
            max_backward(&pooling, &taps, &gradient, &mut full_gradient);
            let mut expected_values = case.input.clone();
            let expected_gradients = backward(
                &normalization,
                &mut expected_values,
                None,
                &mut full_gradient,
            );

            let (mut output, mut taps) = (vec![0.0; count], vec![0; count]);
            forward_pooled(
                &normalization,
                &pooling,
                &case.input,
                &mut output,
                &mut taps,
            );
            assert_eq!(output, expected);
            let mut values = case.input.clone();
            let gradients =
                backward_pooled(&normalization, &pooling, &mut values, &taps, &gradient);
            let in_f64 =
                |values: &[f32]| -> Vec<f64> { values.iter().copied().map(f64::from).collect() };
            assert_near("input gradient", &values, &in_f64(&expected_values));
            assert_near(
                "weight",
                &gradients.weight,
                &in_f64(&expected_gradients.weight),
            );
            assert_near("bias", &gradients.bias, &in_f64(&expected_gradients.bias));
        }
    }
}

#[test]
fn statistics_are_exact_far_from_zero() {
    let rows = 40_000;
    let input: Vec<f32> = (0..rows)
        .flat_map(|row| [1000.0 + (row % 2) as f32, -3.0])
        .collect();
    let result = statistics(&input, 2);
    assert!((result.mean[0] - 1000.5).abs() < 1e-3);
    assert!(
        (result.variance[0] - 0.25).abs() < 1e-4,
        "{}",
        result.variance[0]
    );
    assert_eq!(result.mean[1], -3.0);
    assert_eq!(result.variance[1], 0.0);
}

#[test]
fn the_rectifier_cuts_below_zero_and_keeps_nan() {
    let normalization = Normalization {
        mean: &[1.0],
        inverse_deviation: &[2.0],
        weight: &[3.0],
        bias: &[1.0],
        activation: Some(Activation::Relu),
        source: Source::Fixed,
    };
    let mut output = [0.0; 3];
    forward(&normalization, &[2.0, 0.0, f32::NAN], None, &mut output);
    assert_eq!(output[..2], [7.0, 0.0]);
    assert!(output[2].is_nan());
}

#[test]
fn nothing_goes_through_fixed_statistics() {
    let normalization = Normalization {
        mean: &[1.0],
        inverse_deviation: &[2.0],
        weight: &[3.0],
        bias: &[1.0],
        activation: Some(Activation::Relu),
        source: Source::Fixed,
    };
    let (mut values, mut gradient) = ([2.0, 0.0, 1.5], [1.0, 10.0, 100.0]);
    backward(&normalization, &mut values, None, &mut gradient);
    assert_eq!(values, [6.0, 0.0, 600.0]);
}
