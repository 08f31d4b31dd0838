//! `POST /predict` and `POST /predict-batch`.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use ferrotype_core::name::Reference;
use ferrotype_core::thresholds::Thresholds;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use utoipa::{IntoParams, ToSchema};

use super::query::{ApiQuery, refuse_unknown, whole};
use crate::error::{ApiError, ErrorBody, ErrorKind};
use crate::serving::models::LoadedModel;
use crate::serving::predict::{Asked, predict as predict_one};
use crate::serving::upload::{self, Upload};
use crate::state::AppState;
use crate::views::prediction::{BatchAnswer, BatchResult, PredictionAnswer};

/// Which model answers, and how much it says.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PredictQuery {
    /// The model: `name`, `name@v3` or `name@alias`. Without it the server's default answers.
    #[param(example = "demo@production")]
    model: Option<String>,
    /// How many classes to list, at least 1. Without it all are listed.
    #[param(example = 3, minimum = 1)]
    #[serde(default, deserialize_with = "whole")]
    top: Option<u32>,
    /// Of a model that answers with labels: the probability between 0 and 1 above which one
    /// counts, or one for each label with commas between. Without it the model's own.
    threshold: Option<String>,
}

/// The parameters of [`PredictQuery`].
const KNOWN: [&str; 3] = ["model", "top", "threshold"];

/// Unlike a list's, an unknown parameter is an error: the answer would be another than was meant.
impl<S: Send + Sync> FromRequestParts<S> for PredictQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        refuse_unknown(parts, &KNOWN)?;
        let ApiQuery(query) = ApiQuery::<Self>::from_request_parts(parts, state).await?;
        Ok(query)
    }
}

impl PredictQuery {
    fn reference(&self) -> Result<Option<Reference>, ApiError> {
        let given = self.model.as_deref().filter(|text| !text.is_empty());
        given.map(|text| Ok(text.parse()?)).transpose()
    }

    fn top(&self) -> Result<usize, ApiError> {
        match self.top {
            None => Ok(usize::MAX),
            Some(0) => Err(ApiError::invalid_parameter(
                "top",
                "`0`, expected at least 1",
            )),
            Some(top) => Ok(top as usize),
        }
    }

    fn given_thresholds(&self) -> Result<Option<Thresholds>, ApiError> {
        let given = self.threshold.as_deref().filter(|text| !text.is_empty());
        given
            .map(|text| text.parse().map_err(invalid_threshold))
            .transpose()
    }
}

fn invalid_threshold(reason: String) -> ApiError {
    ApiError::new(ErrorKind::InvalidThreshold, reason).with_hint(
        "`threshold=0.3` is for all labels, `threshold=0.3,0.5` has one for each; without it the model's own count",
    )
}

/// What is asked of a model; thresholds are those given, or its own.
fn asked(
    model: &LoadedModel,
    top: usize,
    thresholds: Option<&Thresholds>,
) -> Result<Asked, ApiError> {
    let manifest = model.network.manifest();
    let thresholds = match thresholds {
        None => manifest.label_thresholds(),
        Some(given) => given
            .of_labels(manifest.task, &manifest.classes)
            .map_err(invalid_threshold)?,
    };
    Ok(Asked {
        top,
        thresholds: thresholds.into(),
    })
}

/// A form with one picture.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "it only describes the body in the OpenAPI document"
)]
pub(crate) struct PictureForm {
    /// The picture.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// A form with several pictures.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "it only describes the body in the OpenAPI document"
)]
pub(crate) struct PicturesForm {
    /// The pictures; the field is repeated for each.
    #[schema(value_type = Vec<String>, format = Binary)]
    files: Vec<Vec<u8>>,
}

/// Tell what is in a picture
///
/// Send the picture in the form field `file`, or as the body itself with `content-type: image/…`
/// or `application/octet-stream`. JPEG, PNG, WebP, BMP, TIFF and the first frame of a GIF are
/// read, the EXIF orientation is applied.
#[utoipa::path(
    post,
    path = "/predict",
    tag = "predict",
    params(PredictQuery),
    request_body(
        content(
            (PictureForm = "multipart/form-data"),
            (Vec<u8> = "application/octet-stream"),
        ),
        description = "The picture"
    ),
    responses(
        (status = 200, description = "The answer", body = PredictionAnswer),
        (status = 400, description = "Not an image, truncated, corrupt or empty; an unknown parameter, or a threshold that is not the model's", body = ErrorBody),
        (status = 404, description = "No such model", body = ErrorBody),
        (status = 413, description = "The body is over the size limit, or the image has too many pixels", body = ErrorBody),
        (status = 415, description = "A body of another content type", body = ErrorBody),
        (status = 422, description = "A parameter that is not understood", body = ErrorBody),
        (status = 503, description = "No model, or too many requests", body = ErrorBody),
    )
)]
pub(crate) async fn predict(
    State(state): State<AppState>,
    query: PredictQuery,
    request: Request,
) -> Result<Json<PredictionAnswer>, ApiError> {
    let (top, thresholds) = (query.top()?, query.given_thresholds()?);
    let model = state.models.get(query.reference()?.as_ref()).await?;
    let asked = asked(&model, top, thresholds.as_ref())?;
    let (picture, _memory) = upload::one(request, &state.pool, state.limits.max_body_bytes).await?;
    let arrived = Instant::now();
    let _place = state.pool.admit()?;
    let answer = predict_one(&state, &model, picture.bytes, &asked, arrived).await?;
    Ok(Json(answer))
}

/// Tell what is in several pictures
///
/// Send them in the form field `files`, repeated. A picture that cannot be read gets its error in
/// its place; the others are answered all the same.
#[utoipa::path(
    post,
    path = "/predict-batch",
    tag = "predict",
    params(PredictQuery),
    request_body(content = PicturesForm, content_type = "multipart/form-data", description = "The pictures"),
    responses(
        (status = 200, description = "An answer or an error for each picture, in their order", body = BatchAnswer),
        (status = 400, description = "The form cannot be read, or has no files; an unknown parameter, or a threshold that is not the model's", body = ErrorBody),
        (status = 404, description = "No such model", body = ErrorBody),
        (status = 413, description = "The body is over the size limit, or has too many files", body = ErrorBody),
        (status = 415, description = "Not a form", body = ErrorBody),
        (status = 422, description = "A parameter that is not understood", body = ErrorBody),
        (status = 503, description = "No model, or too many requests", body = ErrorBody),
    )
)]
pub(crate) async fn predict_batch(
    State(state): State<AppState>,
    query: PredictQuery,
    request: Request,
) -> Result<Json<BatchAnswer>, ApiError> {
    let (top, thresholds) = (query.top()?, query.given_thresholds()?);
    let model = state.models.get(query.reference()?.as_ref()).await?;
    let asked = asked(&model, top, thresholds.as_ref())?;
    let limits = state.limits;
    let uploads = upload::several(
        request,
        &state.pool,
        limits.max_batch_bytes,
        limits.max_batch_files,
    )
    .await?;
    let arrived = Instant::now();
    let _place = state.pool.admit()?;
    let answers = answer_all(&state, &model, uploads.files, &asked, arrived).await;
    drop(uploads.budget);
    let done = answers.iter().filter(|one| one.error.is_none()).count();
    Ok(Json(BatchAnswer {
        done,
        failed: answers.len() - done,
        results: answers,
        total_ms: arrived.elapsed().as_secs_f64() * 1e3,
    }))
}

/// Answers for all pictures, as many at a time as there are workers: the others of a large batch
/// do not stand in the line before single requests.
async fn answer_all(
    state: &AppState,
    model: &Arc<LoadedModel>,
    files: Vec<Upload>,
    asked: &Asked,
    arrived: Instant,
) -> Vec<BatchResult> {
    let mut running = JoinSet::new();
    let turns = Arc::new(Semaphore::new(state.pool.worker_count()));
    let mut answers: Vec<BatchResult> = Vec::with_capacity(files.len());
    for (index, file) in files.into_iter().enumerate() {
        answers.push(BatchResult {
            file: file.name,
            prediction: None,
            error: None,
        });
        let (state, model, turns) = (state.clone(), Arc::clone(model), Arc::clone(&turns));
        let asked = asked.clone();
        running.spawn(async move {
            // Never closed: an error cannot be.
            let _turn = turns.acquire().await;
            let outcome = if file.bytes.len() > state.limits.max_body_bytes {
                Err(upload::too_large(state.limits.max_body_bytes))
            } else {
                predict_one(&state, &model, file.bytes, &asked, arrived).await
            };
            (index, outcome)
        });
    }
    while let Some(finished) = running.join_next().await {
        if let Ok((index, outcome)) = finished {
            match outcome {
                Ok(prediction) => answers[index].prediction = Some(prediction),
                Err(error) => answers[index].error = Some(error.body()),
            }
        }
    }
    for answer in &mut answers {
        if answer.prediction.is_none() && answer.error.is_none() {
            answer.error = Some(ApiError::internal("a prediction task ended early").body());
        }
    }
    answers
}
