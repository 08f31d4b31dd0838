//! Rectangles that are filled.

use ferrotype_core::config::augment::Color;
use rand::Rng;

use super::sample::{BoxRules, LabelledBox};
use crate::RgbImage;
use crate::random;

/// A rectangle of whole pixels within an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// Left column.
    pub x_min: u32,
    /// Upper row.
    pub y_min: u32,
    /// Column after the last.
    pub x_max: u32,
    /// Row after the last.
    pub y_max: u32,
}

/// What a hole shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoleFill {
    /// One colour.
    Color(Color),
    /// A random colour for each pixel, from this seed.
    Noise(u64),
}

/// Fills the holes.
pub(super) fn erase(image: &mut RgbImage, holes: &[Hole], fill: HoleFill) {
    let row_bytes = image.row_bytes();
    let mut noise = match fill {
        HoleFill::Noise(seed) => Some(random::stream(seed, "holes", &[])),
        HoleFill::Color(_) => None,
    };
    for hole in holes {
        let rows = hole.y_min.min(image.height) as usize..hole.y_max.min(image.height) as usize;
        let columns = hole.x_min.min(image.width) as usize..hole.x_max.min(image.width) as usize;
        for row in rows {
            let cut = row * row_bytes + columns.start * 3..row * row_bytes + columns.end * 3;
            let Some(pixels) = image.pixels.get_mut(cut) else {
                continue;
            };
            match (fill, &mut noise) {
                (HoleFill::Color(color), _) => pixels.as_chunks_mut::<3>().0.fill(color),
                (_, Some(noise)) => noise.fill_bytes(pixels),
                _ => {}
            }
        }
    }
}

/// The boxes that enough is left of, around what is left, as Albumentations' dropouts treat them.
pub(super) fn boxes(boxes: &mut Vec<LabelledBox>, holes: &[Hole], rules: &BoxRules) {
    if holes.is_empty() {
        return;
    }
    boxes.retain_mut(|own| {
        // Whole pixels, as the holes are.
        let [left, top, right, bottom] =
            [own.x_min, own.y_min, own.x_max, own.y_max].map(|edge| edge.max(0.0) as u32);
        let area = f64::from(right.saturating_sub(left)) * f64::from(bottom.saturating_sub(top));
        let mut left_over = 0_u32;
        let mut around: Option<[u32; 4]> = None;
        for y in top..bottom {
            for x in left..right {
                let covers = |hole: &Hole| {
                    (hole.x_min..hole.x_max).contains(&x) && (hole.y_min..hole.y_max).contains(&y)
                };
                if holes.iter().any(covers) {
                    continue;
                }
                left_over += 1;
                let [x0, y0, x1, y1] = around.unwrap_or([x, y, x, y]);
                around = Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)]);
            }
        }
        let Some([x0, y0, x1, y1]) = around else {
            return false;
        };
        if f64::from(left_over) == area {
            return true;
        }
        let stays = f64::from(left_over) >= rules.min_area
            && f64::from(left_over) / area >= rules.min_visibility;
        (own.x_min, own.y_min) = (x0.into(), y0.into());
        (own.x_max, own.y_max) = ((x1 + 1).into(), (y1 + 1).into());
        stays
    });
}
