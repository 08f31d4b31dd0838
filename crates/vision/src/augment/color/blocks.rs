//! Loops over pixels in blocks whose channels lie apart, which the compiler turns into vectors.

use ferrotype_kernels::{pixels, vectorized};

/// Pixels in one block; with what is made of them they stay in the first-level cache.
pub(super) const BLOCK: usize = 1024;
/// The channels of a block.
pub(in crate::augment) type Planes = [[u8; BLOCK]; 3];

/// Changes the channels of each block of pixels. The last block may be filled up with anything.
pub(in crate::augment) fn change_blocks(pixels: &mut [u8], mut change: impl FnMut(&mut Planes)) {
    let mut planes = [[0; BLOCK]; 3];
    for block in pixels.chunks_mut(3 * BLOCK) {
        let count = block.len() / 3;
        pixels::split(block, planes.each_mut().map(|plane| &mut plane[..count]));
        change(&mut planes);
        pixels::join(planes.each_ref().map(|plane| &plane[..count]), block);
    }
}

/// Looks at the channels of each block of pixels, and how many pixels it has; the last block is filled up
/// with black.
pub(in crate::augment) fn for_each_block(pixels: &[u8], mut look: impl FnMut(&Planes, usize)) {
    let mut planes = [[0; BLOCK]; 3];
    for block in pixels.chunks(3 * BLOCK) {
        let count = block.len() / 3;
        pixels::split(block, planes.each_mut().map(|plane| &mut plane[..count]));
        for plane in &mut planes {
            plane[count..].fill(0);
        }
        look(&planes, count);
    }
}

/// Changes each pixel of a block; the results are cut off to bytes.
#[inline(always)]
pub(super) fn map(planes: &mut Planes, change: impl Fn([f32; 3]) -> [f32; 3]) {
    let [reds, greens, blues] = planes;
    for index in 0..BLOCK {
        let color = [reds[index], greens[index], blues[index]].map(f32::from);
        let [red, green, blue] = change(color);
        reds[index] = byte(red);
        greens[index] = byte(green);
        blues[index] = byte(blue);
    }
}

/// 1.5 · 2²³: a sum with it has no bits after the point, and its lowest ones are a whole number's.
///
/// Conversions by `as` saturate, which the compiler does value by value; these it does in vectors.
const SHIFT: f32 = 12_582_912.0;

/// The nearest whole number of a value below 2²².
#[inline(always)]
pub(in crate::augment) fn nearest(value: f32) -> f32 {
    (value + SHIFT) - SHIFT
}

/// The whole number below a value, which is below 2²².
#[inline(always)]
pub(in crate::augment) fn whole(value: f32) -> f32 {
    let near = nearest(value);
    if near > value { near - 1.0 } else { near }
}

/// The nearest whole number of a value below 2²², as an integer.
#[inline(always)]
pub(in crate::augment) fn integer(value: f32) -> i32 {
    (value + SHIFT).to_bits() as i32 - SHIFT.to_bits() as i32
}

/// A byte from a real value, cut off.
#[inline(always)]
pub(in crate::augment) fn byte(value: f32) -> u8 {
    integer(whole(value.clamp(0.0, 255.0))) as u8
}

/// Luma as torchvision weighs it.
#[inline(always)]
fn luma([red, green, blue]: [f32; 3]) -> f32 {
    0.2989 * red + 0.587 * green + 0.114 * blue
}

vectorized! {
    /// Moves every pixel away from its own luma by `factor`: 0 is gray, 1 no change.
    pub(super) fn saturate(planes: &mut Planes, factor: f32) {
        let gray_share = 1.0 - factor;
        map(planes, #[inline(always)] |color| {
            let gray = gray_share * whole(luma(color));
            color.map(|value| factor * value + gray)
        });
    }

    /// Three times the luma, weighed and rounded as OpenCV's conversion does.
    pub(super) fn gray(planes: &mut Planes) {
        let [reds, greens, blues] = planes;
        for index in 0..BLOCK {
            let [red, green, blue] =
                [reds[index], greens[index], blues[index]].map(i32::from);
            let sum = 9798 * red + 19_235 * green + 3735 * blue;
            let luma = ((sum + (1 << 14)) >> 15) as u8;
            reds[index] = luma;
            greens[index] = luma;
            blues[index] = luma;
        }
    }

    /// Adds the lumas of a block, each cut off to a byte.
    pub(super) fn add_lumas(planes: &Planes, total: &mut u64) {
        let [reds, greens, blues] = planes;
        let mut sum = 0_i32;
        for index in 0..BLOCK {
            let color = [reds[index], greens[index], blues[index]].map(f32::from);
            sum += integer(whole(luma(color)));
        }
        *total += sum as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_those_of_casts() {
        for step in 0..=256 * 64_u16 {
            for value in [f32::from(step) / 64.0, f32::from(step).next_down() / 64.0] {
                assert_eq!(byte(value), value as u8, "{value}");
                assert_eq!(whole(value), value.floor(), "{value}");
                assert_eq!(
                    integer(-value),
                    -(value.round_ties_even() as i32),
                    "{value}"
                );
            }
        }
        assert_eq!([byte(-0.1), byte(255.9), byte(1e9)], [0, 255, 255]);
    }
}
