//! Runs networks on command, for `bench/infer/run.py`, and shows where their time goes.
//!
//!     infer MODEL --side 224 --runtime native --threads 1 --batch 1 --serve
//!     infer MODEL --side 224 --layers
//!     infer MODEL --side 224 --layers --instructions avx2
//!
//! `load_ms` is from the path to a network that is ready to run. With `--serve` it answers each line `run N` with the milliseconds of N runs, as JSON.

#![allow(clippy::print_stdout)]

use std::io::BufRead;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ferrotype_inference::{NetworkOptions, RuntimeChoice, StepCost, inspect, load_network};

fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}

fn number(name: &str, default: usize) -> Result<usize> {
    match argument(name) {
        None => Ok(default),
        Some(text) => text.parse().with_context(|| format!("{name} {text}")),
    }
}

/// Numbers of about the size of a normalised image's.
fn image(len: usize) -> Vec<f32> {
    let mut state = 1_u32;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 4_194_304.0 - 2.0
        })
        .collect()
}

fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes
        .and_then(|text| text.parse::<f64>().ok())
        .unwrap_or(0.0)
        / 1024.0
}

fn main() -> Result<()> {
    let path = std::env::args().nth(1).context("no model")?;
    if let Some(set) = argument("--instructions") {
        let set = set.parse().map_err(anyhow::Error::msg)?;
        ferrotype_kernels::instructions::use_at_most(set)
            .map_err(|used| anyhow::anyhow!("loops use {used} already"))?;
    }
    let side = number("--side", 224)?;
    let batch = number("--batch", 1)?;
    let choice: RuntimeChoice = argument("--runtime")
        .unwrap_or_else(|| "native".into())
        .parse()
        .map_err(anyhow::Error::msg)?;
    let names = {
        let file = std::fs::File::open(&path).with_context(|| path.clone())?;
        let summary = inspect(&file).with_context(|| path.clone())?;
        let output = summary.outputs.first().context("no output")?;
        (summary.image_input()?.name.clone(), output.name.clone())
    };
    let options = NetworkOptions {
        input_name: names.0,
        output_name: names.1,
        embedding_name: None,
        image_shape: [3, side, side],
        fixed_batch: None,
        threads: NonZeroUsize::new(number("--threads", 1)?).context("no threads")?,
    };
    let started = Instant::now();
    let file = std::fs::File::open(&path).with_context(|| path.clone())?;
    let loaded = load_network(&file, choice, &options)?;
    let load_ms = started.elapsed().as_secs_f64() * 1e3;
    drop(file);
    let input = image(batch * 3 * side * side);
    if std::env::args().any(|argument| argument == "--layers") {
        return layers(&*loaded.network, &input, batch);
    }
    if let Some(path) = argument("--compare") {
        return compare(&loaded.network.run(&input, batch)?.answer, &path);
    }
    if let Some(path) = argument("--write") {
        let answer = loaded.network.run(&input, batch)?.answer;
        let bytes: Vec<u8> = answer.iter().flat_map(|x| x.to_le_bytes()).collect();
        let bytes_of_input: Vec<u8> = input.iter().flat_map(|x| x.to_le_bytes()).collect();
        std::fs::write(format!("{path}.input"), bytes_of_input)?;
        return Ok(std::fs::write(path, bytes)?);
    }
    println!(
        "{{\"event\": \"ready\", \"runtime\": \"{}\", \"load_ms\": {load_ms:.3}}}",
        loaded.runtime_name
    );
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let count: usize = line.trim_start_matches("run ").parse()?;
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let started = Instant::now();
            loaded.network.run(&input, batch)?;
            times.push(format!("{:.4}", started.elapsed().as_secs_f64() * 1e3));
        }
        println!(
            "{{\"event\": \"steps\", \"milliseconds\": [{}], \"peak_mb\": {:.1}}}",
            times.join(", "),
            peak_mb()
        );
    }
    Ok(())
}

/// The largest difference to floats in a file.
fn compare(answer: &[f32], path: &str) -> Result<()> {
    let bytes = std::fs::read(path)?;
    let (chunks, _) = bytes.as_chunks::<4>();
    let expected: Vec<f32> = chunks.iter().map(|b| f32::from_le_bytes(*b)).collect();
    anyhow::ensure!(expected.len() == answer.len(), "other length");
    let most = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let pairs = answer.iter().zip(&expected);
    let worst = pairs.fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    println!(
        "largest {most}, difference {worst}, share {}",
        worst / (1.0 + most)
    );
    Ok(())
}

/// The median time of each step.
fn layers(network: &dyn ferrotype_inference::Network, input: &[f32], batch: usize) -> Result<()> {
    const ROUNDS: usize = 15;
    let mut rounds = Vec::new();
    // The first runs try which way is faster.
    for _ in 0..ROUNDS {
        network.run(input, batch)?;
    }
    for _ in 0..ROUNDS {
        rounds.push(network.profile(input, batch).context("no profile")?);
    }
    let mut total = 0.0;
    for step in 0..rounds[0].len() {
        let mut times: Vec<Duration> = rounds.iter().map(|round| round[step].duration).collect();
        times.sort();
        let microseconds = times[ROUNDS / 2].as_secs_f64() * 1e6;
        total += microseconds;
        let StepCost { name, method, .. } = &rounds[0][step];
        println!("{microseconds:9.1}  {name} {method}");
    }
    println!("{total:9.1}  in all");
    Ok(())
}
