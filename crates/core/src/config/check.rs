//! From the resolved tree to the typed configuration: every key known, every value in its range.

use super::augment::check as augment;
use super::builtin;
use super::compose::refuse_missing;
use super::error::{ConfigError, ConfigErrorKind};
use super::node::{Map, Node, Value};
use super::relations::{check_architecture, check_relations};
use super::rules::{CONFIG, Field, Range, Rule, Variants};
use super::schema::{Config, DeviceConfig};
use super::text::python_text;
use super::yaml;
use crate::name::{Reference, nearest};

/// Checks a resolved tree. Texts become the numbers and booleans that are expected in their
/// place (environment variables are texts), numbers the texts.
pub(super) fn check(tree: Node) -> Result<(Node, Config), ConfigError> {
    refuse_missing(&tree)?;
    let tree = value(tree, &CONFIG, "")?;
    let config = serde_json::from_value(tree.to_json()).map_err(|error| {
        // The rules say all that the types ask for, so this is not reached.
        ConfigError::new(ConfigErrorKind::WrongType, error.to_string())
    })?;
    check_architecture(&tree, &config)?;
    check_relations(&tree, &config)?;
    Ok((tree, config))
}

/// The node as its rule has it.
pub(super) fn value(node: Node, rule: &Rule, key: &str) -> Result<Node, ConfigError> {
    let origin = node.origin.clone();
    match rule {
        Rule::Map(fields) => return map(node, fields, key),
        Rule::Variants(variants) => return variant(node, variants, key),
        Rule::Ordered(fields) => return augment::ordered(node, fields, key),
        Rule::Shorthand { main, fields } => return augment::shorthand(node, main, fields, key),
        Rule::Transforms => augment::transforms(node, key),
        Rule::Limits(range, alone) => augment::limits(node, range, *alone, key),
        Rule::WholeLimits(low, high, alone) => {
            augment::whole_limits(node, [*low, *high], *alone, key)
        }
        Rule::WholePair(low, high) => augment::whole_pair(node, [*low, *high], key),
        Rule::Color => augment::color(node, None, key),
        Rule::ColorOr(word) => augment::color(node, Some(word), key),
        Rule::Whole(low, high) => whole(node, *low, *high, key),
        Rule::Number(range) => number(node, range, key),
        Rule::Numbers(count, range) => numbers(node, *count, range, key),
        Rule::AnyNumbers(range) => any_numbers(node, range, key),
        Rule::Texts => texts(node, key),
        Rule::ScalarOrList(scalar, list) => return scalar_or_list(node, scalar, list, key),
        Rule::Flag => flag(node, key),
        Rule::Text => text(node, key),
        Rule::Reference => reference(node, key),
        Rule::Device => device(node, key),
        Rule::OneOf(choices) => one_of(node, choices, key),
        Rule::List => match node.value {
            Value::List(_) => Ok(node),
            _ => Err(wrong_type(&node, "a list", key)),
        },
    }
    .map_err(|error| error.at(&origin))
}

pub(super) fn wrong_type(node: &Node, expected: &str, key: &str) -> ConfigError {
    let shown = match &node.value {
        Value::List(items) => format!("a list of {}", items.len()),
        Value::Map(_) | Value::Null => node.value.kind().to_string(),
        value => format!("`{}`", python_text(value).unwrap_or_default()),
    };
    ConfigError::new(
        ConfigErrorKind::WrongType,
        format!("`{key}` is {shown}, expected {expected}"),
    )
}

fn out_of_range(node: &Node, expected: &str, key: &str) -> ConfigError {
    let shown = python_text(&node.value).unwrap_or_default();
    ConfigError::new(
        ConfigErrorKind::OutOfRange,
        format!("`{key}` is `{shown}`, expected {expected}"),
    )
}

pub(super) fn path(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_string()
    } else {
        format!("{parent}.{name}")
    }
}

pub(super) fn entries(node: Node, key: &str) -> Result<Map, ConfigError> {
    match node.value {
        Value::Map(map) => Ok(map),
        _ => {
            let error = wrong_type(&node, "a mapping", key).at(&node.origin);
            Err(match choosing(key) {
                Some(hint) => error.with_hint(hint),
                None => error,
            })
        }
    }
}

/// How an option is chosen for the mapping at `key`, if there is a group for it.
fn choosing(key: &str) -> Option<String> {
    let group = key.replace('.', "/");
    let options: Vec<_> = builtin::options(&group).collect();
    (!options.is_empty()).then(|| {
        format!(
            "an option of the group is chosen by `{group}=…` ({})",
            options.join(", ")
        )
    })
}

/// Whether the rules have a key, given the variants that the tree has chosen.
///
/// # Errors
/// They do not; the hint says what they have instead.
pub(super) fn check_key(tree: &Node, keys: &[&str]) -> Result<(), ConfigError> {
    let mut rule = CONFIG;
    let mut parent = String::new();
    for name in keys {
        let found = match rule {
            Rule::Map(fields) | Rule::Ordered(fields) | Rule::Shorthand { fields, .. } => {
                field(fields, name, &parent)?
            }
            Rule::Variants(variants) if *name != "name" => match chosen(tree, variants, &parent) {
                Some(chosen) => variant_field(variants, chosen, name, &parent)?,
                None => return Ok(()),
            },
            Rule::Variants(_)
            | Rule::List
            | Rule::Numbers(..)
            | Rule::AnyNumbers(_)
            | Rule::Texts
            | Rule::ScalarOrList(..)
            | Rule::Limits(..)
            | Rule::WholeLimits(..)
            | Rule::WholePair(..)
            | Rule::Color
            | Rule::ColorOr(_)
            | Rule::Transforms => return Ok(()),
            _ => return Err(no_mapping(&parent)),
        };
        parent = path(&parent, name);
        rule = found.rule;
    }
    Ok(())
}

fn no_mapping(key: &str) -> ConfigError {
    ConfigError::new(
        ConfigErrorKind::UnknownKey,
        format!("`{key}` has no keys of its own"),
    )
    .with_hint(format!("`{key}` is one value: write `{key}=…`"))
}

/// The variant that the tree has at `key`.
fn chosen<'t>(tree: &'t Node, variants: Variants, key: &str) -> Option<&'t str> {
    tree.select(&path(key, "name"))?
        .as_text()
        .filter(|name| variants.iter().any(|(known, _)| known == name))
}

fn map(node: Node, fields: &[Field], key: &str) -> Result<Node, ConfigError> {
    let origin = node.origin.clone();
    let entries = entries(node, key)?;
    for (name, entry) in &entries {
        field(fields, name, key).map_err(|error| error.at(&entry.origin))?;
    }
    let fields = check_fields(entries, fields, key)?;
    Ok(Node::new(Value::Map(fields), origin))
}

/// The rule of a key of a mapping.
pub(super) fn field<'f>(
    fields: &'f [Field],
    name: &str,
    key: &str,
) -> Result<&'f Field, ConfigError> {
    fields
        .iter()
        .find(|field| field.name == name)
        .ok_or_else(|| unknown_key(name, fields, key))
}

/// The rule of a key of the chosen variant.
fn variant_field(
    variants: Variants,
    chosen: &str,
    name: &str,
    key: &str,
) -> Result<&'static Field, ConfigError> {
    field(fields_of(variants, chosen), name, key)
        .map_err(|unknown| foreign_key(name, chosen, variants, key).unwrap_or(unknown))
}

fn fields_of(variants: Variants, chosen: &str) -> &'static [Field] {
    variants
        .iter()
        .find(|(known, _)| *known == chosen)
        .map_or(&[][..], |(_, fields)| *fields)
}

fn unknown_key(name: &str, fields: &[Field], key: &str) -> ConfigError {
    let error = ConfigError::new(
        ConfigErrorKind::UnknownKey,
        format!("unknown key `{}`", path(key, name)),
    );
    if key.is_empty() && name == "hydra" {
        return error.with_hint("Hydra's own settings have no counterpart here; remove them");
    }
    let known = || fields.iter().map(|field| field.name);
    match nearest(name, known()) {
        Some(nearest) => error.with_hint(format!("did you mean `{}`?", path(key, nearest))),
        None => error.with_hint(format!(
            "known keys are {}",
            known().collect::<Vec<_>>().join(", ")
        )),
    }
}

/// The entries in the order of the fields.
pub(super) fn check_fields(
    mut entries: Map,
    fields: &[Field],
    key: &str,
) -> Result<Map, ConfigError> {
    let mut checked = Map::with_capacity(entries.len());
    for field in fields {
        let field_key = path(key, field.name);
        match entries.shift_remove(field.name) {
            Some(entry) if !entry.is_null() => {
                let entry = value(entry, &field.rule, &field_key)?;
                checked.insert(field.name.to_string(), entry);
            }
            Some(null) if field.is_optional => {
                checked.insert(field.name.to_string(), null);
            }
            None if field.is_optional => {}
            unset => {
                let error = must_be_set(&field_key);
                return Err(unset.map_or(error.clone(), |null| error.at(&null.origin)));
            }
        }
    }
    Ok(checked)
}

fn must_be_set(key: &str) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Missing, format!("`{key}` must be set"))
        .with_hint(choosing(key).unwrap_or_else(|| format!("write `++{key}=…`")))
}

fn variant(node: Node, variants: Variants, key: &str) -> Result<Node, ConfigError> {
    let origin = node.origin.clone();
    let mut entries = entries(node, key)?;
    let name_key = path(key, "name");
    let name = entries
        .shift_remove("name")
        .filter(|name| !name.is_null())
        .ok_or_else(|| must_be_set(&name_key))?;
    let names: Vec<&str> = variants.iter().map(|(name, _)| *name).collect();
    let name_origin = name.origin.clone();
    let name = one_of(name, &names, &name_key).map_err(|error| error.at(&name_origin))?;
    let chosen = name.as_text().unwrap_or_default().to_string();
    for (entry_name, entry) in &entries {
        variant_field(variants, &chosen, entry_name, key)
            .map_err(|error| error.at(&entry.origin))?;
    }
    let mut checked = check_fields(entries, fields_of(variants, &chosen), key)?;
    checked.shift_insert(0, "name".to_string(), name);
    Ok(Node::new(Value::Map(checked), origin))
}

/// The error for a key that the chosen variant does not have, but another.
fn foreign_key(name: &str, chosen: &str, variants: Variants, key: &str) -> Option<ConfigError> {
    let (owner, _) = variants
        .iter()
        .find(|(_, fields)| fields.iter().any(|field| field.name == name))?;
    let error = ConfigError::new(
        ConfigErrorKind::UnknownKey,
        format!("`{chosen}` has no key `{}`", path(key, name)),
    );
    Some(error.with_hint(format!(
        "the key belongs to `{owner}`; choose one of the two with all its keys: `{0}={chosen}` or `{0}={owner}`",
        key.replace('.', "/")
    )))
}

/// A text as the number or boolean that it stands for.
fn decoded(node: &Node) -> Value {
    match &node.value {
        Value::Text(text) => yaml::resolve(text.trim()).unwrap_or(Value::Null),
        value => value.clone(),
    }
}

pub(super) fn whole(node: Node, low: u64, high: u64, key: &str) -> Result<Node, ConfigError> {
    let expected = match (low, high) {
        (0, u64::MAX) => "a whole number, 0 or more".to_string(),
        _ => format!("a whole number from {low} to {high}"),
    };
    match decoded(&node) {
        Value::Int(value) if (i128::from(low)..=i128::from(high)).contains(&value) => {
            Ok(Node::new(Value::Int(value), node.origin))
        }
        Value::Int(_) => Err(out_of_range(&node, &expected, key)),
        _ => Err(wrong_type(&node, &expected, key)),
    }
}

pub(super) fn number(node: Node, range: &Range, key: &str) -> Result<Node, ConfigError> {
    let value = match decoded(&node) {
        Value::Int(value) => value as f64,
        Value::Float(value) => value,
        _ => return Err(wrong_type(&node, &range.words(), key)),
    };
    if !range.contains(value) {
        return Err(out_of_range(&node, &range.words(), key));
    }
    Ok(Node::new(Value::Float(value), node.origin))
}

fn numbers(node: Node, count: usize, range: &Range, key: &str) -> Result<Node, ConfigError> {
    match &node.value {
        Value::List(items) if items.len() == count => any_numbers(node, range, key),
        _ => Err(wrong_type(
            &node,
            &format!("a list of {count} numbers"),
            key,
        )),
    }
}

fn any_numbers(node: Node, range: &Range, key: &str) -> Result<Node, ConfigError> {
    list_of(node, "a list of numbers", key, |item, key| {
        number(item, range, key)
    })
}

fn texts(node: Node, key: &str) -> Result<Node, ConfigError> {
    list_of(node, "a list of texts", key, text)
}

/// A list of one item or more, each as `check` has it.
fn list_of(
    node: Node,
    expected: &str,
    key: &str,
    check: impl Fn(Node, &str) -> Result<Node, ConfigError>,
) -> Result<Node, ConfigError> {
    let items = match node.value {
        Value::List(items) if !items.is_empty() => items,
        _ => return Err(wrong_type(&node, expected, key)),
    };
    let items = items
        .into_iter()
        .enumerate()
        .map(|(index, item)| {
            let origin = item.origin.clone();
            check(item, &format!("{key}.{index}")).map_err(|error| error.at(&origin))
        })
        .collect::<Result<_, _>>()?;
    Ok(Node::new(Value::List(items), node.origin))
}

fn scalar_or_list(node: Node, scalar: &Rule, list: &Rule, key: &str) -> Result<Node, ConfigError> {
    if matches!(node.value, Value::List(_)) {
        return value(node, list, key);
    }
    value(node, scalar, key).map_err(|error| match error.hint() {
        Some(_) => error,
        None => error.with_hint(format!("or a list: `{key}=[…]`")),
    })
}

fn flag(node: Node, key: &str) -> Result<Node, ConfigError> {
    match decoded(&node) {
        Value::Bool(value) => Ok(Node::new(Value::Bool(value), node.origin)),
        _ => Err(wrong_type(&node, "`true` or `false`", key)),
    }
}

fn text(node: Node, key: &str) -> Result<Node, ConfigError> {
    match python_text(&node.value) {
        Some(text) => Ok(Node::new(Value::Text(text), node.origin)),
        None => Err(wrong_type(&node, "a text", key)),
    }
}

fn reference(node: Node, key: &str) -> Result<Node, ConfigError> {
    let node = text(node, key)?;
    match node.as_text().unwrap_or_default().parse::<Reference>() {
        Ok(_) => Ok(node),
        Err(error) => Err(ConfigError::new(
            ConfigErrorKind::OutOfRange,
            format!("`{key}`: {error}"),
        )),
    }
}

fn device(node: Node, key: &str) -> Result<Node, ConfigError> {
    match node.as_text().map(str::parse::<DeviceConfig>) {
        Some(Ok(_)) => Ok(node),
        _ => Err(wrong_type(&node, &quoted(&DeviceConfig::NAMES), key)
            .with_hint("`cuda` is an NVIDIA GPU, `wgpu` any GPU, `auto` the best that is there")),
    }
}

fn one_of(node: Node, choices: &[&str], key: &str) -> Result<Node, ConfigError> {
    let found = node.as_text().unwrap_or_default();
    if choices.contains(&found) {
        return Ok(node);
    }
    let error = wrong_type(&node, &quoted(choices), key);
    Err(match nearest(found, choices.iter().copied()) {
        Some(nearest) => error.with_hint(format!("did you mean `{nearest}`?")),
        None => error,
    })
}

fn quoted(choices: &[&str]) -> String {
    let names: Vec<_> = choices.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::augment::{HorizontalFlip, Transform};
    use crate::config::origin::Origin;
    use crate::config::schema::{
        AugmentConfig, ClassWeights, DataConfig, EarlyStoppingConfig, Freeze, ModelConfig, Monitor,
        OptimizerConfig, Sampling, ScheduleConfig, TestTimeAugmentation, TrainConfig,
    };
    use crate::manifest::{ResizeFilter, ResizeMode};

    /// A configuration with every optional field set: a new field must be named here.
    fn complete(optimizer: OptimizerConfig, schedule: ScheduleConfig) -> Config {
        Config {
            model: ModelConfig {
                name: "baseline".into(),
                dropout: Some(0.5),
                stochastic_depth: Some(0.1),
                weights: Some("hf://a/b.safetensors".into()),
                layers: Some(serde_json::json!([])),
            },
            data: DataConfig {
                dataset: Some("land@v2".into()),
                image_size: 64,
                resize: ResizeMode::CenterCrop,
                filter: ResizeFilter::Bicubic,
                mean: [0.0; 3],
                std: [1.0; 3],
                workers: 1,
                test_time_augmentation: TestTimeAugmentation::Flips,
                cache_gb: Some(5.0),
                cache_size: Some(80),
                augment: Some(AugmentConfig(vec![Transform::HorizontalFlip(
                    HorizontalFlip { p: 1.0 },
                )])),
            },
            train: TrainConfig {
                epochs: 10,
                batch_size: 1,
                learning_rate: 1e-3,
                seed: u64::MAX,
                device: DeviceConfig::Cuda(Some(1)),
                optimizer,
                schedule,
                accumulate: 2,
                gradient_clip: Some(1.0),
                sampling: Sampling::Balanced,
                label_smoothing: 0.1,
                class_weights: ClassWeights::Given(vec![1.0, 2.0]),
                mixup: Some(0.2),
                cutmix: Some(1.0),
                ema: Some(0.99),
                freeze: Some(Freeze::Layers(vec!["layer1".into()])),
                unfreeze_every_epochs: Some(1),
                layer_decay: Some(0.8),
                early_stopping: Some(EarlyStoppingConfig {
                    patience: 1,
                    min_delta: 0.0,
                }),
                monitor: Monitor::MacroF1,
                threshold: Some(0.3),
                note: Some("x".into()),
            },
        }
    }

    fn optimizers() -> [OptimizerConfig; 2] {
        [
            OptimizerConfig::AdamW {
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.0,
            },
            OptimizerConfig::Sgd {
                momentum: 0.9,
                weight_decay: 0.0,
                nesterov: true,
            },
        ]
    }

    fn schedules() -> [ScheduleConfig; 5] {
        [
            ScheduleConfig::Constant { warmup_epochs: 0.5 },
            ScheduleConfig::Cosine {
                warmup_epochs: 0.5,
                minimum: 0.0,
            },
            ScheduleConfig::Step {
                warmup_epochs: 0.5,
                step_epochs: 1,
                gamma: 0.1,
            },
            ScheduleConfig::OneCycle {
                warmup_share: 0.3,
                start_divisor: 25.0,
                end_divisor: 1e4,
                momentum: Some([0.85, 0.95]),
            },
            ScheduleConfig::Plateau {
                warmup_epochs: 0.5,
                factor: 0.1,
                patience: 0,
                threshold: 1e-4,
                cooldown: 0,
                minimum: 0.0,
            },
        ]
    }

    #[test]
    fn the_rules_know_every_field_of_the_types() {
        for optimizer in optimizers() {
            for schedule in schedules() {
                let config = complete(optimizer.clone(), schedule);
                let json = serde_json::to_value(&config).unwrap();
                let tree = Node::from_json(&json, &Origin::Program);
                let (checked, back) = check(tree).unwrap();
                assert_eq!(back, config);
                assert_eq!(checked.to_json(), json);
            }
        }
    }

    /// A tree that has every field of a rule, once for each variant below it.
    fn samples(rule: &Rule) -> Vec<serde_json::Value> {
        use serde_json::json;
        match rule {
            Rule::Map(fields) => with_fields(serde_json::Map::new(), fields),
            Rule::Variants(variants) => variants
                .iter()
                .flat_map(|(name, fields)| {
                    let start = serde_json::Map::from_iter([("name".to_string(), json!(name))]);
                    with_fields(start, fields)
                })
                .collect(),
            Rule::Whole(low, _) => vec![json!(low)],
            Rule::Number(range) => vec![json!(inside(range))],
            Rule::Numbers(count, range) => vec![json!(vec![inside(range); *count])],
            Rule::AnyNumbers(range) => vec![json!([inside(range)])],
            Rule::Texts => vec![json!(["layer*"])],
            Rule::ScalarOrList(scalar, list) => {
                let mut all = samples(scalar);
                all.extend(samples(list));
                all
            }
            Rule::Flag => vec![json!(true)],
            Rule::Text | Rule::Reference => vec![json!("baseline")],
            Rule::Device => vec![json!("auto"), json!("cuda:1")],
            Rule::OneOf(choices) => choices.iter().map(|choice| json!(choice)).collect(),
            Rule::List => vec![json!([])],
            // What the parameters are is held in `augment`'s own tests.
            Rule::Ordered(_) => vec![json!({"horizontal_flip": 0.5})],
            rule => unreachable!("{rule:?} is a rule below `data.augment`"),
        }
    }

    fn inside(range: &Range) -> f64 {
        [0.0, 0.5, 1.0]
            .into_iter()
            .find(|x| range.contains(*x))
            .unwrap()
    }

    /// The first sample of every field, and each further sample in turn.
    fn with_fields(
        mut start: serde_json::Map<String, serde_json::Value>,
        fields: &[Field],
    ) -> Vec<serde_json::Value> {
        let choices: Vec<_> = fields.iter().map(|field| samples(&field.rule)).collect();
        for (field, choices) in fields.iter().zip(&choices) {
            start.insert(field.name.to_string(), choices[0].clone());
        }
        let mut all = vec![serde_json::Value::from(start.clone())];
        for (field, choices) in fields.iter().zip(&choices) {
            for choice in &choices[1..] {
                let mut sample = start.clone();
                sample.insert(field.name.to_string(), choice.clone());
                all.push(sample.into());
            }
        }
        all
    }

    #[test]
    fn the_types_know_every_field_of_the_rules() {
        let samples = samples(&CONFIG);
        assert!(samples.len() >= 8);
        for sample in samples {
            let config: Config = serde_json::from_value(sample.clone())
                .unwrap_or_else(|error| panic!("{error}: {sample}"));
            assert_eq!(serde_json::to_value(&config).unwrap(), sample);
        }
    }

    #[test]
    fn a_range_says_what_it_expects() {
        let Rule::Map(fields) = CONFIG else { panic!() };
        let words: Vec<String> = fields
            .iter()
            .flat_map(|field| match field.rule {
                Rule::Map(fields) => fields.iter(),
                _ => [].iter(),
            })
            .filter_map(|field| match field.rule {
                Rule::Number(range) | Rule::Numbers(_, range) => {
                    Some(format!("{}: {}", field.name, range.words()))
                }
                _ => None,
            })
            .collect();
        assert_eq!(
            words,
            [
                "dropout: a number, 0 or more and less than 1",
                "stochastic_depth: a number, 0 or more and less than 1",
                "mean: a finite number",
                "std: a number, more than 0",
                "cache_gb: a number, 0 or more",
                "learning_rate: a number, more than 0",
                "gradient_clip: a number, more than 0",
                "label_smoothing: a number, 0 or more and less than 1",
                "mixup: a number, more than 0 and at most 1000",
                "cutmix: a number, more than 0 and at most 1000",
                "ema: a number, more than 0 and less than 1",
                "layer_decay: a number, more than 0 and at most 1",
            ]
        );
    }
}
