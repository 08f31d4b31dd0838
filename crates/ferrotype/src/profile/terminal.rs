//! A profile in the terminal: its phases, its layers.

use super::Summary;
use super::summary::Cost;
use crate::output::{Table, text};

/// What was measured, in a line.
pub(crate) fn headline(summary: &Summary) -> String {
    let subject = &summary.subject;
    let first = summary.first_step;
    let steps = match summary.steps {
        1 => format!("step {first}, {:.1} ms", summary.step_ms),
        steps => format!(
            "steps {first} to {}, {:.1} ms each (median)",
            first + steps - 1,
            summary.step_ms
        ),
    };
    format!(
        "{}: {} at {} pixels, batch {}, {}; {steps}, {} images/s",
        subject.run,
        subject.model,
        subject.image_size,
        subject.batch_size,
        text::plural(subject.threads as u64, "thread"),
        text::count((summary.images as f64 / (summary.steps_ms / 1e3)).round() as u64),
    )
}

/// What a step consists of, and what comes between steps.
pub(crate) fn phase_table(summary: &Summary) -> Table {
    let mut table = Table::new([
        "phase",
        ">calls",
        ">ms a call",
        ">share",
        ">GFLOP/s",
        ">GB/s",
    ]);
    for row in &summary.phases {
        table.row([
            row.phase.clone(),
            text::count(row.cost.calls),
            number(row.cost.ms_per_call(), 2),
            row.share.map_or_else(none, text::percent),
            number(row.cost.gflops_per_second(), 0),
            number(row.cost.gigabytes_per_second(), 1),
        ]);
    }
    table
}

/// The layers in the order of the forward pass; with `top`, so many of them, the dearest first.
pub(crate) fn layer_table(summary: &Summary, top: Option<usize>) -> Table {
    let mut table = Table::new([
        "layer",
        ">calls a step",
        ">forward ms",
        ">backward ms",
        ">validation ms",
        ">share",
        ">GFLOP/s",
        ">GB/s",
    ]);
    let mut rows: Vec<_> = summary.layers.iter().collect();
    if let Some(top) = top {
        rows.sort_by(|a, b| b.share.total_cmp(&a.share));
        rows.truncate(top);
    }
    for row in rows {
        let training = row.training();
        let milliseconds = |cost: &Cost| number(cost.ms_per_call(), 3);
        table.row([
            row.layer.clone(),
            calls(row.calls_per_step(summary.steps)),
            milliseconds(&row.forward),
            milliseconds(&row.backward),
            milliseconds(&row.validation),
            text::percent(row.share),
            number(training.gflops_per_second(), 0),
            number(training.gigabytes_per_second(), 1),
        ]);
    }
    table
}

/// A whole number but where an epoch's last step has fewer batches.
fn calls(per_step: f64) -> String {
    match per_step.fract() == 0.0 {
        true => text::count(per_step as u64),
        false => format!("{per_step:.1}"),
    }
}

fn none() -> String {
    "–".to_string()
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(none, |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::super::summary::tests::{profile, subject};
    use super::*;

    #[test]
    fn a_profile_is_a_line_and_two_tables() {
        let summary = Summary::new(&profile(), subject()).unwrap();
        assert_eq!(
            headline(&summary),
            "first: tiny at 16 pixels, batch 8, 2 threads; steps 11 to 12, 10.0 ms each (median), 800 images/s"
        );
        insta::assert_snapshot!(phase_table(&summary).render(false), @r#"
        phase                calls   ms a call    share   GFLOP/s   GB/s
        ──────────────────────────────────────────────────────────────────
        waiting for images       2        1.00   10.0 %         –    0.0
        forward                  2        3.10   31.0 %         1    0.0
        loss                     2        0.10    1.0 %         –    0.0
        backward                 2        4.00   40.0 %         1    0.0
        update                   2        1.00   10.0 %         –    0.0
        other                    2        0.80    8.0 %         –      –
        validation               1        6.00        –         –      –
        checkpoint               1        1.00        –         –      –
        "#);
        let layers = |top| {
            let text = layer_table(&summary, top).render(false);
            let rows = text.lines().skip(2);
            let words = rows.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "));
            words.collect::<Vec<_>>()
        };
        assert_eq!(
            layers(None),
            [
                "image 1 0.100 – – 1.0 % – 0.0",
                "conv1 1 2.000 2.000 2.000 40.0 % 1 0.0",
                "fc 1 1.000 2.000 – 30.0 % 1 0.0",
            ]
        );
        let single = Summary {
            steps: 1,
            first_step: 2,
            ..summary.clone()
        };
        let headline = headline(&single);
        assert!(headline.contains("; step 2, 10.0 ms, "), "{headline}");
        assert_eq!([calls(2.0), calls(1.75)], ["2", "1.8"]);
        assert_eq!(layers(Some(1)), ["conv1 1 2.000 2.000 2.000 40.0 % 1 0.0"]);
    }
}
