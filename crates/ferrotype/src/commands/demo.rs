//! `ferrotype demo`: the whole way in one command, from painted images to a served model.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use ferrotype_core::config::{Composed, NoSource, compose};
use ferrotype_core::dataset::Split;
use ferrotype_core::name::{Reference, Selector};
use ferrotype_data::{ImportRequest, StoreSource, SynthRequest, load_manifest, synth_folder};
use ferrotype_measure::{LinearBaseline, LinearOptions};
use ferrotype_store::{DatasetVersion, ModelVersion, RunStatus, Store, StoreErrorKind};
use ferrotype_vision::loader::SampleSource;
use ferrotype_vision::transform::Transform;
use ferrotype_web::ServeOptions;
use rayon::prelude::*;

use super::{data, serve};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Table, text};
use crate::training::{self, Plan, TrainingJob};

/// Name of the demo's dataset and model.
const NAME: &str = "demo";

/// The alias that the demo serves.
const ALIAS: &str = "production";

/// Images of each class: enough for more than nine out of ten right in under a minute.
const IMAGES_PER_CLASS: u64 = 250;

/// Side of the images and of the network's input in pixels.
const IMAGE_SIZE: u32 = 48;

/// Ports tried after the first.
const PORTS_TRIED: u16 = 100;

/// The arguments of `ferrotype demo`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// End after registering the model
    #[arg(long)]
    no_serve: bool,
    /// The port, or the first free one after it
    #[arg(short, long, default_value_t = serve::DEFAULT_PORT)]
    port: u16,
    /// Seed of the images and of the training
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let started = Instant::now();
    let store = context.store()?;
    let folder = paint(context, arguments.seed)?;
    let dataset = import(context, &store, &folder)?;
    let composed = configuration(&dataset, arguments.seed)?;
    let plan = Plan::new(context, &store, &composed)?;
    let model = match registered(context, &store, &dataset, &composed)? {
        Some(model) => {
            context.printer().step(
                "Reusing",
                format!("{}, trained on the same images before", model.reference()),
            );
            model
        }
        None => train(context, &store, &plan, &composed)?,
    };
    compare(context, &store, &plan, &model)?;
    context.printer().step(
        "Ready",
        format!("{NAME}@{ALIAS} after {}", text::duration(started.elapsed())),
    );
    if arguments.no_serve {
        let printer = context.printer();
        printer.result(format_args!(
            "\nTry next:\n\
             \x20 ferrotype serve --model {NAME}@{ALIAS}\n\
             \x20 ferrotype evaluate {NAME}@{ALIAS} --html report.html\n\
             \x20 ferrotype predict {} --model {NAME}@{ALIAS}",
            shown(&sample(&store, &dataset, &folder)?)
        ));
        return Ok(());
    }
    serve_it(context, store, &dataset, &folder, arguments.port)
}

/// Paints the images. The same seed paints the same bytes, so painting again changes nothing.
fn paint(context: &Context, seed: u64) -> anyhow::Result<PathBuf> {
    let folder = context.project().store_folder().join("demo").join("images");
    let request = SynthRequest {
        images_per_class: IMAGES_PER_CLASS,
        size: IMAGE_SIZE,
        seed,
        force: true,
        ..SynthRequest::new(&folder)
    };
    let mut progress = context.printer().progress("Painting", 1);
    let painted = synth_folder(&request, &mut |done, total| progress.set(done, total, ""))?;
    drop(progress);
    context.printer().step(
        "Painted",
        format!(
            "{} of {} pixels in {} in {}",
            text::plural(painted.images, "image"),
            IMAGE_SIZE,
            text::plural(painted.classes.len() as u64, "class"),
            shown(&folder),
        ),
    );
    Ok(folder)
}

fn import(context: &Context, store: &Store, folder: &Path) -> anyhow::Result<DatasetVersion> {
    data::import(context, store, &ImportRequest::new(folder, NAME))
}

/// The demo's own configuration; the project's files have no part in it.
fn configuration(dataset: &DatasetVersion, seed: u64) -> anyhow::Result<Composed> {
    let overrides = [
        format!("data.dataset={}", dataset.reference()),
        format!("data.image_size={IMAGE_SIZE}"),
        "data/augment=aerial".to_string(),
        "train.epochs=12".to_string(),
        "train.batch_size=32".to_string(),
        format!("train.seed={seed}"),
    ];
    Ok(compose(&NoSource, &overrides, &BTreeMap::new())?)
}

/// The model that serves already, if it was trained by this configuration on these images.
fn registered(
    context: &Context,
    store: &Store,
    dataset: &DatasetVersion,
    composed: &Composed,
) -> anyhow::Result<Option<ModelVersion>> {
    let model = match context.wait(store.model_version(&served())) {
        Ok(model) => model,
        Err(error) if error.kind() == StoreErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(run) = model.run else {
        return Ok(None);
    };
    let run = context.wait(store.run(run))?;
    let is_the_same = run.status == RunStatus::Finished
        && run.dataset_version == Some(dataset.id)
        && run.config_yaml == composed.to_yaml();
    Ok(is_the_same.then_some(model))
}

fn served() -> Reference {
    Reference {
        name: NAME.into(),
        selector: Selector::Alias(ALIAS.into()),
    }
}

fn train(
    context: &Context,
    store: &Store,
    plan: &Plan,
    composed: &Composed,
) -> anyhow::Result<ModelVersion> {
    let order = TrainingJob {
        register: Some(NAME.into()),
        alias: Some(ALIAS.into()),
        ..TrainingJob::default()
    };
    let claimed = training::begin(context, store, plan, composed, None, &order)?;
    let trained = training::work(context, store, claimed)?;
    trained.model.ok_or_else(|| {
        Failure::new("the demo was interrupted before its model was trained")
            .hint("`ferrotype demo` begins anew")
            .hint(format!(
                "`ferrotype train --resume {}` goes on with it",
                trained.run.name
            ))
            .into()
    })
}

/// Shows the network beside a linear model on the same pixels.
fn compare(
    context: &Context,
    store: &Store,
    plan: &Plan,
    model: &ModelVersion,
) -> anyhow::Result<()> {
    if plan.task.is_multi_label() {
        // A linear model of one class an image is no yardstick for several labels.
        return Ok(());
    }
    let started = Instant::now();
    let linear = linear_accuracy(store, plan)?;
    tracing::info!(
        seconds = started.elapsed().as_secs_f64(),
        "linear model fitted"
    );
    let metrics: serde_json::Value = serde_json::from_str(&model.metrics_json)?;
    let network = metrics["accuracy"].as_f64();
    let mut table = Table::new(["model", ">test accuracy"]);
    table
        .row(["linear model on the pixels", &text::percent(linear)])
        .row([
            format!("{} ({})", plan.config.model.name, model.reference()),
            network.map_or_else(|| "–".into(), text::percent),
        ]);
    context.printer().table(&table);
    Ok(())
}

/// The accuracy on the test split of a linear model fitted to the training pixels.
fn linear_accuracy(store: &Store, plan: &Plan) -> anyhow::Result<f64> {
    let manifest = load_manifest(store, &plan.dataset)?;
    let transform = Transform::new(&plan.preprocessing)?;
    let pixels = |split| -> anyhow::Result<(Vec<f32>, Vec<u32>)> {
        let source = StoreSource::from_manifest(store, &manifest, split)?;
        let images = (0..source.len())
            .into_par_iter()
            .map(|index| Ok(transform.apply(&source.load(index)?)))
            .collect::<anyhow::Result<Vec<Vec<f32>>>>()?;
        let labels = (0..source.len()).map(|index| source.label(index)).collect();
        Ok((images.concat(), labels))
    };
    let (features, labels) = pixels(Split::Train)?;
    let classes = plan.dataset.classes.len();
    let options = LinearOptions {
        threads: rayon::current_num_threads(),
        ..LinearOptions::default()
    };
    let linear = LinearBaseline::fit(&features, transform.input_len(), &labels, classes, &options)?;
    let (features, labels) = pixels(Split::Test)?;
    Ok(linear.accuracy(&features, &labels)?)
}

/// Serves the model and says what to try.
fn serve_it(
    context: &Context,
    store: Store,
    dataset: &DatasetVersion,
    folder: &Path,
    port: u16,
) -> anyhow::Result<()> {
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let listener = serve::listen_from(context.printer(), host, port, PORTS_TRIED)?;
    let address = listener.local_addr()?;
    let sample = sample(&store, dataset, folder)?;
    let hints = format!(
        "\nTry next:\n\
         \x20 the page    http://{address}/\n\
         \x20 the runs    http://{address}/ui\n\
         \x20 a request   curl -F file=@{} http://{address}/predict\n\
         \x20 your own    ferrotype train --data FOLDER --register NAME\n\
         Ctrl-C stops the server.",
        shown(&sample)
    );
    let printer = context.printer().clone();
    let mut options = ServeOptions::new(listener, store, context.clock());
    let say_ready = serve::say_ready(&printer, address, Some(&served()));
    options.model = Some(served());
    options.on_ready = Some(Box::new(move |ready| {
        say_ready(ready);
        printer.result(hints);
    }));
    serve::serve(context, options)
}

/// An image that the network has not learnt from.
fn sample(store: &Store, dataset: &DatasetVersion, folder: &Path) -> anyhow::Result<PathBuf> {
    let manifest = load_manifest(store, dataset)?;
    let entry = manifest.entries_in(Split::Test).next();
    Ok(entry.map_or_else(|| folder.to_path_buf(), |entry| folder.join(&entry.path)))
}

/// A path as it can be typed here: below the current folder without that folder.
fn shown(path: &Path) -> String {
    let current = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&current)
        .unwrap_or(path)
        .display()
        .to_string()
}
