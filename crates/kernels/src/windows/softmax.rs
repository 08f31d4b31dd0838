//! Softmax along an axis.

use crate::math::exp;
use crate::strided::for_each_chunk;
use crate::team::Team;
use crate::vectorized;

/// Softmax along the middle axis of `[outer, len, inner]`, or its logarithm.
///
/// # Panics
/// Lengths do not fit the sizes.
pub fn softmax(
    team: &Team,
    logarithm: bool,
    [outer, len, inner]: [usize; 3],
    source: &[f32],
    target: &mut [f32],
) {
    assert_eq!(source.len(), outer * len * inner, "source");
    assert_eq!(target.len(), source.len(), "target");
    if target.is_empty() {
        return;
    }
    let size = len * inner;
    let images = (16 * 1024 / size).clamp(1, outer);
    for_each_chunk(team, outer.div_ceil(images), target, |piece| {
        let range = piece * images * size..outer.min((piece + 1) * images) * size;
        let start = range.start;
        (range, move |target: &mut [f32]| {
            target.copy_from_slice(&source[start..][..target.len()]);
            for image in target.chunks_exact_mut(size) {
                for column in 0..inner {
                    softmax_line(image, column, inner, logarithm);
                }
            }
        })
    });
}

vectorized! {
    fn softmax_line(values: &mut [f32], first: usize, step: usize, logarithm: bool) {
        if step == 1 {
            let most = crate::lanes::largest(values);
            if logarithm {
                let sum = crate::lanes::sum_of(values, |x| exp(x - most));
                let shift = most + sum.ln();
                values.iter_mut().for_each(|x| *x -= shift);
            } else {
                for x in values.iter_mut() {
                    *x = exp(*x - most);
                }
                let factor = 1.0 / crate::lanes::sum_of(values, |x| x);
                values.iter_mut().for_each(|x| *x *= factor);
            }
        } else {
            let column = values[first..].iter().step_by(step);
            let most = column.fold(f32::NEG_INFINITY, |most, x| most.max(*x));
            let mut sum = 0.0;
            for x in values[first..].iter().step_by(step) {
                sum += exp(*x - most);
            }
            let (factor, shift) = (1.0 / sum, most + sum.ln());
            for x in values[first..].iter_mut().step_by(step) {
                *x = if logarithm { *x - shift } else { exp(*x - most) * factor };
            }
        }
    }
}
