//! `ferrotype train`: fits a network to a dataset version.

use std::path::{Path, PathBuf};

use clap::Args;
use ferrotype_core::config::Composed;
use ferrotype_core::name::check_name;
use ferrotype_data::ImportRequest;
use ferrotype_engine::train::TrainEnd;
use ferrotype_measure::TaskReport;
use ferrotype_store::{ClaimedJob, DatasetVersion, RunStatus, Store, StoreErrorKind};

use super::data;
use crate::config_files;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Table, text};
use crate::profile::{self, Summary};
use crate::training::{self, Plan, Trained, TrainingJob};
use crate::weights_source;

const EXAMPLES: &str = "\
Examples:
  ferrotype train --data photos/                     import a folder and train on it
  ferrotype train data.dataset=land train.epochs=40  train on an imported dataset
  ferrotype train --multirun train.learning_rate=1e-3,3e-4 data.dataset=land
  ferrotype train --resume run-1a2b3c4d              go on with an interrupted run
  ferrotype train --profile data.dataset=land        tell where the time goes, layer by layer

`ferrotype config show --origin` lists every setting.";

/// Layers that a profile shows when training is done; `ferrotype profile` has all.
const DEAREST_LAYERS: usize = 10;

/// The arguments of `ferrotype train`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Settings, such as `train.epochs=20`, `model=baseline`, `+train.note=x`, `~data.augment`
    overrides: Vec<String>,
    /// Import this folder first (under its own name) and train on it
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// What to call the run [default: `run-` and the end of its id]
    #[arg(long)]
    name: Option<String>,
    /// Register the result as the next version of this model
    #[arg(long, value_name = "MODEL")]
    register: Option<String>,
    /// Go on with a run that was interrupted
    #[arg(long, value_name = "RUN", conflicts_with_all = ["data", "name", "multirun"])]
    resume: Option<String>,
    /// Train every combination of settings with several values, one after another
    #[arg(long)]
    multirun: bool,
    /// Measure where the time of 30 steps (or of so many) goes, and write a trace
    #[arg(
        long,
        value_name = "STEPS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "30",
        value_parser = clap::value_parser!(u64).range(1..=1000)
    )]
    profile: Option<u64>,
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    check_early(&arguments)?;
    if let Some(run) = &arguments.resume {
        return resume(context, run, &order(&arguments));
    }
    let store = context.store()?;
    let mut overrides = arguments.overrides.clone();
    if let Some(path) = &arguments.data {
        check_before_import(context, &overrides)?;
        let version = import(context, &store, path)?;
        overrides.push(format!("data.dataset={}", version.reference()));
    }
    if arguments.multirun {
        return train_all(context, &store, &arguments, &overrides);
    }
    let claimed = begin(
        context,
        &store,
        &arguments,
        &overrides,
        arguments.name.clone(),
    )?;
    let trained = training::work(context, &store, claimed)?;
    conclude(context, &trained)
}

/// What would otherwise come to light only after hours of training.
fn check_early(arguments: &Arguments) -> anyhow::Result<()> {
    check_settings(arguments)?;
    if let Some(model) = &arguments.register {
        check_name("model", model)?;
    }
    if let Some(run) = &arguments.name {
        check_name("run", run)?;
    }
    let names_a_dataset =
        |text: &&String| text.trim_start_matches('+').starts_with("data.dataset=");
    if let (Some(path), Some(setting)) = (
        &arguments.data,
        arguments.overrides.iter().find(names_a_dataset),
    ) {
        return Err(Failure::usage(format!(
            "`--data {}` and `{setting}` name two datasets",
            path.display()
        ))
        .hint("leave one of them out")
        .into());
    }
    Ok(())
}

/// What cannot be a setting here. (That a resumed run takes none is not clap's to say: it would
/// take the steps of `--profile 5` for one.)
fn check_settings(arguments: &Arguments) -> anyhow::Result<()> {
    let is_number = |text: &&String| text.bytes().all(|byte| byte.is_ascii_digit());
    if arguments.profile.is_some()
        && let Some(steps) = arguments.overrides.iter().find(is_number)
    {
        return Err(Failure::usage(format!("`{steps}` is no setting"))
            .hint(format!(
                "write `--profile={steps}` to measure so many steps: with `=`, no blank"
            ))
            .into());
    }
    if let (Some(run), Some(setting)) = (&arguments.resume, arguments.overrides.first()) {
        return Err(Failure::usage(format!(
            "`{setting}` cannot be set: `--resume {run}` goes on with the run's own settings"
        ))
        .hint("for other settings start a new run")
        .into());
    }
    Ok(())
}

/// Refuses settings before the images are read that no images could make right.
fn check_before_import(context: &Context, overrides: &[String]) -> anyhow::Result<()> {
    /// As good as any other number while the dataset's is not known.
    const ANY_CLASSES: usize = 2;
    let config = config_files::compose(context, overrides)?.config;
    let (graph, _) = training::graph(&config, ANY_CLASSES)?;
    training::Pretrained::of(context, &config.model, &graph)?;
    Ok(())
}

/// Imports the folder under its own name.
fn import(context: &Context, store: &Store, path: &Path) -> anyhow::Result<DatasetVersion> {
    let request = ImportRequest::new(path, data::dataset_name(path));
    data::import(context, store, &request)
}

/// Composes and checks the configuration, makes the run and takes its job on.
fn begin(
    context: &Context,
    store: &Store,
    arguments: &Arguments,
    overrides: &[String],
    name: Option<String>,
) -> anyhow::Result<ClaimedJob> {
    if let Some(name) = &name {
        refuse_taken_name(context, store, name)?;
    }
    let (composed, plan) = plan(context, store, overrides)?;
    training::begin(context, store, &plan, &composed, name, &order(arguments))
}

fn order(arguments: &Arguments) -> TrainingJob {
    TrainingJob {
        register: arguments.register.clone(),
        alias: None,
        profile_steps: arguments.profile,
    }
}

/// A run is named by its name, so there should be one of each.
fn refuse_taken_name(context: &Context, store: &Store, name: &str) -> anyhow::Result<()> {
    let is_taken = match context.wait(store.find_run(name)) {
        Ok(run) => run.name == name,
        Err(error) => error.kind() == StoreErrorKind::Ambiguous,
    };
    if is_taken {
        return Err(Failure::new(format!("there is a run `{name}` already"))
            .hint("choose another name")
            .hint(format!("`ferrotype train --resume {name}` goes on with it"))
            .hint(format!("`ferrotype runs delete {name}` deletes it"))
            .into());
    }
    Ok(())
}

/// The configuration with its dataset version and the path of its weights pinned, so that it
/// replays the same run later, from any folder.
fn plan(
    context: &Context,
    store: &Store,
    overrides: &[String],
) -> anyhow::Result<(Composed, Plan)> {
    let composed = config_files::compose(context, overrides)?;
    let plan = Plan::new(context, store, &composed)?;
    let mut pinned = vec![format!("data.dataset={}", plan.dataset.reference())];
    if let Some(named) = &plan.config.model.weights {
        let source = weights_source::pinned(context, named)?;
        pinned.extend(quoted(&source).map(|text| format!("model.weights={text}")));
    }
    let composed = config_files::compose(context, &[overrides, &pinned].concat())?;
    Ok((composed, plan))
}

/// A text as the value of an override; none when it has what cannot be quoted.
fn quoted(text: &str) -> Option<String> {
    (!text.contains(['\'', '\\'])).then(|| format!("'{text}'"))
}

fn resume(context: &Context, text: &str, changes: &TrainingJob) -> anyhow::Result<()> {
    let store = context.existing_store()?;
    let run = context.wait(store.find_run(text))?;
    let claimed = training::resume(context, &store, &run, changes)?;
    context.printer().step("Resuming", &run.name);
    let trained = training::work(context, &store, claimed)?;
    conclude(context, &trained)
}

/// Trains every combination. One that fails is told and the others are trained all the same.
fn train_all(
    context: &Context,
    store: &Store,
    arguments: &Arguments,
    overrides: &[String],
) -> anyhow::Result<()> {
    let printer = context.printer();
    let combinations = config_files::compose_multirun(context, overrides)?;
    let total = combinations.len();
    let mut rows: Vec<[String; 4]> = Vec::new();
    let mut measured = ">test accuracy";
    let mut failed = 0;
    for (index, combination) in combinations.iter().enumerate() {
        let settings = combination.join(" ");
        printer.status(format_args!(
            "\nCombination {} of {total}: {settings}",
            index + 1
        ));
        let name = arguments
            .name
            .as_ref()
            .map(|name| format!("{name}-{}", index + 1));
        let trained = begin(context, store, arguments, combination, name)
            .and_then(|claimed| training::work(context, store, claimed));
        match trained {
            Ok(trained) => {
                measured = test_title(&trained);
                let best = trained.outcome.best;
                rows.push([
                    trained.run.name.clone(),
                    settings,
                    best.map_or_else(|| "–".into(), |best| text::score(trained.monitored, best)),
                    test_score(&trained),
                ]);
                interrupted(&trained)?;
            }
            Err(error) => {
                failed += 1;
                printer.warning(format_args!("`{settings}` failed: {error:#}"));
            }
        }
    }
    let mut table = Table::new(["run", "settings", ">best validation", measured]);
    for row in rows {
        table.row(row);
    }
    printer.table(&table);
    if failed > 0 {
        return Err(Failure::new(format!("{failed} of {total} combinations failed")).into());
    }
    Ok(())
}

/// Says how a training ended. An interrupted one is a failure with a hint.
pub(super) fn conclude(context: &Context, trained: &Trained) -> anyhow::Result<()> {
    interrupted(trained)?;
    let printer = context.printer();
    let run = &trained.run;
    let outcome = &trained.outcome;
    let early = match outcome.end {
        TrainEnd::EarlyStopped => ", stopped early",
        _ => "",
    };
    printer.step(
        "Trained",
        format!(
            "{} in {}{early}",
            run.name,
            text::plural(outcome.epochs.into(), "epoch")
        ),
    );
    if let Some(profile) = &trained.profile {
        show_profile(context, profile);
    }
    let mut table = Table::new(["run", ">best epoch", test_title(trained), "model"]);
    let model = trained.model.as_ref();
    table.row([
        run.name.clone(),
        outcome
            .best_epoch
            .map_or_else(|| "–".into(), |epoch| epoch.to_string()),
        test_score(trained),
        model.map_or_else(|| "–".into(), |model| model.reference().to_string()),
    ]);
    printer.table(&table);
    let name = &run.name;
    printer.status("");
    printer.status(format_args!(
        "Next: ferrotype evaluate {name} --html report.html"
    ));
    if trained.profile.is_some() {
        printer.status(format_args!("      ferrotype profile {name}"));
    }
    match model {
        Some(model) => printer.status(format_args!(
            "      ferrotype serve --model {}",
            model.reference()
        )),
        None => printer.status(format_args!(
            "      ferrotype models register {name} --name NAME"
        )),
    }
    Ok(())
}

/// Where the time went, in short.
fn show_profile(context: &Context, summary: &Summary) {
    let printer = context.printer();
    printer.table(&profile::phase_table(summary));
    printer.result("");
    printer.table(&profile::layer_table(summary, Some(DEAREST_LAYERS)));
    printer.result("");
}

/// The title of the column of test scores.
const fn test_title(trained: &Trained) -> &'static str {
    match trained.monitored.task.is_multi_label() {
        true => ">test score",
        false => ">test accuracy",
    }
}

fn test_score(trained: &Trained) -> String {
    let report = trained.report.as_ref();
    report.map_or_else(
        || "–".into(),
        |report| match report {
            TaskReport::Classification(report) => text::percent(report.scores.accuracy),
            TaskReport::MultiLabel(report) => {
                format!("AUROC {}", text::three_digits(report.label_scores.auroc))
            }
        },
    )
}

/// Says how to go on with a run that did not come to its end.
fn interrupted(trained: &Trained) -> anyhow::Result<()> {
    if trained.outcome.end != TrainEnd::Interrupted {
        return Ok(());
    }
    let run = &trained.run;
    let why = match run.status {
        RunStatus::Stopped => "cancelled",
        _ => "interrupted",
    };
    Err(Failure::new(format!(
        "run `{}` was {why} after {}; it is saved",
        run.name,
        text::plural(trained.outcome.global_step, "step")
    ))
    .hint(format!(
        "go on with `ferrotype train --resume {}`",
        run.name
    ))
    .into())
}
