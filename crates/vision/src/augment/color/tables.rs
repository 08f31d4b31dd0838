//! What each byte becomes.

use ferrotype_kernels::pixels::{look_up, looks_up_in_vectors};

use super::blocks::{Planes, change_blocks};
use super::to_byte;

/// What each value of a channel becomes.
pub type ColorTable = [u8; 256];

/// A table for each channel.
#[derive(Clone, PartialEq)]
pub struct Tables(Box<[ColorTable; 3]>);

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tables")
    }
}

impl Tables {
    /// A table for each channel.
    pub fn new(tables: [ColorTable; 3]) -> Self {
        Self(Box::new(tables))
    }

    /// The same function for all channels, its results cut off to bytes.
    pub fn of(change: impl Fn(f32) -> f32) -> Self {
        let table: ColorTable = std::array::from_fn(|value| to_byte(change(value as f32)));
        Self::new([table; 3])
    }

    /// Multiplies and adds (`random_brightness_contrast`; alone, torchvision's brightness).
    pub fn linear(factor: f32, offset: f32) -> Self {
        Self::of(|value| value * factor + offset)
    }

    /// Adds whole numbers to red, green and blue.
    pub fn shift(shifts: [f32; 3]) -> Self {
        Self::new(
            shifts.map(|shift| std::array::from_fn(|value| to_byte(value as f32 + shift.trunc()))),
        )
    }

    /// Values in 0 to 1 to a power.
    pub fn gamma(power: f64) -> Self {
        let table = std::array::from_fn(|value| ((value as f64 / 255.0).powf(power) * 255.0) as u8);
        Self::new([table; 3])
    }

    /// Keeps the upper bits.
    pub fn posterize(bits: u32) -> Self {
        let mask = !0_u8 << 8_u32.saturating_sub(bits).min(7);
        Self::new([std::array::from_fn(|value| value as u8 & mask); 3])
    }

    /// Inverts values from a threshold on.
    pub fn solarize(threshold: f32) -> Self {
        Self::of(|value| {
            if value >= threshold {
                255.0 - value
            } else {
                value
            }
        })
    }

    /// Replaces each value by its complement.
    pub fn invert() -> Self {
        Self::of(|value| 255.0 - value)
    }

    /// First these, then others.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        Self::new(std::array::from_fn(|channel| {
            self.0[channel].map(|value| next.0[channel][usize::from(value)])
        }))
    }

    /// Replaces the bytes of pixels.
    pub(super) fn apply(&self, pixels: &mut [u8]) {
        let [red, green, blue] = &*self.0;
        if red == green && green == blue {
            return look_up(red, pixels);
        }
        if looks_up_in_vectors() {
            return change_blocks(pixels, |planes| self.apply_to_planes(planes));
        }
        for pixel in pixels.as_chunks_mut::<3>().0 {
            let [r, g, b] = *pixel;
            *pixel = [
                red[usize::from(r)],
                green[usize::from(g)],
                blue[usize::from(b)],
            ];
        }
    }

    /// Replaces the bytes of pixels whose channels lie apart.
    pub(super) fn apply_to_planes(&self, planes: &mut Planes) {
        for (table, plane) in self.0.iter().zip(planes) {
            look_up(table, plane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_one_after_another_are_one_table() {
        let first = Tables::linear(1.3, -20.0);
        let second = Tables::posterize(3);
        let both = first.then(&second);
        let pixels: Vec<u8> = (0..=254).collect();
        let (mut one_by_one, mut at_once) = (pixels.clone(), pixels);
        first.apply(&mut one_by_one);
        second.apply(&mut one_by_one);
        both.apply(&mut at_once);
        assert_eq!(one_by_one, at_once);
    }
}
