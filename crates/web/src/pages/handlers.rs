//! The pages' handlers: load a view, render it.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use serde::Serialize;

use super::drawing::Drawing;
use crate::api::predictions::PredictionsQuery;
use crate::api::query::{ApiQuery, list_length};
use crate::api::runs::RunsQuery;
use crate::error::ApiError;
use crate::serving::models::LoadedModel;
use crate::state::AppState;
use crate::views::dataset::{DatasetDetail, DatasetList, SamplePicture};
use crate::views::model::{ModelDetail, ModelList, ModelVersionDetail, ModelVersionSummary};
use crate::views::prediction::PredictionList;
use crate::views::run::{RunDetail, RunList, RunSummary};

type Page = Result<Html<String>, ApiError>;

/// Set by htmx on its requests.
const FROM_HTMX: HeaderName = HeaderName::from_static("hx-request");
/// Asks htmx to load the whole page anew.
const LOAD_ANEW: HeaderName = HeaderName::from_static("hx-refresh");

/// An entry of the list of models on the start page.
#[derive(Serialize)]
struct Choice {
    name: String,
    value: String,
    chosen: bool,
}

/// A chart of the run page.
#[derive(Serialize)]
struct Chart {
    title: String,
    format: &'static str,
    series: Vec<ChartSeries>,
}

#[derive(Serialize)]
struct ChartSeries {
    key: String,
    label: &'static str,
    validation: bool,
}

/// A run's charts: what it monitors has one, also where that is neither loss nor accuracy.
fn charts(run: &RunSummary) -> Vec<Chart> {
    let series = |key: &str, label, validation| ChartSeries {
        key: key.to_string(),
        label,
        validation,
    };
    let pair = |train, validation| {
        vec![
            series(train, "train", false),
            series(validation, "validation", true),
        ]
    };
    let single = |key, label| vec![series(key, label, false)];
    let accuracy = Chart {
        title: first_upper(run.task.accuracy_title()),
        format: "percent",
        series: pair("train/accuracy", "val/accuracy"),
    };
    let monitored = &run.monitored;
    let has_own = !["val/loss", "val/accuracy"].contains(&monitored.key.as_str());
    let own = has_own.then(|| Chart {
        title: monitored.name.clone(),
        format: match monitored.is_share {
            true => "percent",
            false => "number",
        },
        series: vec![series(&monitored.key, "validation", true)],
    });
    let machine = [
        Chart {
            title: "Processor, percent of a core".into(),
            format: "number",
            series: single("system/process_cpu_percent", "training"),
        },
        Chart {
            title: "Memory, MB".into(),
            format: "number",
            series: single("system/memory_mb", "training"),
        },
    ];
    let loss = Chart {
        title: "Loss".into(),
        format: "number",
        series: pair("train/loss", "val/loss"),
    };
    let learned = [Some(loss), own, Some(accuracy)];
    learned.into_iter().flatten().chain(machine).collect()
}

/// A name as it stands at the beginning of a line.
fn first_upper(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[derive(Serialize)]
struct IndexPage {
    model: Option<ModelVersionSummary>,
    models: Vec<Choice>,
    examples: Vec<SamplePicture>,
    max_body_bytes: usize,
    host: String,
}

/// `GET /`
pub(super) async fn index(State(state): State<AppState>, headers: HeaderMap) -> Page {
    let default = state.models.default_model();
    let models = ModelList::load(&state).await?;
    let examples = match &default {
        Some(model) => state.examples.of(&state, model).await,
        None => Vec::new(),
    };
    let page = IndexPage {
        model: default
            .as_deref()
            .map(|model| ModelVersionSummary::new(&state, &model.version)),
        models: choices(&models, default.as_deref()),
        examples,
        max_body_bytes: state.limits.max_body_bytes,
        host: host(&headers),
    };
    state.templates.render(&state, "index.html", "/", &page)
}

/// The default model under no name, so that it goes on following its alias, and all the others.
fn choices(models: &ModelList, default: Option<&LoadedModel>) -> Vec<Choice> {
    let mut choices = Vec::new();
    if let Some(default) = default {
        choices.push(Choice {
            name: default.version.reference().to_string(),
            value: String::new(),
            chosen: true,
        });
    }
    let versions = models.models.iter().flat_map(|model| &model.versions);
    for version in versions.filter(|version| !version.default) {
        choices.push(Choice {
            name: version.reference.clone(),
            value: version.reference.clone(),
            chosen: choices.is_empty(),
        });
    }
    choices
}

fn host(headers: &HeaderMap) -> String {
    headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost")
        .to_string()
}

#[derive(Serialize)]
struct RunsPage {
    /// Whether one of the runs is going.
    live: bool,
    /// The page's own address.
    here: String,
    list: RunList,
}

/// `GET /ui/runs`
pub(super) async fn runs(
    State(state): State<AppState>,
    uri: Uri,
    ApiQuery(query): ApiQuery<RunsQuery>,
) -> Page {
    let limit = list_length(query.limit)?;
    let list = RunList::load(&state.store, &query.filter()?, limit).await?;
    let page = RunsPage {
        live: list.runs.iter().any(|run| !run.is_over),
        here: uri
            .path_and_query()
            .map_or_else(|| "/ui/runs".to_string(), ToString::to_string),
        list,
    };
    state
        .templates
        .render(&state, "runs.html", "/ui/runs", &page)
}

#[derive(Serialize)]
struct RunPage {
    run: RunDetail,
    environment: Vec<Pair>,
    charts: Vec<Chart>,
}

/// `GET /ui/runs/{id}`
pub(super) async fn run(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let run = state.store.find_run(&id).await?;
    let run = RunDetail::load(&state.store, run).await?;
    // A page that follows the run has seen it running: now there is more to show.
    let has_ended = run.summary.is_over && headers.contains_key(FROM_HTMX);
    let page = RunPage {
        environment: pairs(&run.environment),
        charts: charts(&run.summary),
        run,
    };
    let html = state
        .templates
        .render(&state, "run.html", "/ui/runs", &page)?;
    let mut response = html.into_response();
    if has_ended {
        let headers = response.headers_mut();
        headers.insert(LOAD_ANEW, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// A key with its value, as text.
#[derive(Serialize)]
struct Pair {
    key: String,
    value: String,
}

/// The top level of a JSON object for readers.
fn pairs(object: &serde_json::Value) -> Vec<Pair> {
    let Some(fields) = object.as_object() else {
        return Vec::new();
    };
    fields
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| Pair {
            key: key.replace('_', " "),
            value: match value {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            },
        })
        .collect()
}

#[derive(Serialize)]
struct ListPage<T> {
    list: T,
}

/// `GET /ui/models`
pub(super) async fn models(State(state): State<AppState>) -> Page {
    let page = ListPage {
        list: ModelList::load(&state).await?,
    };
    state
        .templates
        .render(&state, "models.html", "/ui/models", &page)
}

#[derive(Serialize)]
struct ModelPage {
    name: String,
    versions: Vec<ModelVersionSummary>,
    version: ModelVersionDetail,
    drawing: Option<Drawing>,
    manifest_json: String,
    metrics_json: Option<String>,
}

/// `GET /ui/models/{name}`
pub(super) async fn model(State(state): State<AppState>, Path(name): Path<String>) -> Page {
    let model = ModelDetail::load(&state, &name.parse()?).await?;
    let version = model.version;
    let page = ModelPage {
        name: model.name,
        versions: model.versions,
        drawing: version.graph.as_ref().map(Drawing::new),
        manifest_json: pretty(&version.manifest)?,
        metrics_json: written_metrics(&version.summary.metrics)?,
        version,
    };
    state
        .templates
        .render(&state, "model.html", "/ui/models", &page)
}

fn pretty(value: &impl Serialize) -> Result<String, ApiError> {
    serde_json::to_string_pretty(value).map_err(ApiError::internal)
}

fn written_metrics(metrics: &serde_json::Value) -> Result<Option<String>, ApiError> {
    let is_empty = match metrics {
        serde_json::Value::Null => true,
        serde_json::Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    if is_empty {
        return Ok(None);
    }
    pretty(metrics).map(Some)
}

/// `GET /ui/datasets`
pub(super) async fn datasets(State(state): State<AppState>) -> Page {
    let page = ListPage {
        list: DatasetList::load(&state.store).await?,
    };
    state
        .templates
        .render(&state, "datasets.html", "/ui/datasets", &page)
}

#[derive(Serialize)]
struct DatasetPage {
    dataset: DatasetDetail,
}

/// `GET /ui/datasets/{name}`
pub(super) async fn dataset(State(state): State<AppState>, Path(name): Path<String>) -> Page {
    let version = state.store.dataset_version(&name.parse()?).await?;
    let page = DatasetPage {
        dataset: DatasetDetail::load(&state.store, version).await?,
    };
    state
        .templates
        .render(&state, "dataset.html", "/ui/datasets", &page)
}

#[derive(Serialize)]
struct PredictionsPage {
    list: PredictionList,
    retention_days: Option<u32>,
    host: String,
}

/// `GET /ui/predictions`
pub(super) async fn predictions(
    State(state): State<AppState>,
    headers: HeaderMap,
    ApiQuery(query): ApiQuery<PredictionsQuery>,
) -> Page {
    let page = PredictionsPage {
        list: query.load(&state).await?,
        retention_days: state.retention_days,
        host: host(&headers),
    };
    state
        .templates
        .render(&state, "predictions.html", "/ui/predictions", &page)
}
