//! Changes with fixed parameters, and doing several in as few passes as possible.

use ferrotype_core::config::augment::{EqualizeMode, Interpolation};
use ferrotype_core::manifest::ResizeFilter;

use super::color::{Pixelwise, Pixelwises, Tables, adaptive, statistics};
use super::downscale::downscale;
use super::erase::{self, Hole, HoleFill};
use super::filter::{self, Kernel};
use super::geometry::{Displacement, Geometry, Warp};
use super::jpeg;
use super::noise::{IsoNoise, Noise};
use super::sample::{BoxRules, LabelledBox};
use crate::RgbImage;
use crate::resize::{Region, resize_region};

/// One change of an image, and of the boxes on it, with fixed parameters.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Other coordinates.
    Geometry(Geometry),
    /// A part of the image at another size, smooth where it shrinks.
    ResizedCrop {
        /// Column, row, width and height of the part.
        part: [u32; 4],
        /// Width and height of the result.
        size: [u32; 2],
    },
    /// Each pixel looks at a place of its own.
    Displacement(Displacement),
    /// Each pixel by itself.
    Pixelwise(Pixelwise),
    /// torchvision's `adjust_contrast` by a factor.
    Contrast(f32),
    /// Multiplies by a factor and adds so many times the mean of all values.
    ContrastAndMean {
        /// The factor.
        factor: f32,
        /// How many times the mean.
        means: f32,
    },
    /// Each channel's values spread evenly.
    Equalize(EqualizeMode),
    /// Albumentations' `AutoContrast`, with so many per cent cut off at each end.
    AutoContrast(f64),
    /// torchvision's `autocontrast`.
    Stretch,
    /// Contrast-limited adaptive equalisation.
    Clahe {
        /// The most that a bin may have, in means.
        clip_limit: f64,
        /// Tiles across and down.
        tiles: [u32; 2],
    },
    /// Sums of neighbours.
    Convolve(Kernel),
    /// Sums of neighbours by the same weights along both axes.
    Smooth(Vec<f32>),
    /// The median of a window of this odd side.
    Median(u32),
    /// torchvision's `adjust_sharpness` by a factor.
    Sharpness(f32),
    /// Normal noise.
    Noise(Noise),
    /// A camera's noise.
    IsoNoise(IsoNoise),
    /// What JPEG of this quality loses.
    Compress(u32),
    /// Fewer pixels, shown as many.
    Downscale {
        /// Share of the sides.
        scale: f64,
        /// How it shrinks and grows.
        interpolation: Interpolation,
    },
    /// Filled rectangles.
    Erase {
        /// The rectangles.
        holes: Vec<Hole>,
        /// What they show.
        fill: HoleFill,
    },
}

/// Does all operations, one after another in meaning.
pub fn apply_all(
    operations: &[Operation],
    image: &mut RgbImage,
    boxes: &mut Vec<LabelledBox>,
    rules: &BoxRules,
) {
    let mut pending = Pending::default();
    for operation in operations {
        let size = pending.size(image);
        move_boxes(operation, boxes, size, rules);
        pending.push(operation, image);
    }
    pending.flush(image);
}

/// Changes that wait to be done together: first the coordinates, then the colours.
#[derive(Default)]
struct Pending {
    warp: Option<Warp>,
    colors: Pixelwises,
}

impl Pending {
    /// The size that the image will have.
    fn size(&self, image: &RgbImage) -> [u32; 2] {
        self.warp
            .as_ref()
            .map_or([image.width, image.height], Warp::size)
    }

    fn flush(&mut self, image: &mut RgbImage) {
        if let Some(warp) = self.warp.take() {
            warp.apply(image);
        }
        let colors = std::mem::take(&mut self.colors);
        if !colors.is_empty() {
            colors.apply(image);
        }
    }

    fn push(&mut self, operation: &Operation, image: &mut RgbImage) {
        match operation {
            Operation::Geometry(geometry) => self.push_geometry(geometry, image),
            Operation::Pixelwise(change) => self.colors.push(change.clone()),
            _ => {
                self.flush(image);
                if let Some(tables) = tables(operation, image) {
                    self.colors.push(Pixelwise::Tables(tables));
                } else {
                    apply(operation, image);
                }
            }
        }
    }

    fn push_geometry(&mut self, geometry: &Geometry, image: &mut RgbImage) {
        if !self.colors.is_empty() {
            // Colours first: a border is filled after them, and values between pixels are of theirs.
            self.flush(image);
        }
        let both = self.warp.as_ref().map(|warp| warp.then(geometry));
        self.warp = match both {
            Some(Some(both)) => Some(both),
            Some(None) => {
                self.flush(image);
                Warp::new(geometry, [image.width, image.height])
            }
            None => Warp::new(geometry, [image.width, image.height]),
        };
    }
}

/// The tables of an operation that needs the whole image to make them.
fn tables(operation: &Operation, image: &RgbImage) -> Option<Tables> {
    Some(match *operation {
        Operation::Contrast(factor) => statistics::contrast(image, factor),
        Operation::ContrastAndMean { factor, means } => {
            Tables::linear(factor, means * statistics::mean(image) as f32)
        }
        Operation::Equalize(mode) => statistics::equalize(image, mode),
        Operation::AutoContrast(cutoff) => statistics::auto_contrast(image, cutoff),
        Operation::Stretch => statistics::stretch(image),
        _ => return None,
    })
}

/// Does an operation that changes the image as a whole.
fn apply(operation: &Operation, image: &mut RgbImage) {
    match operation {
        &Operation::ResizedCrop { part, size } => {
            // Cut out first: the kernel is not to see what lies around.
            let cut = cut_out(image, part);
            let cut = cut.as_ref().unwrap_or(&*image);
            *image = resize_region(
                cut,
                Region::whole(cut),
                size[0],
                size[1],
                ResizeFilter::Bilinear,
            );
        }
        Operation::Displacement(displacement) => displacement.apply(image),
        &Operation::Clahe { clip_limit, tiles } => adaptive::clahe(image, clip_limit, tiles),
        Operation::Convolve(kernel) => filter::convolve(image, kernel),
        Operation::Smooth(weights) => filter::smooth(image, weights),
        &Operation::Median(side) => filter::median(image, side as usize | 1),
        &Operation::Sharpness(factor) => filter::sharpness(image, factor),
        Operation::Noise(noise) => noise.apply(image),
        Operation::IsoNoise(noise) => noise.apply(image),
        &Operation::Compress(quality) => jpeg::compress(image, quality),
        &Operation::Downscale {
            scale,
            interpolation,
        } => downscale(image, scale, interpolation),
        Operation::Erase { holes, fill } => erase::erase(image, holes, *fill),
        // The others wait as coordinates, colours or tables.
        _ => {}
    }
}

/// A copy of a part `[column, row, width, height]`; none of the whole image.
fn cut_out(image: &RgbImage, [left, top, width, height]: [u32; 4]) -> Option<RgbImage> {
    if [left, top, width, height] == [0, 0, image.width, image.height] {
        return None;
    }
    let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
    let rows = image.pixels.chunks_exact(image.row_bytes());
    for row in rows.skip(top as usize).take(height as usize) {
        pixels.extend_from_slice(&row[left as usize * 3..][..width as usize * 3]);
    }
    Some(RgbImage {
        width,
        height,
        pixels,
    })
}

/// Cuts out a part `[column, row, width, height]`.
pub(super) fn crop([left, top, width, height]: [u32; 4]) -> Geometry {
    let matrix = super::geometry::Matrix::shift(-f64::from(left), -f64::from(top));
    Geometry::rigid(matrix, width, height)
}

/// Moves the boxes as the operation moves pixels, and drops those of which too little is left.
fn move_boxes(
    operation: &Operation,
    boxes: &mut Vec<LabelledBox>,
    [width, height]: [u32; 2],
    rules: &BoxRules,
) {
    if boxes.is_empty() {
        return;
    }
    match operation {
        Operation::Geometry(geometry) => {
            geometry.boxes(boxes, [width, height]);
            rules.keep(boxes, geometry.width, geometry.height);
        }
        Operation::ResizedCrop { part, size } => {
            let scale = |axis: usize| f64::from(size[axis]) / f64::from(part[axis + 2].max(1));
            let matrix = crop(*part)
                .matrix
                .then(&super::geometry::Matrix::scale(scale(0), scale(1)));
            for own in boxes.iter_mut() {
                *own = own.transformed(&matrix);
            }
            rules.keep(boxes, size[0], size[1]);
        }
        Operation::Displacement(displacement) => {
            displacement.boxes(boxes, width);
            rules.keep(boxes, width, height);
        }
        Operation::Erase { holes, .. } => {
            erase::boxes(boxes, holes, rules);
            rules.keep(boxes, width, height);
        }
        _ => {}
    }
}
