//! Runs: their settings, metrics, scores and files.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use ferrotype_core::config::schema::Monitored;
use ferrotype_core::dataset::Split;
use ferrotype_core::id::RunId;
use ferrotype_core::manifest::Task;
use ferrotype_store::{
    Artifact, EvaluationSubject, JobFilter, MetricPoint, Run, RunFilter, Store, StoreError,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::evaluation::EvaluationView;
use super::job::JobView;
use super::metric::{MetricSeries, MetricValue, finite};
use super::{blob_address, json, moment};

/// Points of the small curve in a list.
const SMALL_CURVE_POINTS: usize = 40;
/// The metrics that the small curve shows, the first that the run has.
const SMALL_CURVE_KEYS: [&str; 2] = ["val/loss", "train/loss"];
/// The setting that names the network.
const ARCHITECTURE_PARAM: &str = "model.name";
/// Bytes at the end of the log that are shown.
const LOG_TAIL_BYTES: u64 = 64 << 10;
/// Lines at the end of the log that are shown.
const LOG_TAIL_LINES: usize = 200;

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RunSummary {
    /// Its id.
    pub(crate) id: String,
    /// The end of its id, enough to name it on the command line.
    pub(crate) short_id: String,
    /// What it is called.
    pub(crate) name: String,
    /// Where it stands: `queued`, `running`, `finished`, `failed`, `interrupted` or `stopped`.
    #[schema(example = "finished")]
    pub(crate) status: String,
    /// Whether nobody works on it any more.
    pub(crate) is_over: bool,
    /// The dataset version it learns from.
    #[schema(example = "land@v1")]
    pub(crate) dataset: Option<String>,
    /// When it was made (RFC 3339).
    pub(crate) created_at: String,
    /// When work began.
    pub(crate) started_at: Option<String>,
    /// When it ended.
    pub(crate) finished_at: Option<String>,
    /// From the beginning to the end, or to now.
    pub(crate) duration_ms: Option<u64>,
    /// The last value of each metric.
    pub(crate) metrics: Vec<MetricValue>,
    /// The loss over the steps, thinned to a small curve.
    pub(crate) loss_curve: Vec<Option<f64>>,
    /// What its pictures have: one class (`classification`) or any number of labels
    /// (`multi_label`).
    #[schema(value_type = String, example = "classification")]
    pub(crate) task: Task,
    /// The score that says which epoch is best.
    pub(crate) monitored: MonitoredScore,
    /// The network it trains.
    #[schema(example = "resnet18")]
    pub(crate) architecture: Option<String>,
    /// Its newest scores on the test split.
    pub(crate) test: Option<TestScores>,
}

/// The score that says which epoch of a run is best.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct MonitoredScore {
    /// The metric's key.
    #[schema(example = "val/auroc")]
    pub(crate) key: String,
    /// What it is called.
    #[schema(example = "AUROC")]
    pub(crate) name: String,
    /// Whether it is a share, shown in percent.
    pub(crate) is_share: bool,
    /// Its last value on the validation split.
    pub(crate) validation: Option<f64>,
    /// Its value on the test split.
    pub(crate) test: Option<f64>,
}

impl MonitoredScore {
    fn new(monitored: Monitored, last: &BTreeMap<String, MetricPoint>) -> Self {
        let value = |key: &str| last.get(key).and_then(|point| finite(point.value));
        Self {
            key: monitored.key().to_string(),
            name: monitored.title().to_string(),
            is_share: monitored.is_share(),
            validation: value(monitored.key()),
            test: value(monitored.test_key()),
        }
    }
}

/// The scores by which runs are compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub(crate) struct TestScores {
    /// The fraction predicted right; of pictures with several labels, that with all of them right.
    pub(crate) accuracy: Option<f64>,
    /// Mean F1 over the classes.
    pub(crate) macro_f1: Option<f64>,
    /// Area under the ROC curve.
    pub(crate) auroc: Option<f64>,
}

/// Runs, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RunList {
    /// The runs.
    pub(crate) runs: Vec<RunSummary>,
    /// Pass it as `before` for the next page; absent on the last.
    pub(crate) next: Option<String>,
}

/// Everything about a run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RunDetail {
    /// The run as in a list.
    #[serde(flatten)]
    pub(crate) summary: RunSummary,
    /// Seed of every random draw.
    pub(crate) seed: u64,
    /// Commit of the project's repository.
    pub(crate) git_commit: Option<String>,
    /// Machine and program versions.
    #[schema(value_type = Object)]
    pub(crate) environment: serde_json::Value,
    /// Why it failed.
    pub(crate) error: Option<String>,
    /// The resolved configuration, which replays it.
    pub(crate) config_yaml: String,
    /// The settings by dotted key.
    pub(crate) params: BTreeMap<String, String>,
    /// The job that works on it, or worked on it last.
    pub(crate) job: Option<JobView>,
    /// Its evaluations, newest first.
    pub(crate) evaluations: Vec<EvaluationView>,
    /// The model versions it trained, as `name@v1`.
    pub(crate) models: Vec<String>,
    /// Its files.
    pub(crate) artifacts: Vec<ArtifactView>,
    /// The last lines of its log.
    pub(crate) log_tail: String,
}

/// A file of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ArtifactView {
    /// Its name.
    #[schema(example = "model.onnx")]
    pub(crate) name: String,
    /// Its size.
    pub(crate) byte_count: u64,
    /// Its media type.
    pub(crate) media_type: String,
    /// BLAKE3 of its bytes.
    pub(crate) digest: String,
    /// Where to get it.
    pub(crate) address: String,
}

impl RunSummary {
    pub(crate) async fn load(store: &Store, run: &Run) -> Result<Self, StoreError> {
        let last = store.last_metrics(run.id).await?;
        let curve_key = SMALL_CURVE_KEYS.iter().find(|key| last.contains_key(**key));
        let loss_curve = match curve_key {
            Some(key) => {
                MetricSeries::load(store, run.id, key, SMALL_CURVE_POINTS)
                    .await?
                    .values
            }
            None => Vec::new(),
        };
        let now = store.clock().now();
        let mut params = store.params(run.id).await?;
        let monitored = Monitored::of_run(&params, |key| last.contains_key(key));
        Ok(Self {
            task: monitored.task,
            monitored: MonitoredScore::new(monitored, &last),
            id: run.id.to_string(),
            short_id: run.id.short(),
            name: run.name.clone(),
            status: run.status.to_string(),
            is_over: run.status.is_over(),
            dataset: run.dataset.clone(),
            created_at: moment(run.created_at),
            started_at: run.started_at.map(moment),
            finished_at: run.finished_at.map(moment),
            duration_ms: run
                .started_at
                .map(|start| run.finished_at.unwrap_or(now).millis_since(start)),
            metrics: metric_values(last),
            loss_curve,
            architecture: params.remove(ARCHITECTURE_PARAM),
            test: test_scores(store, run.id).await?,
        })
    }
}

async fn test_scores(store: &Store, run: RunId) -> Result<Option<TestScores>, StoreError> {
    let evaluations = store.evaluations(EvaluationSubject::Run(run)).await?;
    let newest = evaluations.iter().find(|one| one.split == Split::Test);
    Ok(newest.map(EvaluationView::new).and_then(|view| {
        let of_classes = view.scores.map(|scores| TestScores {
            accuracy: scores.accuracy,
            macro_f1: scores.macro_f1,
            auroc: scores.auroc,
        });
        let of_labels = view.label_scores.map(|scores| TestScores {
            accuracy: scores.exact_match,
            macro_f1: scores.macro_f1,
            auroc: scores.auroc,
        });
        of_classes.or(of_labels)
    }))
}

fn metric_values(last: BTreeMap<String, MetricPoint>) -> Vec<MetricValue> {
    last.into_iter()
        .map(|(key, point)| MetricValue {
            key,
            step: point.step,
            value: finite(point.value),
        })
        .collect()
}

impl RunList {
    pub(crate) async fn load(
        store: &Store,
        filter: &RunFilter,
        limit: u32,
    ) -> Result<Self, StoreError> {
        let mut found = store.runs(filter, limit + 1).await?;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| more).map(|run| run.id.to_string());
        let mut runs = Vec::with_capacity(found.len());
        for run in &found {
            runs.push(RunSummary::load(store, run).await?);
        }
        Ok(Self { runs, next })
    }
}

impl RunDetail {
    pub(crate) async fn load(store: &Store, run: Run) -> Result<Self, StoreError> {
        let evaluations = store.evaluations(EvaluationSubject::Run(run.id)).await?;
        let models = store.model_versions_of_run(run.id).await?;
        let artifacts = store.artifacts(run.id).await?;
        Ok(Self {
            summary: RunSummary::load(store, &run).await?,
            params: store.params(run.id).await?,
            job: latest_job(store, run.id).await?,
            evaluations: evaluations.iter().map(EvaluationView::new).collect(),
            models: models
                .iter()
                .map(|version| version.reference().to_string())
                .collect(),
            artifacts: artifacts.into_iter().map(ArtifactView::new).collect(),
            log_tail: log_tail(store, run.id).await,
            seed: run.seed,
            git_commit: run.git_commit,
            environment: json(&run.environment_json),
            error: run.error,
            config_yaml: run.config_yaml,
        })
    }
}

async fn latest_job(store: &Store, run: RunId) -> Result<Option<JobView>, StoreError> {
    let filter = JobFilter {
        run: Some(run),
        ..JobFilter::default()
    };
    Ok(store.jobs(&filter, 1).await?.pop().map(JobView::new))
}

impl ArtifactView {
    fn new(artifact: Artifact) -> Self {
        let digest = artifact.digest.to_string();
        Self {
            name: artifact.name,
            byte_count: artifact.byte_count,
            media_type: artifact.media_type,
            address: blob_address(&digest),
            digest,
        }
    }
}

/// The last lines of a run's log; nothing when it has none.
pub(crate) async fn log_tail(store: &Store, run: RunId) -> String {
    let path = store.run_log_path(run);
    tokio::task::spawn_blocking(move || read_tail(&path))
        .await
        .ok()
        .flatten()
        .unwrap_or_default()
}

fn read_tail(path: &Path) -> Option<String> {
    let mut file = std::fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let start = length.saturating_sub(LOG_TAIL_BYTES);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<&str> = text.lines().collect();
    if start > 0 && !lines.is_empty() {
        // The first line was cut.
        lines.remove(0);
    }
    let kept = lines.len().saturating_sub(LOG_TAIL_LINES);
    Some(lines[kept..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_long_log_begins_with_a_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        assert_eq!(read_tail(&path), None);
        std::fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(read_tail(&path).unwrap(), "one\ntwo");
        let long: String = (0..20_000).map(|i| format!("line {i}\n")).collect();
        std::fs::write(&path, long).unwrap();
        let tail = read_tail(&path).unwrap();
        assert_eq!(tail.lines().count(), LOG_TAIL_LINES);
        assert!(tail.lines().all(|line| line.starts_with("line ")));
        assert!(tail.ends_with("line 19999"));
    }
}
