//! Ferrotype: from a folder of images to a monitored prediction service.

mod benchmark;
mod cli;
mod commands;
mod config_files;
mod context;
mod evaluation;
mod failure;
mod interrupt;
mod logging;
mod output;
mod profile;
mod project;
mod system_metrics;
mod training;
mod weights_source;

use std::process::ExitCode;

use clap::Parser;
use ferrotype_kernels::instructions::use_at_most;

use crate::cli::Cli;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Printer;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let printer = Printer::new(cli.verbosity());
    logging::start(&printer);
    match run(cli, printer.clone()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&printer, &error),
    }
}

/// Finds the project and runs the one command that was asked for.
fn run(cli: Cli, printer: Printer) -> anyhow::Result<()> {
    limit_instructions()?;
    let context = Context::new(printer, cli.project.as_deref())?;
    commands::run(cli.command, &context)
}

/// Names the widest instruction set to use: `avx512`, `avx2` or `scalar`.
const INSTRUCTIONS: &str = "FERROTYPE_INSTRUCTIONS";

/// Lets loops use no more than the environment says.
fn limit_instructions() -> anyhow::Result<()> {
    let text = std::env::var_os(INSTRUCTIONS).filter(|text| !text.is_empty());
    let Some(text) = text else {
        return Ok(());
    };
    let limit = text.to_string_lossy().parse();
    let limit = limit.map_err(|problem| Failure::usage(format!("{INSTRUCTIONS}: {problem}")))?;
    // Nothing has run yet that could have chosen.
    use_at_most(limit)
        .map_err(|used| Failure::new(format!("loops have run with `{used}` already")).into())
}
