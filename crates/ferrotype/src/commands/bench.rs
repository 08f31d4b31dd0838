//! `ferrotype bench`: how fast a model is, on every runtime, in the scenarios of MLPerf Inference.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use ferrotype_core::manifest::{Preprocessing, ResizeFilter, ResizeMode};
use ferrotype_inference::RuntimeChoice;
use ferrotype_vision::transform::Transform;

use super::{model_import, predict};
use crate::benchmark::{self, Inputs, MOST_IMAGES, Probe, Scenario, Settings, Subject};
use crate::context::Context;
use crate::evaluation;
use crate::failure::Failure;
use crate::output::text;

/// Images of a query where nothing is said, of the scenarios `single-stream` and `server`.
const QUERY_BATCH: usize = 1;

/// Images of a batch where nothing is said, of the scenario `offline`.
const OFFLINE_BATCH: usize = 8;

/// The longest measurement in seconds: every query's time is kept.
const MOST_SECONDS: f64 = 600.0;

/// Queries of a stream at most.
const MOST_QUERIES: f64 = 1e7;

/// The most that `--latency-bound` may be, in milliseconds.
const MOST_LATENCY_MS: f64 = 600_000.0;

const EXAMPLES: &str = "\
Examples:
  ferrotype bench land@production               every runtime, every scenario
  ferrotype bench resnet18.onnx --layers        and where the native runtime's time goes
  ferrotype bench land --runtime native,onnxruntime --batch 1,8 --threads 1,2
  ferrotype bench land --scenario server --rate 50 --latency-bound 30

The scenarios are those of MLPerf Inference (docs/profiling.md says more). Times are of the network
alone: reading, decoding and resizing images are not in them.";

/// The arguments of `ferrotype bench`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// A model as `name@production`, a run (its best weights), or an ONNX file of any origin
    #[arg(value_name = "MODEL|RUN|FILE")]
    model: String,
    /// What runs the network, with commas between: auto, native, rten, onnxruntime; or all
    #[arg(
        long,
        value_name = "RUNTIMES",
        value_delimiter = ',',
        default_value = "all"
    )]
    runtime: Vec<Runtimes>,
    /// How images come: single-stream, offline, server, with commas between
    #[arg(
        long,
        value_enum,
        value_name = "SCENARIOS",
        value_delimiter = ',',
        default_value = "single-stream,offline,server",
        hide_possible_values = true
    )]
    scenario: Vec<Scenario>,
    /// Images of a query, with commas between [default: 1, of `offline` 8]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: Vec<u32>,
    /// Threads of a query, with commas between [default: one for each core]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Vec<u32>,
    /// The length of each measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 1.5)]
    seconds: f64,
    /// Queries a second of `server` [default: the most that meet the bound]
    #[arg(long, value_name = "QUERIES")]
    rate: Option<f64>,
    /// What 99 % of the queries of `server` may take, waiting included
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 100.0)]
    latency_bound: f64,
    /// Tell what each layer takes, as far as the native runtime runs the network
    #[arg(long)]
    layers: bool,
    /// Use the images of this folder, rather than noise
    #[arg(long, value_name = "FOLDER")]
    images: Option<PathBuf>,
    /// Side of an image in pixels, or `WIDTHxHEIGHT`, where the file does not tell
    #[arg(long, value_name = "PIXELS", value_parser = model_import::parse_size)]
    image_size: Option<(u32, u32)>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print the memory that the network takes, and nothing else
    #[arg(long, hide = true)]
    probe_memory: bool,
}

/// One runtime or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runtimes {
    All,
    One(RuntimeChoice),
}

impl FromStr for Runtimes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            one => one
                .parse()
                .map(Self::One)
                .map_err(|error| format!("{error}, or `all`")),
        }
    }
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let subject = find_subject(&arguments, context)?;
    let settings = settings(&arguments, &subject)?;
    if arguments.probe_memory {
        let (runtime, threads) = (settings.runtimes[0], settings.threads[0]);
        let batch = settings.single_stream_batches[0];
        return benchmark::print_memory(context, subject, runtime, threads, batch);
    }
    let (inputs, images) = match &arguments.images {
        None => (Inputs::random(subject.image_numbers()), "noise".to_string()),
        Some(folder) => images_of(folder, &subject, context)?,
    };
    let probe = Probe {
        project: context.project().root(),
        model: &arguments.model,
        image_size: arguments
            .image_size
            .map(|(width, height)| format!("{width}x{height}")),
    };
    let report = benchmark::measure(context, &subject, &settings, &inputs, images, &probe)?;
    if arguments.json {
        return context.printer().json(&report);
    }
    benchmark::print(context.printer(), &report);
    Ok(())
}

/// A file where the name is one of a file; else a model or run of the project.
fn find_subject(arguments: &Arguments, context: &Context) -> anyhow::Result<Subject> {
    let name = &arguments.model;
    let path = Path::new(name);
    let is_file = path.is_file()
        || path
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("onnx"));
    let (title, onnx) = if is_file {
        (name.clone(), model_import::read(path)?)
    } else {
        let store = context.existing_store()?;
        let found = evaluation::Subject::find(context, &store, name)?;
        (found.title(), found.onnx(context, &store)?)
    };
    let size = arguments.image_size;
    Subject::new(
        title,
        onnx,
        size.map(|(width, height)| [height as usize, width as usize]),
    )
}

fn settings(arguments: &Arguments, subject: &Subject) -> anyhow::Result<Settings> {
    let in_range = |option: &str, value: f64, most: f64| match value > 0.0 && value <= most {
        true => Ok(value),
        false => Err(Failure::usage(format!(
            "`{option}` is `{value}`, expected a number over 0 and at most {most}"
        ))),
    };
    let seconds = in_range("--seconds", arguments.seconds, MOST_SECONDS)?;
    let bound_ms = in_range("--latency-bound", arguments.latency_bound, MOST_LATENCY_MS)?;
    if let Some(rate) = arguments.rate {
        in_range("--rate", rate, MOST_QUERIES / seconds)?;
        if !arguments.scenario.contains(&Scenario::Server) {
            return Err(Failure::usage("`--rate` is for the scenario `server`")
                .hint("add it: `--scenario server`")
                .into());
        }
    }
    let runtimes = runtimes(&arguments.runtime);
    let is_native =
        |runtime: &RuntimeChoice| matches!(runtime, RuntimeChoice::Native | RuntimeChoice::Auto);
    if arguments.layers && !runtimes.iter().any(is_native) {
        return Err(
            Failure::usage("`--layers` are told by the native runtime only")
                .hint("add it: `--runtime native,…`")
                .into(),
        );
    }
    Ok(Settings {
        runtimes,
        threads: threads(&arguments.threads)?,
        single_stream_batches: batches(&arguments.batch, subject, QUERY_BATCH)?,
        offline_batches: batches(&arguments.batch, subject, OFFLINE_BATCH)?,
        server_batch: subject.fixed_batch.unwrap_or(QUERY_BATCH),
        scenarios: without_repeats(arguments.scenario.iter().copied()),
        duration: Duration::from_secs_f64(seconds),
        rate_per_second: arguments.rate,
        latency_bound: Duration::from_secs_f64(bound_ms / 1e3),
        has_layers: arguments.layers,
    })
}

fn runtimes(asked: &[Runtimes]) -> Vec<RuntimeChoice> {
    let choices = asked.iter().flat_map(|one| match one {
        Runtimes::One(choice) => vec![*choice],
        Runtimes::All => RuntimeChoice::ALL
            .into_iter()
            .filter(|choice| *choice != RuntimeChoice::Auto)
            .collect(),
    });
    without_repeats(choices)
}

/// Threads for each core at most: more only wait for each other.
const MOST_THREADS_A_CORE: usize = 4;

fn threads(asked: &[u32]) -> Result<Vec<NonZeroUsize>, Failure> {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let asked = asked.iter().filter_map(|n| NonZeroUsize::new(*n as usize));
    let threads = without_repeats(asked);
    let most = cores.get() * MOST_THREADS_A_CORE;
    if let Some(many) = threads.iter().find(|threads| threads.get() > most) {
        return Err(Failure::usage(format!(
            "`--threads {many}` is too many for {cores} cores, expected at most {most}"
        )));
    }
    Ok(match threads.is_empty() {
        true => vec![cores],
        false => threads,
    })
}

/// The batch sizes that were asked for, or the one that the network takes.
fn batches(asked: &[u32], subject: &Subject, default: usize) -> Result<Vec<usize>, Failure> {
    let batches = without_repeats(asked.iter().map(|batch| *batch as usize));
    match (subject.fixed_batch, batches.is_empty()) {
        (Some(fixed), _) if batches.iter().any(|batch| *batch != fixed) => Err(Failure::usage(
            format!("{} takes batches of {fixed} only", subject.title),
        )
        .hint(format!("pass `--batch {fixed}`, or leave it away"))),
        (Some(fixed), _) => Ok(vec![fixed]),
        (None, true) => Ok(vec![default]),
        (None, false) => Ok(batches),
    }
}

fn without_repeats<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

/// The first images of a folder as the network reads them, and what they are. One that cannot be used
/// is told and left out.
fn images_of(
    folder: &Path,
    subject: &Subject,
    context: &Context,
) -> anyhow::Result<(Inputs, String)> {
    let transform = Transform::new(&preprocessing(subject)?)
        .map_err(|error| Failure::new(format!("the manifest is wrong: {error}")))?;
    let files = predict::find_files(&[folder.display().to_string()])?;
    let mut images = Vec::new();
    for path in &files {
        if images.len() == MOST_IMAGES {
            break;
        }
        match predict::read_image(&transform, path) {
            Ok(image) => images.push(transform.apply(&image)),
            Err((_, reason)) => context
                .printer()
                .warning(format_args!("`{}`: {reason}", path.display())),
        }
    }
    let told = text::plural(images.len() as u64, "image");
    let told = format!("{told} of `{}`", folder.display());
    match Inputs::of(images) {
        Some(inputs) => Ok((inputs, told)),
        None => Err(Failure::new(format!("no image in `{}` can be used", folder.display())).into()),
    }
}

/// The manifest's way from an image to the network's input, or ImageNet's.
fn preprocessing(subject: &Subject) -> Result<Preprocessing, Failure> {
    let [channels, height, width] = subject.image_shape;
    if let Some(manifest) = &subject.manifest {
        return Ok(manifest.preprocessing.clone());
    }
    let (3, Ok(width), Ok(height)) = (channels, u32::try_from(width), u32::try_from(height)) else {
        return Err(Failure::usage(format!(
            "the network takes images of {channels} channels, those of `--images` have 3"
        ))
        .hint("leave `--images` away: noise takes as long"));
    };
    Ok(Preprocessing {
        width,
        height,
        resize: ResizeMode::Stretch,
        filter: ResizeFilter::Bilinear,
        mean: model_import::IMAGENET_MEAN,
        std: model_import::IMAGENET_STD,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_are_named_or_all_and_each_comes_once() {
        let asked: Vec<Runtimes> = ["rten", "all", "auto", "rten"]
            .iter()
            .map(|name| name.parse().unwrap())
            .collect();
        use RuntimeChoice::{Auto, Native, OnnxRuntime, Rten};
        assert_eq!(runtimes(&asked), [Rten, Native, OnnxRuntime, Auto]);
        let error = "tensorrt".parse::<Runtimes>().unwrap_err();
        assert!(error.ends_with("or `all`"), "{error}");
    }

    #[test]
    fn threads_are_all_cores_where_nothing_is_said() {
        let two = NonZeroUsize::new(2).unwrap();
        assert_eq!(threads(&[2, 2]).unwrap(), [two]);
        assert_eq!(threads(&[]).unwrap().len(), 1);
        assert!(threads(&[1_000_000]).is_err());
    }
}
