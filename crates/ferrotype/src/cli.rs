//! The command line as clap reads it: what holds for every command. Each command's own
//! arguments stand in its file under `commands/`.

use std::path::PathBuf;

use clap::Parser;

use crate::commands::Command;
use crate::output::Verbosity;

const AFTER_HELP: &str = "\
Start with `ferrotype demo`: it makes a small image set, trains a model on it and serves it.
Everything is kept in the folder `.ferrotype` of the project.";

/// From a folder of images to a monitored prediction service, in one program.
#[derive(Debug, Parser)]
#[command(name = "ferrotype", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// The project folder [default: the nearest one above that has `ferrotype.yaml` or `.ferrotype`]
    #[arg(
        long,
        global = true,
        env = "FERROTYPE_PROJECT",
        hide_env_values = true,
        value_name = "PATH"
    )]
    pub(crate) project: Option<PathBuf>,

    /// Say more; twice for debugging
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,

    /// Say nothing but results, warnings and errors
    #[arg(short, long, global = true)]
    quiet: bool,
}

impl Cli {
    /// How much is said beside the results.
    pub(crate) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, 1) => Verbosity::Verbose,
            (false, _) => Verbosity::Debug,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
