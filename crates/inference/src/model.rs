//! A model: a network with its manifest, from an image to probabilities.

use std::fmt;
use std::time::Instant;

use ferrotype_core::graph::Graph;
use ferrotype_core::manifest::{ModelManifest, OutputKind, Preprocessing};
use ferrotype_vision::RgbImage;
use ferrotype_vision::decode::{DecodeError, DecodeLimits, Decoded};
use ferrotype_vision::transform::Transform;
use serde::Serialize;

use crate::error::{InferenceError, InferenceErrorKind};
use crate::onnx::{
    Dimension, Document, ElementType, OnnxLimits, OnnxSource, OnnxSummary, TensorInfo,
    check_manifest, summary_of, with_document,
};
use crate::probability::{sigmoid, softmax};
use crate::runtime::{self, Network, NetworkOptions, Outputs, RuntimeChoice};

/// Red, green and blue.
const CHANNELS: usize = 3;

/// Images that are run at once at most, so that a long list needs bounded memory.
const LARGEST_BATCH: usize = 32;

/// The most pixels of an input. A network spends some hundred bytes on each.
const MOST_INPUT_PIXELS: usize = 2048 * 2048;

/// How far rounding may carry a probability out of 0 to 1.
const PROBABILITY_SLACK: f32 = 1e-3;

/// What a model says about one image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// The probability of each class, in the manifest's order.
    pub probabilities: Vec<f32>,
    /// The features before the last layer, when the network has them.
    pub embedding: Option<Vec<f32>>,
    /// Time from the image to the network's input, in milliseconds.
    pub preprocess_ms: f64,
    /// Time in the network, in milliseconds; in a batch, an equal share of it.
    pub network_ms: f64,
}

/// A class with its probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassProbability<'a> {
    /// The class's name.
    pub class: &'a str,
    /// The class's index in the manifest.
    pub index: usize,
    /// Its probability.
    pub probability: f32,
}

/// A loaded model. It may be used from several threads at once.
pub struct Model {
    network: Box<dyn Network>,
    runtime_name: String,
    refusal: Option<String>,
    manifest: ModelManifest,
    graph: Option<Graph>,
    transform: Transform,
    /// The batch that the network insists on, if it does.
    fixed_batch: Option<usize>,
    /// Features of an embedding.
    embedding_length: usize,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("runtime_name", &self.runtime_name)
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Loads an ONNX file with the manifest in its metadata, and checks it by running an image of
    /// zeros. From an open file less memory is needed than from its bytes. `threads` is for one
    /// network run; 0 means all cores.
    ///
    /// # Errors
    /// When the file is damaged, too large or without manifest, cannot be read or changes meanwhile,
    /// does not fit its manifest, or the runtime cannot load or run it.
    pub fn load<'a>(
        onnx: impl Into<OnnxSource<'a>>,
        choice: RuntimeChoice,
        threads: usize,
    ) -> Result<Self, InferenceError> {
        with_document(onnx.into(), &OnnxLimits::default(), |document| {
            let summary = summary_of(document);
            let manifest = summary.manifest()?;
            Self::load_inspected(document, &summary, manifest, choice, threads)
        })
    }

    /// Loads somebody else's ONNX file with a manifest that is not (yet) in its metadata.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with_manifest<'a>(
        onnx: impl Into<OnnxSource<'a>>,
        manifest: ModelManifest,
        choice: RuntimeChoice,
        threads: usize,
    ) -> Result<Self, InferenceError> {
        with_document(onnx.into(), &OnnxLimits::default(), |document| {
            check_manifest(&manifest)?;
            let summary = summary_of(document);
            Self::load_inspected(document, &summary, manifest.clone(), choice, threads)
        })
    }

    fn load_inspected(
        document: &Document<'_>,
        summary: &OnnxSummary,
        manifest: ModelManifest,
        choice: RuntimeChoice,
        threads: usize,
    ) -> Result<Self, InferenceError> {
        let preprocessing = &manifest.preprocessing;
        check_input_size(preprocessing)?;
        let fixed_batch = check_input(summary, &manifest)?;
        check_outputs(summary, &manifest)?;
        let transform = Transform::new(preprocessing).map_err(|error| {
            InferenceError::new(
                InferenceErrorKind::InvalidManifest,
                format!("the manifest is wrong: {error}"),
            )
        })?;
        let options = NetworkOptions {
            input_name: manifest.input_name.clone(),
            output_name: manifest.output_name.clone(),
            embedding_name: manifest.embedding_name.clone(),
            image_shape: [
                CHANNELS,
                preprocessing.height as usize,
                preprocessing.width as usize,
            ],
            fixed_batch,
            threads: runtime::thread_count(threads),
        };
        let loaded = runtime::load(document, choice, &options)?;
        let mut model = Self {
            network: loaded.network,
            runtime_name: loaded.runtime_name,
            refusal: loaded.refusal,
            graph: summary.graph(),
            transform,
            fixed_batch,
            embedding_length: 0,
            manifest,
        };
        model.embedding_length = model.try_zeros()?;
        Ok(model)
    }

    /// Runs an image of zeros and answers with the length of the embedding.
    fn try_zeros(&self) -> Result<usize, InferenceError> {
        let batch = self.fixed_batch.unwrap_or(1);
        let outputs = self
            .network
            .run(&vec![0.0; batch * self.image_length()], batch)?;
        self.check_answer(&outputs, batch)?;
        let length = outputs.embedding.map_or(0, |embedding| embedding.len());
        if !length.is_multiple_of(batch) {
            return Err(InferenceError::new(
                InferenceErrorKind::Mismatch,
                format!("the embedding has `{length}` values for `{batch}` images"),
            ));
        }
        Ok(length / batch)
    }

    /// The manifest.
    pub fn manifest(&self) -> &ModelManifest {
        &self.manifest
    }

    /// The layer graph, when the file has one.
    pub fn graph(&self) -> Option<&Graph> {
        self.graph.as_ref()
    }

    /// Name and version of the runtime that answers.
    pub fn runtime_name(&self) -> &str {
        &self.runtime_name
    }

    /// Why the native executor does not run the network: the operator and what of it. Absent where it
    /// does, or where another runtime was asked for.
    pub fn native_refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// From an image to the network's input.
    pub fn transform(&self) -> &Transform {
        &self.transform
    }

    /// Decodes a file for this model: see [`Transform::decode`].
    ///
    /// # Errors
    /// When the bytes are no image, a broken one, or one over the limits.
    pub fn decode(&self, bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, DecodeError> {
        self.transform.decode(bytes, limits)
    }

    /// Answers for one image.
    ///
    /// # Errors
    /// When the runtime fails, or the network answers NaN.
    pub fn predict(&self, image: &RgbImage) -> Result<Prediction, InferenceError> {
        let predictions = self.predict_batch(std::slice::from_ref(image))?;
        predictions.into_iter().next().ok_or_else(|| {
            InferenceError::new(InferenceErrorKind::Failed, "the network gave no answer")
        })
    }

    /// Answers for several images, in their order. A long list is run in batches.
    ///
    /// # Errors
    /// As [`Self::predict`], for the first image that fails.
    pub fn predict_batch(&self, images: &[RgbImage]) -> Result<Vec<Prediction>, InferenceError> {
        let batch = self.fixed_batch.unwrap_or(LARGEST_BATCH);
        let mut predictions = Vec::with_capacity(images.len());
        for images in images.chunks(batch) {
            predictions.extend(self.predict_chunk(images)?);
        }
        Ok(predictions)
    }

    /// The `count` most probable classes, most probable first, equal ones in class order.
    pub fn top(&self, probabilities: &[f32], count: usize) -> Vec<ClassProbability<'_>> {
        let mut ranked: Vec<ClassProbability<'_>> = self
            .manifest
            .classes
            .iter()
            .zip(probabilities)
            .enumerate()
            .map(|(index, (class, probability))| ClassProbability {
                class,
                index,
                probability: *probability,
            })
            .collect();
        ranked.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        ranked.truncate(count);
        ranked
    }

    /// The labels that an image has: those with a probability above their threshold
    /// ([`ModelManifest::label_thresholds`], or others in the manifest's order), most probable
    /// first. Absent where the model answers with one class.
    pub fn labels(
        &self,
        probabilities: &[f32],
        thresholds: &[f32],
    ) -> Option<Vec<ClassProbability<'_>>> {
        self.manifest.task.is_multi_label().then(|| {
            let mut labels = self.top(probabilities, usize::MAX);
            labels.retain(|label| {
                let threshold = thresholds.get(label.index);
                threshold.is_some_and(|threshold| label.probability > *threshold)
            });
            labels
        })
    }

    fn predict_chunk(&self, images: &[RgbImage]) -> Result<Vec<Prediction>, InferenceError> {
        let length = self.image_length();
        let batch = self.fixed_batch.unwrap_or(images.len());
        let started = Instant::now();
        // A network with a fixed batch gets zeros in the places of missing images.
        let mut input = vec![0.0; batch * length];
        for (image, input) in images.iter().zip(input.chunks_exact_mut(length)) {
            self.transform.apply_into(image, input);
        }
        let preprocessed = Instant::now();
        let outputs = self.network.run(&input, batch)?;
        let share = |since: Instant, until: Instant| {
            until.duration_since(since).as_secs_f64() * 1e3 / images.len() as f64
        };
        let network_ms = share(preprocessed, Instant::now());
        let preprocess_ms = share(started, preprocessed);
        self.check_answer(&outputs, batch)?;
        let classes = self.manifest.classes.len();
        Ok((0..images.len())
            .map(|index| Prediction {
                probabilities: self.probabilities(&outputs.answer[index * classes..][..classes]),
                embedding: outputs.embedding.as_ref().and_then(|embedding| {
                    let length = self.embedding_length;
                    embedding
                        .get(index * length..(index + 1) * length)
                        .map(<[f32]>::to_vec)
                }),
                preprocess_ms,
                network_ms,
            })
            .collect())
    }

    fn probabilities(&self, answer: &[f32]) -> Vec<f32> {
        match self.manifest.output {
            OutputKind::Logits if self.manifest.task.is_multi_label() => sigmoid(answer),
            OutputKind::Logits => softmax(answer),
            OutputKind::Probabilities => answer.iter().map(|p| p.clamp(0.0, 1.0)).collect(),
        }
    }

    /// Values of one image at the network's input.
    fn image_length(&self) -> usize {
        let preprocessing = &self.manifest.preprocessing;
        CHANNELS * preprocessing.height as usize * preprocessing.width as usize
    }

    /// Refuses an answer of the wrong size, or with NaN or infinity in it.
    fn check_answer(&self, outputs: &Outputs, batch: usize) -> Result<(), InferenceError> {
        let classes = self.manifest.classes.len();
        let answer = &outputs.answer;
        if answer.len() != batch * classes {
            return Err(InferenceError::new(
                InferenceErrorKind::Mismatch,
                format!(
                    "the network answers `{}` values for `{batch}` images, the manifest names `{classes}` classes",
                    answer.len()
                ),
            ));
        }
        let class_of = |place: usize| &self.manifest.classes[place % classes];
        if let Some(place) = answer.iter().position(|value| !value.is_finite()) {
            return Err(InferenceError::new(
                InferenceErrorKind::NotFinite,
                format!(
                    "the network answers `{}` for class `{}`",
                    answer[place],
                    class_of(place)
                ),
            ));
        }
        self.check_probabilities(answer)
    }

    /// Refuses numbers far outside of 0 to 1 where the manifest promises probabilities.
    fn check_probabilities(&self, answer: &[f32]) -> Result<(), InferenceError> {
        let possible = -PROBABILITY_SLACK..=1.0 + PROBABILITY_SLACK;
        match answer.iter().find(|value| !possible.contains(*value)) {
            Some(value) if self.manifest.output == OutputKind::Probabilities => Err(mismatch(
                format!("the network answers `{value}`, where the manifest promises probabilities"),
            )
            .with_hint("import the model again and say that it answers logits")),
            _ => Ok(()),
        }
    }
}

fn mismatch(message: String) -> InferenceError {
    InferenceError::new(InferenceErrorKind::Mismatch, message)
}

fn check_input_size(preprocessing: &Preprocessing) -> Result<(), InferenceError> {
    let (width, height) = (preprocessing.width as usize, preprocessing.height as usize);
    if width * height > MOST_INPUT_PIXELS {
        return Err(InferenceError::new(
            InferenceErrorKind::TooLarge,
            format!(
                "an input of `{width}` by `{height}` pixels is beyond the limit of `{MOST_INPUT_PIXELS}` pixels"
            ),
        ));
    }
    Ok(())
}

/// The tensor of a name that the manifest gives.
fn named<'a>(
    tensors: &'a [TensorInfo],
    noun: &str,
    name: &str,
) -> Result<&'a TensorInfo, InferenceError> {
    tensors
        .iter()
        .find(|tensor| tensor.name == name)
        .ok_or_else(|| {
            let names: Vec<String> = tensors.iter().map(|t| format!("`{}`", t.name)).collect();
            mismatch(format!(
                "the network has no {noun} named `{name}`; it has {}",
                if names.is_empty() {
                    "none".into()
                } else {
                    names.join(", ")
                }
            ))
        })
}

/// Checks the network's input against the manifest and answers with the batch it insists on.
fn check_input(
    summary: &OnnxSummary,
    manifest: &ModelManifest,
) -> Result<Option<usize>, InferenceError> {
    let input = named(&summary.inputs, "input", &manifest.input_name)?;
    if summary.inputs.len() > 1 {
        summary.image_input()?;
    }
    if input.element_type != ElementType::Float32 {
        return Err(mismatch(format!(
            "the network's input `{}` takes `{}`, expected `float32`",
            input.name, input.element_type
        )));
    }
    let Some(shape) = &input.shape else {
        return Ok(None);
    };
    let preprocessing = &manifest.preprocessing;
    let expected = [
        CHANNELS as i64,
        i64::from(preprocessing.height),
        i64::from(preprocessing.width),
    ];
    let fits = shape.len() == 4
        && shape[1..]
            .iter()
            .zip(expected)
            .all(|(dimension, size)| match dimension {
                Dimension::Fixed(fixed) => *fixed == size,
                Dimension::Dynamic(_) => true,
            });
    if !fits {
        return Err(mismatch(format!(
            "the network's input is `{input}`, the manifest gives [batch, {}, {}, {}] (channels, height, width)",
            expected[0], expected[1], expected[2]
        )));
    }
    match shape[0] {
        Dimension::Fixed(batch) => match usize::try_from(batch) {
            Ok(batch @ 1..=LARGEST_BATCH) => Ok(Some(batch)),
            _ => Err(mismatch(format!(
                "the network's input is `{input}`, expected a batch that is dynamic or at most `{LARGEST_BATCH}`"
            ))),
        },
        Dimension::Dynamic(_) => Ok(None),
    }
}

fn check_outputs(summary: &OnnxSummary, manifest: &ModelManifest) -> Result<(), InferenceError> {
    named(&summary.outputs, "output", &manifest.output_name)?;
    if let Some(embedding) = &manifest.embedding_name {
        named(&summary.outputs, "output", embedding)?;
    }
    Ok(())
}
