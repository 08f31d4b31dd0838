//! Smooth noise without tables: every lattice point has a number of its own, a hash of where it is.

use super::paint::Point;

/// A well mixed number for a lattice point (a 2-D variant of C. Wellons' `lowbias32`).
fn hash(column: i32, row: i32, seed: u32) -> u32 {
    let mut h = (column as u32).wrapping_mul(0x9E37_79B1)
        ^ (row as u32).wrapping_mul(0x85EB_CA77).rotate_left(13)
        ^ seed;
    h = (h ^ (h >> 16)).wrapping_mul(0x21F0_AAAD);
    h = (h ^ (h >> 15)).wrapping_mul(0x735A_2D97);
    h ^ (h >> 15)
}

/// A number in `[0, 1)` for a lattice point.
pub(super) fn lattice(column: i32, row: i32, seed: u32) -> f32 {
    const STEP: f32 = 1.0 / (1 << 24) as f32;
    (hash(column, row, seed) >> 8) as f32 * STEP
}

/// Three numbers in `[0, 1)` for a lattice point, cheaper than three calls of [`lattice`].
pub(super) fn lattice3(column: i32, row: i32, seed: u32) -> [f32; 3] {
    const STEP: f32 = 1.0 / 1024.0;
    let h = hash(column, row, seed);
    [h & 1023, h >> 10 & 1023, h >> 20 & 1023].map(|bits| bits as f32 * STEP)
}

/// Value noise, -1 to 1, with features about one unit wide.
pub(super) fn smooth(at: Point, seed: u32) -> f32 {
    let (left, top) = (at.x.floor(), at.y.floor());
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (right_share, bottom_share) = (ease(at.x - left), ease(at.y - top));
    let (column, row) = (left as i32, top as i32);
    let between = |a: f32, b: f32, share: f32| a + (b - a) * share;
    let row_value = |row| {
        between(
            lattice(column, row, seed),
            lattice(column + 1, row, seed),
            right_share,
        )
    };
    between(row_value(row), row_value(row + 1), bottom_share) * 2.0 - 1.0
}

/// Value noise with finer noise on top, about -1 to 1; each octave twice as fine and half as strong.
pub(super) fn fractal(at: Point, seed: u32, octaves: u32) -> f32 {
    let (mut sum, mut strength, mut at) = (0.0, 1.0, at);
    for octave in 0..octaves {
        sum += strength * smooth(at, seed.wrapping_add(octave * 0x9E37));
        strength *= 0.5;
        // Turned as well, so that the lattices' lines do not lie on each other.
        at = Point {
            x: 1.6 * at.x - 1.2 * at.y,
            y: 1.2 * at.x + 1.6 * at.y,
        };
    }
    sum * 0.7
}
