//! Writes a painted example dataset: an ImageFolder, or images with a table of their labels.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ferrotype_vision::encode::{self, EncodeError};
use ferrotype_vision::synth::{self, Drift};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::{DataError, DataErrorKind};

/// Files written between two progress calls.
const BATCH_FILES: usize = 256;

/// Largest side of a painted image in pixels.
const MAX_SIZE: u32 = 1024;

/// Largest number of images of one class, and of images with labels.
const MAX_IMAGES: u64 = 1_000_000;

/// The folder of images with labels.
const LABELLED_FOLDER: &str = "images";

/// The table of their labels.
const LABELS_FILE: &str = "labels.csv";

/// The file format of painted images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SynthFormat {
    /// Lossless.
    #[default]
    Png,
    /// Baseline JPEG of quality 90.
    Jpeg,
}

impl SynthFormat {
    fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
        }
    }
}

/// What to paint, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct SynthRequest {
    /// The folder; made if there is none.
    pub path: PathBuf,
    /// Images of each class, where each shows one.
    pub images_per_class: u64,
    /// In place of those: so many images that show none to four of the classes, and a `labels.csv`
    /// that tells which.
    pub labelled_images: Option<u64>,
    /// Width and height in pixels.
    pub size: u32,
    /// Seed of everything that is random: the same request writes the same bytes.
    pub seed: u64,
    /// Brightness, blur and noise of all images. Its unseen class is set by `unseen_share`.
    pub drift: Drift,
    /// Share of all images that show the unseen class, in a folder of its own; 0 to below 1.
    pub unseen_share: f64,
    /// The file format.
    pub format: SynthFormat,
    /// Whether a folder that holds something already is written into.
    pub force: bool,
}

impl SynthRequest {
    /// 250 PNG images of each class at 48 pixels, seed 0, without drift.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            images_per_class: 250,
            labelled_images: None,
            size: 48,
            seed: 0,
            drift: Drift::default(),
            unseen_share: 0.0,
            format: SynthFormat::default(),
            force: false,
        }
    }
}

/// What was painted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SynthOutcome {
    /// Images written.
    pub images: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The class folders, or the labels.
    pub classes: Vec<String>,
}

/// One image to paint.
struct Tile {
    /// None where it shows its labels.
    class: Option<usize>,
    index: u64,
    path: PathBuf,
}

/// Paints an ImageFolder, or images with labels. Blocks, and uses all of rayon's threads;
/// `progress` is told the images done and their total.
///
/// Every file is written under another name and renamed, so that a killed process leaves whole
/// images only.
///
/// # Errors
/// When the request is out of range, the folder holds something already, or the disk refuses.
pub fn synth_folder(
    request: &SynthRequest,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<SynthOutcome, DataError> {
    check(request)?;
    prepare_folder(request)?;
    let (tiles, folders, classes) = match request.labelled_images {
        Some(count) => {
            let folders = vec![LABELLED_FOLDER.to_string()];
            let labels = synth::CLASSES.map(str::to_string).to_vec();
            (labelled_tiles(request, count), folders, labels)
        }
        None => {
            let tiles = tiles(request);
            let mut classes: Vec<usize> = tiles.iter().filter_map(|tile| tile.class).collect();
            classes.dedup();
            let folders: Vec<String> = classes.into_iter().map(class_name).collect();
            (tiles, folders.clone(), folders)
        }
    };
    for folder in &folders {
        make_folder(&request.path.join(folder))?;
    }
    let total = tiles.len() as u64;
    let mut written = 0;
    let mut bytes = 0;
    for batch in tiles.chunks(BATCH_FILES) {
        progress(written, total);
        bytes += batch
            .par_iter()
            .map(|tile| write_tile(request, tile))
            .try_reduce(|| 0, |first, second| Ok(first + second))?;
        written += batch.len() as u64;
    }
    if request.labelled_images.is_some() {
        // Last: an import never sees a table without its images.
        write_atomically(
            &request.path.join(LABELS_FILE),
            label_table(request, &tiles).as_bytes(),
        )?;
    }
    progress(written, total);
    Ok(SynthOutcome {
        images: written,
        bytes,
        classes,
    })
}

fn check(request: &SynthRequest) -> Result<(), DataError> {
    let invalid = |message: String| Err(DataError::new(DataErrorKind::InvalidRequest, message));
    let SynthRequest {
        images_per_class,
        labelled_images,
        size,
        drift,
        unseen_share,
        ..
    } = request;
    if !(1..=MAX_IMAGES).contains(images_per_class) {
        return invalid(format!(
            "images per class is `{images_per_class}`, expected 1 to {MAX_IMAGES}"
        ));
    }
    if let Some(count) = labelled_images
        && !(1..=MAX_IMAGES).contains(count)
    {
        return invalid(format!(
            "the number of images is `{count}`, expected 1 to {MAX_IMAGES}"
        ));
    }
    if labelled_images.is_some() && *unseen_share != 0.0 {
        return invalid("images with labels have no unseen class".to_string());
    }
    if !(8..=MAX_SIZE).contains(size) {
        return invalid(format!(
            "the size is `{size}`, expected 8 to {MAX_SIZE} pixels"
        ));
    }
    let knobs = [
        ("brightness", drift.brightness),
        ("blur", drift.blur),
        ("noise", drift.noise),
    ];
    for (knob, value) in knobs {
        if !(0.0..=255.0).contains(&value) {
            return invalid(format!("{knob} is `{value}`, expected 0 to 255"));
        }
    }
    if !(0.0..=0.9).contains(unseen_share) {
        return invalid(format!(
            "the unseen share is `{unseen_share}`, expected 0 to 0.9"
        ));
    }
    Ok(())
}

/// Makes the folder; refuses one that holds something, unless forced.
fn prepare_folder(request: &SynthRequest) -> Result<(), DataError> {
    let path = &request.path;
    if path.exists() && !path.is_dir() {
        return Err(DataError::new(
            DataErrorKind::NotAFolder,
            format!("`{}` is a file, not a folder", path.display()),
        )
        .with_path(path));
    }
    make_folder(path)?;
    let mut held = fs::read_dir(path).map_err(|source| DataError::io("read", path, source))?;
    if held.next().is_some() && !request.force {
        return Err(DataError::new(
            DataErrorKind::NotEmpty,
            format!("`{}` is not empty", path.display()),
        )
        .with_path(path)
        .with_hint("choose another folder, or write into this one with `--force`"));
    }
    Ok(())
}

fn make_folder(path: &Path) -> Result<(), DataError> {
    fs::create_dir_all(path).map_err(|source| DataError::io("make the folder", path, source))
}

/// The images to paint, class by class.
fn tiles(request: &SynthRequest) -> Vec<Tile> {
    let per_class = request.images_per_class;
    let seen = synth::CLASSES.len();
    let share = request.unseen_share;
    let unseen = (share / (1.0 - share) * (per_class * seen as u64) as f64).round() as u64;
    (0..seen)
        .map(|class| (class, per_class))
        .chain([(seen, unseen)])
        .flat_map(|(class, count)| (0..count).map(move |index| (class, index)))
        .map(|(class, index)| {
            let name = class_name(class);
            let file = format!("{name}_{index:05}.{}", request.format.extension());
            Tile {
                class: Some(class),
                index,
                path: request.path.join(name).join(file),
            }
        })
        .collect()
}

fn class_name(class: usize) -> String {
    let known = synth::CLASSES.get(class).copied();
    known.unwrap_or(synth::UNSEEN_CLASS).to_string()
}

/// The images with labels to paint.
fn labelled_tiles(request: &SynthRequest, count: u64) -> Vec<Tile> {
    let folder = request.path.join(LABELLED_FOLDER);
    (0..count)
        .map(|index| Tile {
            class: None,
            index,
            path: folder.join(format!("{index:05}.{}", request.format.extension())),
        })
        .collect()
}

/// The table of labels: a row for each image, a column for each label.
fn label_table(request: &SynthRequest, tiles: &[Tile]) -> String {
    let mut table = format!("file,{}\n", synth::CLASSES.join(","));
    for tile in tiles {
        let file = tile.path.file_name().unwrap_or_default();
        let labels = synth::labels_of(request.seed, tile.index);
        table.push_str(&file.to_string_lossy());
        for class in 0..synth::CLASSES.len() {
            table.push_str(if labels.contains(&class) { ",1" } else { ",0" });
        }
        table.push('\n');
    }
    table
}

/// Paints and writes one image; answers with its bytes.
fn write_tile(request: &SynthRequest, tile: &Tile) -> Result<u64, DataError> {
    let drift = Drift {
        unseen: 0.0,
        ..request.drift
    };
    let (seed, size) = (request.seed, request.size);
    let image = match tile.class {
        Some(class) => synth::paint(class, seed, tile.index, size, &drift),
        None => synth::paint_labelled(seed, tile.index, size, &drift),
    };
    let encoded = match request.format {
        SynthFormat::Png => encode::png(&image),
        SynthFormat::Jpeg => encode::jpeg(&image, 90),
    };
    let bytes = encoded.map_err(|source: EncodeError| {
        DataError::new(
            DataErrorKind::InvalidRequest,
            format!("cannot write `{}`", tile.path.display()),
        )
        .with_source(source)
    })?;
    write_atomically(&tile.path, &bytes)?;
    Ok(bytes.len() as u64)
}

/// Writes beside the final name and renames. These files can be painted again at any time, so
/// that the disk is not waited for.
fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let failed = |source| DataError::io("write", path, source);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".synth-")
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
