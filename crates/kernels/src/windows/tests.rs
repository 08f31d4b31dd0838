//! Each loop against its definition, with one thread and with several.

use std::num::NonZeroUsize;

use super::*;
use crate::convolution::prepared::Geometry;

fn teams() -> [Team; 2] {
    [1, 3].map(|threads| Team::new(NonZeroUsize::new(threads).unwrap()))
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len)
        .map(|index| ((index * 7919) % 97) as f32 / 16.0 - 3.0)
        .collect()
}

fn assert_close(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        let limit = 1e-4 * (1.0 + expected.abs());
        assert!(error < limit, "{place}: {found} {expected}");
    }
}

/// Windows of 3×2 with a step of 2, one pixel of padding on all sides, over images of 5×4.
#[test]
fn pooled_numbers_are_those_of_the_definition() {
    let geometry = Geometry {
        batch: 2,
        input: [5, 4],
        output: [3, 3],
        stride: [2, 2],
        dilation: [1, 1],
        padding: [1, 1],
    };
    let channels = 19;
    let source = numbers(2 * 20 * channels);
    let with_padding = Pool::MeanWithPadding {
        end_padding: [1, 1],
    };
    for kind in [Pool::Maximum, Pool::Mean, with_padding] {
        let mut expected = Vec::new();
        for place in 0..2 * 9 * channels {
            let (pixel, channel) = (place / channels, place % channels);
            let (image, y, x) = (pixel / 9, pixel % 9 / 3, pixel % 3);
            let mut seen = Vec::new();
            for (dy, dx) in (0..6).map(|tap| (tap / 2, tap % 2)) {
                let (Some(row), Some(column)) =
                    ((2 * y + dy).checked_sub(1), (2 * x + dx).checked_sub(1))
                else {
                    continue;
                };
                if row < 5 && column < 4 {
                    let at = ((image * 5 + row) * 4 + column) * channels + channel;
                    seen.push(f64::from(source[at]));
                }
            }
            let sum: f64 = seen.iter().sum();
            expected.push(match kind {
                Pool::Maximum => seen.iter().copied().fold(f64::MIN, f64::max),
                Pool::Mean => sum / seen.len() as f64,
                Pool::MeanWithPadding { .. } => sum / 6.0,
            });
        }
        for team in teams() {
            let mut target = vec![0.0; expected.len()];
            pool(
                &team,
                kind,
                &geometry,
                [3, 2],
                channels,
                &source,
                &mut target,
            );
            assert_close(&target, &expected);
        }
    }
}

#[test]
fn reductions_and_softmax_are_those_of_the_definition() {
    for [outer, len, inner] in [[2, 49, 100], [3, 7, 1], [1, 200, 5]] {
        let source = numbers(outer * len * inner);
        let line = |place: usize| {
            let (image, column) = (place / inner, place % inner);
            let source = &source;
            (0..len).map(move |at| f64::from(source[(image * len + at) * inner + column]))
        };
        for team in teams() {
            for kind in [
                Reduction::Mean,
                Reduction::Sum,
                Reduction::Maximum,
                Reduction::Minimum,
                Reduction::Product,
            ] {
                if kind == Reduction::Product && len > 7 {
                    // Beyond the largest float.
                    continue;
                }
                let expected = (0..outer * inner).map(|place| match kind {
                    Reduction::Mean => line(place).sum::<f64>() / len as f64,
                    Reduction::Sum => line(place).sum(),
                    Reduction::Maximum => line(place).fold(f64::MIN, f64::max),
                    Reduction::Minimum => line(place).fold(f64::MAX, f64::min),
                    Reduction::Product => line(place).product(),
                });
                let expected: Vec<f64> = expected.collect();
                let mut target = vec![0.0; expected.len()];
                reduce(&team, kind, [outer, len, inner], &source, &mut target);
                assert_close(&target, &expected);
            }
            for logarithm in [false, true] {
                let mut target = vec![0.0; source.len()];
                softmax(&team, logarithm, [outer, len, inner], &source, &mut target);
                for (place, found) in target.iter().enumerate() {
                    let (image, column) = (place / (len * inner), place % inner);
                    let sum: f64 = line(image * inner + column).map(f64::exp).sum();
                    let share = f64::from(source[place]).exp() / sum;
                    let expected = if logarithm { share.ln() } else { share };
                    assert!((f64::from(*found) - expected).abs() < 1e-4, "{place}");
                }
            }
        }
    }
}

#[test]
fn a_resized_pixel_is_a_mixture_of_its_neighbours() {
    let source = numbers(2 * 2 * 3);
    let near = |low| Sample {
        low,
        high: low,
        share: 0.0,
    };
    let between = Sample {
        low: 0,
        high: 1,
        share: 0.25,
    };
    for team in teams() {
        let mut target = vec![0.0; 2 * 3 * 3];
        let rows = [near(1), between];
        let columns = [near(0), between, near(1)];
        resize(&team, [2, 2], 3, [&rows, &columns], &source, &mut target);
        assert_eq!(target[..3], source[6..9]);
        let expected = source[6] * 0.75 + source[9] * 0.25;
        assert!((target[3] - expected).abs() < 1e-6);
        let above = source[0] * 0.75 + source[3] * 0.25;
        assert!((target[12] - (above * 0.75 + expected * 0.25)).abs() < 1e-6);
    }
}

#[test]
fn a_normalised_row_has_mean_zero_and_deviation_one() {
    let source = numbers(3 * 40);
    for team in teams() {
        let mut target = vec![0.0; source.len()];
        layer_norm(&team, 0.0, [&[1.0; 40], &[]], &source, &mut target);
        for row in target.chunks(40) {
            let mean = row.iter().sum::<f32>() / 40.0;
            let square = row.iter().map(|x| x * x).sum::<f32>() / 40.0;
            assert!(mean.abs() < 1e-5 && (square - 1.0).abs() < 1e-4);
        }
    }
}

#[test]
fn a_resampled_element_is_the_sum_of_its_taps() {
    let taps = Taps {
        count: 3,
        places: vec![0, 1, 2, 4, 4, 0],
        factors: vec![0.5, -1.0, 2.0, 1.0, 0.25, 0.0],
    };
    for [outer, inner] in [[2, 1], [3, 7], [2, 200]] {
        let source = numbers(outer * 5 * inner);
        let mut expected = Vec::new();
        for place in 0..outer * 2 * inner {
            let (image, index, column) = (place / (2 * inner), place / inner % 2, place % inner);
            let of = |tap: usize| {
                let at = taps.places[index * 3 + tap] as usize;
                let number = source[(image * 5 + at) * inner + column];
                f64::from(taps.factors[index * 3 + tap]) * f64::from(number)
            };
            expected.push(of(0) + of(1) + of(2));
        }
        for team in teams() {
            let mut target = vec![9.0; expected.len()];
            resample(&team, &taps, [outer, 5, inner], &source, &mut target);
            assert_close(&target, &expected);
        }
    }
}
