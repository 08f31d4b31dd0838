//! What training sees: a sheet of images of a split and what the random changes make of them.

use ferrotype_vision::RgbImage;
use ferrotype_vision::augment::{Augment, Sample};
use ferrotype_vision::contact_sheet::{Picture, SheetOptions, contact_sheet};
use ferrotype_vision::loader::SampleSource;
use ferrotype_vision::transform::Transform;
use ferrotype_vision::{encode, random};

use super::{Plan, Worker};

/// Name of the artifact that shows what a run is trained on.
pub(crate) const SHEET_ARTIFACT: &str = "augmentations.png";

const PNG: &str = "image/png";

/// Images on a run's sheet, each in a row with its changes.
const SHEET_IMAGES: usize = 6;

/// Which images a sheet shows, and how.
pub(crate) struct SheetRequest<'a> {
    /// Names of the classes.
    pub(crate) classes: &'a [String],
    /// To the size at which the changes are made.
    pub(crate) transform: &'a Transform,
    /// The random changes; none shows the images alone.
    pub(crate) augment: Option<&'a Augment>,
    /// How many images.
    pub(crate) count: usize,
    /// Chooses the images, and is the seed of the changes.
    pub(crate) seed: u64,
}

/// A sheet of images that are chosen by the seed, each at the network's input size, with the
/// changes that it gets in the first epochs.
pub(crate) fn sheet(
    source: &dyn SampleSource,
    request: &SheetRequest<'_>,
) -> anyhow::Result<RgbImage> {
    let mut chosen: Vec<usize> = (0..source.len()).collect();
    random::shuffle(
        &mut chosen,
        &mut random::stream(request.seed, "preview", &[]),
    );
    let pictures = chosen
        .into_iter()
        .take(request.count)
        .map(|index| picture(source, request, index))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let options = SheetOptions {
        // An image of another size is shown in this one.
        side: request.transform.width().clamp(96, 224),
        seed: request.seed,
        ..SheetOptions::default()
    };
    Ok(contact_sheet(&pictures, request.augment, &options))
}

fn picture(
    source: &dyn SampleSource,
    request: &SheetRequest<'_>,
    index: usize,
) -> anyhow::Result<Picture> {
    let image = request.transform.resize(&source.load(index)?);
    let label = [source.label(index)];
    let labels = source.label_set(index).unwrap_or(&label);
    let names: Vec<&str> = labels
        .iter()
        .filter_map(|label| request.classes.get(*label as usize))
        .map(String::as_str)
        .collect();
    Ok(Picture {
        sample: Sample {
            image,
            boxes: Vec::new(),
        },
        caption: names.join(", "),
        index: index as u64,
    })
}

impl Worker<'_> {
    /// Keeps a sheet of what the run trains on with it, unless it has one or changes nothing.
    /// A training does not fail for want of it.
    pub(super) fn keep_sheet(&self, plan: &Plan, source: &dyn SampleSource) {
        if let Err(error) = self.try_keep_sheet(plan, source) {
            self.log
                .line(format_args!("no sheet of the augmentations: {error:#}"));
        }
    }

    fn try_keep_sheet(&self, plan: &Plan, source: &dyn SampleSource) -> anyhow::Result<()> {
        let options = plan.loader_options()?;
        let Some(augment) = &options.augment else {
            return Ok(());
        };
        let artifacts = self.context.wait(self.store.artifacts(self.run.id))?;
        if artifacts
            .iter()
            .any(|artifact| artifact.name == SHEET_ARTIFACT)
        {
            return Ok(());
        }
        let request = SheetRequest {
            classes: &plan.dataset.classes,
            transform: options
                .source_transform
                .as_ref()
                .unwrap_or(&options.transform),
            augment: Some(augment),
            count: SHEET_IMAGES,
            seed: plan.config.train.seed,
        };
        let png = encode::png(&sheet(source, &request)?)?;
        let digest = self.store.blobs().put(&png)?;
        self.context.wait(self.store.add_artifact(
            self.run.id,
            SHEET_ARTIFACT,
            digest,
            png.len() as u64,
            PNG,
        ))?;
        Ok(())
    }
}
