//! Colours, shapes and the loop over a tile's pixels.

use super::noise;
use crate::random::{self, Pcg64};

/// A place on the ground; one unit is one pixel of a 64-pixel tile seen from the middle height.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

impl Point {
    pub(super) const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// The direction of an angle.
    pub(super) fn from_angle(radians: f32) -> Self {
        Self::new(radians.cos(), radians.sin())
    }

    pub(super) fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }

    pub(super) fn times(self, factor: f32) -> Self {
        Self::new(self.x * factor, self.y * factor)
    }

    pub(super) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// Turned by the angle of a direction.
    pub(super) fn turned(self, direction: Self) -> Self {
        Self::new(
            self.x * direction.x - self.y * direction.y,
            self.x * direction.y + self.y * direction.x,
        )
    }
}

/// Reflected light: red, green, blue from 0 to about 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Color(pub(super) [f32; 3]);

impl Color {
    pub(super) const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Self([
            red as f32 / 255.0,
            green as f32 / 255.0,
            blue as f32 / 255.0,
        ])
    }

    /// Between this colour and another, `share` of the other.
    pub(super) fn mix(self, other: Self, share: f32) -> Self {
        let mixed = |i: usize| self.0[i] + (other.0[i] - self.0[i]) * share;
        Self([mixed(0), mixed(1), mixed(2)])
    }

    /// Under so much more or less light.
    pub(super) fn lit(self, factor: f32) -> Self {
        Self(self.0.map(|value| value * factor))
    }
}

/// A draw from `[low, high)`.
pub(super) fn between(rng: &mut Pcg64, low: f32, high: f32) -> f32 {
    random::uniform(rng, low.into(), high.into()) as f32
}

/// One of a list.
pub(super) fn pick<T: Copy, const N: usize>(rng: &mut Pcg64, list: &[T; N]) -> T {
    list[random::below(rng, N as u64) as usize]
}

/// A seed for a layer of noise.
pub(super) fn noise_seed(rng: &mut Pcg64) -> u32 {
    random::below(rng, 1 << 32) as u32
}

/// A colour between any two of a list, so that no two tiles have quite the same.
pub(super) fn pick_between<const N: usize>(rng: &mut Pcg64, list: &[Color; N]) -> Color {
    let (first, second) = (pick(rng, list), pick(rng, list));
    first.mix(second, between(rng, 0.0, 0.6))
}

/// 0 below `edge`, 1 above it, over about a pixel in between.
pub(super) fn above(value: f32, edge: f32) -> f32 {
    let t = (value - edge + 0.5).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// 1 inside of a rectangle around the origin, 0 outside, soft over about a pixel.
pub(super) fn inside(at: Point, half_width: f32, half_height: f32) -> f32 {
    above(half_width, at.x.abs()) * above(half_height, at.y.abs())
}

/// Bare or grown ground: two colours in patches, with fine grain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground {
    first: Color,
    second: Color,
    patch: f32,
    grain: f32,
    seed: u32,
}

impl Ground {
    /// Ground as it lies under every class of land, so that its colour tells little.
    pub(super) fn new(rng: &mut Pcg64) -> Self {
        const COLORS: [Color; 9] = [
            Color::rgb(74, 104, 54),
            Color::rgb(98, 118, 62),
            Color::rgb(118, 116, 70),
            Color::rgb(168, 150, 100),
            Color::rgb(190, 172, 124),
            Color::rgb(124, 94, 68),
            Color::rgb(146, 104, 78),
            Color::rgb(150, 146, 126),
            Color::rgb(58, 76, 52),
        ];
        Self {
            first: pick_between(rng, &COLORS),
            second: pick_between(rng, &COLORS),
            patch: between(rng, 9.0, 22.0),
            grain: between(rng, 0.06, 0.2),
            seed: noise_seed(rng),
        }
    }

    /// The colour at a place.
    pub(super) fn at(&self, at: Point) -> Color {
        let patch = noise::fractal(at.times(1.0 / self.patch), self.seed, 2);
        let grain = noise::smooth(at.times(0.55), self.seed ^ 1);
        self.first
            .mix(self.second, (0.35 + 0.5 * patch).clamp(0.0, 1.0))
            .lit(1.0 + self.grain * grain)
    }
}

/// Colours of trees over the year: spring, summer, conifers, autumn, bare.
const LEAVES: [Color; 10] = [
    Color::rgb(136, 146, 84),
    Color::rgb(158, 148, 104),
    Color::rgb(62, 92, 46),
    Color::rgb(84, 112, 54),
    Color::rgb(44, 72, 48),
    Color::rgb(104, 118, 62),
    Color::rgb(142, 116, 58),
    Color::rgb(150, 92, 54),
    Color::rgb(112, 96, 76),
    Color::rgb(60, 84, 66),
];

/// Two colours that the crowns of a place lie between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaves {
    first: Color,
    second: Color,
}

impl Leaves {
    pub(super) fn new(rng: &mut Pcg64) -> Self {
        Self {
            first: pick_between(rng, &LEAVES),
            second: pick_between(rng, &LEAVES),
        }
    }

    /// The crown that is `share` of the second colour, lit by the sun at `offset` (in radii) from
    /// its middle.
    pub(super) fn crown(&self, share: f32, offset: Point, sun: Point) -> Color {
        let roundness = offset.dot(sun);
        let rim = offset.dot(offset);
        self.first
            .mix(self.second, share)
            .lit(1.05 + 0.5 * roundness - 0.3 * rim)
    }
}

/// A rectangle of the ground as the camera sees it.
pub(super) struct View {
    center: Point,
    direction: Point,
    units_per_pixel: f32,
}

impl View {
    /// From a random height and direction, anywhere.
    pub(super) fn new(rng: &mut Pcg64, size: u32) -> Self {
        let zoom = between(rng, 0.85, 1.2);
        Self {
            center: Point::new(between(rng, -4000.0, 4000.0), between(rng, -4000.0, 4000.0)),
            direction: Point::from_angle(between(rng, 0.0, std::f32::consts::TAU)),
            units_per_pixel: zoom * 64.0 / size as f32,
        }
    }

    /// The place that is seen in the middle.
    pub(super) const fn center(&self) -> Point {
        self.center
    }

    /// The colours of all pixels, row by row.
    pub(super) fn render(&self, size: u32, color: impl Fn(Point) -> Color) -> Vec<Color> {
        let middle = size as f32 / 2.0 - 0.5;
        let mut colors = Vec::with_capacity(size as usize * size as usize);
        for y in 0..size {
            for x in 0..size {
                let seen = Point::new(x as f32 - middle, y as f32 - middle)
                    .times(self.units_per_pixel)
                    .turned(self.direction);
                colors.push(color(Point::new(
                    seen.x + self.center.x,
                    seen.y + self.center.y,
                )));
            }
        }
        colors
    }
}
