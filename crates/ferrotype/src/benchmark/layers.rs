//! What each step of a network takes.

use std::time::{Duration, Instant};

use ferrotype_inference::{Network, StepCost};
use ferrotype_measure::latency::percentile;

use super::report::{LayerReport, LayersReport};

/// Runs before the first that counts.
const WARM_UP: usize = 2;

/// Runs a network for a time, once at least; none where its runtime does not tell of its steps.
pub(super) fn measure(
    network: &dyn Network,
    batch: usize,
    batches: &[Vec<f32>],
    duration: Duration,
    is_stopped: &dyn Fn() -> bool,
) -> Option<LayersReport> {
    let mut inputs = batches.iter().cycle();
    let mut run = || network.profile(inputs.next()?, batch);
    for _ in 0..WARM_UP {
        run()?;
    }
    let mut runs = vec![run()?];
    let started = Instant::now();
    while started.elapsed() < duration && !is_stopped() {
        runs.push(run()?);
    }
    Some(added_up(&runs, batch))
}

/// The median of each step over all runs.
fn added_up(runs: &[Vec<StepCost>], batch: usize) -> LayersReport {
    let steps = runs.first().map(Vec::as_slice).unwrap_or_default();
    let medians: Vec<f64> = (0..steps.len()).map(|step| median_ms(runs, step)).collect();
    let total_ms: f64 = medians.iter().sum();
    let layers = steps.iter().zip(medians).map(|(step, ms)| LayerReport {
        name: step.name.clone(),
        method: step.method.clone(),
        ms,
        share: ms / total_ms.max(1e-9),
        flops: step.flops,
        bytes: step.bytes,
        gflops_per_second: per_nanosecond(step.flops, ms),
        share_of_peak: None,
        gigabytes_per_second: per_nanosecond(step.bytes, ms),
    });
    let flops = steps.iter().map(|step| step.flops).sum();
    LayersReport {
        batch,
        runs: runs.len(),
        total_ms,
        flops,
        gflops_per_second: per_nanosecond(flops, total_ms),
        share_of_peak: None,
        steps: layers.collect(),
    }
}

fn median_ms(runs: &[Vec<StepCost>], step: usize) -> f64 {
    let mut times: Vec<f64> = runs
        .iter()
        .filter_map(|run| run.get(step))
        .map(|step| step.duration.as_secs_f64() * 1e3)
        .collect();
    times.sort_by(f64::total_cmp);
    percentile(&times, 50).unwrap_or_default()
}

/// So many in a nanosecond, which is 10⁹ times as many in a second; none where there are none.
pub(super) fn per_nanosecond(count: u64, ms: f64) -> Option<f64> {
    (count > 0 && ms > 0.0).then(|| count as f64 / (ms * 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_the_median_of_its_runs() {
        let step = |name: &str, microseconds, flops| StepCost {
            name: name.into(),
            method: String::new(),
            duration: Duration::from_micros(microseconds),
            flops,
            bytes: 8_000,
        };
        let run = |first, second| vec![step("Conv a", first, 6_000_000), step("Add b", second, 0)];
        let report = added_up(&[run(3000, 900), run(9000, 1000), run(2000, 1100)], 1);
        assert_eq!((report.runs, report.flops), (3, 6_000_000));
        assert!((report.total_ms - 4.0).abs() < 1e-9);
        let [conv, add] = &report.steps[..] else {
            panic!("{report:?}");
        };
        assert!((conv.ms - 3.0).abs() < 1e-9 && (add.ms - 1.0).abs() < 1e-9);
        assert!((conv.share - 0.75).abs() < 1e-9);
        // 6 million operations in 3 ms; 8,000 bytes in 1 ms.
        assert!((conv.gflops_per_second.unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(add.gflops_per_second, None);
        assert!((add.gigabytes_per_second.unwrap() - 0.008).abs() < 1e-9);
    }
}
