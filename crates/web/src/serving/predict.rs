//! From a picture's bytes to an answer, logged.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use ferrotype_core::thresholds::common_threshold;
use ferrotype_inference::Prediction;
use ferrotype_store::{Digest, NewPrediction};
use ferrotype_vision::decode::DecodeLimits;

use super::models::LoadedModel;
use crate::error::ApiError;
use crate::metrics::{KindLabel, ModelLabels, StageLabel};
use crate::state::AppState;
use crate::views::prediction::{ClassProbability, ImageFacts, ModelName, PredictionAnswer, Timing};

/// What is asked for a picture.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// How many probabilities to list at most.
    pub(crate) top: usize,
    /// For each class of the model, the probability above which it counts as a label.
    pub(crate) thresholds: Arc<[f32]>,
}

/// What a worker found out about a picture.
struct Seen {
    prediction: Prediction,
    decode_ms: f64,
    image: ImageFacts,
    digest: Digest,
    byte_count: u64,
}

/// Answers for one picture as soon as a worker is free. `arrived` is when its last byte came.
pub(crate) async fn predict(
    state: &AppState,
    model: &Arc<LoadedModel>,
    bytes: Bytes,
    asked: &Asked,
    arrived: Instant,
) -> Result<PredictionAnswer, ApiError> {
    let outcome = predict_uncounted(state, model, bytes, asked, arrived).await;
    if let Err(error) = &outcome {
        let kind = error.kind().as_str();
        let errors = &state.metrics.prediction_errors;
        errors.get_or_create(&KindLabel { kind }).inc();
    }
    outcome
}

async fn predict_uncounted(
    state: &AppState,
    model: &Arc<LoadedModel>,
    bytes: Bytes,
    asked: &Asked,
    arrived: Instant,
) -> Result<PredictionAnswer, ApiError> {
    let limits = DecodeLimits {
        max_pixels: state.limits.max_pixels,
    };
    let worker_model = Arc::clone(model);
    let seen = state
        .pool
        .run(move || look(&worker_model, &bytes, &limits))
        .await??;
    let id = state.store.new_prediction_id()?;
    let version = &model.version;
    let ranked = model
        .network
        .top(&seen.prediction.probabilities, usize::MAX);
    let Some(best) = ranked.first() else {
        return Err(ApiError::internal("the model has no classes"));
    };
    let is_multi_label = model.network.manifest().task.is_multi_label();
    let common = common_threshold(&asked.thresholds);
    // Named one by one only where they differ.
    let own_threshold = |index: usize| {
        let own = asked.thresholds.get(index).copied();
        own.filter(|_| is_multi_label && common.is_none())
    };
    let answer = PredictionAnswer {
        id: id.to_string(),
        class: best.class.to_string(),
        confidence: best.probability,
        labels: model
            .network
            .labels(&seen.prediction.probabilities, &asked.thresholds)
            .map(|labels| labels.iter().map(|label| label.class.to_string()).collect()),
        threshold: common.filter(|_| is_multi_label),
        probabilities: ranked
            .iter()
            .take(asked.top)
            .map(|ranked| ClassProbability {
                class: ranked.class.to_string(),
                probability: ranked.probability,
                threshold: own_threshold(ranked.index),
            })
            .collect(),
        model: ModelName {
            name: version.name.clone(),
            version: version.version,
        },
        timing_ms: Timing {
            decode: seen.decode_ms,
            preprocess: seen.prediction.preprocess_ms,
            network: seen.prediction.network_ms,
            total: milliseconds(arrived),
        },
        image: seen.image.clone(),
    };
    count(state, &answer);
    let logged = NewPrediction {
        id,
        created_at: state.clock.now(),
        model_version: version.id,
        model_name: version.name.clone(),
        version: version.version,
        input_digest: seen.digest,
        input_bytes: seen.byte_count,
        input_format: seen.image.format,
        width: seen.image.width,
        height: seen.image.height,
        class: answer.class.clone(),
        confidence: f64::from(answer.confidence),
        probabilities_json: serde_json::to_string(&seen.prediction.probabilities)
            .map_err(ApiError::internal)?,
        latency_ms: answer.timing_ms.total,
        decode_ms: seen.decode_ms,
        preprocess_ms: seen.prediction.preprocess_ms,
        inference_ms: seen.prediction.network_ms,
    };
    if !state.log.log(logged) {
        tracing::warn!(id = answer.id, "the prediction log is full: not logged");
    }
    Ok(answer)
}

/// The worker's part.
fn look(model: &LoadedModel, bytes: &Bytes, limits: &DecodeLimits) -> Result<Seen, ApiError> {
    let started = Instant::now();
    let decoded = model.network.decode(bytes, limits)?;
    let decode_ms = milliseconds(started);
    let prediction = model.network.predict(&decoded.image)?;
    Ok(Seen {
        prediction,
        decode_ms,
        image: ImageFacts {
            width: decoded.probe.width,
            height: decoded.probe.height,
            format: decoded.probe.format.to_string(),
        },
        digest: Digest::of(bytes),
        byte_count: bytes.len() as u64,
    })
}

fn count(state: &AppState, answer: &PredictionAnswer) {
    let metrics = &state.metrics;
    let labels = ModelLabels {
        model: answer.model.name.clone(),
        version: answer.model.version,
    };
    metrics.predictions.get_or_create(&labels).inc();
    let timing = &answer.timing_ms;
    for (stage, elapsed_ms) in [
        ("decode", timing.decode),
        ("preprocess", timing.preprocess),
        ("network", timing.network),
        ("total", timing.total),
    ] {
        metrics
            .stage_seconds
            .get_or_create(&StageLabel { stage })
            .observe(elapsed_ms / 1e3);
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
