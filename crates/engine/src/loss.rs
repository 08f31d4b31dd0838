//! The losses, each with its gradient, computed in f64.
//!
//! Their meanings are PyTorch's: `CrossEntropyLoss` with `weight` and `label_smoothing`, for class
//! indices and for probabilities, and `BCEWithLogitsLoss` with `pos_weight`.

use rayon::prelude::*;

use crate::executor::{LossOptions, Targets};

/// Fewer logits than this are not worth a second thread.
const PARALLEL_FROM: usize = 1 << 14;

/// The loss of a batch and what the backward pass starts from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BatchLoss {
    /// The mean over the batch.
    pub(crate) loss: f64,
    /// `[n, classes]`: gradient of `share` times the mean loss by the logits.
    pub(crate) gradient: Vec<f32>,
    /// Rows that are answered right.
    pub(crate) correct: usize,
}

/// The loss of `logits` (`[n, classes]`) against `targets`, which have passed their check.
/// The gradient is multiplied by `share`.
pub(crate) fn batch_loss(
    logits: &[f32],
    targets: &Targets<'_>,
    classes: usize,
    options: &LossOptions<'_>,
    share: f64,
) -> BatchLoss {
    let rule = Rule {
        targets,
        classes,
        smoothing: options.label_smoothing,
        weights: options.class_weights.filter(|w| w.len() == classes),
    };
    let count = targets.count(classes);
    let divisor = rule.divisor(count);
    let scale = share / divisor;
    let mut gradient = vec![0.0_f32; logits.len()];
    let row = |(index, (logits, gradient)): (usize, (&[f32], &mut [f32]))| {
        rule.row(index, logits, gradient, scale)
    };
    // Each row is by itself and their losses are summed in order: the same on any number of
    // threads.
    let rows: Vec<Row> = if logits.len() < PARALLEL_FROM {
        let gradients = gradient.chunks_exact_mut(classes);
        let pairs = logits.chunks_exact(classes).zip(gradients);
        pairs.enumerate().map(row).collect()
    } else {
        let gradients = gradient.par_chunks_exact_mut(classes);
        let pairs = logits.par_chunks_exact(classes).zip(gradients);
        pairs.enumerate().map(row).collect()
    };
    BatchLoss {
        loss: rows.iter().map(|row| row.loss).sum::<f64>() / divisor,
        correct: rows.iter().filter(|row| row.is_correct).count(),
        gradient,
    }
}

/// The loss of one image, before the mean.
struct Row {
    loss: f64,
    is_correct: bool,
}

struct Rule<'a> {
    targets: &'a Targets<'a>,
    classes: usize,
    smoothing: f64,
    weights: Option<&'a [f64]>,
}

impl Rule<'_> {
    /// What the sum over the batch is divided by: for class indices the sum of the images'
    /// weights (PyTorch's weighted mean), for shares the images, for independent classes all
    /// answers.
    fn divisor(&self, count: usize) -> f64 {
        let divisor = match self.targets {
            Targets::Classes(labels) => labels.iter().map(|l| self.weight(*l as usize)).sum(),
            Targets::Shares(_) => count as f64,
            Targets::Independent(_) => (count * self.classes) as f64,
        };
        if divisor > 0.0 { divisor } else { 1.0 }
    }

    fn weight(&self, class: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[class])
    }

    fn row(&self, index: usize, logits: &[f32], gradient: &mut [f32], scale: f64) -> Row {
        let shares = index * self.classes..(index + 1) * self.classes;
        match self.targets {
            Targets::Classes(labels) => {
                let label = labels[index] as usize;
                let target = |class| f64::from(u8::from(class == label));
                // The smoothed part of a class index is weighed by each class's own weight, as
                // PyTorch does.
                self.softmax_row(logits, label, target, gradient, scale)
            }
            Targets::Shares(numbers) => {
                let numbers = &numbers[shares];
                let (label, _) = largest(numbers);
                let target = |class: usize| f64::from(numbers[class]);
                self.softmax_row(logits, label, target, gradient, scale)
            }
            Targets::Independent(numbers) => {
                self.independent_row(logits, &numbers[shares], gradient, scale)
            }
        }
    }

    /// `−Σ aᶜ·ln softmax(logits)ᶜ` with `aᶜ` the class's weight times its smoothed target, and
    /// its gradient `softmaxᶜ·Σa − aᶜ`.
    fn softmax_row(
        &self,
        logits: &[f32],
        label: usize,
        target: impl Fn(usize) -> f64,
        gradient: &mut [f32],
        scale: f64,
    ) -> Row {
        let (winner, largest) = largest(logits);
        let sum: f64 = logits.iter().map(|x| (f64::from(*x) - largest).exp()).sum();
        let log_sum = sum.ln() + largest;
        let even = self.smoothing / self.classes as f64;
        let target = |class| self.weight(class) * (target(class) * (1.0 - self.smoothing) + even);
        let total: f64 = (0..self.classes).map(target).sum();
        let mut loss = 0.0;
        for (class, (logit, gradient)) in logits.iter().zip(gradient).enumerate() {
            let (logit, target) = (f64::from(*logit), target(class));
            let probability = (logit - largest).exp() / sum;
            // Zero times an infinite distance is no loss.
            if target > 0.0 {
                loss += target * (log_sum - logit);
            }
            *gradient = ((probability * total - target) * scale) as f32;
        }
        if !sum.is_finite() {
            loss = f64::NAN;
        }
        Row {
            loss,
            is_correct: winner == label,
        }
    }

    /// `Σ wᶜ·tᶜ·softplus(−xᶜ) + (1 − tᶜ)·softplus(xᶜ)`, `w` the positive targets' weights.
    fn independent_row(
        &self,
        logits: &[f32],
        targets: &[f32],
        gradient: &mut [f32],
        scale: f64,
    ) -> Row {
        let mut row = Row {
            loss: 0.0,
            is_correct: true,
        };
        let pairs = logits.iter().zip(targets).zip(gradient);
        for (class, ((logit, target), gradient)) in pairs.enumerate() {
            let logit = f64::from(*logit);
            row.is_correct &= (logit > 0.0) == (*target >= 0.5);
            let target = f64::from(*target) * (1.0 - self.smoothing) + 0.5 * self.smoothing;
            let positive = self.weight(class) * target;
            let negative = 1.0 - target;
            row.loss += positive * softplus(-logit) + negative * softplus(logit);
            let probability = 1.0 / (1.0 + (-logit).exp());
            let slope = negative * probability - positive * (1.0 - probability);
            *gradient = (slope * scale) as f32;
        }
        row
    }
}

/// `ln(1 + eˣ)` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The largest number and where it is; the first wins a tie.
fn largest(row: &[f32]) -> (usize, f64) {
    let start = (0, f64::NEG_INFINITY);
    row.iter().enumerate().fold(start, |best, (index, value)| {
        let value = f64::from(*value);
        if value > best.1 { (index, value) } else { best }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const GOLDEN: &str = include_str!("../tests/golden/recipe.json");

    fn numbers(value: &Value) -> Option<Vec<f64>> {
        let list = value.as_array()?;
        list.iter().map(Value::as_f64).collect()
    }

    fn floats(value: &Value) -> Vec<f32> {
        let numbers = numbers(value).unwrap();
        numbers.into_iter().map(|number| number as f32).collect()
    }

    #[test]
    fn losses_and_their_gradients_are_pytorchs() {
        let golden: Value = serde_json::from_str(GOLDEN).unwrap();
        let cases = golden["losses"].as_array().unwrap();
        assert_eq!(cases.len(), 10);
        for case in cases {
            let classes = case["classes"].as_u64().unwrap() as usize;
            let values = floats(&case["values"]);
            let labels: Vec<u32> = values.iter().map(|value| *value as u32).collect();
            let targets = match case["targets"].as_str().unwrap() {
                "classes" => Targets::Classes(&labels),
                "shares" => Targets::Shares(&values),
                _ => Targets::Independent(&values),
            };
            let weights = numbers(&case["class_weights"]);
            let options = LossOptions {
                label_smoothing: case["label_smoothing"].as_f64().unwrap(),
                class_weights: weights.as_deref(),
            };
            let found = batch_loss(&floats(&case["logits"]), &targets, classes, &options, 1.0);
            let expected = case["loss"].as_f64().unwrap();
            assert!(
                (found.loss - expected).abs() < 1e-6,
                "{case}: {}",
                found.loss
            );
            let gradient = numbers(&case["gradient"]).unwrap();
            for (found, expected) in found.gradient.iter().zip(&gradient) {
                assert!(
                    (f64::from(*found) - expected).abs() < 1e-7,
                    "{case}: {found}"
                );
            }
        }
    }

    #[test]
    fn a_large_batch_has_the_same_bits_on_any_number_of_threads() {
        let classes = 50;
        let logits: Vec<f32> = (0..PARALLEL_FROM * 2 / classes * classes)
            .map(|index| (index * 7919 % 1000) as f32 / 100.0)
            .collect();
        let labels: Vec<u32> = (0..(logits.len() / classes) as u32)
            .map(|i| i % 50)
            .collect();
        let loss = || {
            let targets = Targets::Classes(&labels);
            batch_loss(&logits, &targets, classes, &LossOptions::PLAIN, 1.0)
        };
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        assert_eq!(loss(), alone.unwrap().install(loss));
    }

    #[test]
    fn the_share_scales_the_gradient_and_not_the_loss() {
        let (logits, targets) = ([1.0, -2.0, 0.5], Targets::Classes(&[2]));
        let [whole, half] =
            [1.0, 0.5].map(|share| batch_loss(&logits, &targets, 3, &LossOptions::PLAIN, share));
        assert_eq!(whole.loss, half.loss);
        for (whole, half) in whole.gradient.iter().zip(&half.gradient) {
            assert_eq!(whole * 0.5, *half);
        }
    }

    #[test]
    fn right_is_the_largest_share_or_every_independent_answer() {
        let correct = |targets: &Targets<'_>| {
            batch_loss(&[2.0, -1.0, 0.1, 0.3], targets, 2, &LossOptions::PLAIN, 1.0).correct
        };
        assert_eq!(correct(&Targets::Classes(&[0, 0])), 1);
        assert_eq!(correct(&Targets::Shares(&[0.7, 0.3, 0.4, 0.6])), 2);
        assert_eq!(correct(&Targets::Independent(&[1.0, 0.0, 1.0, 0.0])), 1);
    }

    #[test]
    fn logits_that_are_no_numbers_are_no_loss() {
        for logits in [[f32::NAN, 0.0], [f32::INFINITY, 0.0]] {
            let targets = Targets::Classes(&[1]);
            let found = batch_loss(&logits, &targets, 2, &LossOptions::PLAIN, 1.0);
            assert!(!found.loss.is_finite(), "{logits:?}: {}", found.loss);
        }
    }
}
