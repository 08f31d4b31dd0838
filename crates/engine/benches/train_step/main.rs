//! A training step of one net on the CPU, on command: Ferrotype's side of `bench/train/run.py`.
//!
//! ```sh
//! cargo bench -p ferrotype-engine --bench train_step -- --net resnet18 --side 64 --batch 32
//! ```
//!
//! In a terminal it prints a line, with `--layers` a table of the layers. With `--serve` it is what `bench/train/peer.py` is for PyTorch:
//! a long-lived process that prints JSON lines, first `ready`, then for each line `run N` that it
//! reads the times of N steps; `quit` or the end of the input ends it. `--executor` takes what
//! `train.device` does (`burn-cpu`, `cuda` and `wgpu` with the feature of that name).

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench reports and may panic"
)]

mod arguments;
mod layers;
mod nets;

use std::io::BufRead;
use std::num::NonZeroUsize;
use std::time::Instant;

use ferrotype_core::config::schema::{DeviceConfig, OptimizerConfig};
use ferrotype_core::graph::Graph;
use ferrotype_engine::executor::{Device, Executor, StepOptions, Targets};
use ferrotype_kernels::instructions::InstructionSet;
use ferrotype_kernels::peak;
use serde_json::json;

use self::arguments::Arguments;

/// Classes of every net, as in `bench/train/peer.py`.
const CLASSES: usize = 10;

/// Adam with decoupled weight decay, as the peer's.
const OPTIMIZER: OptimizerConfig = OptimizerConfig::AdamW {
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.01,
};

fn main() {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            println!("{message}\n\n{}", arguments::USAGE);
            std::process::exit(2);
        }
    };
    if arguments.peak {
        report_peak();
        return;
    }
    let mut bench = Bench::new(&arguments);
    for _ in 0..arguments.warm_up {
        bench.step();
    }
    if arguments.serve {
        serve(&mut bench, &arguments);
    } else if arguments.layers {
        report_layers(&mut bench, &arguments);
    } else {
        report(&mut bench, &arguments);
    }
}

/// A warm executor with one batch.
struct Bench {
    executor: Box<dyn Executor>,
    images: Vec<f32>,
    labels: Vec<u32>,
    gradient_clip: Option<f64>,
    next_step: u64,
    /// Floating point operations of a step: a backward pass counts twice its forward pass.
    flops_per_step: u64,
    parameters: usize,
    resident_before_mb: f64,
}

impl Bench {
    fn new(arguments: &Arguments) -> Self {
        let graph = nets::build(&arguments.net, arguments.side, CLASSES);
        let forward_flops: u64 = graph.shapes().unwrap().iter().map(|info| info.flops).sum();
        let tensors = graph.tensors().unwrap();
        let parameters = tensors
            .iter()
            .filter(|tensor| tensor.role.is_trained())
            .map(|tensor| tensor.element_count())
            .sum();
        let pixels = arguments.batch * 3 * arguments.side * arguments.side;
        Self {
            executor: executor(arguments.device, &graph),
            images: (0..pixels)
                .map(|index| (index * 7919 % 1000) as f32 / 500.0 - 1.0)
                .collect(),
            labels: (0..arguments.batch)
                .map(|index| (index % CLASSES) as u32)
                .collect(),
            gradient_clip: arguments.clip,
            next_step: 0,
            flops_per_step: 3 * forward_flops * arguments.batch as u64,
            parameters,
            resident_before_mb: resident_mb("VmRSS"),
        }
    }

    /// Runs a step; answers the milliseconds it took and the loss.
    fn step(&mut self) -> (f64, f64) {
        let options = StepOptions {
            gradient_clip: self.gradient_clip,
            ..StepOptions::new(self.next_step, 1e-3)
        };
        self.next_step += 1;
        let start = Instant::now();
        let output = self
            .executor
            .train_step(&self.images, &Targets::Classes(&self.labels), &options)
            .unwrap();
        (start.elapsed().as_secs_f64() * 1e3, output.loss)
    }
}

fn executor(device: DeviceConfig, graph: &Graph) -> Box<dyn Executor> {
    let device = match Device::find(device) {
        Ok(device) => device,
        Err(error) => {
            println!(
                "{}",
                json!({"event": "error", "message": error.to_string()})
            );
            std::process::exit(2);
        }
    };
    device.executor(graph, &OPTIMIZER, 1).unwrap()
}

/// Answers the commands of the standard input, one JSON object a line.
fn serve(bench: &mut Bench, arguments: &Arguments) {
    println!(
        "{}",
        json!({
            "event": "ready",
            "side": "ferrotype",
            "variant": arguments.device.to_string(),
            "net": arguments.net,
            "pixels": arguments.side,
            "batch": arguments.batch,
            "threads": rayon::current_num_threads(),
            "parameters": bench.parameters,
            "flops_per_step": bench.flops_per_step,
            "resident_before_mb": bench.resident_before_mb,
        })
    );
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let steps = line.strip_prefix("run ").map(str::parse::<usize>);
        match (line.as_str(), steps) {
            ("quit", _) => break,
            (_, Some(Ok(steps))) => {
                let (milliseconds, losses): (Vec<f64>, Vec<f64>) =
                    (0..steps).map(|_| bench.step()).unzip();
                println!(
                    "{}",
                    json!({
                        "event": "steps",
                        "milliseconds": milliseconds,
                        "loss": losses.last(),
                        "peak_mb": resident_mb("VmHWM"),
                    })
                );
            }
            _ => println!(
                "{}",
                json!({"event": "error", "message": format!("expected `run N` or `quit`, got `{line}`")})
            ),
        }
    }
}

/// Runs the steps that were asked for and prints what they took.
fn report(bench: &mut Bench, arguments: &Arguments) {
    let mut milliseconds: Vec<f64> = (0..arguments.steps).map(|_| bench.step().0).collect();
    milliseconds.sort_by(f64::total_cmp);
    let quartile = |quarter: usize| milliseconds[(milliseconds.len() - 1) * quarter / 4];
    let threads = rayon::current_num_threads();
    let peak = peak_gflops(threads);
    let speed = bench.flops_per_step as f64 / quartile(2) / 1e6;
    println!(
        "{} ({}), {} pixels, batch {}, {threads} threads: {:.1} ms a step (quartiles {:.1} and {:.1}), \
         {speed:.0} GFLOP/s, {:.0} % of {peak:.0}, peak memory {:.0} MB",
        arguments.net,
        arguments.device,
        arguments.side,
        arguments.batch,
        quartile(2),
        quartile(1),
        quartile(3),
        100.0 * speed / peak,
        resident_mb("VmHWM"),
    );
}

/// Runs the steps that were asked for with recording on and prints what each layer took.
fn report_layers(bench: &mut Bench, arguments: &Arguments) {
    bench.executor.set_recording(Some(Instant::now()));
    let milliseconds: f64 = (0..arguments.steps).map(|_| bench.step().0).sum();
    let spans = bench.executor.take_spans();
    let peak = peak_gflops(rayon::current_num_threads());
    println!(
        "{}",
        layers::table(
            &spans,
            arguments.steps,
            milliseconds / arguments.steps as f64,
            peak
        )
    );
}

/// GFLOP/s of multiply-adds on so many threads.
fn peak_gflops(threads: usize) -> f64 {
    let started = Instant::now();
    let threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
    peak::gflops_per_second(threads, || started.elapsed())
}

fn report_peak() {
    for threads in 1..=rayon::current_num_threads() {
        println!(
            "{threads} threads: {:.0} GFLOP/s ({})",
            peak_gflops(threads),
            InstructionSet::in_use()
        );
    }
}

/// `VmHWM` (the highest) or `VmRSS` (now) of this process in MB; 0 where there is no `/proc`.
fn resident_mb(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or_default() * 1024.0 / 1e6
}
