//! `ferrotype predict`: what a model says about files, folders and patterns.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use ferrotype_core::name::Reference;
use ferrotype_core::report::BulkReport;
use ferrotype_core::thresholds::{Thresholds, common_threshold};
use ferrotype_inference::{Model, RuntimeChoice};
use ferrotype_vision::RgbImage;
use ferrotype_vision::decode::DecodeLimits;
use ferrotype_vision::transform::Transform;
use rayon::prelude::*;
use serde::Serialize;

use crate::context::Context;
use crate::evaluation::label_thresholds;
use crate::failure::Failure;
use crate::output::{Printer, Table, text};

/// Images that are decoded together before the network runs on them.
const BATCH: usize = 32;

/// Files above this are not read.
const MOST_BYTES: u64 = 256 << 20;

/// Endings of the files that are taken out of a folder.
const IMAGE_ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// The arguments of `ferrotype predict`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Image files, folders of them (with all below), or patterns such as `'tiles/*.png'`
    #[arg(required = true, value_name = "FILE|FOLDER|PATTERN")]
    inputs: Vec<String>,
    /// The model: `name@production`, `name@v3`, or `name` for its newest version
    #[arg(short, long)]
    model: Reference,
    /// How many classes to tell for each image [default: 3, with `--json` all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// Of labels: the probability above which one counts, or one for each label with commas between [default: the model's]
    #[arg(long, value_name = "PROBABILITY")]
    threshold: Option<Thresholds>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// What runs the network: auto, native, rten or onnxruntime
    #[arg(long, default_value_t = RuntimeChoice::Auto)]
    runtime: RuntimeChoice,
}

/// Classes that are told of an image where nobody says how many.
const USUALLY_TOLD: usize = 3;

/// What is asked about every file.
struct Asked {
    /// How many classes; none for all.
    top: Option<usize>,
    /// For each class of the model, the probability above which it counts as a label.
    thresholds: Vec<f32>,
}

/// What the model says about one file: the fields that `POST /predict` answers with, and `top`.
#[derive(Debug, Serialize)]
struct FilePrediction {
    file: String,
    /// The most probable class.
    class: String,
    /// Its probability.
    confidence: f32,
    /// Where the model answers with any number of labels: those above its threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    /// Of such a model: the probability above which a label counts, unless each has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f32>,
    /// All classes, or as many as were asked for, most probable first.
    probabilities: Vec<Guess>,
    /// The first of them.
    top: Vec<Guess>,
}

/// A class and its probability.
#[derive(Debug, Clone, Serialize)]
struct Guess {
    class: String,
    probability: f32,
    /// Of a label with a threshold of its own: the probability above which it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f32>,
}

/// Everything `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    model: String,
    runtime: &'a str,
    predictions: &'a [FilePrediction],
    skipped: &'a [ferrotype_core::report::Skipped],
}

/// Does it. A file that cannot be used is told and the rest is done; the exit code is then 1.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let printer = context.printer();
    let files = find_files(&arguments.inputs)?;
    let store = context.existing_store()?;
    let version = context.wait(store.model_version(&arguments.model))?;
    let model = Model::load(&store.blobs().get(&version.onnx)?, arguments.runtime, 0)?;
    let asked = Asked {
        top: arguments.top.map(|top| top as usize),
        thresholds: label_thresholds(&model, arguments.threshold.as_ref())?,
    };
    let (predictions, report) = predict(&model, &files, &asked, printer)?;
    if arguments.json {
        printer.json(&Printed {
            model: version.reference().to_string(),
            runtime: model.runtime_name(),
            predictions: &predictions,
            skipped: &report.skipped,
        })?;
    } else if !predictions.is_empty() {
        printer.table(&table(&predictions));
    }
    for skipped in &report.skipped {
        printer.warning(format_args!("`{}`: {}", skipped.item, skipped.reason));
    }
    if report.skipped.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} of {} could not be used",
        report.skipped.len(),
        text::plural(files.len() as u64, "file")
    ))
    .into())
}

/// Runs the model on all files, batch by batch.
fn predict(
    model: &Model,
    files: &[PathBuf],
    asked: &Asked,
    printer: &Printer,
) -> anyhow::Result<(Vec<FilePrediction>, BulkReport)> {
    let mut predictions = Vec::with_capacity(files.len());
    let mut report = BulkReport::default();
    let mut progress = printer.progress("Predicting", files.len() as u64);
    for (batch, paths) in files.chunks(BATCH).enumerate() {
        let read: Vec<_> = paths
            .par_iter()
            .map(|path| read_image(model.transform(), path))
            .collect();
        let mut images = Vec::new();
        let mut names = Vec::new();
        for (path, image) in paths.iter().zip(read) {
            let name = path.display().to_string();
            match image {
                Ok(image) => {
                    images.push(image);
                    names.push(name);
                }
                Err((kind, reason)) => report.skip(name, kind, reason),
            }
        }
        for (file, prediction) in names.into_iter().zip(model.predict_batch(&images)?) {
            predictions.extend(describe(model, file, &prediction.probabilities, asked));
            report.done += 1;
        }
        progress.set((batch * BATCH + paths.len()) as u64, files.len() as u64, "");
    }
    Ok((predictions, report))
}

/// The most probable classes of one file, and its labels.
fn describe(
    model: &Model,
    file: String,
    probabilities: &[f32],
    asked: &Asked,
) -> Option<FilePrediction> {
    let is_multi_label = model.manifest().task.is_multi_label();
    let common = common_threshold(&asked.thresholds);
    // Named one by one only where they differ.
    let has_own = is_multi_label && common.is_none();
    let guesses: Vec<Guess> = model
        .top(probabilities, asked.top.unwrap_or(usize::MAX))
        .into_iter()
        .map(|guess| Guess {
            class: guess.class.to_string(),
            probability: guess.probability,
            threshold: asked
                .thresholds
                .get(guess.index)
                .copied()
                .filter(|_| has_own),
        })
        .collect();
    let first = guesses.first()?;
    let told = asked.top.unwrap_or(USUALLY_TOLD);
    Some(FilePrediction {
        file,
        class: first.class.clone(),
        confidence: first.probability,
        labels: model
            .labels(probabilities, &asked.thresholds)
            .map(|labels| {
                let names = labels.into_iter().map(|label| label.class.to_string());
                names.collect()
            }),
        threshold: common.filter(|_| is_multi_label),
        top: guesses.iter().take(told).cloned().collect(),
        probabilities: guesses,
    })
}

/// Reads and decodes a file for a model's transform, or says why not: a kind and a sentence.
pub(super) fn read_image(transform: &Transform, path: &Path) -> Result<RgbImage, (String, String)> {
    let unreadable = |error: std::io::Error| ("unreadable".to_string(), error.to_string());
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MOST_BYTES {
        let reason = format!(
            "it has {}, the limit is {}",
            text::bytes(size),
            text::bytes(MOST_BYTES)
        );
        return Err(("too_large".into(), reason));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    transform
        .decode(&bytes, &DecodeLimits::default())
        .map(|decoded| decoded.image)
        .map_err(|error| (error.kind.as_str().to_string(), error.to_string()))
}

fn table(predictions: &[FilePrediction]) -> Table {
    if predictions
        .iter()
        .any(|prediction| prediction.labels.is_some())
    {
        return label_table(predictions);
    }
    let mut table = Table::new(["file", "class", ">confidence", "then"]);
    for prediction in predictions {
        let then: Vec<String> = prediction
            .top
            .iter()
            .skip(1)
            .map(|guess| {
                format!(
                    "{} {}",
                    guess.class,
                    text::percent(f64::from(guess.probability))
                )
            })
            .collect();
        table.row([
            prediction.file.clone(),
            prediction.class.clone(),
            text::percent(f64::from(prediction.confidence)),
            then.join(", "),
        ]);
    }
    table
}

/// The labels of each file, and the most probable ones whether they count or not.
fn label_table(predictions: &[FilePrediction]) -> Table {
    let mut table = Table::new(["file", "labels", "most probable"]);
    for prediction in predictions {
        let labels = prediction.labels.as_deref().unwrap_or_default();
        let guess = |guess: &Guess| {
            let probability = text::percent(f64::from(guess.probability));
            format!("{} {probability}", guess.class)
        };
        let top: Vec<String> = prediction.top.iter().map(guess).collect();
        table.row([
            prediction.file.clone(),
            if labels.is_empty() {
                "none".to_string()
            } else {
                labels.join(", ")
            },
            top.join(", "),
        ]);
    }
    table
}

/// All files that the inputs mean, each once, in order.
pub(super) fn find_files(inputs: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut seen = HashSet::new();
    for input in inputs {
        let path = Path::new(input);
        let found = if path.is_dir() {
            images_below(path)?
        } else if path.exists() || !is_pattern(input) {
            vec![path.to_path_buf()]
        } else {
            images_matching(input)?
        };
        if found.is_empty() {
            return Err(Failure::new(format!("there are no images in `{input}`"))
                .hint(format!("images end in {}", IMAGE_ENDINGS.join(", ")))
                .into());
        }
        files.extend(found.into_iter().filter(|file| seen.insert(file.clone())));
    }
    if let [only] = &files[..]
        && !only.exists()
    {
        return Err(Failure::new(format!("there is no file `{}`", only.display())).into());
    }
    Ok(files)
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn images_matching(pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    let paths = glob::glob(pattern)
        .map_err(|error| Failure::usage(format!("`{pattern}` is no pattern: {error}")))?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.with_context(|| format!("cannot follow `{pattern}`"))?;
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// Image files in a folder and all folders below it, sorted by path.
fn images_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder `{}`", folder.display()))?;
    for entry in entries {
        let entry =
            entry.with_context(|| format!("cannot read the folder `{}`", folder.display()))?;
        let path = entry.path();
        // The kind of the entry itself: a link to a folder above would never end.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files.extend(images_below(&path)?);
        } else if has_image_ending(&path) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn has_image_ending(path: &Path) -> bool {
    path.extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| IMAGE_ENDINGS.contains(&ending.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_means_the_images_below_it_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b/2.PNG", "a.jpg", "b/1.webp", "notes.txt"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let names = |input: &str| -> Vec<String> {
            let input = folder.path().join(input).display().to_string();
            let files = find_files(&[input]).unwrap();
            let relative = files
                .iter()
                .map(|file| file.strip_prefix(folder.path()).unwrap());
            relative.map(|file| file.display().to_string()).collect()
        };
        assert_eq!(names(""), ["a.jpg", "b/1.webp", "b/2.PNG"]);
        assert_eq!(names("b/*"), ["b/1.webp", "b/2.PNG"]);
        assert_eq!(names("notes.txt"), ["notes.txt"]);
    }

    #[test]
    fn an_input_without_images_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().display().to_string();
        assert!(find_files(std::slice::from_ref(&input)).is_err());
        assert!(find_files(&[format!("{input}/*.png")]).is_err());
        let error = find_files(&[format!("{input}/gone.png")]).unwrap_err();
        assert!(error.to_string().starts_with("there is no file"));
    }
}
