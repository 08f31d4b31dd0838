//! Limited-memory BFGS for smooth convex functions
//! (Nocedal & Wright, *Numerical Optimization*, 2nd edition, algorithm 7.5).

use std::collections::VecDeque;

/// Pairs of steps and gradient changes that the curvature is estimated from.
const MEMORY: usize = 10;

/// The largest gradient component at which the minimum counts as found.
const GRADIENT_TOLERANCE: f64 = 1e-4;

/// The fraction of the decrease promised by the slope that a step must reach.
const SUFFICIENT_DECREASE: f64 = 1e-4;

/// How often a step is halved before the search gives up.
const MOST_HALVINGS: usize = 30;

/// A step, the change of the gradient along it, and one over their product.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    inverse_product: f64,
}

/// The parameters that minimise a function given by value and gradient.
pub(super) fn minimize(
    start: Vec<f64>,
    iterations: usize,
    evaluate: impl Fn(&[f64]) -> (f64, Vec<f64>),
) -> Vec<f64> {
    let mut parameters = start;
    let (mut value, mut gradient) = evaluate(&parameters);
    let mut pairs: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    for _ in 0..iterations {
        if largest(&gradient) <= GRADIENT_TOLERANCE {
            break;
        }
        let direction = descent_direction(&gradient, &pairs);
        let slope = dot(&direction, &gradient);
        // The first direction is the bare gradient, whose length says nothing about the step.
        let first_scale = if pairs.is_empty() {
            1.0 / norm(&gradient).max(1.0)
        } else {
            1.0
        };
        let mut scale = first_scale;
        let accepted = (0..MOST_HALVINGS).find_map(|_| {
            let candidate = moved(&parameters, &direction, scale);
            let (next_value, next_gradient) = evaluate(&candidate);
            if next_value <= value + SUFFICIENT_DECREASE * scale * slope {
                return Some((candidate, next_value, next_gradient));
            }
            scale /= 2.0;
            None
        });
        let Some((next, next_value, next_gradient)) = accepted else {
            break;
        };
        remember(
            &mut pairs,
            difference(&next, &parameters),
            difference(&next_gradient, &gradient),
        );
        (parameters, value, gradient) = (next, next_value, next_gradient);
    }
    parameters
}

/// Minus the gradient times the estimated inverse Hessian (the two-loop recursion, algorithm 7.4).
fn descent_direction(gradient: &[f64], pairs: &VecDeque<Pair>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|component| -component).collect();
    let mut factors = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let factor = pair.inverse_product * dot(&pair.step, &direction);
        add_scaled(&mut direction, -factor, &pair.change);
        factors.push(factor);
    }
    if let Some(newest) = pairs.back() {
        let scale = 1.0 / (newest.inverse_product * dot(&newest.change, &newest.change));
        direction
            .iter_mut()
            .for_each(|component| *component *= scale);
    }
    for (pair, factor) in pairs.iter().zip(factors.into_iter().rev()) {
        let correction = pair.inverse_product * dot(&pair.change, &direction);
        add_scaled(&mut direction, factor - correction, &pair.step);
    }
    direction
}

/// Keeps a pair with positive curvature; others would make the estimate indefinite.
fn remember(pairs: &mut VecDeque<Pair>, step: Vec<f64>, change: Vec<f64>) {
    let product = dot(&step, &change);
    if product <= f64::EPSILON * dot(&change, &change) {
        return;
    }
    if pairs.len() == MEMORY {
        pairs.pop_front();
    }
    pairs.push_back(Pair {
        step,
        change,
        inverse_product: 1.0 / product,
    });
}

fn moved(from: &[f64], direction: &[f64], scale: f64) -> Vec<f64> {
    let mut to = from.to_vec();
    add_scaled(&mut to, scale, direction);
    to
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn largest(a: &[f64]) -> f64 {
    a.iter()
        .fold(0.0, |largest, value| value.abs().max(largest))
}

fn add_scaled(total: &mut [f64], scale: f64, values: &[f64]) {
    for (total, value) in total.iter_mut().zip(values) {
        *total += scale * value;
    }
}
