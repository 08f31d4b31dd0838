//! `ferrotype summary`: what a network is and costs, layer by layer.

use clap::Args;
use ferrotype_core::config::Config;
use ferrotype_core::graph::{self, Graph, LayerSummary};
use ferrotype_core::name::Reference;
use ferrotype_engine::train::MemoryDemand;
use serde::Serialize;

use crate::config_files;
use crate::context::Context;
use crate::output::{Table, text};
use crate::training;

/// Classes where neither a dataset nor a number is named: ImageNet's, as in published figures.
const DEFAULT_CLASSES: usize = 1000;

const EXAMPLES: &str = "\
Examples:
  ferrotype summary model=vgg16 data.image_size=224    a network as it is published
  ferrotype summary model=resnet18 data.dataset=land   for the classes of a dataset
  ferrotype summary model=resnet18 train.batch_size=8  what a smaller batch takes

Operations are of one image; a multiply-add counts as two.";

/// The arguments of `ferrotype summary`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Settings, as for `train`: `model=vgg16`, `data.image_size=224`, `train.batch_size=16`
    overrides: Vec<String>,
    /// Classes of the network [default: those of `data.dataset`, else 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    classes: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A network as it is printed in JSON.
#[derive(Serialize)]
struct Described {
    #[serde(flatten)]
    network: graph::Summary,
    classes: usize,
    batch_size: usize,
    memory: Memory,
}

/// Bytes for a batch.
#[derive(Serialize)]
struct Memory {
    training: MemoryDemand,
    training_total: u64,
    inference: MemoryDemand,
    inference_total: u64,
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let config = config_files::compose(context, &arguments.overrides)?.config;
    let classes = match arguments.classes {
        Some(classes) => classes as usize,
        None => dataset_classes(context, &config)?.unwrap_or(DEFAULT_CLASSES),
    };
    let (graph, _) = training::graph(&config, classes)?;
    let described = Described {
        network: graph::summary(&graph)?,
        classes,
        batch_size: config.train.batch_size,
        memory: memory(&graph, &config)?,
    };
    if arguments.json {
        return context.printer().json(&described);
    }
    let printer = context.printer();
    printer.table(&layer_table(&described.network.layers));
    printer.result("");
    printer.table(&total_table(&described));
    printer.result("");
    printer.table(&memory_table(&described));
    Ok(())
}

/// The number of classes of the dataset that the configuration names, if it names one.
fn dataset_classes(context: &Context, config: &Config) -> anyhow::Result<Option<usize>> {
    let Some(name) = &config.data.dataset else {
        return Ok(None);
    };
    let reference: Reference = name.parse()?;
    let store = context.existing_store()?;
    let version = context.wait(store.dataset_version(&reference))?;
    Ok(Some(version.classes.len()))
}

fn memory(graph: &Graph, config: &Config) -> anyhow::Result<Memory> {
    let training = MemoryDemand::of_training(graph, &config.train, training::BATCHES_AHEAD)?;
    let inference = MemoryDemand::of_inference(graph, config.train.batch_size)?;
    Ok(Memory {
        training_total: training.total(),
        training,
        inference_total: inference.total(),
        inference,
    })
}

fn layer_table(layers: &[LayerSummary]) -> Table {
    let mut table = Table::new([
        "layer",
        "type",
        "output",
        ">parameters",
        ">FLOPs",
        ">FLOPs in training",
    ]);
    for layer in layers {
        table.row([
            layer.name.clone(),
            layer.op.to_string(),
            shape(&layer.output_shape),
            text::count(layer.parameters),
            text::large(layer.flops),
            text::large(layer.training_flops),
        ]);
    }
    table
}

fn total_table(described: &Described) -> Table {
    let network = &described.network;
    let images = described.batch_size as u64;
    let mut table = Table::new(["network", &network.name]);
    table
        .row(["input", &shape(&network.input)])
        .row(["classes", &text::count(described.classes as u64)])
        .row(["layers", &text::count(network.layers.len() as u64)])
        .row(["parameters", &text::count(network.parameters)])
        .row(["running statistics", &text::count(network.buffers)])
        .row(["FLOPs, forward", &text::large(network.flops)])
        .row(["FLOPs, training", &text::large(network.training_flops)])
        .row([
            format!("FLOPs, a step of {}", text::plural(images, "image")),
            text::large(network.training_flops.saturating_mul(images)),
        ]);
    table
}

/// What takes memory, for a batch.
fn memory_table(described: &Described) -> Table {
    let memory = &described.memory;
    let mut table = Table::with_header(vec![
        format!(
            "memory for {}",
            text::plural(described.batch_size as u64, "image")
        ),
        ">training".to_string(),
        ">inference".to_string(),
    ]);
    let bytes = |bytes: u64| match bytes {
        0 => "–".to_string(),
        bytes => text::bytes(bytes),
    };
    let parts = memory.training.parts().into_iter();
    for ((what, training), (_, inference)) in parts.zip(memory.inference.parts()) {
        if training > 0 || inference > 0 {
            table.row([what.to_string(), bytes(training), bytes(inference)]);
        }
    }
    table.row([
        "together".to_string(),
        bytes(memory.training_total),
        bytes(memory.inference_total),
    ]);
    table
}

/// `64×112×112`
fn shape(sides: &[usize]) -> String {
    let sides: Vec<String> = sides.iter().map(usize::to_string).collect();
    sides.join("×")
}
