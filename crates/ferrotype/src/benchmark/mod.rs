//! How fast a network runs here: the scenarios of MLPerf Inference
//! ([arXiv:1911.02549](https://arxiv.org/abs/1911.02549)) on every runtime, side by side.
//!
//! Runtimes take turns, so that whatever else the machine does hits all of them alike.

mod closed;
mod inputs;
mod lane;
mod layers;
mod memory;
mod query;
mod queue;
mod report;
mod server;
mod session;
mod subject;
mod terminal;

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::ValueEnum;
use ferrotype_inference::RuntimeChoice;
use serde::Serialize;

pub(crate) use inputs::{Inputs, MOST_IMAGES};
pub(crate) use memory::{Probe, print_memory};
pub(crate) use session::measure;
pub(crate) use subject::Subject;
pub(crate) use terminal::print;

/// How images come to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// One query at a time: how long it takes
    SingleStream,
    /// All images are there at once: how many a second
    Offline,
    /// Queries come by chance at a rate: how long they take, waiting included
    Server,
}

/// What is measured, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The runtimes, each once.
    pub(crate) runtimes: Vec<RuntimeChoice>,
    /// Threads of a query, each number once.
    pub(crate) threads: Vec<NonZeroUsize>,
    /// Images of a query in the scenario `single-stream`.
    pub(crate) single_stream_batches: Vec<usize>,
    /// Images that the runtime is given at a time in the scenario `offline`.
    pub(crate) offline_batches: Vec<usize>,
    /// Images of a query in the scenario `server`.
    pub(crate) server_batch: usize,
    /// The scenarios.
    pub(crate) scenarios: Vec<Scenario>,
    /// The length of one measurement.
    pub(crate) duration: Duration,
    /// Queries a second in the scenario `server`; the highest that meets the bound where nothing is said.
    pub(crate) rate_per_second: Option<f64>,
    /// What 99 % of the server's answers may take.
    pub(crate) latency_bound: Duration,
    /// Whether the layers are measured too.
    pub(crate) has_layers: bool,
}

impl Settings {
    /// The largest number of images that a runtime is given at a time.
    fn largest_batch(&self) -> usize {
        let batches = |scenario, batches: &[usize]| match self.scenarios.contains(&scenario) {
            true => batches.iter().copied().max().unwrap_or(1),
            false => 1,
        };
        batches(Scenario::SingleStream, &self.single_stream_batches)
            .max(batches(Scenario::Offline, &self.offline_batches))
            .max(self.server_batch)
    }
}

/// A measurement is done in so many turns of each runtime.
const TURNS: u32 = 5;

/// Seed of everything that is drawn.
const SEED: u64 = 0;
