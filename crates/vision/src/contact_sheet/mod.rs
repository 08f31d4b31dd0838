//! Images side by side, each with its name, its boxes and, if asked for, what random changes make
//! of it: to see what training sees.

mod font;

use ferrotype_core::manifest::ResizeFilter;

use crate::RgbImage;
use crate::augment::{Augment, LabelledBox, Sample};
use crate::random;
use crate::resize::{stretch, thumbnail};

/// An image of a sheet.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// The image and the boxes on it.
    pub sample: Sample,
    /// What is written above it, such as its class.
    pub caption: String,
    /// Its number in the data set, by which the changes are drawn.
    pub index: u64,
}

/// How a sheet looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SheetOptions {
    /// Side of the square that each image fits into, in pixels.
    pub side: u32,
    /// Images in a row; with changes the first is the original.
    pub columns: u32,
    /// Seed of the changes.
    pub seed: u64,
    /// The epoch of the first change; each further one shows the next epoch.
    pub epoch: u64,
}

impl Default for SheetOptions {
    fn default() -> Self {
        Self {
            side: 128,
            columns: 8,
            seed: 0,
            epoch: 0,
        }
    }
}

const PAPER: [u8; 3] = [250, 250, 250];
const INK: [u8; 3] = [40, 40, 40];
/// Around each image, in pixels.
const MARGIN: u32 = 6;
/// Colours of the boxes by class (Okabe & Ito's, which are told apart by the colour-blind).
const COLORS: [[u8; 3]; 8] = [
    [230, 159, 0],
    [86, 180, 233],
    [0, 158, 115],
    [240, 228, 66],
    [0, 114, 178],
    [213, 94, 0],
    [204, 121, 167],
    [0, 0, 0],
];

/// A sheet of the pictures; with an augmentation each in a row of its own, the original before what
/// the changes make of it in that many epochs: with a run's seed what the run trains on.
pub fn contact_sheet(
    pictures: &[Picture],
    augment: Option<&Augment>,
    options: &SheetOptions,
) -> RgbImage {
    let columns = options.columns.clamp(1, 64);
    let side = options.side.clamp(16, 1024);
    let tiles: Vec<(&str, Sample)> = pictures
        .iter()
        .flat_map(|picture| {
            let changed = augment.into_iter().flat_map(move |augment| {
                (1..columns).map(move |number| {
                    let epoch = options.epoch + u64::from(number) - 1;
                    ("", changed(picture, augment, options.seed, epoch))
                })
            });
            std::iter::once((picture.caption.as_str(), picture.sample.clone())).chain(changed)
        })
        .collect();
    let (cell_width, cell_height) = (side + MARGIN, side + MARGIN + font::HEIGHT + 3);
    let used = columns.min(tiles.len().max(1) as u32);
    let rows = (tiles.len() as u32).div_ceil(columns);
    let mut sheet = RgbImage::filled(
        used * cell_width + MARGIN,
        rows * cell_height + MARGIN,
        PAPER,
    );
    for (number, (caption, sample)) in (0_u32..).zip(&tiles) {
        let left = MARGIN + number % columns * cell_width;
        let top = MARGIN + number / columns * cell_height;
        font::write(&mut sheet, left, top, side, caption, INK);
        paste(&mut sheet, left, top + font::HEIGHT + 3, side, sample);
    }
    sheet
}

/// What a picture is in an epoch, as the loader draws it.
fn changed(picture: &Picture, augment: &Augment, seed: u64, epoch: u64) -> Sample {
    let mut sample = picture.sample.clone();
    let mut rng = random::stream(seed, "augment", &[epoch, picture.index]);
    augment.apply_to_sample(&mut sample, &mut rng);
    sample
}

/// Puts an image with its boxes into a square, as large as it fits.
fn paste(sheet: &mut RgbImage, left: u32, top: u32, side: u32, sample: &Sample) {
    let image = &sample.image;
    let longer = image.width.max(image.height);
    let scaled = if longer * 2 <= side {
        // A small image is shown by its pixels.
        enlarged(image, side / longer)
    } else if longer < side {
        let to = |length: u32| (length * side / longer).max(1);
        stretch(
            image,
            to(image.width),
            to(image.height),
            ResizeFilter::Bilinear,
        )
    } else {
        thumbnail(image, side)
    };
    let (right, down) = ((side - scaled.width) / 2, (side - scaled.height) / 2);
    let (left, top) = (left + right, top + down);
    for (row, line) in (top..).zip(scaled.pixels.chunks_exact(scaled.width as usize * 3)) {
        for (column, &color) in (left..).zip(line.as_chunks::<3>().0) {
            sheet.set_pixel(column, row, color);
        }
    }
    let scale = f64::from(scaled.width) / f64::from(image.width);
    for own in &sample.boxes {
        outline(sheet, [left, top], scale, own);
    }
}

/// Each pixel as a square of so many.
fn enlarged(image: &RgbImage, times: u32) -> RgbImage {
    let times = times.max(1) as usize;
    let mut pixels = Vec::with_capacity(image.pixels.len() * times * times);
    for row in image.pixels.chunks_exact(image.width as usize * 3) {
        let line: Vec<u8> = row
            .as_chunks::<3>()
            .0
            .iter()
            .flat_map(|color| color.repeat(times))
            .collect();
        (0..times).for_each(|_| pixels.extend_from_slice(&line));
    }
    RgbImage {
        width: image.width * times as u32,
        height: image.height * times as u32,
        pixels,
    }
}

/// Draws a box's edges, two pixels wide, and its class's number.
fn outline(sheet: &mut RgbImage, [left, top]: [u32; 2], scale: f64, own: &LabelledBox) {
    let color = COLORS[own.label as usize % COLORS.len()];
    let at = |origin: u32, position: f64| origin + (position * scale).max(0.0).round() as u32;
    let (x0, y0) = (at(left, own.x_min), at(top, own.y_min));
    let (x1, y1) = (
        at(left, own.x_max).max(x0 + 2),
        at(top, own.y_max).max(y0 + 2),
    );
    for x in x0..x1 {
        for y in [y0, y0 + 1, y1 - 2, y1 - 1] {
            sheet.set_pixel(x, y, color);
        }
    }
    for y in y0..y1 {
        for x in [x0, x0 + 1, x1 - 2, x1 - 1] {
            sheet.set_pixel(x, y, color);
        }
    }
    font::write(
        sheet,
        x0 + 4,
        y0 + 4,
        x1.saturating_sub(x0 + 6),
        &own.label.to_string(),
        color,
    );
}

#[cfg(test)]
mod tests {
    use ferrotype_core::config::augment::{AugmentConfig, HorizontalFlip};

    use super::*;

    fn picture(width: u32, height: u32, boxes: Vec<LabelledBox>) -> Picture {
        let mut image = RgbImage::filled(width, height, [200, 10, 10]);
        image.set_pixel(0, 0, [0, 0, 255]);
        Picture {
            sample: Sample { image, boxes },
            caption: "forest".into(),
            index: 3,
        }
    }

    #[test]
    fn originals_fill_rows_and_changes_follow_their_original() {
        let pictures = [
            picture(8, 8, vec![]),
            picture(300, 20, vec![]),
            picture(64, 90, vec![]),
        ];
        let options = SheetOptions {
            side: 32,
            columns: 2,
            ..SheetOptions::default()
        };
        let plain = contact_sheet(&pictures, None, &options);
        let cell = 32 + MARGIN + font::HEIGHT + 3;
        assert_eq!((plain.width, plain.height), (2 * 38 + 6, 2 * cell + 6));
        let flip = Augment::new(AugmentConfig(vec![HorizontalFlip { p: 1.0 }.into()])).unwrap();
        let changed = contact_sheet(&pictures[..1], Some(&flip), &options);
        assert_eq!((changed.width, changed.height), (2 * 38 + 6, cell + 6));
        let top = MARGIN + font::HEIGHT + 3;
        assert_eq!(changed.pixel(MARGIN, top), [0, 0, 255]);
        assert_eq!(changed.pixel(MARGIN + 38 + 31, top), [0, 0, 255]);
        assert_eq!(changed.pixel(MARGIN + 38, top), [200, 10, 10]);
    }

    #[test]
    fn boxes_are_drawn_in_the_colour_of_their_class() {
        let whole = LabelledBox {
            x_min: 0.0,
            y_min: 0.0,
            x_max: 32.0,
            y_max: 32.0,
            label: 1,
        };
        let options = SheetOptions {
            side: 32,
            columns: 1,
            ..SheetOptions::default()
        };
        let sheet = contact_sheet(&[picture(32, 32, vec![whole])], None, &options);
        let top = MARGIN + font::HEIGHT + 3;
        assert_eq!(sheet.pixel(MARGIN, top + 20), COLORS[1]);
        assert_eq!(sheet.pixel(MARGIN + 31, top + 31), COLORS[1]);
        assert_eq!(sheet.pixel(MARGIN + 25, top + 25), [200, 10, 10]);
    }

    #[test]
    fn no_pictures_give_a_sheet_too() {
        let sheet = contact_sheet(&[], None, &SheetOptions::default());
        assert!(sheet.width > 0 && sheet.height > 0);
    }
}
