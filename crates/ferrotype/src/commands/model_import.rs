//! `ferrotype models import`: registers an ONNX file that was made elsewhere.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use ferrotype_core::manifest::{
    MANIFEST_VERSION, ModelManifest, OutputKind, Preprocessing, ResizeFilter, ResizeMode, Task,
};
use ferrotype_core::thresholds::Thresholds;
use ferrotype_inference::{Model, OnnxSummary, RuntimeChoice, embed_manifest, inspect};
use ferrotype_store::{NewModelVersion, Store, StoreErrorKind};

use super::models::announce;
use crate::context::Context;
use crate::failure::Failure;

/// The largest ONNX file that is read.
const MOST_BYTES: u64 = 2 << 30;

/// ImageNet's channel means, which most published models are trained with.
pub(super) const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];

/// ImageNet's channel standard deviations.
pub(super) const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// The arguments of `ferrotype models import`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The ONNX file: one image input `[batch, 3, height, width]`, one output `[batch, classes]`
    file: PathBuf,
    /// The model's name; its next version is made
    #[arg(long)]
    name: String,
    /// Class names in output order, with commas between, or a file with one a line
    #[arg(long, value_name = "NAMES|FILE")]
    classes: Option<String>,
    /// Side of the input in pixels, or `WIDTHxHEIGHT`
    #[arg(long, value_name = "PIXELS", value_parser = parse_size)]
    input_size: Option<(u32, u32)>,
    /// Mean of red, green and blue in 0 to 1 [default: ImageNet's]
    #[arg(long, value_name = "R,G,B", value_parser = parse_channels)]
    mean: Option<[f32; 3]>,
    /// Standard deviation of red, green and blue in 0 to 1 [default: ImageNet's]
    #[arg(long, value_name = "R,G,B", value_parser = parse_channels)]
    std: Option<[f32; 3]>,
    /// How an image is brought to the input size
    #[arg(long, value_enum, default_value_t = Resize::Stretch)]
    resize: Resize,
    /// What the output's numbers are
    #[arg(long, value_enum, default_value_t = Output::Logits)]
    output: Output,
    /// An image may have several of the classes, or none: each is answered by itself
    #[arg(long)]
    multi_label: bool,
    /// With `--multi-label`: the probability above which a class counts, or one for each with commas between [default: 0.5]
    #[arg(long, value_name = "PROBABILITY", requires = "multi_label")]
    threshold: Option<Thresholds>,
    /// Point this alias to the new version
    #[arg(long)]
    alias: Option<String>,
}

/// [`ResizeMode`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Resize {
    /// Width and height independently
    Stretch,
    /// The shorter side to the input size, then the centre
    CenterCrop,
}

/// [`OutputKind`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// Softmax makes them probabilities, with `--multi-label` the sigmoid
    Logits,
    /// They are probabilities already
    Probabilities,
}

/// Does it: inspects the file, completes its manifest, runs it once, registers it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let onnx = read(&arguments.file)?;
    let summary =
        inspect(&onnx).with_context(|| format!("cannot import `{}`", arguments.file.display()))?;
    let mut manifest = manifest(&arguments, &summary)?;
    // Loading runs the network on an image of zeros and checks what it answers.
    let model = Model::load_with_manifest(&onnx, manifest.clone(), RuntimeChoice::Auto, 0)
        .with_context(|| format!("cannot import `{}`", arguments.file.display()))?;
    let store = context.store()?;
    let claims = forget_the_unknown(context, &store, &mut manifest, &summary)?;
    let digest = store.blobs().put(&embed_manifest(&onnx, &manifest)?)?;
    let version = context.wait(store.create_model_version(NewModelVersion {
        name: arguments.name.clone(),
        onnx: digest,
        manifest,
        run: None,
        metrics_json: "{}".into(),
        source: source(&arguments.file, &claims),
    }))?;
    context.printer().step(
        "Checked",
        format!("{} on {}", arguments.file.display(), model.runtime_name()),
    );
    announce(context, &store, &version, arguments.alias.as_deref())?;
    context.printer().result(version.reference());
    Ok(())
}

/// Takes out of a file's own manifest what this project cannot answer for: a dataset version with
/// another content or none here, a run of another project, and an architecture without its layers.
/// Answers with what the file says of them.
fn forget_the_unknown(
    context: &Context,
    store: &Store,
    manifest: &mut ModelManifest,
    summary: &OnnxSummary,
) -> anyhow::Result<Vec<String>> {
    let mut claims = Vec::new();
    if let Some(named) = manifest.dataset_version.take() {
        let digest = manifest.dataset_digest.clone().unwrap_or_default();
        let versions = context.wait(store.dataset_versions())?;
        let mut same = versions
            .iter()
            .filter(|version| version.digest.to_string() == digest)
            .map(|version| version.reference().to_string());
        // Of several names for one content, the file's own.
        manifest.dataset_version = same.clone().find(|name| *name == named).or(same.next());
        if manifest.dataset_version.is_none() {
            manifest.dataset_digest = None;
            claims.push(format!("trained on {named}"));
        }
    }
    if let Some(run) = manifest.run
        && let Err(error) = context.wait(store.run(run))
    {
        if error.kind() != StoreErrorKind::NotFound {
            return Err(error.into());
        }
        manifest.run = None;
    }
    if summary.graph().is_none()
        && let Some(architecture) = manifest.architecture.take()
    {
        claims.push(format!("architecture {architecture}"));
    }
    Ok(claims)
}

/// Where the version comes from, with what its file says that nobody here can answer for.
fn source(file: &Path, claims: &[String]) -> String {
    let file = file.display();
    match claims.is_empty() {
        true => format!("import {file}"),
        false => format!("import {file}, which says: {}", claims.join(", ")),
    }
}

/// Reads an ONNX file within the limit.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let cannot_read = || format!("cannot read `{}`", path.display());
    let size = std::fs::metadata(path).with_context(cannot_read)?.len();
    if size > MOST_BYTES {
        return Err(Failure::new(format!("`{}` is larger than 2 GiB", path.display())).into());
    }
    std::fs::read(path).with_context(cannot_read)
}

/// The file's own manifest if it has one, with what the command line says in its place; else all
/// from the command line.
fn manifest(arguments: &Arguments, summary: &OnnxSummary) -> anyhow::Result<ModelManifest> {
    let mut manifest = match summary.manifest() {
        Ok(manifest) => manifest,
        Err(_) => new_manifest(arguments, summary)?,
    };
    if let Some(classes) = &arguments.classes {
        manifest.classes = read_classes(classes)?;
    }
    if let Some((width, height)) = arguments.input_size {
        manifest.preprocessing.width = width;
        manifest.preprocessing.height = height;
    }
    if let Some(mean) = arguments.mean {
        manifest.preprocessing.mean = mean;
    }
    if let Some(std) = arguments.std {
        manifest.preprocessing.std = std;
    }
    if arguments.multi_label {
        manifest.task = Task::MultiLabel;
        if let Some(given) = &arguments.threshold {
            let thresholds = given.of_labels(manifest.task, &manifest.classes);
            let thresholds =
                thresholds.map_err(|error| Failure::usage(format!("`--threshold`: {error}")))?;
            manifest.set_label_thresholds(thresholds);
        }
    }
    manifest.check().map_err(Failure::new)?;
    Ok(manifest)
}

fn new_manifest(arguments: &Arguments, summary: &OnnxSummary) -> anyhow::Result<ModelManifest> {
    let Some(classes) = &arguments.classes else {
        return Err(missing("--classes", "cat,dog", "the names of its classes").into());
    };
    let Some((width, height)) = arguments.input_size else {
        return Err(missing("--input-size", "224", "the size of its input").into());
    };
    let classes = read_classes(classes)?;
    Ok(ModelManifest {
        manifest_version: MANIFEST_VERSION,
        task: Task::Classification,
        input_name: summary.image_input()?.name.clone(),
        output_name: summary.answer_output(classes.len())?.name.clone(),
        classes,
        preprocessing: Preprocessing {
            width,
            height,
            resize: match arguments.resize {
                Resize::Stretch => ResizeMode::Stretch,
                Resize::CenterCrop => ResizeMode::CenterCrop,
            },
            filter: ResizeFilter::Bilinear,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        },
        output: match arguments.output {
            Output::Logits => OutputKind::Logits,
            Output::Probabilities => OutputKind::Probabilities,
        },
        threshold: None,
        thresholds: None,
        embedding_name: None,
        architecture: None,
        dataset_version: None,
        dataset_digest: None,
        run: None,
    })
}

fn missing(option: &str, example: &str, what: &str) -> Failure {
    Failure::usage(format!("the file does not say {what}"))
        .hint(format!("pass it: `{option} {example}`"))
}

/// A comma-separated list, or the lines of a file.
fn read_classes(text: &str) -> anyhow::Result<Vec<String>> {
    let path = Path::new(text);
    let names: Vec<String> = if path.is_file() {
        let lines = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the class names in `{text}`"))?;
        lines.lines().map(|line| line.trim().to_string()).collect()
    } else {
        text.split(',')
            .map(|name| name.trim().to_string())
            .collect()
    };
    let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err(Failure::usage(format!("`{text}` names no classes")).into());
    }
    Ok(names)
}

/// `224` or `320x240`.
pub(super) fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let number = |part: &str| {
        part.parse::<u32>()
            .ok()
            .filter(|size| *size > 0)
            .ok_or_else(|| format!("`{part}` is not a number of pixels"))
    };
    match text.split_once('x') {
        Some((width, height)) => Ok((number(width)?, number(height)?)),
        None => number(text).map(|side| (side, side)),
    }
}

/// `0.485,0.456,0.406`, or one number for all three.
fn parse_channels(text: &str) -> Result<[f32; 3], String> {
    let numbers = text
        .split(',')
        .map(|part| part.trim().parse::<f32>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| format!("`{text}` is not a list of numbers"))?;
    match numbers[..] {
        [all] => Ok([all; 3]),
        [red, green, blue] => Ok([red, green, blue]),
        _ => Err(format!(
            "`{text}` has {} numbers, expected 3",
            numbers.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_side_or_two_numbers() {
        assert_eq!(parse_size("224"), Ok((224, 224)));
        assert_eq!(parse_size("320x240"), Ok((320, 240)));
        assert!(parse_size("0").is_err());
        assert!(parse_size("wide").is_err());
    }

    #[test]
    fn channels_are_three_numbers_or_one_for_all() {
        assert_eq!(parse_channels("0.5"), Ok([0.5; 3]));
        assert_eq!(parse_channels("0.1, 0.2,0.3"), Ok([0.1, 0.2, 0.3]));
        assert!(parse_channels("0.1,0.2").is_err());
    }

    #[test]
    fn classes_come_from_a_list_or_a_file() {
        assert_eq!(read_classes("cat, dog").unwrap(), ["cat", "dog"]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "cat\ndog\n\n").unwrap();
        let names = read_classes(&file.path().display().to_string()).unwrap();
        assert_eq!(names, ["cat", "dog"]);
        assert!(read_classes(" , ").is_err());
    }
}
