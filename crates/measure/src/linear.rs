//! A linear model on standardised pixels: the baseline that a network has to beat.
//!
//! Multinomial logistic regression with an L2 penalty, fitted by L-BFGS, as scikit-learn's
//! `LogisticRegression` with its defaults. The fit is deterministic: nothing in it is random, and
//! sums are formed in an order that does not depend on the number of threads.

mod lbfgs;
mod objective;

use crate::error::{MeasureError, MeasureErrorKind};
use objective::Objective;

/// How a linear baseline is fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearOptions {
    /// Strength of the L2 penalty on the weights (the inverse of scikit-learn's `C`); not on biases.
    pub l2: f64,
    /// The most L-BFGS iterations.
    pub iterations: usize,
    /// Threads to compute gradients on.
    pub threads: usize,
}

impl Default for LinearOptions {
    fn default() -> Self {
        Self {
            l2: 1.0,
            iterations: 100,
            threads: 2,
        }
    }
}

/// A fitted linear classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearBaseline {
    dimension: usize,
    classes: usize,
    standardisation: Standardisation,
    /// `[class, feature]`.
    weights: Vec<f32>,
    biases: Vec<f32>,
}

impl LinearBaseline {
    /// Fits a linear classifier to features `[sample, dimension]`, row by row.
    ///
    /// # Errors
    /// When there is no sample, the lengths do not fit each other, a label is no class, or a
    /// feature is not finite.
    pub fn fit(
        features: &[f32],
        dimension: usize,
        labels: &[u32],
        classes: usize,
        options: &LinearOptions,
    ) -> Result<Self, MeasureError> {
        check_samples(features, dimension, labels, classes)?;
        if labels.is_empty() {
            return Err(MeasureError::new(
                MeasureErrorKind::Empty,
                "there is no sample to fit a linear model to".into(),
            ));
        }
        let standardisation = Standardisation::of(features, dimension);
        let rows = standardisation.apply(features);
        let objective = Objective::new(&rows, dimension, labels, classes, options);
        let parameters = lbfgs::minimize(
            vec![0.0; classes * (dimension + 1)],
            options.iterations,
            |parameters| objective.evaluate(parameters),
        );
        let (weights, biases) = parameters.split_at(classes * dimension);
        Ok(Self {
            dimension,
            classes,
            standardisation,
            weights: weights.iter().map(|weight| *weight as f32).collect(),
            biases: biases.iter().map(|bias| *bias as f32).collect(),
        })
    }

    /// The most probable class of every sample of features `[sample, dimension]`.
    ///
    /// # Errors
    /// When the features are no whole number of samples or one of them is not finite.
    pub fn predict(&self, features: &[f32]) -> Result<Vec<u32>, MeasureError> {
        let probabilities = self.probabilities(features)?;
        Ok(probabilities
            .chunks_exact(self.classes)
            .map(|row| {
                let best =
                    (1..row.len()).fold(
                        0,
                        |best, class| {
                            if row[class] > row[best] { class } else { best }
                        },
                    );
                best as u32
            })
            .collect())
    }

    /// The probability of every class for every sample of features, `[sample, class]`.
    ///
    /// # Errors
    /// As [`Self::predict`].
    pub fn probabilities(&self, features: &[f32]) -> Result<Vec<f32>, MeasureError> {
        check_features(features, self.dimension)?;
        let rows = self.standardisation.apply(features);
        let mut probabilities = Vec::with_capacity(rows.len() / self.dimension * self.classes);
        for row in rows.chunks_exact(self.dimension) {
            let logits = objective::logits(row, &self.weights, &self.biases);
            let (row_probabilities, _) = objective::softmax(&logits);
            probabilities.extend(row_probabilities.iter().map(|p| *p as f32));
        }
        Ok(probabilities)
    }

    /// The fraction of samples whose most probable class is their label; 0 without samples.
    ///
    /// # Errors
    /// As [`Self::fit`], except that no sample is no error.
    pub fn accuracy(&self, features: &[f32], labels: &[u32]) -> Result<f64, MeasureError> {
        check_samples(features, self.dimension, labels, self.classes)?;
        if labels.is_empty() {
            return Ok(0.0);
        }
        let predicted = self.predict(features)?;
        let right = predicted.iter().zip(labels).filter(|(p, l)| p == l).count();
        Ok(right as f64 / labels.len() as f64)
    }
}

/// Brings every feature to mean 0 and standard deviation 1 over the fitted samples.
#[derive(Debug, Clone, PartialEq)]
struct Standardisation {
    mean: Vec<f32>,
    /// One over the standard deviation; 1 for a constant feature.
    scale: Vec<f32>,
}

impl Standardisation {
    fn of(features: &[f32], dimension: usize) -> Self {
        let count = (features.len() / dimension) as f64;
        let mut sums = vec![0.0_f64; dimension];
        for row in features.chunks_exact(dimension) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
        }
        let means: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
        let mut squares = vec![0.0_f64; dimension];
        for row in features.chunks_exact(dimension) {
            for ((square, mean), value) in squares.iter_mut().zip(&means).zip(row) {
                let deviation = f64::from(*value) - mean;
                *square += deviation * deviation;
            }
        }
        let scale = squares.iter().map(|square| {
            let deviation = (square / count).sqrt();
            if deviation > 0.0 {
                (1.0 / deviation) as f32
            } else {
                1.0
            }
        });
        Self {
            scale: scale.collect(),
            mean: means.iter().map(|mean| *mean as f32).collect(),
        }
    }

    fn apply(&self, features: &[f32]) -> Vec<f32> {
        let mut rows = features.to_vec();
        for row in rows.chunks_exact_mut(self.mean.len()) {
            for ((value, mean), scale) in row.iter_mut().zip(&self.mean).zip(&self.scale) {
                *value = (*value - mean) * scale;
            }
        }
        rows
    }
}

fn check_features(features: &[f32], dimension: usize) -> Result<(), MeasureError> {
    if dimension == 0 || !features.len().is_multiple_of(dimension) {
        return Err(MeasureError::new(
            MeasureErrorKind::WrongLength,
            format!(
                "`{}` values are no whole number of samples with `{dimension}` features",
                features.len()
            ),
        ));
    }
    match features.iter().find(|value| !value.is_finite()) {
        Some(bad) => Err(MeasureError::new(
            MeasureErrorKind::BadNumber,
            format!("a feature is `{bad}`, expected a finite number"),
        )),
        None => Ok(()),
    }
}

fn check_samples(
    features: &[f32],
    dimension: usize,
    labels: &[u32],
    classes: usize,
) -> Result<(), MeasureError> {
    check_features(features, dimension)?;
    let samples = features.len() / dimension;
    if samples != labels.len() {
        return Err(MeasureError::new(
            MeasureErrorKind::WrongLength,
            format!("`{samples}` samples have `{}` labels", labels.len()),
        ));
    }
    match labels.iter().find(|label| **label as usize >= classes) {
        Some(bad) => Err(MeasureError::new(
            MeasureErrorKind::UnknownLabel,
            format!("label `{bad}` is no class, there are `{classes}` counted from 0"),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
