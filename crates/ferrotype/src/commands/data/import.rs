//! `ferrotype data import`, and the import as other commands do it on the way.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use ferrotype_core::name::MAX_NAME_BYTES;
use ferrotype_core::report::Skipped;
use ferrotype_data::report::{DuplicateReport, SkippedKind};
use ferrotype_data::{
    ImportOutcome, ImportReport, ImportRequest, SplitRatios, Stage, import_folder,
};
use ferrotype_store::Store;
use serde::Serialize;

use super::show;
use crate::context::Context;
use crate::output::{Printer, text};

/// The arguments of `ferrotype data import`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder: one folder of images for each class, with or without `train`, `val` and `test` around; or images with a `labels.csv`
    path: PathBuf,

    /// The table that names the labels of each image, which may be several or none: a CSV file
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,

    /// The dataset's name [default: the folder's]
    #[arg(long)]
    name: Option<String>,

    /// Shares of train, val and test, for the splits that are not folders
    #[arg(long, default_value_t = SplitRatios::default(), value_name = "RATIOS")]
    split: SplitRatios,

    /// Seed of those splits
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// The outcome as JSON.
#[derive(Serialize)]
struct ImportJson<'a> {
    dataset: String,
    created: bool,
    digest: String,
    #[serde(flatten)]
    report: &'a ImportReport,
    skipped_files: &'a [Skipped],
}

/// Does it.
pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let name = arguments.name.clone();
    let name = name.unwrap_or_else(|| dataset_name(&arguments.path));
    let request = ImportRequest {
        seed: arguments.seed,
        ratios: arguments.split,
        labels: arguments.labels.clone(),
        ..ImportRequest::new(&arguments.path, name)
    };
    let outcome = import(context, &context.store()?, &request)?;
    let printer = context.printer();
    if arguments.json {
        return printer.json(&ImportJson {
            dataset: outcome.version.reference().to_string(),
            created: outcome.created,
            digest: outcome.version.digest.to_string(),
            report: &outcome.report,
            skipped_files: &outcome.skipped,
        });
    }
    let report = &outcome.report;
    let unlabelled = report.labelling.as_ref().map(|all| &all.unlabelled);
    printer.table(&show::class_table(
        &report.classes,
        unlabelled,
        &report.splits(),
    ));
    Ok(())
}

/// Imports a folder with a progress bar, and says what was found.
pub(super) fn import(
    context: &Context,
    store: &Store,
    request: &ImportRequest,
) -> anyhow::Result<ImportOutcome> {
    let printer = context.printer();
    let start = Instant::now();
    let outcome = {
        let mut bar = printer.progress("Importing", 0);
        let mut progress = |progress: ferrotype_data::Progress| {
            bar.label(match progress.stage {
                Stage::Listing => "Listing",
                Stage::Reading => "Reading",
                Stage::Comparing => "Comparing",
                _ => "Recording",
            });
            bar.set(progress.done, progress.total, "");
        };
        context.wait(import_folder(request, store, &mut progress))?
    };
    say_what_was_found(printer, request, &outcome, start);
    Ok(outcome)
}

fn say_what_was_found(
    printer: &Printer,
    request: &ImportRequest,
    outcome: &ImportOutcome,
    start: Instant,
) {
    let version = outcome.version.reference();
    let images = text::plural(outcome.report.images, "image");
    let noun = match outcome.report.labelling {
        None => "class",
        Some(_) => "label",
    };
    let classes = text::plural(outcome.report.classes.len() as u64, noun);
    let took = text::duration(start.elapsed());
    if outcome.created {
        let path = request.path.display();
        printer.step(
            "Imported",
            format_args!("{images} of {classes} from `{path}` as `{version}` in {took}"),
        );
    } else {
        printer.step(
            "Unchanged",
            format_args!("`{version}` holds these {images} of {classes} already ({took})"),
        );
    }
    for note in &outcome.report.notes {
        printer.step("Note", note);
    }
    if let Some(line) = duplicates_line(&outcome.report.duplicates) {
        printer.step("Note", line);
    }
    say_what_was_left_out(printer, &outcome.report.skipped);
    for warning in &outcome.report.warnings {
        printer.warning(warning);
    }
}

/// What was found of repeated images, if there are any.
fn duplicates_line(duplicates: &DuplicateReport) -> Option<String> {
    let repeated = text::plural(duplicates.equal_images, "repeated image");
    let alike = format!(
        "{} of look-alikes",
        text::plural(duplicates.alike.count, "group")
    );
    let found = match (duplicates.equal_images, duplicates.alike.count) {
        (0, 0) => return None,
        (_, 0) => repeated,
        (0, _) => alike,
        _ => format!("{repeated} and {alike}"),
    };
    Some(format!(
        "found {found}; splits that the import makes keep them together"
    ))
}

/// Files that might have been meant as images are warned about, others only noted.
pub(super) fn say_what_was_left_out(printer: &Printer, skipped: &[SkippedKind]) {
    for kind in skipped {
        if kind.is_harmless() {
            printer.step("Note", skipped_line(kind));
        } else {
            printer.warning(skipped_line(kind));
        }
    }
}

/// One line on files left out for one reason.
fn skipped_line(kind: &SkippedKind) -> String {
    let files = text::plural(kind.count, "file");
    match kind.examples.first() {
        Some(first) if kind.count == 1 => {
            format!(
                "left out `{}` ({}): {}",
                first.item, kind.kind, first.reason
            )
        }
        Some(first) => format!(
            "left out {files} ({}), the first `{}`: {}",
            kind.kind, first.item, first.reason
        ),
        None => format!("left out {files} ({})", kind.kind),
    }
}

/// A folder's name with everything that a dataset's name may not have replaced by `-`.
pub(crate) fn dataset_name(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let folder = full.file_name().unwrap_or_default().to_string_lossy();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let name: String = folder
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(MAX_NAME_BYTES)
        .collect();
    if name.is_empty() {
        "images".to_string()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_is_named_after_its_folder() {
        let name = |path: &str| dataset_name(Path::new(path));
        assert_eq!(name("/no/such/land use (2)"), "land-use--2-");
        assert_eq!(name("/no/such/_cifake/"), "cifake");
        assert_eq!(name("/"), "images");
        assert_eq!(name("/no/such/日本"), "images");
    }

    #[test]
    fn what_was_not_found_is_not_counted() {
        let line = |equal_images, count| {
            let mut report = DuplicateReport {
                equal_images,
                ..DuplicateReport::default()
            };
            report.alike.count = count;
            duplicates_line(&report)
        };
        assert_eq!(line(0, 0), None);
        let together = "splits that the import makes keep them together";
        for (found, said) in [
            ((0, 3), "3 groups of look-alikes"),
            ((1, 0), "1 repeated image"),
            ((2, 1), "2 repeated images and 1 group of look-alikes"),
        ] {
            let line = line(found.0, found.1).unwrap();
            assert_eq!(line, format!("found {said}; {together}"));
        }
    }

    #[test]
    fn files_left_out_are_told_of_in_one_line_a_reason() {
        let example = Skipped {
            item: "a/1.jpg".into(),
            kind: "truncated".into(),
            reason: "the file ends early".into(),
        };
        let kind = |count| SkippedKind {
            kind: "truncated".into(),
            count,
            examples: vec![example.clone()],
        };
        assert_eq!(
            skipped_line(&kind(1)),
            "left out `a/1.jpg` (truncated): the file ends early"
        );
        assert_eq!(
            skipped_line(&kind(1200)),
            "left out 1,200 files (truncated), the first `a/1.jpg`: the file ends early"
        );
    }
}
