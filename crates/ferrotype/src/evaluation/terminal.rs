//! An evaluation as tables in the terminal.

use ferrotype_measure::{EvaluationReport, MultiLabelEvaluation, TaskReport};

use crate::output::text::three_digits;
use crate::output::{Printer, Table, text};

/// With more classes than this a confusion matrix does not fit into a terminal.
const MATRIX_CLASSES: usize = 12;

/// Mistakes shown in the terminal.
const MISTAKES_SHOWN: usize = 5;

/// Prints scores, classes, what was confused and the worst mistakes.
pub(crate) fn print(printer: &Printer, report: &TaskReport) {
    match report {
        TaskReport::Classification(report) => print_classes(printer, report),
        TaskReport::MultiLabel(report) => print_labels(printer, report),
    }
}

fn print_labels(printer: &Printer, report: &MultiLabelEvaluation) {
    printer.table(&label_scores(report));
    printer.result("");
    printer.table(&labels(report));
    if !report.mistakes.is_empty() {
        printer.result("\nWorst mistakes");
        printer.table(&label_mistakes(report));
    }
}

fn label_scores(report: &MultiLabelEvaluation) -> Table {
    let scores = &report.label_scores;
    let mut table = Table::new([
        ">images",
        ">macro AUROC",
        ">mAP",
        ">macro F1",
        ">micro F1",
        ">exact match",
        ">cross-entropy",
        ">threshold",
    ]);
    table.row([
        text::count(scores.count),
        three_digits(scores.auroc),
        three_digits(scores.mean_average_precision),
        text::percent(scores.macro_f1),
        text::percent(scores.micro_f1),
        text::percent(scores.exact_match),
        format!("{:.3}", scores.loss),
        scores
            .threshold
            .map_or_else(|| "each its own".into(), |threshold| threshold.to_string()),
    ]);
    table
}

/// Each label's scores; its threshold where they differ, and the one that validation suggests.
fn labels(report: &MultiLabelEvaluation) -> Table {
    let scores = &report.label_scores;
    let has_own = scores.threshold.is_none();
    let has_best = scores.per_label.iter().any(|label| label.best.is_some());
    let mut header = vec!["label", ">precision", ">recall", ">F1", ">AUROC", ">AP"];
    header.extend(has_own.then_some(">threshold"));
    header.extend(
        has_best
            .then_some([">best threshold", ">val F1 there"])
            .into_iter()
            .flatten(),
    );
    header.push(">images");
    let mut table = Table::with_header(header.into_iter().map(str::to_string).collect());
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    for (label, scores) in report.classes.iter().zip(&scores.per_label) {
        let mut row = vec![
            label.clone(),
            text::percent(scores.precision),
            text::percent(scores.recall),
            text::percent(scores.f1),
            three_digits(scores.auroc),
            three_digits(scores.average_precision),
        ];
        if has_own {
            row.push(or_none(
                scores.threshold.map(|threshold| threshold.to_string()),
            ));
        }
        if has_best {
            row.push(or_none(scores.best.map(|best| best.threshold.to_string())));
            row.push(or_none(scores.best.map(|best| text::percent(best.f1))));
        }
        row.push(text::count(scores.support));
        table.row(row);
    }
    table
}

fn label_mistakes(report: &MultiLabelEvaluation) -> Table {
    let mut table = Table::new(["image", "label", "truth", ">probability"]);
    for mistake in report.mistakes.iter().take(MISTAKES_SHOWN) {
        let label = report.classes.get(mistake.label as usize);
        table.row([
            mistake.path.as_str(),
            label.map_or("?", String::as_str),
            if mistake.has_label {
                "has it"
            } else {
                "has it not"
            },
            &text::percent(f64::from(mistake.probability)),
        ]);
    }
    table
}

fn print_classes(printer: &Printer, report: &EvaluationReport) {
    printer.table(&scores(report));
    printer.result("");
    printer.table(&classes(report));
    if report.classes.len() <= MATRIX_CLASSES {
        printer.result("\nConfusion matrix (rows: true class, columns: predicted)");
        printer.table(&confusion(report));
    }
    if !report.mistakes.is_empty() {
        printer.result("\nWorst mistakes");
        printer.table(&mistakes(report));
    }
}

fn scores(report: &EvaluationReport) -> Table {
    let scores = &report.scores;
    let mut table = Table::new([
        ">images",
        ">accuracy",
        ">macro F1",
        ">AUROC",
        ">cross-entropy",
        ">calibration error",
    ]);
    table.row([
        text::count(scores.count),
        text::percent(scores.accuracy),
        text::percent(scores.macro_f1),
        three_digits(scores.auroc),
        format!("{:.3}", scores.loss),
        format!("{:.3}", scores.expected_calibration_error),
    ]);
    table
}

fn classes(report: &EvaluationReport) -> Table {
    let mut table = Table::new(["class", ">precision", ">recall", ">F1", ">AUROC", ">images"]);
    for (class, scores) in report.classes.iter().zip(&report.scores.per_class) {
        table.row([
            class.clone(),
            text::percent(scores.precision),
            text::percent(scores.recall),
            text::percent(scores.f1),
            three_digits(scores.auroc),
            text::count(scores.support),
        ]);
    }
    table
}

fn confusion(report: &EvaluationReport) -> Table {
    let mut header = vec![String::new()];
    header.extend(report.classes.iter().map(|class| format!(">{class}")));
    let mut table = Table::with_header(header);
    for (class, counts) in report.classes.iter().zip(&report.scores.confusion) {
        let counts = counts.iter().map(|&count| text::count(count));
        table.row(std::iter::once(class.clone()).chain(counts));
    }
    table
}

fn mistakes(report: &EvaluationReport) -> Table {
    let class = |index: u32| {
        report
            .classes
            .get(index as usize)
            .map_or("?", String::as_str)
    };
    let mut table = Table::new(["image", "true class", "predicted", ">confidence"]);
    for mistake in report.mistakes.iter().take(MISTAKES_SHOWN) {
        table.row([
            &mistake.path,
            class(mistake.label),
            class(mistake.predicted),
            &text::percent(f64::from(mistake.confidence)),
        ]);
    }
    table
}
