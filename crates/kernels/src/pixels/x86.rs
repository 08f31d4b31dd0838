//! Shuffles of 16, 32 and 64 bytes.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::instructions::InstructionSet;

use super::{BILINEAR_BYTES, Places, scalar};

/// Bytes in a register of [`split`], [`join`] and [`mirror`].
const BYTES: usize = 16;
/// Where a shuffle writes 0.
const NONE: u8 = 0x80;

/// For each channel and each of the three registers that 16 pixels fill: which of its bytes belong where in
/// the channel.
static SPLIT: [[[u8; BYTES]; 3]; 3] = {
    let mut masks = [[[NONE; BYTES]; 3]; 3];
    let mut at = 0;
    while at < 3 * BYTES {
        masks[at % 3][at / BYTES][at / 3] = (at % BYTES) as u8;
        at += 1;
    }
    masks
};

/// For each register and each channel: which of the channel's bytes belong where in the register.
static JOIN: [[[u8; BYTES]; 3]; 3] = {
    let mut masks = [[[NONE; BYTES]; 3]; 3];
    let mut at = 0;
    while at < 3 * BYTES {
        masks[at / BYTES][at % 3][at % BYTES] = (at / 3) as u8;
        at += 1;
    }
    masks
};

#[inline(always)]
fn load(bytes: &[u8; BYTES]) -> __m128i {
    // SAFETY: 16 bytes may be read; the load needs no alignment, and SSE2 is part of x86-64.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline(always)]
fn store(vector: __m128i, bytes: &mut [u8; BYTES]) {
    // SAFETY: 16 bytes may be written; the store needs no alignment, and SSE2 is part of x86-64.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), vector) };
}

#[target_feature(enable = "ssse3")]
pub(super) fn split(pixels: &[u8], channels: [&mut [u8]; 3]) {
    let (blocks, rest) = pixels.as_chunks::<{ 3 * BYTES }>();
    let [(reds, red_rest), (greens, green_rest), (blues, blue_rest)] =
        channels.map(|channel| channel.as_chunks_mut::<BYTES>());
    for (((block, red), green), blue) in blocks.iter().zip(reds).zip(greens).zip(blues) {
        let parts = block.as_chunks::<BYTES>().0;
        let parts = [load(&parts[0]), load(&parts[1]), load(&parts[2])];
        for (channel, masks) in [red, green, blue].into_iter().zip(&SPLIT) {
            let bytes = _mm_or_si128(
                _mm_or_si128(
                    _mm_shuffle_epi8(parts[0], load(&masks[0])),
                    _mm_shuffle_epi8(parts[1], load(&masks[1])),
                ),
                _mm_shuffle_epi8(parts[2], load(&masks[2])),
            );
            store(bytes, channel);
        }
    }
    scalar::split(rest, [red_rest, green_rest, blue_rest]);
}

#[target_feature(enable = "ssse3")]
pub(super) fn join(channels: [&[u8]; 3], pixels: &mut [u8]) {
    let (blocks, rest) = pixels.as_chunks_mut::<{ 3 * BYTES }>();
    let [(reds, red_rest), (greens, green_rest), (blues, blue_rest)] =
        channels.map(|channel| channel.as_chunks::<BYTES>());
    for (((block, red), green), blue) in blocks.iter_mut().zip(reds).zip(greens).zip(blues) {
        let [red, green, blue] = [load(red), load(green), load(blue)];
        for (part, masks) in block.as_chunks_mut::<BYTES>().0.iter_mut().zip(&JOIN) {
            let bytes = _mm_or_si128(
                _mm_or_si128(
                    _mm_shuffle_epi8(red, load(&masks[0])),
                    _mm_shuffle_epi8(green, load(&masks[1])),
                ),
                _mm_shuffle_epi8(blue, load(&masks[2])),
            );
            store(bytes, part);
        }
    }
    scalar::join([red_rest, green_rest, blue_rest], rest);
}

#[target_feature(enable = "ssse3")]
pub(super) fn mirror(row: &[u8], mirrored: &mut [u8]) {
    /// Bytes of the five pixels that are written at a time.
    const PIXELS: usize = 15;
    /// Five pixels after one byte, in the opposite order; the last byte is written over by the next five.
    const ORDER: [u8; BYTES] = [13, 14, 15, 10, 11, 12, 7, 8, 9, 4, 5, 6, 1, 2, 3, 0];
    let order = load(&ORDER);
    let mut done = 0;
    while let (Some(from), Some(to)) = (
        row.len()
            .checked_sub(done + BYTES)
            .and_then(|start| row[start..].first_chunk()),
        mirrored[done..].first_chunk_mut(),
    ) {
        store(_mm_shuffle_epi8(load(from), order), to);
        done += PIXELS;
    }
    scalar::mirror(&row[..row.len() - done], &mut mirrored[done..]);
}

/// Whether the processor shuffles bytes within a vector (SSSE3).
pub(super) fn has_byte_shuffles() -> bool {
    InstructionSet::in_use() >= InstructionSet::Avx2 && is_x86_feature_detected!("ssse3")
}

/// Whether the processor gathers numbers from several places (AVX2).
pub(super) fn has_gathers() -> bool {
    InstructionSet::in_use() >= InstructionSet::Avx2 && is_x86_feature_detected!("avx2")
}

/// Whether the processor permutes bytes by vectors (AVX-512 VBMI).
pub(super) fn has_byte_permutations() -> bool {
    InstructionSet::in_use() >= InstructionSet::Avx512
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) fn look_up(table: &[u8; 256], bytes: &mut [u8]) {
    const WIDTH: usize = 64;
    // SAFETY: 64 bytes may be read; the load needs no alignment.
    let load = |bytes: &[u8; WIDTH]| unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) };
    let parts = table.as_chunks::<WIDTH>().0;
    let parts: [__m512i; 4] = std::array::from_fn(|part| load(&parts[part]));
    let (blocks, rest) = bytes.as_chunks_mut::<WIDTH>();
    for block in blocks {
        let from = load(block);
        // Either looks at the lower seven bits of a byte; the highest tells the half of the table.
        let low = _mm512_permutex2var_epi8(parts[0], from, parts[1]);
        let high = _mm512_permutex2var_epi8(parts[2], from, parts[3]);
        let found = _mm512_mask_blend_epi8(_mm512_movepi8_mask(from), low, high);
        // SAFETY: 64 bytes may be written; the store needs no alignment.
        unsafe { _mm512_storeu_si512(block.as_mut_ptr().cast(), found) };
    }
    scalar::look_up(table, rest);
}

/// Two places at a time, each in its half of a register.
#[target_feature(enable = "avx2")]
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
    let both = |half: [u8; BYTES]| _mm256_broadcastsi128_si256(load(&half));
    // The same channel of both pixels side by side, as numbers of 16 bits.
    const N: u8 = NONE;
    let channels = both([0, N, 3, N, 1, N, 4, N, 2, N, 5, N, N, N, N, N]);
    // Shares come as two of 32 bits; each is repeated in its half.
    let spread = _mm256_setr_epi8(
        0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5,
        6, 7,
    );
    let lowest = both([0, 4, 8, N, N, N, N, N, N, N, N, N, N, N, N, N]);
    let half_across = _mm256_set1_epi32(1 << 7);
    let half_down = _mm256_set1_epi32(1 << 12);
    let pixel = |at: usize| {
        load(
            pixels[at..at + BILINEAR_BYTES]
                .first_chunk()
                .unwrap_or(&[0; BYTES]),
        )
    };
    let two = |first: usize, second: usize| {
        _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(pixel(first)), pixel(second))
    };
    let shares = |[first, second]: [u32; 2]| {
        let both = i64::from(first) | (u64::from(second) << 32) as i64;
        _mm256_shuffle_epi8(_mm256_set1_epi64x(both), spread)
    };
    let pairs = offsets
        .as_chunks::<2>()
        .0
        .iter()
        .zip(across.as_chunks::<2>().0)
        .zip(down.as_chunks::<2>().0);
    let mut done = 0;
    for ((&[first, second], &across), &down) in pairs {
        let (first, second) = (first as usize, second as usize);
        let upper = _mm256_shuffle_epi8(two(first, second), channels);
        let lower = _mm256_shuffle_epi8(two(first + row_bytes, second + row_bytes), channels);
        let across = shares(across);
        let upper = _mm256_add_epi32(_mm256_madd_epi16(upper, across), half_across);
        let lower = _mm256_add_epi32(_mm256_madd_epi16(lower, across), half_across);
        // Both without their last 8 bits, side by side: the lower one's in the upper 16 bits.
        let column = _mm256_blend_epi16::<0b1010_1010>(
            _mm256_srli_epi32::<8>(upper),
            _mm256_slli_epi32::<8>(lower),
        );
        let sum = _mm256_add_epi32(_mm256_madd_epi16(column, shares(down)), half_down);
        let bytes = _mm256_shuffle_epi8(_mm256_srli_epi32::<13>(sum), lowest);
        let first = _mm_cvtsi128_si32(_mm256_castsi256_si128(bytes)) as u32;
        let second = _mm_cvtsi128_si32(_mm256_extracti128_si256::<1>(bytes)) as u32;
        let colors = (u64::from(first) | u64::from(second) << 24).to_le_bytes();
        match results[done * 3..].first_chunk_mut() {
            // The last two bytes are written over by what follows.
            Some(result) => *result = colors,
            None => results[done * 3..done * 3 + 6].copy_from_slice(&colors[..6]),
        }
        done += 2;
    }
    let rest = Places {
        offsets: &offsets[done..],
        across: &across[done..],
        down: &down[done..],
    };
    scalar::bilinear(pixels, row_bytes, rest, &mut results[done * 3..]);
}
