//! The penalised cross-entropy of a linear classifier, with its gradient.

use std::num::NonZeroUsize;

use super::LinearOptions;

/// Rows are summed in this many parts, whatever the number of threads, so that the sums are the
/// same on every machine.
const PARTS: usize = 16;

/// Width of the independent sums in a dot product, for the compiler to vectorise.
const LANES: usize = 16;

/// Mean cross-entropy plus `l2 / (2 · samples)` times the squared weights.
pub(super) struct Objective<'a> {
    rows: &'a [f32],
    dimension: usize,
    labels: &'a [u32],
    classes: usize,
    l2: f64,
    threads: NonZeroUsize,
}

/// Loss and gradient of some of the rows.
struct Part {
    loss: f64,
    weights: Vec<f32>,
    biases: Vec<f64>,
}

impl<'a> Objective<'a> {
    pub(super) fn new(
        rows: &'a [f32],
        dimension: usize,
        labels: &'a [u32],
        classes: usize,
        options: &LinearOptions,
    ) -> Self {
        Self {
            rows,
            dimension,
            labels,
            classes,
            l2: options.l2,
            threads: NonZeroUsize::new(options.threads).unwrap_or(NonZeroUsize::MIN),
        }
    }

    /// The value and gradient at parameters: weights `[class, feature]`, then biases.
    pub(super) fn evaluate(&self, parameters: &[f64]) -> (f64, Vec<f64>) {
        let (weights, biases) = parameters.split_at(self.classes * self.dimension);
        let weights_f32: Vec<f32> = weights.iter().map(|weight| *weight as f32).collect();
        let biases_f32: Vec<f32> = biases.iter().map(|bias| *bias as f32).collect();
        let count = self.labels.len() as f64;
        let penalty = self.l2 / count;

        let mut value = 0.5 * penalty * weights.iter().map(|weight| weight * weight).sum::<f64>();
        let mut gradient: Vec<f64> = weights.iter().map(|weight| penalty * weight).collect();
        gradient.resize(parameters.len(), 0.0);
        for part in self.parts(&weights_f32, &biases_f32) {
            value += part.loss / count;
            let sums = part.weights.into_iter().map(f64::from).chain(part.biases);
            for (total, sum) in gradient.iter_mut().zip(sums) {
                *total += sum / count;
            }
        }
        (value, gradient)
    }

    /// All parts in order, computed on several threads.
    fn parts(&self, weights: &[f32], biases: &[f32]) -> Vec<Part> {
        let rows_in_part = self.labels.len().div_ceil(PARTS).max(1);
        let slices: Vec<(&[f32], &[u32])> = self
            .rows
            .chunks(rows_in_part * self.dimension)
            .zip(self.labels.chunks(rows_in_part))
            .collect();
        let parts_in_thread = slices.len().div_ceil(self.threads.get()).max(1);
        std::thread::scope(|scope| {
            let threads: Vec<_> = slices
                .chunks(parts_in_thread)
                .map(|slices| {
                    scope.spawn(move || -> Vec<Part> {
                        slices
                            .iter()
                            .map(|(rows, labels)| self.part(rows, labels, weights, biases))
                            .collect()
                    })
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| match thread.join() {
                    Ok(parts) => parts,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect()
        })
    }

    fn part(&self, rows: &[f32], labels: &[u32], weights: &[f32], biases: &[f32]) -> Part {
        let mut part = Part {
            loss: 0.0,
            weights: vec![0.0; weights.len()],
            biases: vec![0.0; biases.len()],
        };
        for (row, label) in rows.chunks_exact(self.dimension).zip(labels) {
            let true_class = *label as usize;
            let logits = logits(row, weights, biases);
            let (mut errors, log_sum) = softmax(&logits);
            part.loss += log_sum - f64::from(logits[true_class]);
            errors[true_class] -= 1.0;
            let gradients = part.weights.chunks_exact_mut(self.dimension);
            for ((gradient, error), bias) in gradients.zip(&errors).zip(&mut part.biases) {
                add_scaled(gradient, *error as f32, row);
                *bias += error;
            }
        }
        part
    }
}

/// One logit a class of one row.
pub(super) fn logits(row: &[f32], weights: &[f32], biases: &[f32]) -> Vec<f32> {
    weights
        .chunks_exact(row.len())
        .zip(biases)
        .map(|(class_weights, bias)| dot(row, class_weights) + bias)
        .collect()
}

/// The softmax of logits, and the logarithm of the sum of their exponentials.
pub(super) fn softmax(logits: &[f32]) -> (Vec<f64>, f64) {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |largest, logit| {
        largest.max((*logit).into())
    });
    let mut exponentials: Vec<f64> = logits
        .iter()
        .map(|logit| (f64::from(*logit) - largest).exp())
        .collect();
    let sum: f64 = exponentials.iter().sum();
    for exponential in &mut exponentials {
        *exponential /= sum;
    }
    (exponentials, largest + sum.ln())
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

fn add_scaled(total: &mut [f32], scale: f32, row: &[f32]) {
    for (total, value) in total.iter_mut().zip(row) {
        *total += scale * value;
    }
}
