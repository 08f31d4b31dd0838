//! Rows of mean 0 and deviation 1.

use crate::strided::for_each_chunk;
use crate::team::Team;
use crate::vectorized;

/// Normalises each row of `len` numbers to mean 0 and deviation 1, times `scale` plus `shift`.
///
/// # Panics
/// Lengths do not fit each other.
pub fn layer_norm(
    team: &Team,
    epsilon: f32,
    [scale, shift]: [&[f32]; 2],
    source: &[f32],
    target: &mut [f32],
) {
    let len = scale.len();
    assert!(shift.is_empty() || shift.len() == len, "shift");
    assert!(source.len() == target.len() && source.len().is_multiple_of(len.max(1)));
    if target.is_empty() {
        return;
    }
    let count = target.len() / len;
    let rows = (8 * 1024 / len).clamp(1, count);
    for_each_chunk(team, count.div_ceil(rows), target, |piece| {
        let range = piece * rows * len..count.min((piece + 1) * rows) * len;
        let start = range.start;
        (range, move |target: &mut [f32]| {
            let source = source[start..].chunks_exact(len);
            for (target, row) in target.chunks_exact_mut(len).zip(source) {
                norm_row(row, scale, shift, epsilon, target);
            }
        })
    });
}

vectorized! {
    fn norm_row(row: &[f32], scale: &[f32], shift: &[f32], epsilon: f32, target: &mut [f32]) {
        let count = row.len() as f32;
        let mean = crate::lanes::sum_of(row, |x| x) / count;
        let variance = crate::lanes::sum_of(row, |x| (x - mean) * (x - mean)) / count;
        let factor = 1.0 / (variance + epsilon).sqrt();
        for ((target, x), scale) in target.iter_mut().zip(row).zip(scale) {
            *target = (*x - mean) * factor * *scale;
        }
        for (target, shift) in target.iter_mut().zip(shift) {
            *target += *shift;
        }
    }
}
