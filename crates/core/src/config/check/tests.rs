//! The rules and the types agree.

use super::*;
use crate::config::augment::{HorizontalFlip, Transform};
use crate::config::origin::Origin;
use crate::config::rules::{Field, Range};
use crate::config::schema::{
    AugmentConfig, ClassWeights, DataConfig, DeviceConfig, EarlyStoppingConfig, Freeze,
    ModelConfig, Monitor, OptimizerConfig, Sampling, ScheduleConfig, TestTimeAugmentation,
    ThresholdConfig, TrainConfig,
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
            threshold: Some(ThresholdConfig::Each(vec![0.3, 0.4])),
            early_stopping: Some(EarlyStoppingConfig {
                patience: 1,
                min_delta: 0.0,
            }),
            monitor: Monitor::MacroF1,
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
        Rule::NumberOr(range, word) => vec![json!(inside(range)), json!(word)],
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
