//! `ferrotype data preview`

use std::path::{Path, PathBuf};

use clap::Args;
use ferrotype_core::dataset::Split;
use ferrotype_core::manifest::Preprocessing;
use ferrotype_core::name::Reference;
use ferrotype_data::StoreSource;
use ferrotype_store::{check_target, write_file_atomically};
use ferrotype_vision::augment::Augment;
use ferrotype_vision::encode::FileFormat;
use ferrotype_vision::loader::SampleSource as _;
use ferrotype_vision::transform::Transform;

use crate::config_files;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::text;
use crate::training::preprocessing;
use crate::training::preview::{SheetRequest, sheet};

const EXAMPLES: &str = "\
Examples:
  ferrotype data preview land                       images as the network gets them
  ferrotype data preview land --augment             and what the random changes make of each
  ferrotype data preview land --augment data/augment=strong
  ferrotype data preview land --augment '+data.augment.rotate={limit:15,p:1}'";

/// The arguments of `ferrotype data preview`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The dataset: `land` for its newest version, or `land@v2`
    dataset: Reference,
    /// Settings, as for `train`
    overrides: Vec<String>,
    /// Show what the random changes of training make of each image
    #[arg(long)]
    augment: bool,
    /// Images of this split: train, val or test
    #[arg(long, default_value_t = Split::Train)]
    split: Split,
    /// How many images
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=500))]
    count: u32,
    /// Chooses the images and draws the changes [default: `train.seed`]
    #[arg(long)]
    seed: Option<u64>,
    /// The picture to write, by its ending: .png, .jpg or .webp
    #[arg(long, value_name = "FILE", default_value = "preview.png")]
    output: PathBuf,
}

/// Does it.
pub(crate) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    check_target(&arguments.output)?;
    let format = format_of(&arguments.output)?;
    let store = context.existing_store()?;
    let version = context.wait(store.dataset_version(&arguments.dataset))?;
    let config = config_files::compose(context, &arguments.overrides)?.config;
    let augment = config.data.training_augment().filter(|_| arguments.augment);
    if arguments.augment && augment.is_none() {
        return Err(Failure::new("the configuration has no random changes")
            .hint("choose some with `data/augment=light`")
            .into());
    }
    let augment = augment.map(Augment::new).transpose()?;
    // The size at which training changes its images.
    let side = config.data.training_side();
    let transform = Transform::new(&Preprocessing {
        width: side,
        height: side,
        ..preprocessing(&config.data)
    })?;
    let source = StoreSource::open(&store, &version, arguments.split)?;
    if source.is_empty() {
        return Err(Failure::new(format!(
            "`{}` has no images in `{}`",
            version.reference(),
            arguments.split
        ))
        .hint(format!(
            "`ferrotype data show {}` counts its splits",
            version.reference()
        ))
        .into());
    }
    let request = SheetRequest {
        classes: &version.classes,
        transform: &transform,
        augment: augment.as_ref(),
        count: arguments.count as usize,
        seed: arguments.seed.unwrap_or(config.train.seed),
    };
    let file = format.encode(&sheet(&source, &request)?)?;
    write_file_atomically(&arguments.output, &file)?;
    context.printer().step(
        "Wrote",
        format!(
            "{} ({} of {}, {})",
            arguments.output.display(),
            text::plural((arguments.count as usize).min(source.len()) as u64, "image"),
            version.reference(),
            text::bytes(file.len() as u64)
        ),
    );
    Ok(())
}

/// The format that the ending of a path names.
fn format_of(path: &Path) -> anyhow::Result<FileFormat> {
    FileFormat::of_path(path).ok_or_else(|| {
        let endings = FileFormat::ENDINGS.map(|ending| format!("`.{ending}`"));
        Failure::usage(format!(
            "`{}` does not say in which format to write",
            path.display()
        ))
        .hint(format!("give it one of the endings {}", endings.join(", ")))
        .into()
    })
}
