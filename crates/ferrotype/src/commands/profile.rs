//! `ferrotype profile`: where the time of a training went.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use ferrotype_store::{Run, RunStatus, Store, write_file_atomically};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::text;
use crate::profile::{self, Summary};

const EXAMPLES: &str = "\
Examples:
  ferrotype train --profile data.dataset=land   makes a profile while it trains
  ferrotype profile RUN                         where the time went, by phase and by layer
  ferrotype profile RUN --top 10                the ten layers that took most of it
  ferrotype profile RUN --trace trace.json      every pass, for ui.perfetto.dev";

/// The arguments of `ferrotype profile`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The run: its name, its id, or the beginning or end of its id
    run: String,
    /// Only so many layers, those that take most time first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// Write the trace to this file
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let store = context.existing_store()?;
    let run = context.wait(store.find_run(&arguments.run))?;
    let summary = summary(context, &store, &run)?;
    let printer = context.printer();
    if let Some(path) = &arguments.trace {
        let trace = artifact(context, &store, &run, profile::TRACE_ARTIFACT)?;
        write_file_atomically(path, &trace)?;
        printer.step(
            "Wrote",
            format!("{} ({})", path.display(), text::bytes(trace.len() as u64)),
        );
    }
    if arguments.json {
        return printer.json(&summary);
    }
    let top = arguments.top.map(|top| top as usize);
    printer.result(profile::headline(&summary));
    printer.result("");
    printer.table(&profile::phase_table(&summary));
    printer.result("");
    printer.table(&profile::layer_table(&summary, top));
    let path = store.run_directory(run.id).join(profile::TRACE_ARTIFACT);
    if arguments.trace.is_none() && path.is_file() {
        printer.status(format_args!(
            "\n{} opens in {}",
            path.display(),
            profile::VIEWER
        ));
    }
    Ok(())
}

fn summary(context: &Context, store: &Store, run: &Run) -> anyhow::Result<Summary> {
    let bytes = artifact(context, store, run, profile::SUMMARY_ARTIFACT)?;
    Summary::read(&bytes)
        .with_context(|| format!("the profile of run `{}` cannot be read", run.name))
}

fn artifact(context: &Context, store: &Store, run: &Run, name: &str) -> anyhow::Result<Vec<u8>> {
    let artifacts = context.wait(store.artifacts(run.id))?;
    match artifacts.iter().find(|artifact| artifact.name == name) {
        Some(artifact) => Ok(store.blobs().get(&artifact.digest)?),
        None => Err(no_profile(run).into()),
    }
}

fn no_profile(run: &Run) -> Failure {
    let failure = Failure::new(format!("run `{}` has no profile", run.name));
    match run.status {
        RunStatus::Interrupted | RunStatus::Stopped => failure.hint(format!(
            "`ferrotype train --resume {} --profile` makes one while it goes on",
            run.name
        )),
        _ => failure.hint("`ferrotype train --profile …` makes one while it trains"),
    }
}
