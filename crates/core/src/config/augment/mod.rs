//! The random changes to training images, as configured: named transforms in order.
//!
//! Names, parameters, their meaning and their defaults are Albumentations', in snake case; where
//! torchvision's are meant the type says so. `docs/augmentations.md` has the table.

pub(super) mod check;
mod define;
mod transforms;

use serde::de::Error as _;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map as Object, Value as Json};

pub use transforms::*;

use super::error::{ConfigError, ConfigErrorKind};
use super::node::Node;
use super::origin::Origin;
use super::rules::Rule;

/// A lower and an upper limit that a parameter is drawn from.
pub type Limits = [f64; 2];
/// A lower and an upper limit that a whole number is drawn from, both included.
pub type WholeLimits = [u32; 2];
/// Red, green and blue.
pub type Color = [u8; 3];

/// What an image shows beyond its edges, with OpenCV's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BorderMode {
    /// One colour: `iiii|abcdefgh|iiii`.
    Constant,
    /// The edge: `aaaa|abcdefgh|hhhh`.
    Replicate,
    /// Mirrored with the edge: `dcba|abcdefgh|hgfe`.
    Reflect,
    /// Mirrored without the edge: `edcb|abcdefgh|gfed`.
    #[serde(rename = "reflect_101")]
    Reflect101,
    /// Repeated: `efgh|abcdefgh|abcd`.
    Wrap,
}

/// How a colour between pixels is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The nearest pixel's.
    Nearest,
    /// Averaged of the four around by distance.
    Linear,
}

/// Transforms in a list, as the combinators have them: `[transpose, {rotate: {limit: 15}}]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Steps(pub Vec<Transform>);

/// Random changes to training images, drawn anew for every image and epoch, in order.
///
/// Written as a mapping from each transform's name to its parameters, or to its probability alone:
/// `{horizontal_flip: 0.5, rotate: {limit: 15, p: 0.5}}`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AugmentConfig(pub Vec<Transform>);

impl AugmentConfig {
    /// Reads and checks what a configuration file has under `data.augment`.
    ///
    /// # Errors
    /// An unknown transform or parameter, or a value of the wrong type or out of its range.
    pub fn from_json(json: &Json) -> Result<Self, ConfigError> {
        let node = Node::from_json(json, &Origin::Program);
        let checked = super::check::value(node, &AUGMENT, "data.augment")?;
        serde_json::from_value(checked.to_json()).map_err(|error| {
            // The rules say all that the types ask for, so this is not reached.
            ConfigError::new(ConfigErrorKind::WrongType, error.to_string())
        })
    }

    /// Checks every parameter, for a configuration that was not read from a file.
    ///
    /// # Errors
    /// A value out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let json = serde_json::to_value(self).unwrap_or_default();
        // Infinities and not-a-number do not survive JSON.
        if Self::from_json(&json)? == *self {
            return Ok(());
        }
        let message = "`data.augment` has a parameter that is no finite number";
        Err(ConfigError::new(ConfigErrorKind::OutOfRange, message))
    }

    /// The share of an image's area that a random crop cuts out in the mean, the least of several
    /// crops; none where nothing cuts out a share.
    pub fn mean_crop_area(&self) -> Option<f64> {
        mean_crop_area(&self.0)
    }

    /// The same with random crops that keep the image's size giving images of this side.
    #[must_use]
    pub fn cropping_to(mut self, side: u32) -> Self {
        crop_to(&mut self.0, side);
        self
    }
}

fn mean_crop_area(steps: &[Transform]) -> Option<f64> {
    let areas = steps.iter().filter_map(|step| match step {
        Transform::RandomResizedCrop(own) => Some((own.scale[0] + own.scale[1]) / 2.0),
        Transform::OneOf(own) => mean_crop_area(&own.transforms.0),
        Transform::SomeOf(own) => mean_crop_area(&own.transforms.0),
        Transform::Sequential(own) => mean_crop_area(&own.transforms.0),
        _ => None,
    });
    areas.min_by(f64::total_cmp)
}

fn crop_to(steps: &mut [Transform], side: u32) {
    for step in steps {
        match step {
            Transform::RandomResizedCrop(own) if [own.width, own.height] == [0, 0] => {
                (own.width, own.height) = (side, side);
            }
            Transform::OneOf(own) => crop_to(&mut own.transforms.0, side),
            Transform::SomeOf(own) => crop_to(&mut own.transforms.0, side),
            Transform::Sequential(own) => crop_to(&mut own.transforms.0, side),
            _ => {}
        }
    }
}

/// The rule of `data.augment`.
pub(super) const AUGMENT: Rule = Rule::Ordered(TRANSFORMS);

/// The parameters of a transform as an object, whatever short form they were written in.
fn parameters(value: Json, main: &str) -> Json {
    match value {
        Json::Object(_) => value,
        Json::Array(_) => Json::Object(Object::from_iter([("transforms".to_string(), value)])),
        scalar => Json::Object(Object::from_iter([(main.to_string(), scalar)])),
    }
}

/// The parameters that are not the default's; the main parameter alone as its value.
fn shortest(own: Json, default: &Json, main: &str) -> Json {
    let Json::Object(own) = own else { return own };
    let mut changed: Object<String, Json> = own
        .iter()
        .filter(|(name, value)| default.get(name) != Some(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if changed.keys().all(|name| name == main) {
        return own.get(main).cloned().unwrap_or_default();
    }
    if changed.len() == 1
        && main == "p"
        && let Some(list) = changed.remove("transforms")
    {
        return list;
    }
    Json::Object(changed)
}

impl Serialize for AugmentConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for transform in &self.0 {
            map.serialize_entry(transform.name(), &transform.to_json())?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for AugmentConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Object::<String, Json>::deserialize(deserializer)?;
        object
            .into_iter()
            .map(|(name, value)| Transform::from_json(&name, value).map_err(D::Error::custom))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Serialize for Steps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|transform| {
            Object::from_iter([(transform.name().to_string(), transform.to_json())])
        }))
    }
}

impl<'de> Deserialize<'de> for Steps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::<Object<String, Json>>::deserialize(deserializer)?;
        list.into_iter()
            .flatten()
            .map(|(name, value)| Transform::from_json(&name, value).map_err(D::Error::custom))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests;
