//! The learning rate over time.

mod plateau;

use std::f64::consts::PI;

use ferrotype_core::config::schema::{Monitor, ScheduleConfig};

pub use plateau::PlateauState;

/// What a schedule says about one update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Learning rate.
    pub learning_rate: f64,
    /// Momentum in place of the optimiser's own, if the schedule has one.
    pub momentum: Option<f64>,
}

/// The learning rate of each step of a run. It has no state: what a plateau has reached is
/// handed in.
#[derive(Debug, Clone)]
pub struct Schedule {
    config: ScheduleConfig,
    peak: f64,
    steps_in_epoch: u64,
    warmup_steps: u64,
    total_steps: u64,
}

impl Schedule {
    /// A schedule with the peak learning rate `peak` over `epochs` of `steps_in_epoch` steps.
    pub fn new(config: &ScheduleConfig, peak: f64, epochs: u32, steps_in_epoch: u64) -> Self {
        let total_steps = u64::from(epochs) * steps_in_epoch;
        let warmup_steps = config.warmup_epochs().max(0.0) * steps_in_epoch as f64;
        Self {
            config: config.clone(),
            peak,
            steps_in_epoch: steps_in_epoch.max(1),
            warmup_steps: (warmup_steps.round() as u64).min(total_steps),
            total_steps,
        }
    }

    /// Learning rate and momentum of step `step`, counted from 0 over all epochs.
    pub fn rate(&self, step: u64, plateau: &PlateauState) -> Rate {
        Rate {
            learning_rate: self.learning_rate(step, plateau),
            momentum: self.momentum(step),
        }
    }

    /// The state of a plateau after an epoch that reached the value `monitored`; as it is for
    /// other schedules.
    pub fn after_epoch(
        &self,
        plateau: &PlateauState,
        monitored: f64,
        monitor: Monitor,
    ) -> PlateauState {
        match &self.config {
            ScheduleConfig::Plateau {
                factor,
                patience,
                threshold,
                cooldown,
                minimum,
                ..
            } => plateau::Rule {
                factor: *factor,
                patience: *patience,
                threshold: *threshold,
                cooldown: *cooldown,
                minimum: *minimum,
                peak: self.peak,
                monitor,
            }
            .after(plateau, monitored),
            _ => plateau.clone(),
        }
    }

    fn learning_rate(&self, step: u64, plateau: &PlateauState) -> f64 {
        if step < self.warmup_steps {
            // The first step already learns: rates 1/n, 2/n … n/n of the peak.
            return self.peak * (step + 1) as f64 / self.warmup_steps as f64;
        }
        match &self.config {
            ScheduleConfig::Constant { .. } => self.peak,
            ScheduleConfig::Cosine { minimum, .. } => {
                let length = (self.total_steps - self.warmup_steps).max(1);
                let done = (step - self.warmup_steps) as f64 / length as f64;
                anneal(self.peak, *minimum, done)
            }
            ScheduleConfig::Step {
                step_epochs, gamma, ..
            } => {
                let epoch = step / self.steps_in_epoch;
                let drops = epoch / u64::from((*step_epochs).max(1));
                self.peak * gamma.powi(i32::try_from(drops).unwrap_or(i32::MAX))
            }
            ScheduleConfig::OneCycle {
                warmup_share,
                start_divisor,
                end_divisor,
                ..
            } => {
                let start = self.peak / start_divisor;
                self.cycle(step, *warmup_share, [start, self.peak, start / end_divisor])
            }
            ScheduleConfig::Plateau { .. } => self.peak * plateau.factor,
        }
    }

    fn momentum(&self, step: u64) -> Option<f64> {
        let ScheduleConfig::OneCycle {
            warmup_share,
            momentum: Some([low, high]),
            ..
        } = &self.config
        else {
            return None;
        };
        Some(self.cycle(step, *warmup_share, [*high, *low, *high]))
    }

    /// From the first value over the second, at the end of the warm-up, to the third at the last
    /// step; the phases end where PyTorch's `OneCycleLR` ends them.
    fn cycle(&self, step: u64, warmup_share: f64, [start, peak, end]: [f64; 3]) -> f64 {
        let last = self.total_steps.saturating_sub(1) as f64;
        let turn = warmup_share * self.total_steps as f64 - 1.0;
        let step = step as f64;
        if step <= turn && turn > 0.0 {
            return anneal(start, peak, step / turn);
        }
        let length = last - turn;
        let done = if length > 0.0 {
            (step - turn) / length
        } else {
            1.0
        };
        anneal(peak, end, done)
    }
}

/// Half a cosine from `start` to `end`.
fn anneal(start: f64, end: f64, done: f64) -> f64 {
    end + (start - end) * 0.5 * (1.0 + (PI * done.clamp(0.0, 1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(config: &ScheduleConfig) -> Vec<f64> {
        let schedule = Schedule::new(config, 1.0, 4, 2);
        let plateau = PlateauState::default();
        (0..8)
            .map(|step| schedule.rate(step, &plateau).learning_rate)
            .collect()
    }

    #[test]
    fn a_cosine_falls_from_the_peak_to_the_minimum() {
        let config = ScheduleConfig::Cosine {
            warmup_epochs: 0.0,
            minimum: 0.2,
        };
        let schedule = Schedule::new(&config, 1.0, 4, 2);
        let rate = |step| schedule.rate(step, &PlateauState::default()).learning_rate;
        assert_eq!(rate(0), 1.0);
        assert!((rate(4) - 0.6).abs() < 1e-12);
        assert!((rate(8) - 0.2).abs() < 1e-12);
        assert!((rate(100) - 0.2).abs() < 1e-12);
    }

    #[test]
    fn the_warm_up_rises_in_equal_steps_to_the_peak() {
        let rates = rates(&ScheduleConfig::Constant { warmup_epochs: 2.0 });
        assert_eq!(rates, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn steps_multiply_by_gamma() {
        let rates = rates(&ScheduleConfig::Step {
            warmup_epochs: 0.0,
            step_epochs: 2,
            gamma: 0.5,
        });
        assert_eq!(rates, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]);
    }

    #[test]
    fn a_warm_up_longer_than_the_run_never_reaches_past_the_peak() {
        let rates = rates(&ScheduleConfig::Cosine {
            warmup_epochs: 100.0,
            minimum: 0.0,
        });
        assert!(rates.iter().all(|rate| (0.0..=1.0).contains(rate)));
        assert_eq!(rates[7], 1.0);
    }

    #[test]
    fn a_cycle_of_a_single_step_is_finite() {
        let config = ScheduleConfig::OneCycle {
            warmup_share: 0.3,
            start_divisor: 25.0,
            end_divisor: 1e4,
            momentum: Some([0.85, 0.95]),
        };
        for epochs in 1..5 {
            let schedule = Schedule::new(&config, 1.0, epochs, 1);
            for step in 0..u64::from(epochs) {
                let rate = schedule.rate(step, &PlateauState::default());
                assert!((0.0..=1.0).contains(&rate.learning_rate), "{rate:?}");
                assert!((0.85..=0.95).contains(&rate.momentum.unwrap()), "{rate:?}");
            }
        }
    }
}
