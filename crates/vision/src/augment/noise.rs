//! Random changes of single values.

use std::sync::LazyLock;

use rand::Rng;

use crate::RgbImage;
use crate::random::{self, Pcg64};

/// Bits of a draw.
const BITS: u32 = 12;

/// The normal distribution in 4096 equally likely steps: the quantile of each step's middle. The
/// farthest is 3.7 deviations away; a draw of the distribution would lie beyond once in 4,300.
static QUANTILES: LazyLock<Box<[f32; 1 << BITS]>> = LazyLock::new(|| {
    Box::new(std::array::from_fn(|step| {
        quantile((step as f64 + 0.5) / f64::from(1 << BITS)) as f32
    }))
});

/// The normal distribution's quantile by bisection of its distribution function.
fn quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-5.0, 5.0);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if below(middle) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The share of the normal distribution below `x`, by its series around 0 (A&S 26.2.10).
fn below(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..120 {
        term *= -x * x / (2.0 * f64::from(n));
        sum += term / f64::from(2 * n + 1);
    }
    0.5 + sum / std::f64::consts::TAU.sqrt()
}

/// Draws of 12 bits, five from one number of the stream.
struct Steps<'a> {
    rng: &'a mut Pcg64,
    bits: u64,
    left: u32,
}

impl<'a> Steps<'a> {
    const fn new(rng: &'a mut Pcg64) -> Self {
        Self {
            rng,
            bits: 0,
            left: 0,
        }
    }

    #[inline]
    fn next(&mut self) -> usize {
        if self.left == 0 {
            self.bits = self.rng.next_u64();
            self.left = 64 / BITS;
        }
        self.left -= 1;
        let step = self.bits & ((1 << BITS) - 1);
        self.bits >>= BITS;
        step as usize
    }
}

/// Draws from the normal distribution with mean 0 and deviation 1.
pub(super) fn normals(rng: &mut Pcg64, count: usize) -> Vec<f32> {
    let quantiles = &**QUANTILES;
    let mut steps = Steps::new(rng);
    (0..count).map(|_| quantiles[steps.next()]).collect()
}

/// Normal noise, in values from 0 to 255.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    /// What is added on average.
    pub mean: f32,
    /// Its spread.
    pub deviation: f32,
    /// Each channel has its own, rather than one for the pixel.
    pub per_channel: bool,
    /// Seed of the values.
    pub seed: u64,
}

impl Noise {
    pub(super) fn apply(&self, image: &mut RgbImage) {
        // Rounded down after the sum, as Albumentations cuts off.
        let added: Vec<i16> = QUANTILES
            .iter()
            .map(|quantile| (self.mean + self.deviation * quantile).floor() as i16)
            .collect();
        let mut rng = random::stream(self.seed, "noise", &[]);
        let mut steps = Steps::new(&mut rng);
        let sum = |value: u8, step: usize| {
            let added = added.get(step).copied().unwrap_or(0);
            (i16::from(value).saturating_add(added)).clamp(0, 255) as u8
        };
        if self.per_channel {
            for value in &mut image.pixels {
                *value = sum(*value, steps.next());
            }
        } else {
            for pixel in image.pixels.as_chunks_mut::<3>().0 {
                let step = steps.next();
                *pixel = pixel.map(|value| sum(value, step));
            }
        }
    }
}

/// A camera's noise at high sensitivity.
#[derive(Debug, Clone, PartialEq)]
pub struct IsoNoise {
    /// Deviation of the hue, in degrees.
    pub color_shift: f32,
    /// Strength of the noise of the lightness.
    pub intensity: f32,
    /// Seed of the values.
    pub seed: u64,
}

impl IsoNoise {
    /// Albumentations' `iso_noise`: normal noise of the hue, and of the lightness that of a Poisson
    /// distribution whose mean is the lightness' own spread times the strength.
    pub(super) fn apply(&self, image: &mut RgbImage) {
        let mut rng = random::stream(self.seed, "iso-noise", &[]);
        let expected = f64::from(self.intensity * lightness_deviation(image));
        let poisson = PoissonTable::new(expected);
        let mut steps = Steps::new(&mut rng);
        for pixel in image.pixels.as_chunks_mut::<3>().0 {
            let [hue, lightness, saturation] = hls(*pixel);
            let hue = hue + self.color_shift * self.intensity * QUANTILES[steps.next()];
            let photons = poisson.draw(steps.next());
            let lightness = lightness + photons * self.intensity * (1.0 - lightness);
            *pixel = from_hls([hue.rem_euclid(360.0), lightness, saturation]);
        }
    }
}

/// The Poisson distribution's draws by their cumulative shares.
struct PoissonTable(Vec<f64>);

impl PoissonTable {
    fn new(expected: f64) -> Self {
        let mut share = (-expected).exp();
        let mut sum = 0.0;
        Self(
            (1..64)
                .map(|count| {
                    sum += share;
                    share *= expected / f64::from(count);
                    sum
                })
                .collect(),
        )
    }

    fn draw(&self, step: usize) -> f32 {
        let share = (step as f64 + 0.5) / f64::from(1 << BITS);
        self.0.iter().take_while(|&&sum| sum < share).count() as f32
    }
}

/// Deviation of the lightness over an image, which is from 0 to 1.
fn lightness_deviation(image: &RgbImage) -> f32 {
    let (mut sum, mut squares) = (0.0_f64, 0.0_f64);
    let pixels = image.pixels.as_chunks::<3>().0;
    for [red, green, blue] in pixels {
        let ends = f64::from(*red.max(green).max(blue)) + f64::from(*red.min(green).min(blue));
        let lightness = ends / 510.0;
        sum += lightness;
        squares += lightness * lightness;
    }
    let mean = sum / pixels.len().max(1) as f64;
    (squares / pixels.len().max(1) as f64 - mean * mean)
        .max(0.0)
        .sqrt() as f32
}

/// Hue in degrees, lightness and saturation from 0 to 1.
fn hls(color: [u8; 3]) -> [f32; 3] {
    let [red, green, blue] = color.map(|value| f32::from(value) / 255.0);
    let most = red.max(green).max(blue);
    let least = red.min(green).min(blue);
    let (range, ends) = (most - least, most + least);
    let lightness = ends / 2.0;
    if range <= f32::EPSILON {
        return [0.0, lightness, 0.0];
    }
    let saturation = range / if lightness < 0.5 { ends } else { 2.0 - ends };
    let hue = if most == red {
        (green - blue) / range
    } else if most == green {
        2.0 + (blue - red) / range
    } else {
        4.0 + (red - green) / range
    };
    [(hue * 60.0).rem_euclid(360.0), lightness, saturation]
}

/// The colour of hue, lightness and saturation.
fn from_hls([hue, lightness, saturation]: [f32; 3]) -> [u8; 3] {
    let upper = if lightness <= 0.5 {
        lightness * (1.0 + saturation)
    } else {
        lightness + saturation - lightness * saturation
    };
    let lower = 2.0 * lightness - upper;
    [hue + 120.0, hue, hue - 120.0].map(|hue| {
        let sextant = hue.rem_euclid(360.0) / 60.0;
        let value = if sextant < 1.0 {
            lower + (upper - lower) * sextant
        } else if sextant < 3.0 {
            upper
        } else if sextant < 4.0 {
            lower + (upper - lower) * (4.0 - sextant)
        } else {
            lower
        };
        (value.clamp(0.0, 1.0) * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_its_mean_and_spread() {
        for per_channel in [true, false] {
            let mut image = RgbImage::filled(200, 200, [128; 3]);
            let noise = Noise {
                mean: 10.0,
                deviation: 20.0,
                per_channel,
                seed: 1,
            };
            noise.apply(&mut image);
            let values: Vec<f64> = image.pixels.iter().map(|&value| f64::from(value)).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let spread = values
                .iter()
                .map(|value| (value - mean).powi(2))
                .sum::<f64>();
            let spread = (spread / values.len() as f64).sqrt();
            assert!((mean - 137.5).abs() < 0.5, "{mean}");
            assert!((spread - 20.0).abs() < 0.5, "{spread}");
            let gray = image
                .pixels
                .as_chunks::<3>()
                .0
                .iter()
                .all(|[r, g, b]| r == g && g == b);
            assert_eq!(gray, !per_channel);
        }
    }

    #[test]
    fn quantiles_are_the_normal_distributions() {
        for (share, expected) in [(0.5, 0.0), (0.841_345, 1.0), (0.025, -1.959_964)] {
            assert!((quantile(share) - expected).abs() < 1e-4, "{share}");
        }
    }

    #[test]
    fn colours_come_back_from_hue_and_lightness() {
        for color in [
            [0, 0, 0],
            [255, 255, 255],
            [12, 200, 90],
            [250, 3, 77],
            [1, 2, 255],
        ] {
            assert_eq!(from_hls(hls(color)), color);
        }
    }

    #[test]
    fn iso_noise_without_strength_changes_nothing() {
        let pixels = (0..48 * 3).map(|n| n as u8).collect();
        let image = RgbImage::from_pixels(8, 6, pixels).unwrap();
        let mut noisy = image.clone();
        let mut noise = IsoNoise {
            color_shift: 18.0,
            intensity: 0.0,
            seed: 3,
        };
        noise.apply(&mut noisy);
        assert_eq!(noisy, image);
        noise.intensity = 0.5;
        noise.apply(&mut noisy);
        assert_ne!(noisy, image);
    }
}
