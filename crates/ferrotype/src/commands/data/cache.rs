//! `ferrotype data cache`: the decoded images that are kept on disk.

use clap::{Args, Subcommand};
use ferrotype_core::time::Timestamp;
use ferrotype_data::decoded_cache;
use serde::Serialize;

use crate::context::Context;
use crate::output::{Table, text};

/// The arguments of `ferrotype data cache`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: CacheCommand,
}

/// What can be done with caches.
#[derive(Debug, Subcommand)]
enum CacheCommand {
    /// List the caches of decoded images, last used first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete the caches of decoded images that no training is reading; the next one decodes anew
    Clear,
}

/// A cache in a list.
#[derive(Serialize)]
struct Row {
    images: String,
    bytes: u64,
    used_at: Timestamp,
    path: String,
}

/// Does it.
pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    match arguments.command {
        CacheCommand::List { json } => list(context, json),
        CacheCommand::Clear => clear(context),
    }
}

fn list(context: &Context, json: bool) -> anyhow::Result<()> {
    let folder = context.existing_store()?.decoded_cache_folder();
    let rows: Vec<Row> = decoded_cache::list(&folder)?
        .into_iter()
        .map(|cache| Row {
            images: cache.label,
            bytes: cache.bytes,
            used_at: Timestamp::from_millis(
                cache
                    .used_at
                    .duration_since(std::time::UNIX_EPOCH)
                    .map_or(0, |since| since.as_millis() as i64),
            ),
            path: cache.path.display().to_string(),
        })
        .collect();
    let printer = context.printer();
    if json {
        return printer.json(&rows);
    }
    if rows.is_empty() {
        printer.status("no decoded images are kept yet: a training's first epoch keeps them");
        return Ok(());
    }
    let mut table = Table::new(["images", ">size", "last used"]);
    for row in &rows {
        table.row([
            row.images.clone(),
            text::bytes(row.bytes),
            text::ago(context.now(), row.used_at),
        ]);
    }
    printer.table(&table);
    Ok(())
}

fn clear(context: &Context) -> anyhow::Result<()> {
    let folder = context.existing_store()?.decoded_cache_folder();
    let cleared = decoded_cache::clear(&folder)?;
    let printer = context.printer();
    printer.step(
        "Deleted",
        format!(
            "{}, {}",
            text::plural(cleared.deleted as u64, "cache"),
            text::bytes(cleared.bytes)
        ),
    );
    if cleared.in_use > 0 {
        printer.status(format_args!(
            "{} in use: left",
            text::plural(cleared.in_use as u64, "cache")
        ));
    }
    Ok(())
}
