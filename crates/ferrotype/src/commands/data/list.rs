//! `ferrotype data list`

use clap::Args;
use ferrotype_core::time::Timestamp;
use ferrotype_store::{DatasetVersion, Digest};
use serde::Serialize;

use crate::context::Context;
use crate::output::{Table, text};

/// The arguments of `ferrotype data list`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A dataset version in a list.
#[derive(Serialize)]
struct Row<'a> {
    dataset: String,
    images: u64,
    classes: usize,
    bytes: u64,
    digest: Digest,
    source: &'a str,
    created_at: Timestamp,
}

impl<'a> Row<'a> {
    fn of(version: &'a DatasetVersion) -> Self {
        Self {
            dataset: version.reference().to_string(),
            images: version.image_count,
            classes: version.classes.len(),
            bytes: version.byte_count,
            digest: version.digest,
            source: &version.source,
            created_at: version.created_at,
        }
    }
}

/// Does it.
pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let store = context.existing_store()?;
    let versions = context.wait(store.dataset_versions())?;
    let rows: Vec<Row<'_>> = versions.iter().map(Row::of).collect();
    let printer = context.printer();
    if arguments.json {
        return printer.json(&rows);
    }
    if rows.is_empty() {
        printer.status("no datasets yet: `ferrotype data import PATH --name NAME` brings one in");
        return Ok(());
    }
    let mut table = Table::new([
        "dataset", ">images", ">classes", ">size", "imported", "from",
    ]);
    for row in &rows {
        table.row([
            row.dataset.clone(),
            text::count(row.images),
            text::count(row.classes as u64),
            text::bytes(row.bytes),
            text::ago(context.now(), row.created_at),
            row.source.to_string(),
        ]);
    }
    printer.table(&table);
    Ok(())
}
