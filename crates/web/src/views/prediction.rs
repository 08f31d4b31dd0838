//! Answers to pictures, as given and as logged.

use ferrotype_store::Prediction;
use serde::Serialize;
use utoipa::ToSchema;

use super::metric::finite;
use super::{json, moment};
use crate::error::ErrorBody;

/// What a model says about a picture.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PredictionAnswer {
    /// Names the prediction in the log (UUIDv7).
    pub(crate) id: String,
    /// The most probable class; of a model that answers with labels, the most probable label,
    /// whether it counts or not.
    #[schema(example = "forest")]
    pub(crate) class: String,
    /// Its probability.
    #[schema(example = 0.973)]
    pub(crate) confidence: f32,
    /// Of a model that answers with any number of labels: those with a probability above its
    /// threshold, most probable first. Absent where a picture has one class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<Vec<String>>,
    /// Of such a model: the probability above which a label counts; absent where each has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threshold: Option<f32>,
    /// The classes with their probabilities, most probable first; as many as `top` asks for. Those
    /// of labels do not sum to 1: each is asked by itself.
    pub(crate) probabilities: Vec<ClassProbability>,
    /// The model version that answered.
    pub(crate) model: ModelName,
    /// Where the time went.
    pub(crate) timing_ms: Timing,
    /// What the picture was.
    pub(crate) image: ImageFacts,
}

/// A class with its probability.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ClassProbability {
    /// The class's name.
    pub(crate) class: String,
    /// Its probability.
    pub(crate) probability: f32,
    /// Of a label with a threshold of its own: the probability above which it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threshold: Option<f32>,
}

/// A model version by name and number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ModelName {
    /// The model's name.
    #[schema(example = "demo")]
    pub(crate) name: String,
    /// The version's number.
    #[schema(example = 3)]
    pub(crate) version: u32,
}

/// Where a prediction's time went, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Timing {
    /// From the file's bytes to pixels.
    pub(crate) decode: f64,
    /// From pixels to the network's input.
    pub(crate) preprocess: f64,
    /// In the network.
    pub(crate) network: f64,
    /// From the whole body to the answer, waiting included.
    pub(crate) total: f64,
}

/// What a picture was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ImageFacts {
    /// Width in pixels, upright.
    pub(crate) width: u32,
    /// Height in pixels, upright.
    pub(crate) height: u32,
    /// The file format.
    #[schema(example = "jpeg")]
    pub(crate) format: String,
}

/// Answers to several pictures, in the order they were sent.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    /// Pictures that got an answer.
    pub(crate) done: usize,
    /// Pictures that got an error.
    pub(crate) failed: usize,
    /// One for each picture.
    pub(crate) results: Vec<BatchResult>,
    /// From the whole body to the answer.
    pub(crate) total_ms: f64,
}

/// What became of one picture of a batch: a prediction or an error.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct BatchResult {
    /// The file name that was sent.
    pub(crate) file: Option<String>,
    /// The answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prediction: Option<PredictionAnswer>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<ErrorBody>,
}

/// A logged prediction.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PredictionRecord {
    /// Its id, as the answer gave it.
    pub(crate) id: String,
    /// When it was made (RFC 3339).
    pub(crate) created_at: String,
    /// The model version that answered.
    pub(crate) model: ModelName,
    /// The most probable class or label.
    pub(crate) class: String,
    /// Its probability.
    pub(crate) confidence: Option<f64>,
    /// All probabilities, in the model's class order.
    #[schema(value_type = Vec<f32>)]
    pub(crate) probabilities: serde_json::Value,
    /// What the picture was.
    pub(crate) image: ImageFacts,
    /// BLAKE3 of the picture's file. The file itself is not kept.
    pub(crate) input_digest: String,
    /// Size of the picture's file.
    pub(crate) input_bytes: u64,
    /// Where the time went.
    pub(crate) timing_ms: Timing,
}

/// Logged predictions, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PredictionList {
    /// How many match in all.
    pub(crate) total: u64,
    /// The predictions.
    pub(crate) predictions: Vec<PredictionRecord>,
    /// Pass it as `before` for the next page; absent on the last.
    pub(crate) next: Option<String>,
}

impl PredictionRecord {
    pub(crate) fn new(prediction: Prediction) -> Self {
        Self {
            id: prediction.id.to_string(),
            created_at: moment(prediction.created_at),
            model: ModelName {
                name: prediction.model_name,
                version: prediction.version,
            },
            class: prediction.class,
            confidence: finite(prediction.confidence),
            probabilities: json(&prediction.probabilities_json),
            image: ImageFacts {
                width: prediction.width,
                height: prediction.height,
                format: prediction.input_format,
            },
            input_digest: prediction.input_digest.to_string(),
            input_bytes: prediction.input_bytes,
            timing_ms: Timing {
                decode: prediction.decode_ms,
                preprocess: prediction.preprocess_ms,
                network: prediction.inference_ms,
                total: prediction.latency_ms,
            },
        }
    }
}
