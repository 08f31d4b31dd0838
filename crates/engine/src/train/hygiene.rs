//! Whether the loss explodes.

use std::collections::VecDeque;

/// Losses that the newest are compared with.
const WINDOW: usize = 64;

/// Fewer losses say nothing about what is usual.
const LEAST_WINDOW: usize = 16;

/// Steps in a row that must be far too high.
const STREAK: usize = 10;

/// How many times the usual loss is far too high.
const FACTOR: f64 = 10.0;

/// Watches the losses of the steps.
///
/// The loss explodes when in [`STREAK`] steps one after another it is more than [`FACTOR`] times
/// the median of the [`WINDOW`] steps before them, more than [`FACTOR`] times what guessing costs
/// (`ln classes`), and still rising: the mean of the streak's second half is above that of its
/// first. A network that learns passes none of the three for long: it is never ten times worse
/// than guessing in ten steps on end, and one bad batch, a restart of the learning rate or the
/// loss of a set learnt by heart (whose median is next to nothing) leave it far below that.
#[derive(Debug)]
pub(super) struct LossWatch {
    /// What guessing costs.
    chance: f64,
    usual: VecDeque<f64>,
    streak: VecDeque<f64>,
}

/// What an exploding loss is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Explosion {
    /// The median before it began.
    pub(super) median: f64,
    /// The newest loss.
    pub(super) loss: f64,
}

impl LossWatch {
    /// A watch for a network of so many classes.
    pub(super) fn new(classes: usize) -> Self {
        Self {
            chance: (classes.max(2) as f64).ln(),
            usual: VecDeque::with_capacity(WINDOW),
            streak: VecDeque::with_capacity(STREAK),
        }
    }

    /// Takes a step's loss; answers when the losses explode.
    pub(super) fn observe(&mut self, loss: f64) -> Option<Explosion> {
        let median = self.median();
        if median.is_none_or(|median| loss <= FACTOR * median.max(self.chance)) {
            for loss in self.streak.drain(..).chain([loss]) {
                self.usual.push_back(loss);
            }
            while self.usual.len() > WINDOW {
                self.usual.pop_front();
            }
            return None;
        }
        if self.streak.len() == STREAK {
            self.streak.pop_front();
        }
        self.streak.push_back(loss);
        let explodes = self.streak.len() == STREAK && self.is_rising();
        explodes.then(|| Explosion {
            median: median.unwrap_or_default(),
            loss,
        })
    }

    /// Whether the second half of the streak is worse than the first, which is as long.
    fn is_rising(&self) -> bool {
        let half = STREAK / 2;
        let first: f64 = self.streak.iter().take(half).sum();
        let second: f64 = self.streak.iter().skip(half).sum();
        second > first
    }

    fn median(&self) -> Option<f64> {
        if self.usual.len() < LEAST_WINDOW {
            return None;
        }
        let mut sorted: Vec<f64> = self.usual.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        Some(sorted[sorted.len() / 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The step (from 0) at which the watch answers.
    fn fires_at(classes: usize, losses: impl IntoIterator<Item = f64>) -> Option<usize> {
        let mut watch = LossWatch::new(classes);
        losses
            .into_iter()
            .position(|loss| watch.observe(loss).is_some())
    }

    #[test]
    fn a_loss_that_keeps_growing_far_above_guessing_is_noticed() {
        let calm = (0..40).map(|step| 2.3 - 0.02 * f64::from(step));
        let growing = (0..60).map(|step| 2.0 * 1.3_f64.powi(step));
        let step = fires_at(10, calm.chain(growing)).unwrap();
        assert!((50..70).contains(&step), "{step}");
    }

    #[test]
    fn a_set_learnt_by_heart_with_single_bad_batches_is_healthy() {
        let losses = (0..2000).map(|step| if step % 50 == 49 { 8.0 } else { 1e-4 });
        assert_eq!(fires_at(2, losses), None);
    }

    #[test]
    fn a_restart_that_forgets_everything_is_healthy() {
        let learnt = (0..200).map(|_| 0.001);
        let forgotten = (0..50).map(|step| 4.0 - 0.05 * f64::from(step));
        assert_eq!(fires_at(10, learnt.chain(forgotten)), None);
    }

    #[test]
    fn high_losses_that_fall_are_healthy() {
        let start = (0..100).map(|step| 400.0 * 0.97_f64.powi(step));
        assert_eq!(fires_at(10, start), None);
        let calm = (0..40).map(|_| 1.0);
        let recovering = (0..60).map(|step| 300.0 * 0.9_f64.powi(step));
        assert_eq!(fires_at(10, calm.chain(recovering)), None);
    }
}
