//! `ferrotype models`: the registry of model versions and their aliases.

use clap::{Args, Subcommand};
use ferrotype_core::config::schema::{Monitor, Monitored};
use ferrotype_core::name::{Reference, Selector};
use ferrotype_store::{ModelVersion, Store};
use serde_json::{Value, json};

use super::{model_import, model_show};
use crate::context::Context;
use crate::evaluation::Subject;
use crate::failure::Failure;
use crate::output::{Table, text};
use crate::training;

/// The arguments of `ferrotype models`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What to do with models.
#[derive(Debug, Subcommand)]
enum Command {
    /// List all models with their versions and aliases
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one model version: what it answers, where it comes from, how good it is
    Show {
        /// `name`, `name@v3` or `name@alias`
        #[arg(value_name = "MODEL")]
        model: Reference,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Point an alias such as `production` to a version
    Alias {
        /// The version: `name@v3`
        #[arg(value_name = "MODEL")]
        model: Reference,
        /// The alias
        #[arg(required_unless_present = "remove")]
        alias: Option<String>,
        /// Remove the alias instead: `models alias name@production --remove`
        #[arg(long, conflicts_with = "alias")]
        remove: bool,
    },
    /// Register the model that a run trained
    Register {
        /// The run: its name, its id, or the beginning or end of its id
        run: String,
        /// The model's name; its next version is made
        #[arg(long)]
        name: String,
        /// Point this alias to the new version
        #[arg(long)]
        alias: Option<String>,
    },
    /// Register an ONNX file made elsewhere
    Import(model_import::Arguments),
    /// Delete a version (`name@v3`), or a model with all its versions (`name`)
    Delete {
        /// `name@v3`, or `name` for all versions
        #[arg(value_name = "MODEL")]
        model: Reference,
    },
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    match arguments.command {
        Command::List { json } => list(context, json),
        Command::Show { model, json } => model_show::show(context, &model, json),
        Command::Alias {
            model,
            alias: Some(alias),
            ..
        } => set_alias(context, &model, &alias),
        Command::Alias { model, .. } => remove_alias(context, &model),
        Command::Register { run, name, alias } => register(context, &run, &name, alias.as_deref()),
        Command::Import(arguments) => model_import::run(arguments, context),
        Command::Delete { model } => delete(context, &model),
    }
}

fn list(context: &Context, json: bool) -> anyhow::Result<()> {
    let store = context.existing_store()?;
    let models = context.wait(store.models())?;
    if json {
        return context.printer().json(&models);
    }
    if models.is_empty() {
        context.printer().status(
            "no models yet: `ferrotype train --register NAME` or `ferrotype models import FILE.onnx` makes one",
        );
        return Ok(());
    }
    let now = context.now();
    let mut table = Table::new([
        "model",
        "aliases",
        ">classes",
        "input",
        ">test score",
        "made",
    ]);
    for version in models.iter().flat_map(|model| &model.versions) {
        let preprocessing = &version.manifest.preprocessing;
        table.row([
            version.reference().to_string(),
            version.aliases.join(", "),
            version.manifest.classes.len().to_string(),
            format!("{}×{}", preprocessing.width, preprocessing.height),
            test_score(version).unwrap_or_else(|| "–".into()),
            text::ago(now, version.created_at),
        ]);
    }
    context.printer().table(&table);
    Ok(())
}

/// The score that was measured before it was registered, with its name.
fn test_score(version: &ModelVersion) -> Option<String> {
    let task = version.manifest.task;
    let metrics: Value = serde_json::from_str(&version.metrics_json).ok()?;
    let score = |monitor, key: &str| {
        let value = metrics[key].as_f64()?;
        Some(text::score(Monitored::new(monitor, task), value))
    };
    if task.is_multi_label() {
        score(Monitor::Auroc, "auroc").or_else(|| score(Monitor::Accuracy, "exact_match"))
    } else {
        score(Monitor::Accuracy, "accuracy")
    }
}

fn set_alias(context: &Context, model: &Reference, alias: &str) -> anyhow::Result<()> {
    let store = context.existing_store()?;
    let version = context.wait(store.model_version(model))?;
    context.wait(store.set_alias(&version.name, alias, version.version))?;
    context.printer().step(
        "Pointed",
        format!("{}@{alias} to {}", version.name, version.reference()),
    );
    Ok(())
}

fn remove_alias(context: &Context, model: &Reference) -> anyhow::Result<()> {
    let Selector::Alias(alias) = &model.selector else {
        return Err(Failure::usage(format!("`{model}` names no alias"))
            .hint("name it: `ferrotype models alias NAME@ALIAS --remove`")
            .into());
    };
    let store = context.existing_store()?;
    context.wait(store.remove_alias(&model.name, alias))?;
    context
        .printer()
        .step("Removed", format!("the alias {model}"));
    Ok(())
}

fn register(context: &Context, run: &str, name: &str, alias: Option<&str>) -> anyhow::Result<()> {
    let store = context.existing_store()?;
    let run = match Subject::find(context, &store, run)? {
        Subject::Run(run) => run,
        Subject::ModelVersion(version) => {
            return Err(Failure::new(format!(
                "`{}` is a model version already",
                version.reference()
            ))
            .into());
        }
    };
    let version = training::register::register_run(context, &store, &run, name)?;
    announce(context, &store, &version, alias)?;
    context.printer().json(&json!({
        "model": version.reference().to_string(),
        "run": run.id,
        "alias": alias,
    }))
}

/// Points the alias and says what has been registered.
pub(super) fn announce(
    context: &Context,
    store: &Store,
    version: &ModelVersion,
    alias: Option<&str>,
) -> anyhow::Result<()> {
    let mut name = version.reference().to_string();
    if let Some(alias) = alias {
        context.wait(store.set_alias(&version.name, alias, version.version))?;
        name = format!("{name}, now {}@{alias}", version.name);
    }
    context.printer().step("Registered", name);
    Ok(())
}

fn delete(context: &Context, model: &Reference) -> anyhow::Result<()> {
    let store = context.existing_store()?;
    match model.selector {
        Selector::Latest => context.wait(store.delete_model(&model.name))?,
        Selector::Version(_) => drop(context.wait(store.delete_model_version(model))?),
        Selector::Alias(_) => {
            return Err(Failure::usage(format!("`{model}` names an alias"))
                .hint("delete the version it points to, as `NAME@v3`, or `models alias … --remove`")
                .into());
        }
    }
    context.printer().step("Deleted", model);
    context.wait(store.sweep_blobs(super::runs::YOUNG))?;
    Ok(())
}
