//! Resizing: the common kinds by mixing four pixels, all others by factors along one axis after the
//! other.

use crate::strided::for_each_chunk;
use crate::team::Team;
use crate::vectorized;

/// Where an output pixel comes from along one axis: two input pixels and the share of the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The pixel before.
    pub low: usize,
    /// The pixel behind.
    pub high: usize,
    /// The share of `high`.
    pub share: f32,
}

/// Writes images of `samples[0]` by `samples[1]` pixels, each a mixture of up to four of `input`'s.
///
/// # Panics
/// Lengths do not fit, or a sample lies outside the image.
pub fn resize(
    team: &Team,
    input: [usize; 2],
    channels: usize,
    samples: [&[Sample]; 2],
    source: &[f32],
    target: &mut [f32],
) {
    let image_len = input[0] * input[1] * channels;
    let row_len = samples[1].len() * channels;
    let rows = samples[0].len();
    if target.is_empty() || row_len == 0 {
        return;
    }
    let images = target.len() / (rows * row_len);
    assert_eq!(target.len(), images * rows * row_len, "target");
    assert_eq!(source.len(), images * image_len, "source");
    for_each_chunk(team, images * rows, target, |piece| {
        let range = piece * row_len..(piece + 1) * row_len;
        (range, move |target: &mut [f32]| {
            let image = &source[piece / rows * image_len..][..image_len];
            let row = samples[0][piece % rows];
            let line = |y: usize| &image[y * input[1] * channels..][..input[1] * channels];
            let lines = [line(row.low), line(row.high)];
            for (sample, target) in samples[1].iter().zip(target.chunks_exact_mut(channels)) {
                let pixel = |line: usize, x: usize| &lines[line][x * channels..][..channels];
                if row.share == 0.0 && sample.share == 0.0 {
                    target.copy_from_slice(pixel(0, sample.low));
                } else {
                    let corners = [
                        pixel(0, sample.low),
                        pixel(0, sample.high),
                        pixel(1, sample.low),
                        pixel(1, sample.high),
                    ];
                    mix(corners, [row.share, sample.share], target);
                }
            }
        })
    });
}

vectorized! {
    fn mix(corners: [&[f32]; 4], shares: [f32; 2], target: &mut [f32]) {
        let [a, b, c, d] = corners;
        let count = target.len();
        let (a, b, c, d) = (&a[..count], &b[..count], &c[..count], &d[..count]);
        for index in 0..count {
            let above = a[index] + shares[1] * (b[index] - a[index]);
            let below = c[index] + shares[1] * (d[index] - c[index]);
            target[index] = above + shares[0] * (below - above);
        }
    }
}

/// What each element of an axis is mixed from: `count` elements of the input with a factor each.
#[derive(Debug, Clone, PartialEq)]
pub struct Taps {
    /// Elements that one is mixed from.
    pub count: usize,
    /// Their places along the axis, `[output, count]`.
    pub places: Vec<u32>,
    /// Their factors, `[output, count]`.
    pub factors: Vec<f32>,
}

impl Taps {
    /// Elements that come out.
    pub fn outputs(&self) -> usize {
        self.places.len() / self.count.max(1)
    }
}

/// Below so many numbers side by side, all lines of an image are taken at a time.
const FEW_NUMBERS: usize = 64;

/// Mixes the middle axis of `[outer, len, inner]` to as many elements as `taps` tell.
///
/// # Panics
/// Lengths do not fit, or a place lies outside the axis.
pub fn resample(
    team: &Team,
    taps: &Taps,
    [outer, len, inner]: [usize; 3],
    source: &[f32],
    target: &mut [f32],
) {
    let outputs = taps.outputs();
    assert_eq!(taps.places.len(), taps.factors.len(), "factors");
    assert_eq!(source.len(), outer * len * inner, "source");
    assert_eq!(target.len(), outer * outputs * inner, "target");
    if target.is_empty() {
        return;
    }
    let lines = if inner < FEW_NUMBERS { outputs } else { 1 };
    let parts = outputs / lines;
    for_each_chunk(team, outer * parts, target, |piece| {
        let range = piece * lines * inner..(piece + 1) * lines * inner;
        (range, move |target: &mut [f32]| {
            let source = &source[piece / parts * len * inner..][..len * inner];
            let first = piece % parts;
            for (index, target) in target.chunks_exact_mut(inner).enumerate() {
                let at = (first + index) * taps.count..(first + index + 1) * taps.count;
                mix_lines(&taps.places[at.clone()], &taps.factors[at], source, target);
            }
        })
    });
}

vectorized! {
    fn mix_lines(places: &[u32], factors: &[f32], source: &[f32], target: &mut [f32]) {
        let count = target.len();
        target.fill(0.0);
        for (place, factor) in places.iter().zip(factors) {
            let line = &source[*place as usize * count..][..count];
            for (target, number) in target.iter_mut().zip(line) {
                *target += *factor * *number;
            }
        }
    }
}
