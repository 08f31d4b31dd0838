//! One file a command. Each has its `Arguments` and a `run` that does it.

mod config;
mod data;

use clap::Subcommand;

use crate::context::Context;

/// What the program can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring in images, and look at what has been brought in
    Data(data::Arguments),
    /// Show the configuration that a training would use
    Config(config::Arguments),
}

/// Does what was asked for.
pub(crate) fn run(command: Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Data(arguments) => data::run(arguments, context),
        Command::Config(arguments) => config::run(arguments, context),
    }
}
