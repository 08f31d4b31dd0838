//! Checks of the settings that the engine itself relies on.

use ferrotype_core::config::schema::{OptimizerConfig, ScheduleConfig, TrainConfig};

use crate::error::{EngineError, EngineErrorKind};

/// Checks a training configuration.
///
/// # Errors
/// Names the key, its value and what was expected.
pub(super) fn check(config: &TrainConfig) -> Result<(), EngineError> {
    at_least_one("train.epochs", u64::from(config.epochs))?;
    at_least_one("train.batch_size", config.batch_size as u64)?;
    positive("train.learning_rate", config.learning_rate)?;
    at_least_one("train.accumulate", u64::from(config.accumulate))?;
    below_one("train.label_smoothing", config.label_smoothing)?;
    if let Some(decay) = config.ema {
        positive("train.ema", decay)?;
        below_one("train.ema", decay)?;
    }
    if let Some(decay) = config.layer_decay {
        positive("train.layer_decay", decay)?;
    }
    if let Some(epochs) = config.unfreeze_every_epochs {
        at_least_one("train.unfreeze_every_epochs", u64::from(epochs))?;
    }
    if let Some(clip) = config.gradient_clip {
        positive("train.gradient_clip", clip)?;
    }
    check_optimizer(&config.optimizer)?;
    check_schedule(&config.schedule)
}

fn check_optimizer(optimizer: &OptimizerConfig) -> Result<(), EngineError> {
    match optimizer {
        OptimizerConfig::AdamW {
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } => {
            below_one("train.optimizer.beta1", *beta1)?;
            below_one("train.optimizer.beta2", *beta2)?;
            positive("train.optimizer.epsilon", *epsilon)?;
            not_negative("train.optimizer.weight_decay", *weight_decay)
        }
        OptimizerConfig::Sgd {
            momentum,
            weight_decay,
            ..
        } => {
            below_one("train.optimizer.momentum", *momentum)?;
            not_negative("train.optimizer.weight_decay", *weight_decay)
        }
    }
}

fn check_schedule(schedule: &ScheduleConfig) -> Result<(), EngineError> {
    not_negative("train.schedule.warmup_epochs", schedule.warmup_epochs())?;
    match schedule {
        ScheduleConfig::Constant { .. } => Ok(()),
        ScheduleConfig::Cosine { minimum, .. } => not_negative("train.schedule.minimum", *minimum),
        ScheduleConfig::Step {
            step_epochs, gamma, ..
        } => {
            at_least_one("train.schedule.step_epochs", u64::from(*step_epochs))?;
            positive("train.schedule.gamma", *gamma)
        }
        ScheduleConfig::OneCycle {
            warmup_share,
            start_divisor,
            end_divisor,
            momentum,
        } => {
            below_one("train.schedule.warmup_share", *warmup_share)?;
            positive("train.schedule.start_divisor", *start_divisor)?;
            positive("train.schedule.end_divisor", *end_divisor)?;
            let mut bounds = momentum.iter().flatten();
            bounds.try_for_each(|bound| below_one("train.schedule.momentum", *bound))
        }
        ScheduleConfig::Plateau {
            factor,
            threshold,
            minimum,
            ..
        } => {
            positive("train.schedule.factor", *factor)?;
            below_one("train.schedule.factor", *factor)?;
            below_one("train.schedule.threshold", *threshold)?;
            not_negative("train.schedule.minimum", *minimum)
        }
    }
}

fn at_least_one(key: &str, value: u64) -> Result<(), EngineError> {
    expect(value >= 1, key, &value, "1 or more")
}

fn positive(key: &str, value: f64) -> Result<(), EngineError> {
    expect(
        value.is_finite() && value > 0.0,
        key,
        &value,
        "a positive number",
    )
}

fn not_negative(key: &str, value: f64) -> Result<(), EngineError> {
    expect(
        value.is_finite() && value >= 0.0,
        key,
        &value,
        "zero or a positive number",
    )
}

fn below_one(key: &str, value: f64) -> Result<(), EngineError> {
    expect((0.0..1.0).contains(&value), key, &value, "0 to below 1")
}

fn expect(
    holds: bool,
    key: &str,
    value: &dyn std::fmt::Display,
    expected: &str,
) -> Result<(), EngineError> {
    if holds {
        return Ok(());
    }
    Err(EngineError::new(
        EngineErrorKind::Config,
        format!("`{key}` is `{value}`, expected {expected}"),
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use ferrotype_core::config::schema::{ClassWeights, DeviceConfig, Monitor, Sampling};

    use super::*;

    /// The plainest settings.
    pub(crate) fn plain() -> TrainConfig {
        TrainConfig {
            epochs: 1,
            batch_size: 8,
            learning_rate: 0.01,
            seed: 0,
            device: DeviceConfig::Cpu,
            optimizer: OptimizerConfig::Sgd {
                momentum: 0.0,
                weight_decay: 0.0,
                nesterov: false,
            },
            schedule: ScheduleConfig::Constant { warmup_epochs: 0.0 },
            accumulate: 1,
            gradient_clip: None,
            sampling: Sampling::Shuffle,
            label_smoothing: 0.0,
            class_weights: ClassWeights::default(),
            mixup: None,
            cutmix: None,
            ema: None,
            freeze: None,
            unfreeze_every_epochs: None,
            layer_decay: None,
            early_stopping: None,
            monitor: Monitor::Loss,
            threshold: None,
            note: None,
        }
    }

    #[test]
    fn plain_settings_pass() {
        check(&plain()).unwrap();
    }

    #[test]
    fn recipe_settings_out_of_range_are_refused_by_their_key() {
        let cases = [
            (
                "train.ema",
                TrainConfig {
                    ema: Some(1.0),
                    ..plain()
                },
            ),
            (
                "train.accumulate",
                TrainConfig {
                    accumulate: 0,
                    ..plain()
                },
            ),
            (
                "train.label_smoothing",
                TrainConfig {
                    label_smoothing: f64::NAN,
                    ..plain()
                },
            ),
        ];
        for (key, config) in cases {
            let error = check(&config).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
