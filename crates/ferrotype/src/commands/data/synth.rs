//! `ferrotype data synth`

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use ferrotype_data::{SynthFormat, SynthRequest, synth_folder};
use ferrotype_vision::synth::Drift;

use crate::context::Context;
use crate::output::text;

/// The arguments of `ferrotype data synth`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Arguments {
    /// The folder to write, one folder a class inside; with `--labels` images and a `labels.csv`
    path: PathBuf,

    /// Images of each class
    #[arg(
        long,
        default_value_t = 250,
        value_name = "COUNT",
        conflicts_with = "labels"
    )]
    images_per_class: u64,

    /// Paint images that show none to four of the classes, and a `labels.csv` that tells which
    #[arg(long, conflicts_with = "unseen_share")]
    labels: bool,

    /// Images in all, with `--labels`
    #[arg(
        long,
        default_value_t = 1000,
        value_name = "COUNT",
        requires = "labels"
    )]
    images: u64,

    /// Width and height in pixels
    #[arg(long, default_value_t = 48, value_name = "PIXELS")]
    size: u32,

    /// The same seed gives the same bytes
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// File format of the images
    #[arg(long, value_enum, default_value_t = Format::Png)]
    format: Format,

    /// Multiply all values by this; below 1 is darker
    #[arg(
        long,
        default_value_t = 1.0,
        value_name = "FACTOR",
        help_heading = "Drift"
    )]
    brightness: f64,

    /// Blur by a Gaussian of this standard deviation, in pixels of a 64-pixel tile
    #[arg(
        long,
        default_value_t = 0.0,
        value_name = "SIGMA",
        help_heading = "Drift"
    )]
    blur: f64,

    /// Add Gaussian noise of this standard deviation, in steps of 0 to 255
    #[arg(
        long,
        default_value_t = 0.0,
        value_name = "SIGMA",
        help_heading = "Drift"
    )]
    noise: f64,

    /// Share of all images that show a seventh class, in a folder of its own
    #[arg(
        long,
        default_value_t = 0.0,
        value_name = "SHARE",
        help_heading = "Drift"
    )]
    unseen_share: f64,

    /// Write into a folder that holds something already
    #[arg(long)]
    force: bool,
}

/// The file format of the images.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Lossless
    Png,
    /// Quality 90
    Jpeg,
}

impl Arguments {
    fn request(&self) -> SynthRequest {
        SynthRequest {
            path: self.path.clone(),
            images_per_class: self.images_per_class,
            labelled_images: self.labels.then_some(self.images),
            size: self.size,
            seed: self.seed,
            drift: Drift {
                brightness: self.brightness,
                blur: self.blur,
                noise: self.noise,
                ..Drift::default()
            },
            unseen_share: self.unseen_share,
            format: match self.format {
                Format::Png => SynthFormat::Png,
                Format::Jpeg => SynthFormat::Jpeg,
            },
            force: self.force,
        }
    }
}

/// Does it.
pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let printer = context.printer();
    let start = Instant::now();
    let outcome = {
        let mut bar = printer.progress("Painting", 0);
        synth_folder(&arguments.request(), &mut |done, total| {
            bar.set(done, total, "")
        })?
    };
    printer.step(
        "Painted",
        format_args!(
            "{} of {} ({}) into `{}` in {}",
            text::plural(outcome.images, "image"),
            text::plural(
                outcome.classes.len() as u64,
                if arguments.labels { "label" } else { "class" }
            ),
            text::bytes(outcome.bytes),
            arguments.path.display(),
            text::duration(start.elapsed())
        ),
    );
    Ok(())
}
