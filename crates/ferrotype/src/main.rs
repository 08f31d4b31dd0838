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
use ferrotype_kernels::instructions::limit_of_environment;

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
    limit_of_environment().map_err(Failure::usage)?;
    let context = Context::new(printer, cli.project.as_deref())?;
    commands::run(cli.command, &context)
}
