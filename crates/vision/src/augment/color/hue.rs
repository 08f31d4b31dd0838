//! Hue, saturation and value.

use ferrotype_kernels::vectorized;

use super::blocks::{Plane, for_each_block, whole};

/// Hue in sixths of the circle, 0 to 6, of a colour whose largest value is `most` and smallest
/// `least`; 0 for a gray.
#[inline(always)]
fn sextant_of([red, green, blue]: [f32; 3], most: f32, least: f32) -> f32 {
    let range = most - least;
    let divisor = if range == 0.0 { 1.0 } else { range };
    let by_red = (green - blue) / divisor;
    let by_green = 2.0 + (blue - red) / divisor;
    let by_blue = 4.0 + (red - green) / divisor;
    let hue = if most == red {
        by_red
    } else if most == green {
        by_green
    } else {
        by_blue
    };
    if hue < 0.0 { hue + 6.0 } else { hue }
}

/// OpenCV's hue (0 to 180) and saturation (0 to 255) of a colour in bytes, by its quotients of 12
/// bits after the point.
#[inline(always)]
fn opencv_hue([red, green, blue]: [f32; 3], most: f32, range: f32) -> [f32; 2] {
    const ONE: f32 = 4096.0;
    let quotient = |of: f32, by: f32| (of * ONE / if by == 0.0 { 1.0 } else { by } + 0.5) as i32;
    let descale = |value: i32| (value + 2048) >> 12;
    let saturation = descale(range as i32 * quotient(255.0, most));
    let part = if most == red {
        green - blue
    } else if most == green {
        blue - red + 2.0 * range
    } else {
        red - green + 4.0 * range
    };
    let hue = descale(part as i32 * quotient(30.0, range));
    let hue = if hue < 0 { hue + 180 } else { hue };
    [hue as f32, saturation as f32]
}

/// Red, green and blue of a hue in sixths of the circle, below 6, by torchvision's formula.
#[inline(always)]
fn color_of(sextant: f32, saturation: f32, value: f32) -> [f32; 3] {
    let number = whole(sextant);
    let fraction = sextant - number;
    let part = saturation * fraction;
    let p = (1.0 - saturation) * value;
    let q = (1.0 - part) * value;
    let t = (part + (1.0 - saturation)) * value;
    let choose = |choices: [f32; 6]| {
        let [zero, one, two, three, four, five] = choices;
        let low = if number < 1.0 {
            zero
        } else if number < 2.0 {
            one
        } else {
            two
        };
        let high = if number < 4.0 {
            three
        } else if number < 5.0 {
            four
        } else {
            five
        };
        if number < 3.0 { low } else { high }
    };
    [
        choose([value, q, p, p, t, value]),
        choose([t, value, value, q, p, p]),
        choose([p, p, t, value, value, q]),
    ]
}

/// Changes each pixel of the planes.
#[inline(always)]
fn map(planes: &mut [Plane; 3], change: impl Fn([f32; 3]) -> [f32; 3]) {
    let [reds, greens, blues] = planes;
    for ((red, green), blue) in reds.iter_mut().zip(greens).zip(blues) {
        [*red, *green, *blue] = change([*red, *green, *blue]);
    }
}

vectorized! {
    /// Shifts the hue by a share of the circle, as torchvision's `adjust_hue` on bytes.
    pub(super) fn shift(pixels: &mut [u8], share: f32) {
        // From 0 to 1, so that one subtraction brings a sum back onto the circle.
        let share = share - share.floor();
        for_each_block(pixels, #[inline(always)] |planes| {
            map(planes, #[inline(always)] |[red, green, blue]| {
                let [red, green, blue] = [red / 255.0, green / 255.0, blue / 255.0];
                let most = red.max(green).max(blue);
                let least = red.min(green).min(blue);
                let divisor = if most == least { 1.0 } else { most };
                let saturation = (most - least) / divisor;
                let hue = sextant_of([red, green, blue], most, least) / 6.0 + share;
                let sextant = (hue - whole(hue)) * 6.0;
                let sextant = if sextant >= 6.0 { 0.0 } else { sextant };
                // torchvision's way from 0 to 1 to bytes.
                color_of(sextant, saturation, most).map(|value| value * 255.999)
            });
        });
    }

    /// Shifts hue, saturation and value as Albumentations' `shift_hsv` does: by way of OpenCV's
    /// bytes (hue in steps of two degrees), so each is rounded once.
    pub(super) fn shift_hsv(pixels: &mut [u8], shifts: [f32; 3]) {
        let [hue_shift, saturation_shift, value_shift] = shifts;
        let hue_shift = hue_shift - (hue_shift / 180.0).floor() * 180.0;
        for_each_block(pixels, #[inline(always)] |planes| {
            map(planes, #[inline(always)] |color| {
                let [red, green, blue] = color;
                let most = red.max(green).max(blue);
                let least = red.min(green).min(blue);
                let [hue, saturation] = opencv_hue(color, most, most - least);
                let hue = whole(hue + hue_shift);
                let hue = if hue >= 180.0 { hue - 180.0 } else { hue };
                let hue = if hue >= 180.0 { 0.0 } else { hue };
                let shifted = whole((saturation + saturation_shift + 0.5).clamp(0.0, 255.0));
                let saturation = if saturation == 0.0 { 0.0 } else { shifted };
                let value = whole((most + value_shift + 0.5).clamp(0.0, 255.0));
                color_of(hue / 30.0, saturation / 255.0, value).map(|value| value + 0.5)
            });
        });
    }
}
