//! Lower rates when the monitored metric no longer improves.

use ferrotype_core::config::schema::Monitor;
use serde::{Deserialize, Serialize};

/// What a plateau schedule has seen so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlateauState {
    /// Part of the peak learning rate that is left.
    pub factor: f64,
    /// The best monitored value.
    pub best: Option<f64>,
    /// Epochs without improvement since the last one, or the last drop.
    pub bad_epochs: u32,
    /// Epochs that are not counted yet after a drop.
    pub cooldown: u32,
}

impl Default for PlateauState {
    fn default() -> Self {
        Self {
            factor: 1.0,
            best: None,
            bad_epochs: 0,
            cooldown: 0,
        }
    }
}

/// A smaller drop of the learning rate is not made.
const LEAST_DROP: f64 = 1e-8;

/// PyTorch's `ReduceLROnPlateau` with a relative threshold.
pub(super) struct Rule {
    pub(super) factor: f64,
    pub(super) patience: u32,
    pub(super) threshold: f64,
    pub(super) cooldown: u32,
    pub(super) minimum: f64,
    /// The learning rate that the state's factor is of.
    pub(super) peak: f64,
    pub(super) monitor: Monitor,
}

impl Rule {
    /// The state after an epoch that reached `value`.
    pub(super) fn after(&self, state: &PlateauState, value: f64) -> PlateauState {
        let mut next = state.clone();
        if self.is_better(value, state.best) {
            next.best = Some(value);
            next.bad_epochs = 0;
        } else {
            next.bad_epochs += 1;
        }
        if next.cooldown > 0 {
            next.cooldown -= 1;
            next.bad_epochs = 0;
        }
        if next.bad_epochs > self.patience {
            let rate = self.peak * state.factor;
            let lower = (rate * self.factor).max(self.minimum);
            if rate - lower > LEAST_DROP {
                next.factor = lower / self.peak;
            }
            next.cooldown = self.cooldown;
            next.bad_epochs = 0;
        }
        next
    }

    fn is_better(&self, value: f64, best: Option<f64>) -> bool {
        let Some(best) = best else {
            return !value.is_nan();
        };
        match self.monitor {
            Monitor::Loss => value < best * (1.0 - self.threshold),
            Monitor::Auto | Monitor::Accuracy | Monitor::MacroF1 | Monitor::Auroc => {
                value > best * (1.0 + self.threshold)
            }
        }
    }
}
