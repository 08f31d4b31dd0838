//! CIE L*a*b* as OpenCV has it in bytes: lightness times 255/100, a and b plus 128.

use std::sync::LazyLock;

/// Bits after the point of linear values, of coefficients and of their roots, as in OpenCV.
const LINEAR_BITS: u32 = 3;
const COEFFICIENT_BITS: u32 = 12;
const ROOT_BITS: u32 = 15;
/// The largest linear value.
const WHITE: f64 = (255 << LINEAR_BITS) as f64;
/// Linear values that have a root; some more than a colour has.
const ROOTS: usize = (256 * 3 / 2) << LINEAR_BITS;
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
const STEPS: usize = 4096;

/// Tables of what costs most: sRGB's curve and the cube root.
struct Curves {
    linear: [i32; 256],
    root: Box<[i32; ROOTS]>,
    coefficients: [[i32; 3]; 3],
    /// sRGB's bytes of linear 0 to 1.
    byte: Box<[u8; STEPS + 1]>,
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
            (WHITE * linear(byte as f64 / 255.0)).round_ties_even() as i32
        }),
        root: Box::new(std::array::from_fn(|index| {
            fixed(root(index as f64 / WHITE), ROOT_BITS)
        })),
        coefficients: TO_XYZ.map(|row| row.map(|value| fixed(value, COEFFICIENT_BITS))),
        byte: Box::new(std::array::from_fn(|index| {
            curved(index as f32 / STEPS as f32)
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

impl Curves {
    fn byte(&self, linear: f32) -> u8 {
        // A dark value changes by several bytes in a step.
        if linear < 0.01 {
            return curved(linear);
        }
        self.byte[(linear.min(1.0) * STEPS as f32 + 0.5) as usize]
    }
}

/// Divides by a power of two, rounded.
const fn descale(value: i32, bits: u32) -> i32 {
    (value + (1 << (bits - 1))) >> bits
}

/// Lightness, a and b of a colour, to the bit as OpenCV's.
pub(super) fn from_rgb(color: [u8; 3]) -> [u8; 3] {
    const SCALE: i32 = (116 * 255 + 50) / 100;
    const SHIFT: i32 = -((16 * 255 * (1 << ROOT_BITS) + 50) / 100);
    const MIDDLE: i32 = 128 << ROOT_BITS;
    let curves = &*CURVES;
    let [r, g, b] = color.map(|byte| curves.linear[usize::from(byte)]);
    let [x, y, z] = curves.coefficients.map(|[red, green, blue]| {
        let sum = descale(red * r + green * g + blue * b, COEFFICIENT_BITS);
        curves.root[(sum.max(0) as usize).min(ROOTS - 1)]
    });
    [
        SCALE * y + SHIFT,
        500 * (x - y) + MIDDLE,
        200 * (y - z) + MIDDLE,
    ]
    .map(|value| descale(value, ROOT_BITS).clamp(0, 255) as u8)
}

/// The colour of lightness, a and b.
pub(super) fn to_rgb([lightness, a, b]: [u8; 3]) -> [u8; 3] {
    const EDGE: f32 = 6.0 / 29.0;
    let curves = &*CURVES;
    let fy = (f32::from(lightness) / 2.55 + 16.0) / 116.0;
    let fx = fy + (f32::from(a) - 128.0) / 500.0;
    let fz = fy - (f32::from(b) - 128.0) / 200.0;
    let cube = |f: f32| {
        if f > EDGE {
            f * f * f
        } else {
            (f - 16.0 / 116.0) * (108.0 / 841.0)
        }
    };
    let (x, y, z) = (cube(fx) * 0.950_456, cube(fy), cube(fz) * 1.088_754);
    [
        3.240_479 * x - 1.537_15 * y - 0.498_535 * z,
        -0.969_256 * x + 1.875_991 * y + 0.041_556 * z,
        0.055_648 * x - 0.204_043 * y + 1.057_311 * z,
    ]
    .map(|linear| curves.byte(linear))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_back_within_the_rounding() {
        for n in 0..4096_u32 {
            let color = [n * 7 % 256, n * 13 % 256, n * 29 % 256].map(|value| value as u8);
            let back = to_rgb(from_rgb(color));
            let far = color.iter().zip(back).map(|(&a, b)| a.abs_diff(b)).max();
            // A step of a or b is several bytes of a dark channel beside a bright one.
            assert!(far.unwrap() <= 12, "{color:?} {back:?}");
        }
    }

    #[test]
    fn grays_have_no_hue() {
        assert_eq!(from_rgb([0; 3]), [0, 128, 128]);
        assert_eq!(from_rgb([255; 3]), [255, 128, 128]);
        assert_eq!(from_rgb([119; 3])[1..], [128, 128]);
    }
}
