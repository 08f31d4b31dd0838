//! `ferrotype config`: what a training would use, and where each value comes from.

use clap::{Args, Subcommand};
use ferrotype_core::config::Node;

use crate::config_files;
use crate::context::Context;
use crate::output::Table;

/// The arguments of `ferrotype config`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the whole configuration, resolved and checked
    ///
    /// The output is a `ferrotype.yaml` that gives the same configuration.
    Show(ShowArguments),
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// Tell where every value comes from
    #[arg(long)]
    origin: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// What to change: `train.epochs=5`, `train/optimizer=sgd`, `+train.note=x`, `~data.augment`
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    match arguments.command {
        ConfigCommand::Show(arguments) => show(&arguments, context),
    }
}

fn show(arguments: &ShowArguments, context: &Context) -> anyhow::Result<()> {
    let composed = config_files::compose(context, &arguments.overrides)?;
    let printer = context.printer();
    match (arguments.origin, arguments.json) {
        (true, true) => {
            let origins: Vec<_> = composed
                .origins()
                .into_iter()
                .map(|(key, value, origin)| {
                    let from = origin.to_string();
                    let value = Node::new(value, origin).to_json();
                    serde_json::json!({"key": key, "value": value, "origin": from})
                })
                .collect();
            printer.json(&origins)
        }
        (true, false) => {
            let mut table = Table::new(["key", "value", "from"]);
            for (key, value, origin) in composed.origins() {
                table.row([key, value.to_string(), origin.to_string()]);
            }
            printer.table(&table);
            Ok(())
        }
        (false, true) => printer.json(&composed.tree.to_json()),
        (false, false) => {
            printer.result(composed.to_yaml().trim_end());
            Ok(())
        }
    }
}
