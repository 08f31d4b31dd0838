//! Random changes to training images, with torchvision's definitions
//! (`torchvision.transforms.v2` on 8-bit tensors): values are cut off, not rounded, to bytes.

use ferrotype_core::config::schema::AugmentConfig;
use rand::Rng;

use crate::RgbImage;
use crate::random;

/// Augmentation settings that make no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`augment.{field}` is `{value}`, expected {expected}")]
pub struct AugmentError {
    /// The setting's name.
    pub field: &'static str,
    /// Its value.
    pub value: f64,
    /// The range it should be in.
    pub expected: &'static str,
}

/// Random changes to training images at the input size: mirrored, shifted, another light.
#[derive(Debug, Clone, PartialEq)]
pub struct Augment {
    config: AugmentConfig,
}

impl Augment {
    /// An augmentation that does as the configuration says.
    ///
    /// # Errors
    /// When a probability is not in 0 to 1, or a colour range is negative or no number.
    pub fn new(config: AugmentConfig) -> Result<Self, AugmentError> {
        let probabilities = [
            ("horizontal_flip", config.horizontal_flip),
            ("vertical_flip", config.vertical_flip),
        ];
        let ranges = [
            ("brightness", config.brightness),
            ("contrast", config.contrast),
            ("saturation", config.saturation),
        ];
        for (field, value) in probabilities {
            if !(0.0..=1.0).contains(&value) {
                let expected = "a probability from 0 to 1";
                return Err(AugmentError {
                    field,
                    value,
                    expected,
                });
            }
        }
        for (field, value) in ranges {
            if !(0.0..=100.0).contains(&value) {
                let expected = "a number from 0 (no change) to 100";
                return Err(AugmentError {
                    field,
                    value,
                    expected,
                });
            }
        }
        Ok(Self { config })
    }

    /// Changes one image with draws from `rng`. Its size stays.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        let config = &self.config;
        if config.crop_padding > 0 {
            let most = 2 * u64::from(config.crop_padding) + 1;
            let shift = |drawn: u64| drawn as i64 - i64::from(config.crop_padding);
            let right = shift(random::below(rng, most));
            let down = shift(random::below(rng, most));
            shift_reflected(image, right, down);
        }
        if random::chance(rng, config.horizontal_flip) {
            flip_horizontally(image);
        }
        if random::chance(rng, config.vertical_flip) {
            flip_vertically(image);
        }
        self.jitter_colors(image, rng);
    }

    /// torchvision's `ColorJitter`: the three changes in random order, each by a random factor.
    fn jitter_colors(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        type Change = fn(&mut RgbImage, f64);
        let changes: [(f64, Change); 3] = [
            (self.config.brightness, adjust_brightness),
            (self.config.contrast, adjust_contrast),
            (self.config.saturation, adjust_saturation),
        ];
        let mut order = [0, 1, 2];
        random::shuffle(&mut order, rng);
        for (range, change) in order.map(|index| changes[index]) {
            if range > 0.0 {
                let factor = random::uniform(rng, (1.0 - range).max(0.0), 1.0 + range);
                change(image, factor);
            }
        }
    }
}

/// Mirrors left to right.
pub fn flip_horizontally(image: &mut RgbImage) {
    let row_bytes = image.row_bytes();
    for row in image.pixels.chunks_exact_mut(row_bytes) {
        row.as_chunks_mut::<3>().0.reverse();
    }
}

/// Mirrors top to bottom.
pub fn flip_vertically(image: &mut RgbImage) {
    let row_bytes = image.row_bytes();
    let half = image.height as usize / 2 * row_bytes;
    let (upper, lower) = image.pixels.split_at_mut(half);
    let mirrored = lower.chunks_exact_mut(row_bytes).rev();
    for (above, below) in upper.chunks_exact_mut(row_bytes).zip(mirrored) {
        above.swap_with_slice(below);
    }
}

/// Looks at a window moved right and down by so many pixels; what lies outside of the image is
/// its reflection, without repeating the edge (torchvision's `RandomCrop` with `reflect` padding).
pub fn shift_reflected(image: &mut RgbImage, right: i64, down: i64) {
    if right == 0 && down == 0 {
        return;
    }
    let columns: Vec<usize> = (0..i64::from(image.width))
        .map(|x| reflect(x + right, image.width) * 3)
        .collect();
    let row_bytes = image.row_bytes();
    let mut pixels = Vec::with_capacity(image.pixels.len());
    for y in 0..i64::from(image.height) {
        let start = reflect(y + down, image.height) * row_bytes;
        let row = &image.pixels[start..start + row_bytes];
        for &at in &columns {
            pixels.extend_from_slice(&row[at..at + 3]);
        }
    }
    image.pixels = pixels;
}

/// Position in `0..length` of a position outside of it, mirrored at the outermost pixels' centres.
fn reflect(position: i64, length: u32) -> usize {
    let last = i64::from(length) - 1;
    if last == 0 {
        return 0;
    }
    let folded = position.rem_euclid(2 * last);
    folded.min(2 * last - folded) as usize
}

/// A byte from a real value, cut off as a cast of a tensor does.
fn to_byte(value: f32) -> u8 {
    // `as` saturates at 0 and 255.
    value as u8
}

/// Luma as torchvision weighs it, for bytes.
fn luma([red, green, blue]: [u8; 3]) -> f32 {
    0.2989 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)
}

/// Multiplies every value by `factor`.
pub fn adjust_brightness(image: &mut RgbImage, factor: f64) {
    map_bytes(image, |value| to_byte(value * factor as f32));
}

/// Moves every value away from the mean luma by `factor`: 0 is a gray image, 1 no change.
pub fn adjust_contrast(image: &mut RgbImage, factor: f64) {
    let pixels = image.pixels.as_chunks::<3>().0;
    let sum: u64 = pixels.iter().map(|&p| u64::from(to_byte(luma(p)))).sum();
    let mean = (sum as f64 / pixels.len().max(1) as f64) as f32;
    let offset = (1.0 - factor) as f32 * mean;
    let factor = factor as f32;
    map_bytes(image, |value| to_byte(factor * value + offset));
}

/// Moves every pixel away from its own luma by `factor`: 0 is gray, 1 no change.
pub fn adjust_saturation(image: &mut RgbImage, factor: f64) {
    let gray_share = (1.0 - factor) as f32;
    let factor = factor as f32;
    for pixel in image.pixels.as_chunks_mut::<3>().0 {
        let gray = gray_share * f32::from(to_byte(luma(*pixel)));
        *pixel = pixel.map(|value| to_byte(factor * f32::from(value) + gray));
    }
}

/// Replaces every byte by a function of it alone.
fn map_bytes(image: &mut RgbImage, change: impl Fn(f32) -> u8) {
    let table: [u8; 256] = std::array::from_fn(|value| change(value as f32));
    for value in &mut image.pixels {
        *value = table[usize::from(*value)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: AugmentConfig = AugmentConfig {
        horizontal_flip: 0.0,
        vertical_flip: 0.0,
        crop_padding: 0,
        brightness: 0.0,
        contrast: 0.0,
        saturation: 0.0,
    };

    /// Rows of pixels whose three channels are the given number, that plus 1, that plus 2.
    fn image<const W: usize>(rows: &[[u8; W]]) -> RgbImage {
        let pixels = rows.as_flattened().iter().flat_map(|&n| [n, n + 1, n + 2]);
        RgbImage::from_pixels(W as u32, rows.len() as u32, pixels.collect()).unwrap()
    }

    #[test]
    fn a_horizontal_flip_mirrors_each_row() {
        let mut flipped = image(&[[10, 20, 30], [40, 50, 60]]);
        flip_horizontally(&mut flipped);
        assert_eq!(flipped, image(&[[30, 20, 10], [60, 50, 40]]));
    }

    #[test]
    fn a_vertical_flip_mirrors_the_order_of_rows() {
        let mut flipped = image(&[[10, 20], [30, 40], [50, 60]]);
        flip_vertically(&mut flipped);
        assert_eq!(flipped, image(&[[50, 60], [30, 40], [10, 20]]));
    }

    #[test]
    fn a_shift_shows_the_reflection_without_the_edge_twice() {
        let original = image(&[[10, 20, 30], [40, 50, 60]]);
        let mut right = original.clone();
        shift_reflected(&mut right, 2, 0);
        assert_eq!(right, image(&[[30, 20, 10], [60, 50, 40]]));
        let mut up_left = original.clone();
        shift_reflected(&mut up_left, -1, -1);
        assert_eq!(up_left, image(&[[50, 40, 50], [20, 10, 20]]));
        let mut far = original;
        shift_reflected(&mut far, 40, 0);
        assert_eq!(far, image(&[[10, 20, 30], [40, 50, 60]]));
    }

    #[test]
    fn an_image_of_one_pixel_can_be_shifted() {
        let mut single = image(&[[7]]);
        shift_reflected(&mut single, 3, -5);
        assert_eq!(single, image(&[[7]]));
    }

    // The expected values of the next three are printed by `tools/golden_vision.py --colors`, which
    // does what torchvision's `transforms.v2.functional` does to a uint8 tensor.
    fn colors() -> RgbImage {
        RgbImage::from_pixels(
            4,
            1,
            vec![200, 30, 90, 10, 250, 120, 77, 77, 77, 255, 0, 128],
        )
        .unwrap()
    }

    #[test]
    fn brightness_multiplies_and_saturates() {
        let mut image = colors();
        adjust_brightness(&mut image, 1.3);
        assert_eq!(
            image.pixels,
            [255, 39, 116, 13, 255, 156, 100, 100, 100, 255, 0, 166]
        );
    }

    #[test]
    fn contrast_moves_away_from_the_mean_luma() {
        let mut image = colors();
        adjust_contrast(&mut image, 0.6);
        assert_eq!(
            image.pixels,
            [161, 59, 95, 47, 191, 113, 87, 87, 87, 194, 41, 118]
        );
    }

    #[test]
    fn saturation_moves_away_from_each_pixels_luma() {
        let mut image = colors();
        adjust_saturation(&mut image, 1.4);
        assert_eq!(
            image.pixels,
            [245, 7, 91, 0, 255, 102, 77, 77, 77, 255, 0, 143]
        );
    }

    #[test]
    fn a_factor_of_one_changes_nothing() {
        for change in [adjust_brightness, adjust_contrast, adjust_saturation] {
            let mut image = colors();
            change(&mut image, 1.0);
            assert_eq!(image, colors());
        }
    }

    #[test]
    fn nothing_configured_changes_nothing() {
        let augment = Augment::new(OFF).unwrap();
        let mut image = colors();
        augment.apply(&mut image, &mut random::stream(1, "augment", &[]));
        assert_eq!(image, colors());
    }

    #[test]
    fn the_same_stream_gives_the_same_image_and_another_one_another() {
        let augment = Augment::new(AugmentConfig {
            horizontal_flip: 0.5,
            vertical_flip: 0.5,
            crop_padding: 2,
            brightness: 0.3,
            contrast: 0.3,
            saturation: 0.3,
        })
        .unwrap();
        let augmented = |epoch| {
            let mut image = image(&[[0, 40, 80, 120], [20, 60, 100, 140], [30, 70, 110, 150]]);
            augment.apply(&mut image, &mut random::stream(1, "augment", &[epoch, 5]));
            image
        };
        assert_eq!(augmented(0), augmented(0));
        assert_ne!(augmented(0), augmented(1));
    }

    #[test]
    fn half_of_the_images_are_flipped_at_probability_one_half() {
        let augment = Augment::new(AugmentConfig {
            horizontal_flip: 0.5,
            ..OFF
        })
        .unwrap();
        let original = image(&[[1, 2]]);
        let flipped = (0..1000)
            .filter(|&index| {
                let mut image = original.clone();
                augment.apply(&mut image, &mut random::stream(3, "augment", &[0, index]));
                image != original
            })
            .count();
        assert!((440..560).contains(&flipped), "{flipped}");
    }

    #[test]
    fn a_setting_out_of_range_is_refused_by_name() {
        let error = Augment::new(AugmentConfig {
            vertical_flip: 1.5,
            ..OFF
        })
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "`augment.vertical_flip` is `1.5`, expected a probability from 0 to 1"
        );
        let not_a_number = AugmentConfig {
            contrast: f64::NAN,
            ..OFF
        };
        assert_eq!(Augment::new(not_a_number).unwrap_err().field, "contrast");
    }
}
