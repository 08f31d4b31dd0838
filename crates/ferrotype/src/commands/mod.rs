//! One file a command. Each has its `Arguments` and a `run` that does it.

mod bench;
mod config;
mod data;
mod demo;
mod evaluate;
mod export;
mod find_rate;
mod job;
mod model_import;
mod model_show;
mod models;
mod predict;
mod profile;
mod runs;
mod serve;
mod summary;
mod train;
mod weights;

use clap::Subcommand;

use crate::context::Context;

/// What the program can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole way: paint images, train on them, serve the model
    Demo(demo::Arguments),
    /// Bring in images, and look at what has been brought in
    Data(data::Arguments),
    /// Show the configuration that a training would use
    Config(config::Arguments),
    /// Tell what a network is and costs, layer by layer
    Summary(summary::Arguments),
    /// Find a learning rate that suits, by a short test
    FindRate(find_rate::Arguments),
    /// Fit a network to a dataset
    Train(train::Arguments),
    /// Tell where the time of a training went
    Profile(profile::Arguments),
    /// Measure how good a run or model is
    Evaluate(evaluate::Arguments),
    /// Write a run's or model's ONNX file
    Export(export::Arguments),
    /// Ask a model about images
    Predict(predict::Arguments),
    /// Measure how fast a model is, on every runtime
    Bench(bench::Arguments),
    /// Keep model versions and their aliases
    Models(models::Arguments),
    /// Look into files of weights
    Weights(weights::Arguments),
    /// Look at what was trained
    Runs(runs::Arguments),
    /// Look at long work, and do it
    Job(job::Arguments),
    /// Answer over HTTP, and show the pages
    Serve(serve::Arguments),
}

/// Does what was asked for.
pub(crate) fn run(command: Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Demo(arguments) => demo::run(arguments, context),
        Command::Data(arguments) => data::run(arguments, context),
        Command::Config(arguments) => config::run(arguments, context),
        Command::Summary(arguments) => summary::run(arguments, context),
        Command::FindRate(arguments) => find_rate::run(arguments, context),
        Command::Train(arguments) => train::run(arguments, context),
        Command::Profile(arguments) => profile::run(arguments, context),
        Command::Evaluate(arguments) => evaluate::run(arguments, context),
        Command::Export(arguments) => export::run(arguments, context),
        Command::Predict(arguments) => predict::run(arguments, context),
        Command::Bench(arguments) => bench::run(arguments, context),
        Command::Models(arguments) => models::run(arguments, context),
        Command::Weights(arguments) => weights::run(arguments, context),
        Command::Runs(arguments) => runs::run(arguments, context),
        Command::Job(arguments) => job::run(arguments, context),
        Command::Serve(arguments) => serve::run(arguments, context),
    }
}
