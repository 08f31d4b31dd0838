//! `ferrotype weights`: looks into files of weights.

use clap::{Args, Subcommand};
use ferrotype_core::config::Config;
use ferrotype_engine::weights::{self, MatchReport, NamedTensors};
use serde_json::json;

use crate::config_files;
use crate::context::Context;
use crate::output::{Table, text};
use crate::training;
use crate::weights_source::{self, Located};

/// As good as any other number where no dataset is named.
const ANY_CLASSES: usize = 2;

/// The arguments of `ferrotype weights`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the tensors of a file, and how they fit an architecture
    Show(ShowArguments),
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// A file, `https://…`, `hf://OWNER/REPOSITORY/FILE`, a run or a model
    #[arg(value_name = "WEIGHTS")]
    source: String,
    /// Settings: `model=resnet18` shows how the tensors fit that architecture
    overrides: Vec<String>,
    /// The classes of the network that they are to fit
    #[arg(long, default_value_t = ANY_CLASSES)]
    classes: usize,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    match arguments.command {
        Command::Show(arguments) => show(&arguments, context),
    }
}

fn show(arguments: &ShowArguments, context: &Context) -> anyhow::Result<()> {
    let located = weights_source::locate(context, &arguments.source)?;
    let tensors = weights::read(&located.path)?;
    let report = match arguments.overrides.as_slice() {
        [] => None,
        overrides => {
            let config = config_files::compose(context, overrides)?.config;
            Some((
                config.model.name.clone(),
                fit(&config, arguments.classes, &tensors)?,
            ))
        }
    };
    if arguments.json {
        return print_json(context, &located, &tensors, report);
    }
    let printer = context.printer();
    let mut table = Table::new(["tensor", "shape", "format", ">numbers"]);
    for info in tensors.iter() {
        table.row([
            info.name.to_string(),
            format!("{:?}", info.shape),
            info.element.name().to_string(),
            text::count(info.element_count()),
        ]);
    }
    printer.table(&table);
    printer.step(
        "Weights",
        format!(
            "{} ({}, {}): {}, {}",
            located.title,
            tensors.format().name(),
            text::bytes(located.bytes),
            text::plural(tensors.len() as u64, "tensor"),
            text::plural(numbers(&tensors), "number"),
        ),
    );
    if !tensors.nested_in().is_empty() {
        printer.step("", format!("under the key `{}`", tensors.nested_in()));
    }
    if let Some((name, report)) = report {
        printer.step(
            "Fits",
            format!(
                "{name}: {} of {} tensors, {} of {} parameters",
                report.tensors,
                report.expected_tensors,
                text::count(report.parameters),
                text::count(report.expected_parameters),
            ),
        );
        for line in report.details() {
            printer.step("", line);
        }
    }
    Ok(())
}

fn fit(config: &Config, classes: usize, tensors: &NamedTensors) -> anyhow::Result<MatchReport> {
    let (graph, _) = training::graph(config, classes)?;
    Ok(weights::fit(&graph, tensors)?.report)
}

fn numbers(tensors: &NamedTensors) -> u64 {
    tensors
        .iter()
        .map(|info| info.element_count())
        .fold(0, u64::saturating_add)
}

fn print_json(
    context: &Context,
    located: &Located,
    tensors: &NamedTensors,
    report: Option<(String, MatchReport)>,
) -> anyhow::Result<()> {
    let list: Vec<_> = tensors
        .iter()
        .map(|info| json!({"name": info.name, "shape": info.shape, "format": info.element.name()}))
        .collect();
    context.printer().json(&json!({
        "source": located.title,
        "path": located.path,
        "blake3": located.digest,
        "bytes": located.bytes,
        "format": tensors.format().name(),
        "nested_in": tensors.nested_in(),
        "tensors": list,
        "model": report.as_ref().map(|(name, _)| name),
        "match": report.as_ref().map(|(_, report)| report),
    }))
}
