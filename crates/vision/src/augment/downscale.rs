//! Fewer pixels, shown as many.

use ferrotype_core::config::augment::Interpolation;

use super::geometry::{Border, Geometry, Matrix, Warp};
use crate::RgbImage;

/// Shrinks to a share of the sides and enlarges again.
pub(super) fn downscale(image: &mut RgbImage, scale: f64, interpolation: Interpolation) {
    let [width, height] = [image.width, image.height];
    let small = [width, height].map(|side| ((f64::from(side) * scale).round() as u32).max(1));
    for target in [small, [width, height]] {
        let (x, y) = (
            f64::from(target[0]) / f64::from(image.width),
            f64::from(target[1]) / f64::from(image.height),
        );
        match interpolation {
            Interpolation::Nearest if target == small => nearest(image, target, [1.0 / scale; 2]),
            Interpolation::Nearest => nearest(image, target, [1.0 / x, 1.0 / y]),
            Interpolation::Linear => {
                let resize = Geometry {
                    matrix: Matrix::scale(x, y),
                    width: target[0],
                    height: target[1],
                    border: Border::REPLICATE,
                    interpolation,
                };
                if let Some(warp) = Warp::new(&resize, [image.width, image.height]) {
                    warp.apply(image);
                }
            }
        }
    }
}

/// OpenCV's nearest neighbour, which takes the upper left one of those equally near: the pixel at
/// so many times the position.
fn nearest(image: &mut RgbImage, [width, height]: [u32; 2], [across, down]: [f64; 2]) {
    let at = |index: u32, step: f64, side: u32| {
        ((f64::from(index) * step + 1e-9) as u32).min(side - 1) as usize
    };
    let columns: Vec<usize> = (0..width).map(|x| at(x, across, image.width)).collect();
    let row_bytes = image.row_bytes();
    let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        let row = image.pixels[at(y, down, image.height) * row_bytes..][..row_bytes]
            .as_chunks::<3>()
            .0;
        for &column in &columns {
            pixels.extend_from_slice(&row[column]);
        }
    }
    *image = RgbImage {
        width,
        height,
        pixels,
    };
}
