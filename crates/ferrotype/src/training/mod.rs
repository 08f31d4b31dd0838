//! A training run, put together: the dataset's images, the loader, the engine, the scores, the
//! store. Every training is a job: [`begin`] makes the run and its job, [`work`] does it, in this
//! process for `ferrotype train`, in a child of the server for `ferrotype job run`.

mod environment;
pub(crate) mod export;
mod finish;
mod memory;
mod observer;
mod plan;
pub(crate) mod preview;
mod profile;
mod rate_finder;
pub(crate) mod register;
mod run_log;
mod scores;
mod sources;
mod weights;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use ferrotype_core::config::Composed;
use ferrotype_core::config::schema::{Monitored, TASK_PARAM};
use ferrotype_core::id::RunId;
use ferrotype_engine::State;
use ferrotype_engine::checkpoint;
use ferrotype_engine::executor::Device;
use ferrotype_engine::train::{TrainEnd, TrainOutcome, TrainRequest, train};
use ferrotype_measure::TaskReport;
use ferrotype_store::{
    ClaimedJob, Job, JobFilter, JobOutcome, JobStatus, ModelVersion, NewRun, Run, RunStatus, Store,
};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::text;
use crate::profile::Summary;
use observer::{Observer, Watch};
pub(crate) use plan::{BATCHES_AHEAD, Plan, graph, preprocessing};
use profile::Profiling;
pub(crate) use rate_finder::find_rate;
use run_log::RunLog;
pub(crate) use weights::Pretrained;

/// The kind of a training's job.
pub(crate) const JOB_KIND: &str = "train";

/// What a training's job is to do besides training its run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrainingJob {
    /// Register the result as the next version of this model.
    #[serde(default)]
    pub(crate) register: Option<String>,
    /// Point this alias to it.
    #[serde(default)]
    pub(crate) alias: Option<String>,
    /// Measure where the time of so many steps goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) profile_steps: Option<u64>,
}

/// What a training led to.
pub(crate) struct Trained {
    /// The run as it ended.
    pub(crate) run: Run,
    /// How training itself ended.
    pub(crate) outcome: TrainOutcome,
    /// The score that says what is best.
    pub(crate) monitored: Monitored,
    /// The scores on the test split, if there is one.
    pub(crate) report: Option<TaskReport>,
    /// The model version, if one was asked for.
    pub(crate) model: Option<ModelVersion>,
    /// Where its time went, if that was asked for.
    pub(crate) profile: Option<Summary>,
}

/// How the training itself ended.
struct Ended {
    outcome: TrainOutcome,
    /// Somebody cancelled the job.
    is_cancelled: bool,
    profile: Option<Summary>,
}

/// Makes the run and its job, and takes the job on.
pub(crate) fn begin(
    context: &Context,
    store: &Store,
    plan: &Plan,
    composed: &Composed,
    name: Option<String>,
    job: &TrainingJob,
) -> anyhow::Result<ClaimedJob> {
    let device = Device::find(plan.config.train.device)?;
    let pretrained = Pretrained::of(context, &plan.config.model, &plan.graph)?;
    let mut params = params(composed);
    params.insert(TASK_PARAM.into(), plan.task.as_str().into());
    if let Some(pretrained) = &pretrained {
        pretrained.note(&mut params);
    }
    let run = context.wait(store.create_run(NewRun {
        name,
        dataset_version: Some(plan.dataset.id),
        config_yaml: composed.to_yaml(),
        params,
        seed: plan.config.train.seed,
        git_commit: environment::git_commit(context.project().root()),
        environment_json: environment::describe(&plan.config, &device).to_string(),
    }))?;
    let parameters = plan.layers.iter().map(|layer| layer.parameters).sum();
    context.printer().step(
        "Training",
        format!(
            "{}: {} with {} parameters on {} ({})",
            run.name,
            plan.config.model.name,
            text::count(parameters),
            plan.dataset.reference(),
            text::plural(plan.dataset.image_count, "image"),
        ),
    );
    if let Some(pretrained) = &pretrained {
        pretrained.show(context.printer());
    }
    claim_new(context, store, run.id, job)
}

/// The settings by dotted keys, for comparing runs.
fn params(composed: &Composed) -> BTreeMap<String, String> {
    let values = composed.origins().into_iter();
    values
        // A user's own layer graph is a document, not a setting.
        .filter(|(key, ..)| !key.starts_with("model.layers."))
        .map(|(key, value, _)| (key, value.to_string()))
        .collect()
}

/// Takes a run on again: its own job if that has not ended for good, else a new one.
pub(crate) fn resume(
    context: &Context,
    store: &Store,
    run: &Run,
    changes: &TrainingJob,
) -> anyhow::Result<ClaimedJob> {
    // Says who works on it, if somebody does.
    let lock = store.lock_run(run.id);
    drop(lock.with_context(|| format!("run `{}` cannot be resumed", run.name))?);
    if run.status == RunStatus::Finished {
        return Err(Failure::new(format!("run `{}` is finished", run.name))
            .hint("start a new run, with `train.epochs=N` for a longer one")
            .into());
    }
    let filter = JobFilter {
        run: Some(run.id),
        ..JobFilter::default()
    };
    let last = context.wait(store.jobs(&filter, 1))?.pop();
    let before = match &last {
        Some(job) => read_payload(job)?,
        None => TrainingJob::default(),
    };
    let order = TrainingJob {
        register: changes.register.clone().or(before.register.clone()),
        alias: before.alias.clone(),
        profile_steps: changes.profile_steps.or(before.profile_steps),
    };
    match last {
        Some(job) if order == before && can_be_taken_on(job.status) => {
            Ok(context.wait(store.claim_job(job.id))?)
        }
        _ => claim_new(context, store, run.id, &order),
    }
}

fn can_be_taken_on(status: JobStatus) -> bool {
    matches!(
        status,
        JobStatus::Queued | JobStatus::Running | JobStatus::Interrupted
    )
}

fn claim_new(
    context: &Context,
    store: &Store,
    run: RunId,
    order: &TrainingJob,
) -> anyhow::Result<ClaimedJob> {
    let payload = serde_json::to_string(order)?;
    let job = context.wait(store.enqueue_job(JOB_KIND, &payload, Some(run)))?;
    Ok(context.wait(store.claim_job(job.id))?)
}

fn read_payload(job: &Job) -> anyhow::Result<TrainingJob> {
    serde_json::from_str(&job.payload_json)
        .with_context(|| format!("the payload of job `{}` cannot be read", job.id))
}

/// Trains the job's run to its end, or until it is interrupted. Run and job say afterwards how it
/// went, whatever happened.
pub(crate) fn work(
    context: &Context,
    store: &Store,
    claimed: ClaimedJob,
) -> anyhow::Result<Trained> {
    let order = read_payload(&claimed.job)?;
    let id = claimed.job.run.context("the job names no run")?;
    let _lock = store.lock_run(id)?;
    let run = context.wait(store.run(id))?;
    context.wait(store.set_run_status(id, RunStatus::Running, None))?;
    let log = RunLog::open(store, id)?;
    let worked = Worker {
        context,
        store,
        run: &run,
        log: &log,
        job: &claimed,
    }
    .work(&order);
    let (status, outcome) = match &worked {
        Ok((_, true)) => (RunStatus::Stopped, JobOutcome::Cancelled),
        Ok((trained, false)) if trained.outcome.end == TrainEnd::Interrupted => {
            (RunStatus::Interrupted, JobOutcome::Interrupted)
        }
        Ok(_) => (RunStatus::Finished, JobOutcome::Finished),
        Err(error) => {
            let message = format!("{error:#}");
            log.line(format_args!("failed: {message}"));
            (RunStatus::Failed, JobOutcome::Failed(message))
        }
    };
    let error = match &outcome {
        JobOutcome::Failed(message) => Some(message.as_str()),
        _ => None,
    };
    let recorded = context
        .wait(store.set_run_status(id, status, error))
        .and_then(|()| context.wait(store.finish_job(claimed, outcome)));
    match (worked, recorded) {
        (Ok((mut trained, _)), recorded) => {
            recorded?;
            trained.run = context.wait(store.run(id))?;
            Ok(trained)
        }
        (Err(error), recorded) => {
            if let Err(unrecorded) = recorded {
                context.printer().warning(format_args!(
                    "the failure could not be recorded: {unrecorded}"
                ));
            }
            Err(error)
        }
    }
}

/// What one training works with.
struct Worker<'a> {
    context: &'a Context,
    store: &'a Store,
    run: &'a Run,
    log: &'a RunLog,
    job: &'a ClaimedJob,
}

impl Worker<'_> {
    /// Refuses to begin anew silently when the run had come further than its folder knows.
    fn check_checkpoint(&self) -> anyhow::Result<()> {
        let path = self.checkpoint_path();
        if path.is_file() || self.run.started_at.is_none() {
            return Ok(());
        }
        let metrics = self.context.wait(self.store.last_metrics(self.run.id))?;
        if metrics.contains_key(observer::EPOCH_METRIC) {
            return Err(Failure::new(format!(
                "run `{}` has done epochs, but its checkpoint `{}` is gone",
                self.run.name,
                path.display()
            ))
            .hint("put the file back, or start a new run")
            .into());
        }
        let message = format!(
            "run `{}` has no checkpoint yet: it begins anew",
            self.run.name
        );
        self.context.printer().warning(&message);
        self.log.line(message);
        Ok(())
    }

    /// Says what computes, where that is not the processor as in every build.
    fn tell_device(&self, plan: &Plan) -> anyhow::Result<()> {
        let device = Device::find(plan.config.train.device)?;
        self.log.line(format_args!("device: {device}"));
        if let Some(notice) = device.notice() {
            self.log.line(notice);
            self.context.printer().warning(notice);
        }
        if !device.is_native() {
            self.context.printer().step("Device", &device);
        }
        Ok(())
    }

    /// What a run that has not begun begins with; one that has goes on from its checkpoint.
    fn initial_weights(&self, plan: &Plan) -> anyhow::Result<Option<State>> {
        if self.checkpoint_path().is_file() {
            return Ok(None);
        }
        let Some(pretrained) = Pretrained::of(self.context, &plan.config.model, &plan.graph)?
        else {
            return Ok(None);
        };
        let params = self.context.wait(self.store.params(self.run.id))?;
        pretrained.check_same(&params)?;
        for line in pretrained.log_lines() {
            self.log.line(line);
        }
        Ok(Some(pretrained.fitted.state))
    }

    fn checkpoint_path(&self) -> PathBuf {
        self.store.run_directory(self.run.id).join(checkpoint::LAST)
    }

    /// Trains, and then exports, evaluates and registers unless it was interrupted. Also answers
    /// whether somebody cancelled it.
    fn work(&self, order: &TrainingJob) -> anyhow::Result<(Trained, bool)> {
        let plan = Plan::of_run(self.context, self.store, self.run)?;
        let ended = self.train(&plan, order)?;
        let mut trained = Trained {
            run: self.run.clone(),
            outcome: ended.outcome,
            monitored: plan.monitored(),
            report: None,
            model: None,
            profile: ended.profile,
        };
        if trained.outcome.end == TrainEnd::Interrupted {
            return Ok((trained, ended.is_cancelled));
        }
        self.finish(&plan, order, &mut trained)?;
        Ok((trained, false))
    }

    fn train(&self, plan: &Plan, order: &TrainingJob) -> anyhow::Result<Ended> {
        self.check_checkpoint()?;
        self.tell_device(plan)?;
        let sources = plan.sources(self.context, self.store)?;
        self.keep_sheet(plan, sources.train.as_ref());
        let writer = self.store.writer()?;
        let watch = Watch {
            interrupt: self.context.interrupt().clone(),
            job: writer.watch_job(self.job.job.id)?,
        };
        let request = TrainRequest {
            graph: plan.graph.clone(),
            config: &plan.config.train,
            loader: plan.loader_options()?,
            train: sources.train,
            validation: sources.validation,
            checkpoint_directory: self.store.run_directory(self.run.id),
            initial_weights: self.initial_weights(plan)?,
            available_memory: memory::available(),
            test_time_augmentation: plan.config.data.test_time_augmentation,
            resume: true,
        };
        let mut observer = Observer::new(self, plan, writer.clone(), &watch);
        observer.profiling = order
            .profile_steps
            .map(|steps| Profiling::new(steps, self.run, plan));
        let outcome = train(request, &mut observer);
        let profiling = observer.profiling.take();
        observer.finish()?;
        let outcome = outcome?;
        writer.flush()?;
        let cancelled = watch.job.is_cancel_requested();
        Ok(Ended {
            outcome,
            is_cancelled: cancelled && !self.context.interrupt().is_requested(),
            profile: profiling.and_then(|profiling| profiling.summary),
        })
    }
}
