//! Times one training step of the baseline.
use ferrotype_core::config::schema::OptimizerConfig;
use ferrotype_core::graph::zoo;
use ferrotype_engine::executor::{CpuExecutor, Executor, StepOptions};
use std::time::Instant;

#[allow(clippy::print_stdout, clippy::unwrap_used)]
fn main() {
    let side: usize = std::env::args().nth(1).map_or(48, |a| a.parse().unwrap());
    let batch: usize = std::env::args().nth(2).map_or(64, |a| a.parse().unwrap());
    let graph = zoo::build("baseline", [3, side, side], 6, None).unwrap();
    let optimizer = OptimizerConfig::AdamW {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
    };
    let mut executor = CpuExecutor::new(&graph, &optimizer, 1).unwrap();
    let images: Vec<f32> = (0..batch * 3 * side * side)
        .map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0)
        .collect();
    let labels: Vec<u32> = (0..batch).map(|i| (i % 6) as u32).collect();
    for step in 0..12 {
        let options = StepOptions {
            step,
            learning_rate: 1e-3,
            dropout_seed: 1,
            gradient_clip: None,
        };
        let start = Instant::now();
        let output = executor.train_step(&images, &labels, &options).unwrap();
        println!(
            "{step}: {:.1} ms, loss {:.5}, rss {}",
            start.elapsed().as_secs_f64() * 1e3,
            output.loss,
            rss()
        );
    }
    let start = Instant::now();
    executor.evaluate(&images, batch).unwrap();
    println!("evaluate {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
}

fn rss() -> String {
    std::fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM"))
        .collect::<Vec<_>>()
        .join(" ")
}
