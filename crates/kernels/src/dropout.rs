//! Numbers zeroed at random, by a mask of one bit each.

use rayon::prelude::*;

use crate::vectorized::vectorized;

/// Bytes of the mask of `count` numbers.
pub const fn mask_len(count: usize) -> usize {
    count.div_ceil(8)
}

/// Bytes of the mask that one thread takes at a time.
const BYTES_AT_ONCE: usize = 2048;

/// Zeroes the numbers whose bit of `mask` is unset (lowest bits first), multiplies the others by
/// `factor`.
///
/// # Panics
/// `mask` is not [`mask_len`] bytes.
pub fn apply(values: &mut [f32], mask: &[u8], factor: f32) {
    assert_eq!(mask.len(), mask_len(values.len()), "lengths differ");
    values
        .par_chunks_mut(8 * BYTES_AT_ONCE)
        .zip(mask.par_chunks(BYTES_AT_ONCE))
        .for_each(|(values, mask)| apply_piece(values, mask, factor));
}

vectorized! {
    fn apply_piece(values: &mut [f32], mask: &[u8], factor: f32) {
        for (values, bits) in values.chunks_mut(8).zip(mask) {
            for (bit, value) in values.iter_mut().enumerate() {
                *value = if bits >> bit & 1 == 1 { *value * factor } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_bits_are_kept() {
        let mut values = [1.0; 10];
        apply(&mut values, &[0b1000_0101, 0b10], 2.0);
        assert_eq!(values, [2.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 2.0]);
    }
}
