//! The configurations that are part of the program, under `crates/core/configs`.

/// The primary configuration, for a project without `ferrotype.yaml`.
pub(super) const PRIMARY: &str = include_str!("../../configs/config.yaml");

macro_rules! built_in {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../configs/", $path, ".yaml")))),+]
    };
}

const FILES: &[(&str, &str)] = built_in![
    "data/augment/aerial",
    "data/augment/auto",
    "data/augment/light",
    "data/augment/medical",
    "data/augment/none",
    "data/augment/strong",
    "data/default",
    "model/alexnet",
    "model/baseline",
    "model/cnn6",
    "model/convnext_tiny",
    "model/efficientnet_b0",
    "model/mobilenet_v2",
    "model/mobilenet_v3_small",
    "model/resnet18",
    "model/resnet34",
    "model/resnet50",
    "model/vgg11",
    "model/vgg11_bn",
    "model/vgg16",
    "model/vgg16_bn",
    "model/vit_tiny",
    "recipe/finetune",
    "recipe/imbalanced",
    "recipe/regularized",
    "train/default",
    "train/optimizer/adamw",
    "train/optimizer/sgd",
    "train/schedule/constant",
    "train/schedule/cosine",
    "train/schedule/one_cycle",
    "train/schedule/plateau",
    "train/schedule/step",
];

/// The text of a built-in configuration.
pub(super) fn text(path: &str) -> Option<&'static str> {
    FILES
        .iter()
        .find(|(known, _)| *known == path)
        .map(|(_, text)| *text)
}

/// Names of a group's built-in options.
pub(super) fn options(group: &str) -> impl Iterator<Item = &'static str> {
    FILES.iter().filter_map(move |(path, _)| {
        path.rsplit_once('/')
            .filter(|(found, _)| *found == group)
            .map(|(_, name)| name)
    })
}

/// The built-in groups.
pub(super) fn groups() -> impl Iterator<Item = &'static str> {
    FILES
        .iter()
        .filter_map(|(path, _)| path.rsplit_once('/').map(|(group, _)| group))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::ModelConfig;
    use crate::graph::{Graph, zoo};

    #[test]
    fn every_architecture_has_an_option_with_all_keys_that_builds_it() {
        let keys = |text: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.split_once(':'));
            let keys = lines.map(|(key, _)| key.to_string());
            keys.filter(|key| !key.starts_with('#')).collect()
        };
        let expected = keys(text("model/baseline").unwrap());
        for name in zoo::NAMES {
            let text = text(&format!("model/{name}")).unwrap();
            assert_eq!(keys(text), expected, "{name}");
            let node = crate::config::yaml::parse(text, name).unwrap();
            let model: ModelConfig = serde_json::from_value(node.to_json()).unwrap();
            assert_eq!(model.name, name);
            Graph::from_config(&model, [3, 64, 64], 3).unwrap();
        }
    }
}
