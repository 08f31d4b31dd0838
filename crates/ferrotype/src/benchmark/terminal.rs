//! What was measured, in the terminal.

use super::report::{ClosedReport, LayersReport, Report, RuntimeReport, ServerReport};
use crate::output::{Printer, Table, text};

/// Fewer queries than this have no percentile 99 of their own: it is the slowest.
const FEW_QUERIES: u64 = 100;

/// Prints everything.
pub(crate) fn print(printer: &Printer, report: &Report) {
    printer.result(headline(report));
    section(printer, None, &runtime_table(report));
    if let Some(table) = single_stream_table(report) {
        let title = "single-stream: one query after the other";
        section(printer, Some(title), &table);
    }
    if let Some(table) = offline_table(report) {
        let title = "offline: all images at once, in batches";
        section(printer, Some(title), &table);
    }
    if let Some((title, table)) = server_table(report) {
        section(printer, Some(&title), &table);
    }
    for runtime in &report.runtimes {
        for layers in &runtime.layers {
            section(
                printer,
                Some(&layers_title(runtime, layers)),
                &layer_table(layers),
            );
        }
    }
    notes(printer, report);
}

fn section(printer: &Printer, title: Option<&str>, table: &Table) {
    printer.result("");
    if let Some(title) = title {
        printer.result(title);
    }
    printer.table(table);
}

/// What was measured, and on what.
fn headline(report: &Report) -> String {
    let [channels, height, width] = report.image_shape;
    let operations = report.flops_per_image.map_or_else(String::new, |flops| {
        format!(", {}FLOP an image", text::large(flops))
    });
    let peaks: Vec<String> = report
        .machine
        .peaks
        .iter()
        .map(|peak| {
            let threads = text::plural(peak.threads as u64, "thread");
            format!("{:.0} GFLOP/s on {threads}", peak.gflops_per_second)
        })
        .collect();
    format!(
        "{}: {channels}×{height}×{width}, {}{operations}; the machine's peak: {} ({})",
        report.model,
        report.images,
        peaks.join(", "),
        report.machine.instructions,
    )
}

fn runtime_table(report: &Report) -> Table {
    let mut table = Table::new([
        "runtime",
        ">threads",
        ">load ms",
        ">memory",
        ">peak memory",
        "note",
    ]);
    for runtime in &report.runtimes {
        let bytes = |bytes: Option<u64>| bytes.map_or_else(none, text::bytes);
        table.row([
            runtime.title(),
            runtime.threads.to_string(),
            number(runtime.load_ms, 0),
            bytes(runtime.memory.map(|memory| memory.resident_bytes)),
            bytes(runtime.memory.map(|memory| memory.peak_bytes)),
            note(runtime),
        ]);
    }
    table
}

/// Why a runtime has no figures, or fewer.
fn note(runtime: &RuntimeReport) -> String {
    match (&runtime.problem, &runtime.native_refusal) {
        (Some(problem), _) if runtime.name.is_none() => format!("not used: {problem}"),
        (Some(problem), _) => problem.clone(),
        (None, Some(refusal)) => format!("the native one does not run it: {refusal}"),
        (None, None) => String::new(),
    }
}

fn single_stream_table(report: &Report) -> Option<Table> {
    let mut table = Table::new([
        "runtime",
        ">threads",
        ">batch",
        ">queries",
        ">p50 ms",
        ">p90 ms",
        ">p99 ms",
        ">max ms",
        ">mean ms",
        ">images/s",
        ">of peak",
    ]);
    let rows = rows(report, |runtime| &runtime.single_stream)?;
    for (runtime, closed) in rows {
        let latency = &closed.latency;
        table.row([
            runtime.title(),
            runtime.threads.to_string(),
            closed.batch.to_string(),
            text::count(latency.count),
            milliseconds(latency.p50_ms),
            milliseconds(latency.p90_ms),
            milliseconds(latency.p99_ms),
            milliseconds(latency.max_ms),
            milliseconds(latency.mean_ms),
            rate(closed.images_per_second),
            closed.share_of_peak.map_or_else(none, percent),
        ]);
    }
    Some(table)
}

fn offline_table(report: &Report) -> Option<Table> {
    let mut table = Table::new([
        "runtime",
        ">threads",
        ">batch",
        ">images",
        ">images/s",
        ">GFLOP/s",
        ">of peak",
    ]);
    let rows = rows(report, |runtime| &runtime.offline)?;
    for (runtime, closed) in rows {
        table.row([
            runtime.title(),
            runtime.threads.to_string(),
            closed.batch.to_string(),
            text::count(closed.latency.count * closed.batch as u64),
            rate(closed.images_per_second),
            number(closed.gflops_per_second, 0),
            closed.share_of_peak.map_or_else(none, percent),
        ]);
    }
    Some(table)
}

/// Every measurement with its runtime; none where there is none.
fn rows(
    report: &Report,
    of: fn(&RuntimeReport) -> &Vec<ClosedReport>,
) -> Option<Vec<(&RuntimeReport, &ClosedReport)>> {
    let rows = report.runtimes.iter();
    let rows = rows.flat_map(|runtime| of(runtime).iter().map(move |closed| (runtime, closed)));
    let rows: Vec<_> = rows.collect();
    (!rows.is_empty()).then_some(rows)
}

fn milliseconds(ms: f64) -> String {
    format!("{ms:.2}")
}

fn server_table(report: &Report) -> Option<(String, Table)> {
    let servers = report.runtimes.iter();
    let first = servers.filter_map(|runtime| runtime.server.as_ref()).next();
    let has_problem = report.runtimes.iter().any(|r| r.server_problem.is_some());
    if first.is_none() && !has_problem {
        return None;
    }
    let title = match first {
        Some(first) if first.is_rate_sought => format!(
            "server: queries come by chance, at the highest rate with a p99 of at most {} ms",
            first.latency_bound_ms
        ),
        Some(first) => format!(
            "server: queries come by chance at {} a second, p99 at most {} ms",
            first.rate_per_second, first.latency_bound_ms
        ),
        None => "server: queries come by chance".to_string(),
    };
    let mut table = Table::new([
        "runtime",
        ">threads",
        ">queries/s",
        ">queries",
        ">p50 ms",
        ">p90 ms",
        ">p99 ms",
        ">max ms",
        ">busy",
        "bound",
    ]);
    for runtime in &report.runtimes {
        let start = [runtime.title(), runtime.threads.to_string()];
        match (&runtime.server, &runtime.server_problem) {
            (Some(server), _) => table.row(start.into_iter().chain(server_cells(server))),
            (None, Some(problem)) => {
                let dashes = std::iter::repeat_with(none).take(7);
                table.row(start.into_iter().chain(dashes).chain([problem.clone()]))
            }
            (None, None) => continue,
        };
    }
    Some((title, table))
}

fn server_cells(server: &ServerReport) -> [String; 8] {
    let latency = &server.latency;
    let bound = match (server.is_bound_met, server.unanswered) {
        (true, _) => "met".to_string(),
        (false, 0) => "missed".to_string(),
        (false, unanswered) => format!("missed, {} unanswered", text::count(unanswered as u64)),
    };
    [
        rate(server.rate_per_second),
        text::count(latency.count),
        milliseconds(latency.p50_ms),
        milliseconds(latency.p90_ms),
        milliseconds(latency.p99_ms),
        milliseconds(latency.max_ms),
        percent(server.busy_share),
        bound,
    ]
}

fn layers_title(runtime: &RuntimeReport, layers: &LayersReport) -> String {
    format!(
        "layers of {}: batch {}, {}, medians of {}",
        runtime.title(),
        layers.batch,
        text::plural(runtime.threads as u64, "thread"),
        text::plural(layers.runs as u64, "run"),
    )
}

fn layer_table(layers: &LayersReport) -> Table {
    let mut table = Table::new([
        "layer", ">ms", ">share", ">FLOPs", ">GFLOP/s", ">of peak", ">GB/s", "how",
    ]);
    for step in &layers.steps {
        table.row([
            step.name.clone(),
            format!("{:.3}", step.ms),
            text::percent(step.share),
            flops(step.flops),
            number(step.gflops_per_second, 0),
            step.share_of_peak.map_or_else(none, percent),
            number(step.gigabytes_per_second, 1),
            step.method.clone(),
        ]);
    }
    table.row([
        "together".to_string(),
        format!("{:.3}", layers.total_ms),
        text::percent(1.0),
        flops(layers.flops),
        number(layers.gflops_per_second, 0),
        layers.share_of_peak.map_or_else(none, percent),
        none(),
        String::new(),
    ]);
    table
}

/// What to know when reading the tables.
fn notes(printer: &Printer, report: &Report) {
    let counts = report.runtimes.iter().flat_map(|runtime| {
        let closed = runtime.single_stream.iter().map(|closed| closed.latency);
        closed.chain(runtime.server.as_ref().map(|server| server.latency))
    });
    if counts
        .into_iter()
        .any(|latency| latency.count < FEW_QUERIES)
    {
        printer.status(format_args!(
            "\nOf fewer than {FEW_QUERIES} queries, p99 is the slowest; `--seconds` measures longer."
        ));
    }
}

fn none() -> String {
    "–".to_string()
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(none, |value| format!("{value:.digits$}"))
}

/// A whole per cent.
fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// So many a second, with three digits at least.
fn rate(per_second: f64) -> String {
    match per_second {
        ..99.95 => format!("{per_second:.1}"),
        _ => text::count(per_second.round() as u64),
    }
}

fn flops(flops: u64) -> String {
    match flops {
        0 => none(),
        flops => text::large(flops),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    /// A table's lines below the rule, with one blank between words.
    fn lines(table: &Table) -> Vec<String> {
        let text = table.render(false);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().skip(2).map(words).collect()
    }

    #[test]
    fn runtimes_stand_side_by_side_with_what_keeps_them_from_it() {
        let report = example();
        assert_eq!(
            headline(&report),
            "net.onnx: 3×224×224, noise, 1.00 GFLOP an image; the machine's peak: 200 GFLOP/s on 2 threads (avx512)"
        );
        assert_eq!(
            lines(&runtime_table(&report)),
            [
                "native 0.1.0 2 12 50.0 MB 90.0 MB",
                "auto: rten 0.27.0 2 – – – the native one does not run it: operator `Sin`",
                "onnxruntime 2 – – – not used: no library",
            ]
        );
        assert_eq!(
            lines(&single_stream_table(&report).unwrap()),
            [
                "native 0.1.0 2 1 150 10.00 11.00 12.00 13.00 10.50 100 50 %",
                "auto: rten 0.27.0 2 1 150 10.00 11.00 12.00 13.00 10.50 4.0 2 %",
            ]
        );
        assert_eq!(
            lines(&offline_table(&report).unwrap()),
            ["native 0.1.0 2 8 1,200 120 120 60 %"]
        );
    }

    #[test]
    fn a_server_meets_its_bound_or_says_why_not() {
        let mut report = example();
        let (title, table) = server_table(&report).unwrap();
        assert!(
            title.ends_with("highest rate with a p99 of at most 100 ms"),
            "{title}"
        );
        assert_eq!(
            lines(&table),
            [
                "native 0.1.0 2 80.2 1,200 20.00 21.00 22.00 23.00 80 % met",
                "auto: rten 0.27.0 2 – – – – – – – too slow",
            ]
        );
        let server = report.runtimes[0].server.as_mut().unwrap();
        (server.is_bound_met, server.unanswered) = (false, 1234);
        let (_, table) = server_table(&report).unwrap();
        let first = &lines(&table)[0];
        assert!(first.ends_with("80 % missed, 1,234 unanswered"), "{first}");
    }

    #[test]
    fn layers_tell_what_they_reach_of_the_peak() {
        let report = example();
        let native = &report.runtimes[0];
        assert_eq!(
            layers_title(native, &native.layers[0]),
            "layers of native 0.1.0: batch 1, 2 threads, medians of 90 runs"
        );
        assert_eq!(
            lines(&layer_table(&native.layers[0])),
            [
                "Conv /conv1 8.000 80.0 % 1.00 G 125 62 % 0.8 Direct 3->64",
                "MaxPool /pool 2.000 20.0 % – – – 3.0 Direct 3->64",
                "together 10.000 100.0 % 1.00 G 100 50 % –",
            ]
        );
    }
}
