//! The learning rate over time.

use std::f64::consts::PI;

use ferrotype_core::config::schema::ScheduleConfig;

/// The learning rate of each step of a run.
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
        let warmup_epochs = match config {
            ScheduleConfig::Constant { warmup_epochs }
            | ScheduleConfig::Cosine { warmup_epochs, .. }
            | ScheduleConfig::Step { warmup_epochs, .. } => *warmup_epochs,
        };
        let total_steps = u64::from(epochs) * steps_in_epoch;
        let warmup_steps = (warmup_epochs.max(0.0) * steps_in_epoch as f64).round() as u64;
        Self {
            config: config.clone(),
            peak,
            steps_in_epoch: steps_in_epoch.max(1),
            warmup_steps: warmup_steps.min(total_steps),
            total_steps,
        }
    }

    /// The learning rate of step `step`, counted from 0 over all epochs.
    pub fn learning_rate(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            // The first step already learns: rates 1/n, 2/n … n/n of the peak.
            return self.peak * (step + 1) as f64 / self.warmup_steps as f64;
        }
        match &self.config {
            ScheduleConfig::Constant { .. } => self.peak,
            ScheduleConfig::Cosine { minimum, .. } => {
                let length = (self.total_steps - self.warmup_steps).max(1);
                let done = (step - self.warmup_steps) as f64 / length as f64;
                minimum + (self.peak - minimum) * 0.5 * (1.0 + (PI * done.min(1.0)).cos())
            }
            ScheduleConfig::Step {
                step_epochs, gamma, ..
            } => {
                let epoch = step / self.steps_in_epoch;
                let drops = epoch / u64::from((*step_epochs).max(1));
                self.peak * gamma.powi(i32::try_from(drops).unwrap_or(i32::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(config: ScheduleConfig) -> Vec<f64> {
        let schedule = Schedule::new(&config, 1.0, 4, 2);
        (0..8).map(|step| schedule.learning_rate(step)).collect()
    }

    #[test]
    fn a_cosine_falls_from_the_peak_to_the_minimum() {
        let schedule = Schedule::new(
            &ScheduleConfig::Cosine {
                warmup_epochs: 0.0,
                minimum: 0.2,
            },
            1.0,
            4,
            2,
        );
        assert_eq!(schedule.learning_rate(0), 1.0);
        assert!((schedule.learning_rate(4) - 0.6).abs() < 1e-12);
        assert!((schedule.learning_rate(8) - 0.2).abs() < 1e-12);
        assert!((schedule.learning_rate(100) - 0.2).abs() < 1e-12);
    }

    #[test]
    fn the_warm_up_rises_in_equal_steps_to_the_peak() {
        let rates = rates(ScheduleConfig::Constant { warmup_epochs: 2.0 });
        assert_eq!(rates, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn steps_multiply_by_gamma() {
        let rates = rates(ScheduleConfig::Step {
            warmup_epochs: 0.0,
            step_epochs: 2,
            gamma: 0.5,
        });
        assert_eq!(rates, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]);
    }

    #[test]
    fn a_warm_up_longer_than_the_run_never_reaches_past_the_peak() {
        let rates = rates(ScheduleConfig::Cosine {
            warmup_epochs: 100.0,
            minimum: 0.0,
        });
        assert!(rates.iter().all(|rate| (0.0..=1.0).contains(rate)));
        assert_eq!(rates[7], 1.0);
    }
}
