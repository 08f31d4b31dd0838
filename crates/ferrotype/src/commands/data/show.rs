//! `ferrotype data show`

use clap::Args;
use ferrotype_core::name::Reference;
use ferrotype_data::report::{Count, Findings, GroupMember, ImageGroup, Spread};
use ferrotype_data::{ClassCounts, DatasetSummary, summary};

use super::import::say_what_was_left_out;
use crate::context::Context;
use crate::output::{Printer, Table, text};

/// The arguments of `ferrotype data show`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The dataset: `land` for its newest version, or `land@v2`
    dataset: Reference,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let store = context.existing_store()?;
    let version = context.wait(store.dataset_version(&arguments.dataset))?;
    let summary = summary(&store, &version)?;
    let printer = context.printer();
    if arguments.json {
        return printer.json(&summary);
    }
    print_head(printer, &summary, context);
    printer.result("");
    printer.table(&class_table(
        &summary.classes,
        summary.unlabelled.as_ref(),
        &summary.splits,
    ));
    printer.result("");
    print_duplicates(printer, &summary);
    print_samples(printer, &summary);
    say_what_was_left_out(printer, &summary.skipped);
    for warning in &summary.warnings {
        printer.warning(warning);
    }
    Ok(())
}

/// Images per class and split. Where images may have several labels, those that have none are
/// counted too, and all images once.
pub(super) fn class_table(
    classes: &[ClassCounts],
    unlabelled: Option<&ClassCounts>,
    all: &ClassCounts,
) -> Table {
    let first = match unlabelled {
        None => "class",
        Some(_) => "label",
    };
    let mut table = Table::new([first, ">train", ">val", ">test", ">all"]);
    for class in classes.iter().chain(unlabelled).chain([all]) {
        table.row([
            class.class.clone(),
            text::count(class.train),
            text::count(class.val),
            text::count(class.test),
            text::count(class.total()),
        ]);
    }
    table
}

fn print_head(printer: &Printer, summary: &DatasetSummary, context: &Context) {
    let line = |name: &str, value: String| printer.result(format_args!("{name:<10}{value}"));
    line("dataset", summary.dataset.clone());
    line("digest", summary.digest.to_string());
    let when = text::ago(context.now(), summary.created_at);
    line("from", format!("{}, {when}", summary.source));
    line(
        "images",
        format!(
            "{} ({})",
            text::count(summary.images),
            text::bytes(summary.bytes)
        ),
    );
    let statistics = &summary.statistics;
    line("width", spread(&statistics.width));
    line("height", spread(&statistics.height));
    line("sizes", sizes(&statistics.sizes, statistics.distinct_sizes));
    line("modes", counts(&statistics.modes));
    line("formats", counts(&statistics.formats));
    line("mean", colour(statistics.mean));
    line("std", colour(statistics.std));
    for note in &summary.notes {
        line("note", note.clone());
    }
}

fn spread(spread: &Spread) -> String {
    if spread.min == spread.max {
        return format!("{} pixels", spread.min);
    }
    format!(
        "{} to {} pixels, half of them up to {}",
        spread.min, spread.max, spread.median
    )
}

fn sizes(sizes: &[Count], distinct: u64) -> String {
    let shown = counts(sizes);
    match distinct.saturating_sub(sizes.len() as u64) {
        0 => shown,
        more => format!("{shown}, {} more", text::count(more)),
    }
}

fn counts(counts: &[Count]) -> String {
    let shown: Vec<String> = counts
        .iter()
        .map(|c| format!("{} ({})", c.name, text::count(c.count)))
        .collect();
    shown.join(", ")
}

fn colour([red, green, blue]: [f64; 3]) -> String {
    format!("red {red:.3}, green {green:.3}, blue {blue:.3}")
}

fn print_duplicates(printer: &Printer, summary: &DatasetSummary) {
    let duplicates = &summary.duplicates;
    let kinds: [(&str, &Findings<ImageGroup>); 5] = [
        ("equal images", &duplicates.equal),
        ("look-alikes", &duplicates.alike),
        ("in several splits", &duplicates.leaks),
        ("in several classes", &duplicates.label_conflicts),
        (
            "look-alikes too many to keep together",
            &duplicates.too_large,
        ),
    ];
    for (name, groups) in kinds.into_iter().filter(|(_, groups)| groups.count > 0) {
        printer.result(format_args!(
            "{name}: {}",
            text::plural(groups.count, "group")
        ));
        for group in groups.examples.iter().take(3) {
            printer.result(format_args!("  {}", group_line(group)));
        }
        printer.result("");
    }
}

fn group_line(group: &ImageGroup) -> String {
    let member = |member: &GroupMember| format!("{} ({})", member.path, member.split);
    let shown: Vec<String> = group.images.iter().take(3).map(member).collect();
    match group.size.saturating_sub(shown.len() as u64) {
        0 => shown.join(" = "),
        more => format!("{} = {} more", shown.join(" = "), text::count(more)),
    }
}

fn print_samples(printer: &Printer, summary: &DatasetSummary) {
    let mut table = Table::new(["class", "samples"]);
    for class in &summary.samples {
        let paths: Vec<&str> = class
            .images
            .iter()
            .map(|image| image.path.as_str())
            .collect();
        table.row([class.class.clone(), paths.join(", ")]);
    }
    printer.table(&table);
}
