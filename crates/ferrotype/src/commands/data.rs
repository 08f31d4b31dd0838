//! `ferrotype data`: bring in images, and look at what has been brought in.

mod cache;
mod import;
mod list;
mod preview;
mod show;
mod synth;

use clap::{Args, Subcommand};
use ferrotype_data::ImportRequest;
use ferrotype_store::{DatasetVersion, Store};

use crate::context::Context;

pub(crate) use import::dataset_name;

/// The arguments of `ferrotype data`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: DataCommand,
}

/// What can be done with datasets.
#[derive(Debug, Subcommand)]
enum DataCommand {
    /// Paint a small example set of aerial-like tiles
    Synth(synth::Arguments),
    /// Import a folder of images as a dataset version
    Import(import::Arguments),
    /// List the dataset versions
    List(list::Arguments),
    /// Show what a dataset version holds
    Show(show::Arguments),
    /// Look at or delete the decoded images that are kept on disk
    Cache(cache::Arguments),
    /// Write a sheet of a dataset's images, as they are or as training sees them
    Preview(preview::Arguments),
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    match arguments.command {
        DataCommand::Synth(arguments) => synth::run(&arguments, context),
        DataCommand::Import(arguments) => import::run(&arguments, context),
        DataCommand::List(arguments) => list::run(&arguments, context),
        DataCommand::Show(arguments) => show::run(&arguments, context),
        DataCommand::Cache(arguments) => cache::run(&arguments, context),
        DataCommand::Preview(arguments) => preview::run(&arguments, context),
    }
}

/// Imports a folder on the way to something else, saying what was found.
pub(crate) fn import(
    context: &Context,
    store: &Store,
    request: &ImportRequest,
) -> anyhow::Result<DatasetVersion> {
    Ok(import::import(context, store, request)?.version)
}
