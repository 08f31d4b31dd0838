//! `ferrotype runs`: what was trained, with which settings, and how it went.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use ferrotype_core::config::schema::Monitored;
use ferrotype_core::id::RunId;
use ferrotype_core::manifest::Task;
use ferrotype_store::{Artifact, Run, RunFilter, RunStatus, Store};
use serde::Serialize;

use crate::context::Context;
use crate::output::{Table, text};

/// What a sweep of the blobs leaves alone: somebody may be about to refer to it.
pub(super) const YOUNG: Duration = Duration::from_secs(24 * 60 * 60);

/// The arguments of `ferrotype runs`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What to do with runs.
#[derive(Debug, Subcommand)]
enum Command {
    /// List the newest runs
    List {
        /// Only those that are queued, running, finished, failed, interrupted or stopped
        #[arg(long)]
        status: Option<RunStatus>,
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a run: its settings, metrics and files
    Show {
        /// The run: its name, its id, or the beginning or end of its id
        run: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete a run with its metrics and checkpoints; models made from it stay
    Delete {
        /// The run: its name, its id, or the beginning or end of its id
        run: String,
    },
}

/// A run in a list.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    run: Run,
    /// What its images have.
    task: Task,
    /// The metric that says which epoch is best.
    monitor: &'static str,
    metrics: BTreeMap<String, f64>,
    #[serde(skip)]
    monitored: Monitored,
}

/// A run with everything that `show` tells.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    run: Run,
    params: BTreeMap<String, String>,
    metrics: BTreeMap<String, f64>,
    artifacts: Vec<Artifact>,
    log: String,
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let store = context.existing_store()?;
    context.wait(store.recover_dead())?;
    match arguments.command {
        Command::List {
            status,
            limit,
            json,
        } => list(context, &store, status, limit, json),
        Command::Show { run, json } => show(context, &store, &run, json),
        Command::Delete { run } => delete(context, &store, &run),
    }
}

fn list(
    context: &Context,
    store: &Store,
    status: Option<RunStatus>,
    limit: u32,
    json: bool,
) -> anyhow::Result<()> {
    let filter = RunFilter {
        status,
        ..RunFilter::default()
    };
    let runs = context
        .wait(store.runs(&filter, limit))?
        .into_iter()
        .map(|run| {
            let metrics = last_metrics(context, store, run.id)?;
            let params = context.wait(store.params(run.id))?;
            let monitored = Monitored::of_run(&params, |key| metrics.contains_key(key));
            Ok(Listed {
                task: monitored.task,
                monitor: monitored.key(),
                run,
                metrics,
                monitored,
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    if json {
        return context.printer().json(&runs);
    }
    if runs.is_empty() {
        context
            .printer()
            .status("no runs yet: `ferrotype train --data PATH` makes one");
        return Ok(());
    }
    let now = context.now();
    let mut table = Table::new(["run", "status", "dataset", ">validation", ">test", "made"]);
    for listed in runs {
        let keys = [listed.monitored.key(), listed.monitored.test_key()];
        let [validation, test] = keys.map(|key| listed.score(key));
        let run = listed.run;
        table.row([
            run.name,
            run.status.to_string(),
            run.dataset.unwrap_or_else(|| "–".into()),
            validation,
            test,
            text::ago(now, run.created_at),
        ]);
    }
    context.printer().table(&table);
    Ok(())
}

impl Listed {
    /// The monitored score by one of its two keys.
    fn score(&self, key: &str) -> String {
        let value = self.metrics.get(key);
        value.map_or_else(|| "–".into(), |value| text::score(self.monitored, *value))
    }
}

fn last_metrics(
    context: &Context,
    store: &Store,
    run: RunId,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let points = context.wait(store.last_metrics(run))?;
    Ok(points
        .into_iter()
        .map(|(key, point)| (key, point.value))
        .collect())
}

fn show(context: &Context, store: &Store, name: &str, json: bool) -> anyhow::Result<()> {
    let run = context.wait(store.find_run(name))?;
    let shown = Shown {
        params: context.wait(store.params(run.id))?,
        metrics: last_metrics(context, store, run.id)?,
        artifacts: context.wait(store.artifacts(run.id))?,
        log: store.run_log_path(run.id).display().to_string(),
        run,
    };
    if json {
        return context.printer().json(&shown);
    }
    let printer = context.printer();
    printer.table(&facts(&shown));
    for (title, rows) in [
        ("setting", shown.params),
        (
            "metric",
            shown
                .metrics
                .into_iter()
                .map(|(key, value)| (key, text::number(value)))
                .collect(),
        ),
    ] {
        let mut table = Table::new([title, "value"]);
        for (key, value) in rows {
            table.row([key, value]);
        }
        printer.result("");
        printer.table(&table);
    }
    Ok(())
}

fn facts(shown: &Shown) -> Table {
    let run = &shown.run;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    let time = |time: Option<ferrotype_core::time::Timestamp>| or_none(time.map(|t| t.to_string()));
    let files: Vec<String> = shown
        .artifacts
        .iter()
        .map(|file| format!("{} ({})", file.name, text::bytes(file.byte_count)))
        .collect();
    let mut table = Table::new(["run", &run.name]);
    table
        .row(["id", &run.id.to_string()])
        .row(["status", run.status.as_str()])
        .row(["dataset", &or_none(run.dataset.clone())])
        .row(["made", &run.created_at.to_string()])
        .row(["started", &time(run.started_at)])
        .row(["ended", &time(run.finished_at)])
        .row(["git commit", &or_none(run.git_commit.clone())])
        .row([
            "files",
            &or_none((!files.is_empty()).then(|| files.join(", "))),
        ])
        .row(["log", &shown.log]);
    if let Some(error) = &run.error {
        table.row(["error", error]);
    }
    table
}

fn delete(context: &Context, store: &Store, name: &str) -> anyhow::Result<()> {
    let run = context.wait(store.find_run(name))?;
    context.wait(store.delete_run(run.id))?;
    context.wait(store.sweep_blobs(YOUNG))?;
    context
        .printer()
        .step("Deleted", format!("run {}", run.name));
    Ok(())
}
