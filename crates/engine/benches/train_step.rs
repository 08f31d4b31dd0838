//! Time of a training step and of an evaluation of the baseline, on a warm executor.
//!
//! `cargo bench -p ferrotype-engine --bench train_step -- [side in pixels] [batch size]`; with
//! `--features burn` Burn's executor beside it.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench reports and may panic"
)]

use std::time::{Duration, Instant};

use ferrotype_core::config::schema::OptimizerConfig;
use ferrotype_core::graph::zoo;
use ferrotype_engine::executor::{CpuExecutor, Executor, StepOptions, Targets};

const CLASSES: usize = 10;
const WARM_UP: usize = 3;
const REPEATS: usize = 15;

fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let side = numbers.next().unwrap_or(64);
    let batch = numbers.next().unwrap_or(64);
    let graph = zoo::build("baseline", [3, side, side], CLASSES, &Default::default()).unwrap();
    let flops: u64 = graph.shapes().unwrap().iter().map(|info| info.flops).sum();
    let optimizer = OptimizerConfig::AdamW {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
    };
    let images: Vec<f32> = (0..batch * 3 * side * side)
        .map(|index| (index * 7919 % 1000) as f32 / 500.0 - 1.0)
        .collect();
    let labels: Vec<u32> = (0..batch).map(|index| (index % CLASSES) as u32).collect();
    let threads = rayon::current_num_threads();
    println!("baseline, {side} pixels, batch {batch}, {threads} threads");
    let report = |name: &str, mut executor: Box<dyn Executor>| {
        let mut step = 0;
        let step_time = median(|| {
            let options = StepOptions {
                dropout_seed: 1,
                gradient_clip: Some(1.0),
                ..StepOptions::new(step, 1e-3)
            };
            step += 1;
            executor
                .train_step(&images, &Targets::Classes(&labels), &options)
                .unwrap();
        });
        let evaluation_time = median(|| {
            executor.evaluate(&images, batch).unwrap();
        });
        // The backward pass of a product is two products.
        for (what, time, passes) in [("step", step_time, 3), ("evaluation", evaluation_time, 1)] {
            let operations = (passes * flops * batch as u64) as f64;
            let speed = operations / time.as_secs_f64() / 1e9;
            println!("{name:5} {what:10} {time:>9.1?}  {speed:>5.0} GFLOP/s");
        }
    };
    report(
        "ours",
        Box::new(CpuExecutor::new(&graph, &optimizer, 1).unwrap()),
    );
    #[cfg(feature = "burn")]
    report(
        "Burn",
        Box::new(ferrotype_engine::executor::BurnExecutor::new(&graph, &optimizer, 1).unwrap()),
    );
}

fn median(mut work: impl FnMut()) -> Duration {
    for _ in 0..WARM_UP {
        work();
    }
    let mut times: Vec<Duration> = (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[REPEATS / 2]
}
