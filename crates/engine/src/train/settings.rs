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
    match schedule {
        ScheduleConfig::Constant { warmup_epochs } => {
            not_negative("train.schedule.warmup_epochs", *warmup_epochs)
        }
        ScheduleConfig::Cosine {
            warmup_epochs,
            minimum,
        } => {
            not_negative("train.schedule.warmup_epochs", *warmup_epochs)?;
            not_negative("train.schedule.minimum", *minimum)
        }
        ScheduleConfig::Step {
            warmup_epochs,
            step_epochs,
            gamma,
        } => {
            not_negative("train.schedule.warmup_epochs", *warmup_epochs)?;
            at_least_one("train.schedule.step_epochs", u64::from(*step_epochs))?;
            positive("train.schedule.gamma", *gamma)
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
