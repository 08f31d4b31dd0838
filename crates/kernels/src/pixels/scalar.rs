//! The scalar twins.

use super::{BILINEAR_BYTES, Places};

pub(super) fn split(pixels: &[u8], [reds, greens, blues]: [&mut [u8]; 3]) {
    let pixels = pixels.as_chunks::<3>().0;
    for (((pixel, red), green), blue) in pixels.iter().zip(reds).zip(greens).zip(blues) {
        [*red, *green, *blue] = *pixel;
    }
}

pub(super) fn join([reds, greens, blues]: [&[u8]; 3], pixels: &mut [u8]) {
    let pixels = pixels.as_chunks_mut::<3>().0;
    for (((pixel, red), green), blue) in pixels.iter_mut().zip(reds).zip(greens).zip(blues) {
        *pixel = [*red, *green, *blue];
    }
}

pub(super) fn mirror(row: &[u8], mirrored: &mut [u8]) {
    let pixels = row.as_chunks::<3>().0.iter().rev();
    for (mirrored, pixel) in mirrored.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
        *mirrored = *pixel;
    }
}

pub(super) fn look_up(table: &[u8; 256], bytes: &mut [u8]) {
    for byte in bytes {
        *byte = table[usize::from(*byte)];
    }
}

pub(super) fn bilinear(
    pixels: &[u8],
    row_bytes: usize,
    Places {
        offsets,
        across,
        down,
    }: Places<'_>,
    results: &mut [u8],
) {
    let places = offsets.iter().zip(across).zip(down);
    for (((&offset, &across), &down), result) in places.zip(results.as_chunks_mut::<3>().0) {
        let offset = offset as usize;
        let upper = &pixels[offset..offset + BILINEAR_BYTES];
        let lower = &pixels[offset + row_bytes..offset + row_bytes + BILINEAR_BYTES];
        *result = blend([pair(upper), pair(lower)], across, down);
    }
}

/// The first two pixels, their channels in lanes.
#[inline(always)]
fn pair(bytes: &[u8]) -> [u64; 2] {
    let bytes = bytes
        .first_chunk()
        .map_or(0, |first| u64::from_le_bytes(*first));
    [spread(bytes), spread(bytes >> 24)]
}

/// The three lowest bytes in lanes of 21 bits, so that one multiplication does three channels.
#[inline(always)]
const fn spread(bytes: u64) -> u64 {
    (bytes & 0xFF) | (bytes & 0xFF00) << 13 | (bytes & 0xFF_0000) << 26
}

/// Averages four pixels in lanes. Along a row with 12 bits, which fit a lane with the 8 of a value;
/// then 12 bits are kept, which fit a lane with 9 bits down.
#[inline(always)]
fn blend([upper, lower]: [[u64; 2]; 2], across: u32, down: u32) -> [u8; 3] {
    /// One in each lane.
    const LANES: u64 = 1 | 1 << 21 | 1 << 42;
    let split = |shares: u32| [u64::from(shares & 0xFFFF), u64::from(shares >> 16)];
    let ([left, right], [above, below]) = (split(across), split(down));
    let along = |[first, second]: [u64; 2]| {
        ((first * left + second * right + LANES * 128) >> 8) & (LANES * 0xFFF)
    };
    let sum = (along(upper) * above + along(lower) * below + LANES * 4096) >> 13;
    [sum as u8, (sum >> 21) as u8, (sum >> 42) as u8]
}
