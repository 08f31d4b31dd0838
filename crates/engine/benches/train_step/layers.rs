//! Where a step's time goes, layer by layer.

use std::collections::BTreeMap;
use std::time::Duration;

use ferrotype_engine::executor::{Phase, Span};

/// What a layer took in one step.
#[derive(Debug, Default, Clone)]
struct Row {
    name: String,
    forward: Duration,
    backward: Duration,
    other: Duration,
    flops: u64,
}

impl Row {
    fn total(&self) -> Duration {
        self.forward + self.backward + self.other
    }
}

/// A table of the layers in `spans`, which `steps` steps of `step_milliseconds` left: means of a
/// step, with the share of `peak_gflops` that each layer's operations reach.
pub(crate) fn table(
    spans: &[Span],
    steps: usize,
    step_milliseconds: f64,
    peak_gflops: f64,
) -> String {
    // What belongs to no layer comes last.
    let mut rows: BTreeMap<(usize, &str), Row> = BTreeMap::new();
    for span in spans {
        let place = (span.layer.unwrap_or(usize::MAX), span.name.as_str());
        let row = rows.entry(place).or_default();
        row.name.clone_from(&span.name);
        match span.phase {
            Phase::Forward => row.forward += span.duration,
            Phase::Backward => row.backward += span.duration,
            _ => row.other += span.duration,
        }
        row.flops += span.flops;
    }
    let mut sum = Row {
        name: "sum".to_string(),
        ..Row::default()
    };
    for row in rows.values() {
        sum.forward += row.forward;
        sum.backward += row.backward;
        sum.other += row.other;
        sum.flops += row.flops;
    }
    let mut lines = vec![
        "| layer | forward ms | backward ms | other ms | share % | GFLOP/s | of peak % |"
            .to_string(),
        "|---|---|---|---|---|---|---|".to_string(),
    ];
    lines.extend(
        rows.values()
            .chain([&sum])
            .map(|row| line(row, steps, step_milliseconds, peak_gflops)),
    );
    lines.join("\n")
}

fn line(row: &Row, steps: usize, step_milliseconds: f64, peak_gflops: f64) -> String {
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3 / steps as f64;
    let share = 100.0 * milliseconds(row.total()) / step_milliseconds;
    let speed = match row.flops {
        0 => "| – | –".to_string(),
        flops => {
            let gflops = flops as f64 / row.total().as_secs_f64() / 1e9;
            format!("| {gflops:.0} | {:.0}", 100.0 * gflops / peak_gflops)
        }
    };
    format!(
        "| {} | {:.2} | {:.2} | {:.2} | {share:.1} {speed} |",
        row.name,
        milliseconds(row.forward),
        milliseconds(row.backward),
        milliseconds(row.other),
    )
}
