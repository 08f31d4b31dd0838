//! Painted aerial-like tiles in six classes, for demonstrations and tests without a download.
//!
//! The classes differ in structure (rows, crowns, grids of dots, houses, carriageways, waves) and
//! hardly in colour: ground, light, season, direction and height are drawn alike for all, so that a
//! linear model on the pixels learns little and a convolutional network learns it soon.

mod built;
mod grown;
mod light;
mod noise;
mod paint;
#[cfg(test)]
mod tests;
mod water;

pub use light::Drift;
use paint::View;

use crate::RgbImage;
use crate::random;

/// The classes that are painted, in label order.
pub const CLASSES: [&str; 6] = ["field", "forest", "orchard", "residential", "road", "water"];

/// A class that [`CLASSES`] does not hold, for drift: solar panels.
pub const UNSEEN_CLASS: &str = "solar";

/// Whether [`paint()`] shows [`UNSEEN_CLASS`] in place of this tile because of `drift.unseen`.
pub fn shows_unseen(class: usize, seed: u64, index: u64, drift: &Drift) -> bool {
    let mut rng = random::stream(seed, "synth/unseen", &[class as u64, index]);
    random::chance(&mut rng, drift.unseen)
}

/// Paints one square tile of `size` pixels (0 counts as 1). `class` is an index into [`CLASSES`];
/// any other paints [`UNSEEN_CLASS`].
///
/// The same arguments give the same pixels; another drift changes the same scene.
pub fn paint(class: usize, seed: u64, index: u64, size: u32, drift: &Drift) -> RgbImage {
    let size = size.max(1);
    let key = [class as u64, index];
    let mut rng = random::stream(seed, "synth/tile", &key);
    let view = View::new(&mut rng, size);
    let shown = if shows_unseen(class, seed, index, drift) {
        CLASSES.len()
    } else {
        class
    };
    let colors = match shown {
        0 => {
            let field = grown::Field::new(&mut rng, view.center());
            view.render(size, |at| field.at(at))
        }
        1 => {
            let forest = grown::Forest::new(&mut rng);
            view.render(size, |at| forest.at(at))
        }
        2 => {
            let orchard = grown::Orchard::new(&mut rng);
            view.render(size, |at| orchard.at(at))
        }
        3 => {
            let residential = built::Residential::new(&mut rng);
            view.render(size, |at| residential.at(at))
        }
        4 => {
            let road = built::Road::new(&mut rng, view.center());
            view.render(size, |at| road.at(at))
        }
        5 => {
            let water = water::Water::new(&mut rng);
            view.render(size, |at| water.at(at))
        }
        _ => {
            let solar = built::Solar::new(&mut rng);
            view.render(size, |at| solar.at(at))
        }
    };
    let mut tile = light::photograph(&colors, size, &mut rng);
    drift.apply(&mut tile, &mut random::stream(seed, "synth/drift", &key));
    tile
}
