//! Hue, saturation and value.

use ferrotype_kernels::vectorized;

use super::blocks::{Planes, integer, map, whole};

/// Where the largest value is: six times the hue's share of the circle, times the range of the values; may be
/// negative.
#[inline(always)]
fn turn([red, green, blue]: [f32; 3], most: f32, range: f32) -> f32 {
    if most == red {
        green - blue
    } else if most == green {
        blue - red + 2.0 * range
    } else {
        red - green + 4.0 * range
    }
}

/// OpenCV's hue (0 to 180) and saturation (0 to 255) of a colour in bytes, by its quotients of 12
/// bits after the point.
#[inline(always)]
fn opencv_hue(color: [f32; 3], most: f32, range: f32) -> [f32; 2] {
    const ONE: f32 = 4096.0;
    let quotient =
        |of: f32, by: f32| integer(whole(of * ONE / if by == 0.0 { 1.0 } else { by } + 0.5));
    let descale = |value: i32| (value + 2048) >> 12;
    let saturation = descale(integer(range) * quotient(255.0, most));
    let hue = descale(integer(turn(color, most, range)) * quotient(30.0, range));
    let hue = if hue < 0 { hue + 180 } else { hue };
    [hue as f32, saturation as f32]
}

/// Red, green and blue of a hue in sixths of the circle, below 6, from the largest value and its
/// distance to the smallest: A. R. Smith, "Color gamut transform pairs" (1978), without its cases.
#[inline(always)]
fn color_of(sextant: f32, most: f32, range: f32) -> [f32; 3] {
    [5.0, 3.0, 1.0].map(
        #[inline(always)]
        |turned| {
            let at = sextant + turned;
            let at = if at >= 6.0 { at - 6.0 } else { at };
            most - range * at.min(4.0 - at).clamp(0.0, 1.0)
        },
    )
}

vectorized! {
    /// Shifts the hue by a share of the circle, as torchvision's `adjust_hue` on bytes.
    pub(super) fn shift(planes: &mut Planes, share: f32) {
        // From 0 to 6, so that one subtraction brings a sum back onto the circle.
        let share = (share - share.floor()) * 6.0;
        map(planes, #[inline(always)] |color| {
            let [red, green, blue] = color;
            let most = red.max(green).max(blue);
            let range = most - red.min(green).min(blue);
            let divisor = if range == 0.0 { 1.0 } else { range };
            let sextant = turn(color, most, range) / divisor;
            let sextant = if sextant < 0.0 { sextant + 6.0 } else { sextant } + share;
            let sextant = if sextant >= 6.0 { sextant - 6.0 } else { sextant };
            // torchvision's way from 0 to 1 to bytes.
            color_of(sextant, most, range).map(|value| value * (255.999 / 255.0))
        });
    }

    /// Shifts hue, saturation and value as Albumentations' `shift_hsv` does: by way of OpenCV's
    /// bytes (hue in steps of two degrees), so each is rounded once.
    pub(super) fn shift_hsv(planes: &mut Planes, shifts: [f32; 3]) {
        let [hue_shift, saturation_shift, value_shift] = shifts;
        let hue_shift = hue_shift - (hue_shift / 180.0).floor() * 180.0;
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
            let range = value * saturation * (1.0 / 255.0);
            color_of(hue * (1.0 / 30.0), value, range).map(|value| value + 0.5)
        });
    }
}
