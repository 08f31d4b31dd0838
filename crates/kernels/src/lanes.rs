//! Sums over rows in as many lanes as the widest vectors have, so that their order is the same
//! whatever the processor.

const LANES: usize = 16;

/// The sum of `term(left, right)` over pairs of numbers.
#[inline(always)]
pub(crate) fn sum_of_pairs(left: &[f32], right: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let (lefts, left_rest) = left.as_chunks::<LANES>();
    let (rights, right_rest) = right.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (left, right) in lefts.iter().zip(rights) {
        for lane in 0..LANES {
            sums[lane] += term(left[lane], right[lane]);
        }
    }
    for (lane, (left, right)) in left_rest.iter().zip(right_rest).enumerate() {
        sums[lane] += term(*left, *right);
    }
    total(sums)
}

/// The sum of `term` over numbers.
#[inline(always)]
pub(crate) fn sum_of(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    sum_of_pairs(values, values, |value, _| term(value))
}

/// The largest number; a NaN is passed over.
#[inline(always)]
pub(crate) fn largest(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut best = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            best[lane] = if chunk[lane] > best[lane] {
                chunk[lane]
            } else {
                best[lane]
            };
        }
    }
    let best = best.into_iter().chain(rest.iter().copied());
    best.fold(f32::NEG_INFINITY, f32::max)
}

/// Halves the lanes until one is left.
#[inline(always)]
fn total(mut sums: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_counts_once() {
        for count in [0, 1, 15, 16, 17, 40] {
            let values: Vec<f32> = (1..=count).map(|x| x as f32).collect();
            assert_eq!(sum_of(&values, |x| 2.0 * x), (count * (count + 1)) as f32);
            if count > 0 {
                assert_eq!(largest(&values), count as f32);
            }
        }
    }
}
