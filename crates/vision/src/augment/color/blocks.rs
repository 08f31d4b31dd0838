//! Loops over pixels in blocks of planes, which the compiler turns into vectors.

use ferrotype_kernels::vectorized;

/// Pixels in one block.
pub(super) const BLOCK: usize = 64;
/// The values of one channel of a block.
pub(super) type Plane = [f32; BLOCK];

/// Changes the three planes of each block of pixels; the results are cut off to bytes.
#[inline(always)]
pub(super) fn for_each_block(pixels: &mut [u8], change: impl Fn(&mut [Plane; 3])) {
    let (blocks, rest) = pixels.as_chunks_mut::<{ BLOCK * 3 }>();
    for block in blocks {
        change_block(block, &change);
    }
    if !rest.is_empty() {
        let mut block = [0; BLOCK * 3];
        block[..rest.len()].copy_from_slice(rest);
        change_block(&mut block, &change);
        rest.copy_from_slice(&block[..rest.len()]);
    }
}

#[inline(always)]
fn change_block(block: &mut [u8; BLOCK * 3], change: &impl Fn(&mut [Plane; 3])) {
    let mut planes = [[0.0; BLOCK]; 3];
    for (index, pixel) in block.as_chunks::<3>().0.iter().enumerate() {
        for (plane, &value) in planes.iter_mut().zip(pixel) {
            plane[index] = f32::from(value);
        }
    }
    change(&mut planes);
    for (index, pixel) in block.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        for (plane, value) in planes.iter().zip(pixel) {
            *value = byte(plane[index]);
        }
    }
}

/// A byte from a real value; through a whole number, which is quicker in vectors.
#[inline(always)]
fn byte(value: f32) -> u8 {
    value.clamp(0.0, 255.0) as i32 as u8
}

/// The whole part of a number that is not negative.
#[inline(always)]
pub(super) fn whole(value: f32) -> f32 {
    value as i32 as f32
}

vectorized! {
    /// Moves every pixel away from its own luma by `factor`: 0 is gray, 1 no change.
    pub(super) fn saturate(pixels: &mut [u8], factor: f32) {
        let gray_share = 1.0 - factor;
        for_each_block(pixels, #[inline(always)] |planes| {
            let [reds, greens, blues] = planes;
            for ((red, green), blue) in reds.iter_mut().zip(greens).zip(blues) {
                let luma = 0.2989 * *red + 0.587 * *green + 0.114 * *blue;
                let gray = gray_share * whole(luma);
                *red = factor * *red + gray;
                *green = factor * *green + gray;
                *blue = factor * *blue + gray;
            }
        });
    }

    /// Three times the luma, weighed and rounded as OpenCV's conversion does.
    pub(super) fn gray(pixels: &mut [u8]) {
        for_each_block(pixels, #[inline(always)] |planes| {
            let [reds, greens, blues] = planes;
            for ((red, green), blue) in reds.iter_mut().zip(greens).zip(blues) {
                let sum = 9798 * *red as i32 + 19_235 * *green as i32 + 3735 * *blue as i32;
                let luma = ((sum + (1 << 14)) >> 15) as f32;
                *red = luma;
                *green = luma;
                *blue = luma;
            }
        });
    }
}
