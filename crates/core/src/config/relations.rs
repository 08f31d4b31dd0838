//! What holds between the values of a configuration.

use super::augment::Transform;
use super::error::{ConfigError, ConfigErrorKind};
use super::node::Node;
use super::schema::{
    ClassWeighting, ClassWeights, Config, DataConfig, ModelConfig, Sampling, ScheduleConfig,
    TrainConfig,
};
use crate::graph::zoo;
use crate::name::nearest;

/// Architectures go by name, except the user's own.
pub(super) fn check_architecture(tree: &Node, config: &Config) -> Result<(), ConfigError> {
    let name = config.model.name.as_str();
    if config.model.layers.is_some() || zoo::NAMES.contains(&name) {
        return Ok(());
    }
    let error = ConfigError::new(
        ConfigErrorKind::NotFound,
        format!("there is no architecture `{name}`"),
    )
    .with_hint(match nearest(name, zoo::NAMES.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!(
            "built in are {}; `model.layers` describes one of your own",
            zoo::NAMES.join(", ")
        ),
    });
    Err(match tree.select("model.name") {
        Some(node) => error.at(&node.origin),
        None => error,
    })
}

/// Values that contradict each other.
struct Contradiction {
    /// The key that is to be changed.
    key: &'static str,
    message: String,
    hint: &'static str,
    /// The key that it contradicts, if that is set by the configuration too.
    other: Option<&'static str>,
}

/// What holds between values.
pub(super) fn check_relations(tree: &Node, config: &Config) -> Result<(), ConfigError> {
    let found = check_warmup(&config.train)
        .or_else(|| check_plateau(&config.train))
        .or_else(|| check_balance(&config.train))
        .or_else(|| check_freezing(&config.train, &config.model))
        .or_else(|| check_crop(&config.data));
    let Some(found) = found else {
        return Ok(());
    };
    let Contradiction { key, message, .. } = &found;
    let error = ConfigError::new(ConfigErrorKind::OutOfRange, message.as_str())
        .with_hint(with_setter(tree, &found));
    Err(match tree.select(key) {
        Some(node) => error.at(&node.origin),
        None => error,
    })
}

/// The hint, with who set the other key where nobody typed it. The first one's place is told with
/// the error.
fn with_setter(tree: &Node, found: &Contradiction) -> String {
    let setter = found.other.and_then(|key| {
        let setter = tree.select(key)?.origin.setter()?;
        Some(format!("; `{key}` is set by {setter}"))
    });
    format!("{}{}", found.hint, setter.unwrap_or_default())
}

fn check_warmup(train: &TrainConfig) -> Option<Contradiction> {
    let warmup_epochs = train.schedule.warmup_epochs();
    (warmup_epochs > f64::from(train.epochs)).then(|| Contradiction {
        key: "train.schedule.warmup_epochs",
        message: format!(
            "`train.schedule.warmup_epochs` is `{warmup_epochs}`, more than `train.epochs`, which is `{}`",
            train.epochs
        ),
        hint: "set `train.schedule.warmup_epochs=0` for a short run",
        other: Some("train.epochs"),
    })
}

fn check_plateau(train: &TrainConfig) -> Option<Contradiction> {
    let ScheduleConfig::Plateau { patience, .. } = train.schedule else {
        return None;
    };
    let stopping = train.early_stopping.as_ref()?.patience;
    (stopping <= patience).then(|| Contradiction {
        key: "train.early_stopping.patience",
        message: format!(
            "`train.early_stopping.patience` is `{stopping}`: the run would end before `train.schedule.patience`, which is `{patience}`, lets the learning rate drop"
        ),
        hint: "raise `train.early_stopping.patience`, or lower `train.schedule.patience`",
        other: Some("train.schedule.patience"),
    })
}

fn check_balance(train: &TrainConfig) -> Option<Contradiction> {
    let is_twice = train.sampling == Sampling::Balanced
        && train.class_weights == ClassWeights::Rule(ClassWeighting::Balanced);
    is_twice.then(|| Contradiction {
        key: "train.class_weights",
        message: "`train.class_weights` and `train.sampling` are both `balanced`: small classes would count twice over".to_string(),
        hint: "choose one of the two",
        other: Some("train.sampling"),
    })
}

fn check_freezing(train: &TrainConfig, model: &ModelConfig) -> Option<Contradiction> {
    let key = match (&train.freeze, train.unfreeze_every_epochs) {
        (Some(_), _) => "train.freeze",
        (None, Some(_)) => "train.unfreeze_every_epochs",
        (None, None) => return None,
    };
    model.weights.is_none().then(|| Contradiction {
        key,
        message: format!(
            "`{key}` is set, but there is no `model.weights`: frozen layers would keep random weights"
        ),
        hint: "name the weights to start from with `model.weights=FILE`, or freeze nothing",
        other: None,
    })
}

fn check_crop(data: &DataConfig) -> Option<Contradiction> {
    let paddings = data.augment.as_ref()?.0.iter().map(|change| match change {
        Transform::CropPadding(crop) => crop.pixels(data.image_size),
        _ => 0,
    });
    let crop_padding = paddings.max()?;
    (crop_padding >= data.image_size).then(|| Contradiction {
        key: "data.augment.crop_padding",
        message: format!(
            "`data.augment.crop_padding` is `{crop_padding}`, expected less than `data.image_size`, which is `{}`",
            data.image_size
        ),
        hint: "set `data.augment.crop_padding=0` for images this small, or `data.augment.crop_padding={share:0.125}`",
        other: Some("data.image_size"),
    })
}
