//! CIE L*a*b* as OpenCV has it in bytes: lightness times 255/100, a and b plus 128.

use std::sync::LazyLock;

use ferrotype_kernels::vectorized;

use super::blocks::{BLOCK, Planes, integer};

/// Bits after the point of linear values, of coefficients and of their roots, as in OpenCV.
const LINEAR_BITS: u32 = 3;
const COEFFICIENT_BITS: u32 = 12;
const ROOT_BITS: u32 = 15;
/// The largest linear value.
const WHITE: f64 = (255 << LINEAR_BITS) as f64;
/// Linear values that have a root: a power of two, and some more than a colour has.
const ROOTS: usize = 4096;
/// From linear red, green and blue to X, Y and Z (sRGB, D65), X and Z divided by white's.
const TO_XYZ: [[f64; 3]; 3] = [
    [
        0.412_453 / 0.950_456,
        0.357_580 / 0.950_456,
        0.180_423 / 0.950_456,
    ],
    [0.212_671, 0.715_160, 0.072_169],
    [
        0.019_334 / 1.088_754,
        0.119_193 / 1.088_754,
        0.950_227 / 1.088_754,
    ],
];
/// Steps of linear 0 to 1 on the way back.
const STEPS: f32 = 4096.0;
/// Below this a step is a sixteenth of that, for a dark value changes by several bytes in one.
const DARK: f32 = 1.0 / 64.0;
/// The steps below it.
const DARK_STEPS: usize = 1024;
/// A power of two with room for both.
const CURVE: usize = 8192;

/// Tables of what costs most: sRGB's curve and the cube root.
struct Curves {
    linear: [u16; 256],
    root: Box<[u16; ROOTS]>,
    coefficients: [[i32; 3]; 3],
    /// sRGB's bytes of linear 0 to 1, by [`step`].
    byte: Box<[u8; CURVE]>,
}

static CURVES: LazyLock<Curves> = LazyLock::new(|| {
    let linear = |value: f64| {
        if value <= 0.040_45 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    let root = |value: f64| {
        if value < 216.0 / 24_389.0 {
            (841.0 / 108.0) * value + 16.0 / 116.0
        } else {
            value.cbrt()
        }
    };
    let fixed = |value: f64, bits: u32| (value * f64::from(1 << bits)).round_ties_even() as i32;
    Curves {
        linear: std::array::from_fn(|byte| {
            (WHITE * linear(byte as f64 / 255.0)).round_ties_even() as u16
        }),
        root: Box::new(std::array::from_fn(|index| {
            fixed(root(index as f64 / WHITE), ROOT_BITS) as u16
        })),
        coefficients: TO_XYZ.map(|row| row.map(|value| fixed(value, COEFFICIENT_BITS))),
        byte: Box::new(std::array::from_fn(|index| {
            if index <= DARK_STEPS {
                curved(index as f32 / (16.0 * STEPS))
            } else {
                curved((index - DARK_STEPS) as f32 / STEPS)
            }
        })),
    }
});

/// sRGB's byte of a linear value.
fn curved(linear: f32) -> u8 {
    let value = if linear <= 0.003_130_8 {
        linear.max(0.0) * 12.92
    } else {
        1.055 * linear.min(1.0).powf(1.0 / 2.4) - 0.055
    };
    (value * 255.0 + 0.5) as u8
}

/// Index in the table of bytes.
#[inline(always)]
fn step(linear: f32) -> u16 {
    let linear = linear.clamp(0.0, 1.0);
    let step = if linear < DARK {
        linear * (16.0 * STEPS)
    } else {
        linear * STEPS + DARK_STEPS as f32
    };
    integer(step) as u16
}

/// Divides by a power of two, rounded.
#[inline(always)]
const fn descale(value: i32, bits: u32) -> i32 {
    (value + (1 << (bits - 1))) >> bits
}

/// Entries of a table that has a power of two of them.
fn look_up<T: Copy, const N: usize>(
    table: &[T; N],
    indices: &[u16; BLOCK],
    found: &mut [T; BLOCK],
) {
    for (found, &index) in found.iter_mut().zip(indices) {
        *found = table[usize::from(index) & (N - 1)];
    }
}

type Words = [[u16; BLOCK]; 3];

/// Lightness, a and b of a block's colours, to the bit as OpenCV's.
pub(super) fn from_rgb(planes: &Planes, lab: &mut Planes) {
    let curves = &*CURVES;
    let (mut linear, mut sums, mut roots) = ([[0; BLOCK]; 3], [[0; BLOCK]; 3], [[0; BLOCK]; 3]);
    for (linear, plane) in linear.iter_mut().zip(planes) {
        for (linear, &byte) in linear.iter_mut().zip(plane) {
            *linear = curves.linear[usize::from(byte)];
        }
    }
    to_xyz(&linear, &curves.coefficients, &mut sums);
    for (roots, sums) in roots.iter_mut().zip(&sums) {
        look_up(&curves.root, sums, roots);
    }
    to_lab(&roots, lab);
}

/// The colours of a block's lightness, a and b.
pub(super) fn to_rgb(lab: &Planes, planes: &mut Planes) {
    let mut steps = [[0; BLOCK]; 3];
    to_steps(lab, &mut steps);
    for (plane, steps) in planes.iter_mut().zip(&steps) {
        look_up(&CURVES.byte, steps, plane);
    }
}

vectorized! {
    fn to_xyz(linear: &Words, coefficients: &[[i32; 3]; 3], sums: &mut Words) {
        let [reds, greens, blues] = linear;
        for (sums, &[red, green, blue]) in sums.iter_mut().zip(coefficients) {
            for index in 0..BLOCK {
                let [r, g, b] = [reds[index], greens[index], blues[index]].map(i32::from);
                let sum = descale(red * r + green * g + blue * b, COEFFICIENT_BITS);
                sums[index] = sum as u16;
            }
        }
    }

    fn to_lab(roots: &Words, lab: &mut Planes) {
        const SCALE: i32 = (116 * 255 + 50) / 100;
        const SHIFT: i32 = -((16 * 255 * (1 << ROOT_BITS) + 50) / 100);
        const MIDDLE: i32 = 128 << ROOT_BITS;
        let [xs, ys, zs] = roots;
        let [lightnesses, greens, blues] = lab;
        for index in 0..BLOCK {
            let [x, y, z] = [xs[index], ys[index], zs[index]].map(i32::from);
            let byte = |value: i32| descale(value, ROOT_BITS).clamp(0, 255) as u8;
            lightnesses[index] = byte(SCALE * y + SHIFT);
            greens[index] = byte(500 * (x - y) + MIDDLE);
            blues[index] = byte(200 * (y - z) + MIDDLE);
        }
    }

    fn to_steps(lab: &Planes, steps: &mut Words) {
        const EDGE: f32 = 6.0 / 29.0;
        let cube = |f: f32| {
            let dark = (f - 16.0 / 116.0) * (108.0 / 841.0);
            if f > EDGE { f * f * f } else { dark }
        };
        let [lightnesses, greens, blues] = lab;
        let [red_steps, green_steps, blue_steps] = steps;
        for index in 0..BLOCK {
            let [lightness, a, b] =
                [lightnesses[index], greens[index], blues[index]].map(f32::from);
            let fy = (lightness * (1.0 / 2.55) + 16.0) * (1.0 / 116.0);
            let fx = fy + (a - 128.0) * (1.0 / 500.0);
            let fz = fy - (b - 128.0) * (1.0 / 200.0);
            let (x, y, z) = (cube(fx) * 0.950_456, cube(fy), cube(fz) * 1.088_754);
            red_steps[index] = step(3.240_479 * x - 1.537_15 * y - 0.498_535 * z);
            green_steps[index] = step(-0.969_256 * x + 1.875_991 * y + 0.041_556 * z);
            blue_steps[index] = step(0.055_648 * x - 0.204_043 * y + 1.057_311 * z);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(color: impl Fn(u32) -> [u8; 3]) -> Box<Planes> {
        let mut planes = Box::new([[0; BLOCK]; 3]);
        for index in 0..BLOCK {
            for (plane, value) in planes.iter_mut().zip(color(index as u32)) {
                plane[index] = value;
            }
        }
        planes
    }

    #[test]
    fn colours_come_back_within_the_rounding() {
        for start in 0..4 {
            let color = |n: u32| [7, 13, 29].map(|step| ((n + start * 1024) * step % 256) as u8);
            let planes = block(color);
            let (mut lab, mut back) = (block(|_| [0; 3]), block(|_| [0; 3]));
            from_rgb(&planes, &mut lab);
            to_rgb(&lab, &mut back);
            for index in 0..BLOCK {
                let far =
                    (0..3).map(|channel| planes[channel][index].abs_diff(back[channel][index]));
                // A step of a or b is several bytes of a dark channel beside a bright one.
                let far = far.max().unwrap();
                assert!(far <= 12, "{:?} {far}", color(index as u32));
            }
        }
    }

    #[test]
    fn grays_have_no_hue() {
        let mut lab = block(|_| [0; 3]);
        from_rgb(&block(|n| [n as u8; 3]), &mut lab);
        for gray in [0, 119, 255] {
            assert_eq!([lab[1][gray], lab[2][gray]], [128, 128], "{gray}");
        }
        assert_eq!([lab[0][0], lab[0][255]], [0, 255]);
    }
}
