//! From a scene's colours to a photograph: light, haze and the sensor; and how those drift.

use super::noise;
use super::paint::{Color, Point, between, noise_seed};
use rand::Rng;

use crate::RgbImage;
use crate::random::{self, Pcg64};

/// How later tiles differ from the ones that were learned from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Every value is multiplied by this; 1 for none.
    pub brightness: f64,
    /// Standard deviation of a Gaussian blur, in pixels of a 64-pixel tile; 0 for none.
    pub blur: f64,
    /// Standard deviation of added noise, in steps of 0 to 255; 0 for none.
    pub noise: f64,
    /// Share of tiles that show [`super::UNSEEN_CLASS`] under another class's name, 0 to 1.
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

    /// Blurs, then dims or brightens, then adds noise.
    pub(super) fn apply(&self, tile: &mut RgbImage, rng: &mut Pcg64) {
        if self.blur > 0.0 {
            let sigma = self.blur.min(64.0) as f32 * tile.width as f32 / 64.0;
            blur(tile, sigma);
        }
        if self.brightness != 1.0 {
            let brightness = self.brightness as f32;
            for value in &mut tile.pixels {
                *value = to_byte(f32::from(*value) * brightness);
            }
        }
        if self.noise > 0.0 {
            for value in &mut tile.pixels {
                let added = self.noise * random::normal(rng);
                *value = to_byte(f32::from(*value) + added as f32);
            }
        }
    }
}

impl Default for Drift {
    fn default() -> Self {
        Self::NONE
    }
}

/// The nearest byte; no number becomes 0.
fn to_byte(value: f32) -> u8 {
    (value + 0.5) as u8
}

/// The scene as a camera sees it on one day: sun, sky, haze, a cloud's shadow, the sensor's noise.
pub(super) fn photograph(colors: &[Color], size: u32, rng: &mut Pcg64) -> RgbImage {
    let exposure = between(rng, -0.6, 0.4).exp();
    let contrast = between(rng, 0.75, 1.15);
    let haze = between(rng, 0.0, 0.13);
    // Morning to noon, blue to yellow; cameras differ less between green and purple.
    let (warmth, green) = (between(rng, -0.19, 0.19), between(rng, -0.07, 0.07));
    let tint = [1.0 + warmth, 1.0 + green, 1.0 - warmth];
    let slope = Point::from_angle(between(rng, 0.0, 6.3)).times(between(rng, 0.0, 0.18));
    let cloud = if random::chance(rng, 0.25) {
        between(rng, 0.1, 0.35)
    } else {
        0.0
    };
    let cloud_seed = noise_seed(rng);
    let grain = between(rng, 1.0, 6.0);
    let mut pixels = Vec::with_capacity(colors.len() * 3);
    for (index, color) in colors.iter().enumerate() {
        let (x, y) = (index as u32 % size, index as u32 / size);
        let place = Point::new(x as f32 / size as f32 - 0.5, y as f32 / size as f32 - 0.5);
        let mut light = exposure * (1.0 + slope.dot(place));
        if cloud > 0.0 {
            light *=
                1.0 - cloud * (0.5 + noise::smooth(place.times(3.0), cloud_seed)).clamp(0.0, 1.0);
        }
        let noise = grain_of(rng, grain);
        for channel in 0..3 {
            let lit = color.0[channel] * light * tint[channel];
            let value = 0.42 + (lit - 0.42) * contrast;
            let hazy = shoulder(value + haze * (0.8 - value));
            pixels.push(to_byte(hazy * 255.0 + noise[channel]));
        }
    }
    RgbImage {
        width: size,
        height: size,
        pixels,
    }
}

/// Bends bright values towards 1 instead of cutting them off there.
fn shoulder(value: f32) -> f32 {
    const KNEE: f32 = 0.7;
    const REST: f32 = 1.0 - KNEE;
    if value < KNEE {
        return value;
    }
    let over = value - KNEE;
    KNEE + over * REST / (over + REST)
}

/// Nearly normal noise of one pixel: sums of two bytes for each channel and two for all.
fn grain_of(rng: &mut Pcg64, deviation: f32) -> [f32; 3] {
    // A uniform byte has a standard deviation of 73.9; the sum of four, of 147.8.
    const SCALE: f32 = 1.0 / 147.8;
    let bytes = rng.next_u64().to_le_bytes().map(f32::from);
    let common = bytes[0] + bytes[1] - 510.0;
    std::array::from_fn(|channel| {
        let own = bytes[2 + 2 * channel] + bytes[3 + 2 * channel];
        (common + own) * SCALE * deviation
    })
}

/// Separable Gaussian blur of a square image, with the edges repeated.
fn blur(image: &mut RgbImage, sigma: f32) {
    let radius = (3.0 * sigma).ceil() as i32;
    let weight = |offset: i32| (-0.5 * (offset as f32 / sigma).powi(2)).exp();
    let weights: Vec<f32> = (-radius..=radius).map(weight).collect();
    let total: f32 = weights.iter().sum();
    let side = image.width as i32;
    for stride in [3, side * 3] {
        let source = image.pixels.clone();
        for (index, value) in image.pixels.iter_mut().enumerate() {
            let index = index as i32;
            let place = index / stride % side;
            let start = index - place * stride;
            let sum: f32 = (-radius..=radius)
                .zip(&weights)
                .map(|(offset, weight)| {
                    let near = (place + offset).clamp(0, side - 1);
                    weight * f32::from(source[(start + near * stride) as usize])
                })
                .sum();
            *value = to_byte(sum / total);
        }
    }
}
