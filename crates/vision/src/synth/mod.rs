//! Painted aerial-like tiles in six classes, for demonstrations and tests without a download.
//!
//! The classes differ in structure (rows, crowns, grids of dots, houses, carriageways, waves) and
//! hardly in colour: ground, light, season, direction and height are drawn alike for all, so that a
//! linear model on the pixels learns little and a convolutional network learns it soon.
//!
//! [`paint()`] shows one class, [`paint_labelled`] none to several, each in a part of the tile.

mod built;
mod grown;
mod labelled;
mod light;
mod noise;
mod paint;
#[cfg(test)]
mod tests;
mod water;

pub use labelled::{labels_of, paint_labelled};
pub use light::Drift;
use paint::{Color, Point, View};

use crate::RgbImage;
use crate::random::{self, Pcg64};

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
    let scene = Scene::new(shown, &mut rng, view.center());
    let colors = view.render(size, |at| scene.at(at));
    let mut tile = light::photograph(&colors, size, &mut rng);
    drift.apply(&mut tile, &mut random::stream(seed, "synth/drift", &key));
    tile
}

/// What is seen of one class.
enum Scene {
    Field(grown::Field),
    Forest(grown::Forest),
    Orchard(grown::Orchard),
    Residential(built::Residential),
    Road(built::Road),
    Water(water::Water),
    Solar(built::Solar),
}

impl Scene {
    /// A scene around a place. `class` is an index into [`CLASSES`]; any other is the unseen one.
    fn new(class: usize, rng: &mut Pcg64, center: Point) -> Self {
        match class {
            0 => Self::Field(grown::Field::new(rng, center)),
            1 => Self::Forest(grown::Forest::new(rng)),
            2 => Self::Orchard(grown::Orchard::new(rng)),
            3 => Self::Residential(built::Residential::new(rng)),
            4 => Self::Road(built::Road::new(rng, center)),
            5 => Self::Water(water::Water::new(rng)),
            _ => Self::Solar(built::Solar::new(rng)),
        }
    }

    fn at(&self, at: Point) -> Color {
        match self {
            Self::Field(field) => field.at(at),
            Self::Forest(forest) => forest.at(at),
            Self::Orchard(orchard) => orchard.at(at),
            Self::Residential(residential) => residential.at(at),
            Self::Road(road) => road.at(at),
            Self::Water(water) => water.at(at),
            Self::Solar(solar) => solar.at(at),
        }
    }
}
