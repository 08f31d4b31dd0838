//! Open water: waves over depth, with the sun's glitter.

use std::f32::consts::TAU;

use super::noise;
use super::paint::{Color, Point, between, noise_seed, pick_between};
use crate::random::Pcg64;

pub(super) struct Water {
    shallow: Color,
    deep: Color,
    waves: [Wave; 3],
    chop: f32,
    relief: f32,
    glitter: f32,
    seed: u32,
}

struct Wave {
    /// Direction of travel, times waves per unit, times 2π.
    frequency: Point,
    strength: f32,
    phase: f32,
}

impl Water {
    pub(super) fn new(rng: &mut Pcg64) -> Self {
        const COLORS: [Color; 11] = [
            Color::rgb(92, 110, 66),
            Color::rgb(142, 122, 88),
            Color::rgb(40, 70, 96),
            Color::rgb(52, 96, 106),
            Color::rgb(70, 104, 92),
            Color::rgb(88, 98, 70),
            Color::rgb(128, 118, 90),
            Color::rgb(150, 142, 116),
            Color::rgb(48, 58, 58),
            Color::rgb(112, 132, 142),
            Color::rgb(156, 166, 166),
        ];
        let wind = between(rng, 0.0, TAU);
        let waves = [1.0, 0.8, 0.6].map(|strength| Wave {
            frequency: Point::from_angle(wind + between(rng, -0.7, 0.7))
                .times(TAU / between(rng, 4.2, 8.5)),
            strength: strength * between(rng, 0.6, 1.0),
            phase: between(rng, 0.0, TAU),
        });
        Self {
            shallow: pick_between(rng, &COLORS),
            deep: pick_between(rng, &COLORS),
            waves,
            chop: between(rng, 1.5, 3.2),
            relief: between(rng, 0.1, 0.22),
            glitter: between(rng, 0.0, 0.5),
            seed: noise_seed(rng),
        }
    }

    pub(super) fn at(&self, at: Point) -> Color {
        let depth = noise::fractal(at.times(1.0 / 40.0), self.seed, 2);
        let bent = Point::new(
            at.x + self.chop * noise::smooth(at.times(1.0 / 7.0), self.seed ^ 1),
            at.y + self.chop * noise::smooth(at.times(1.0 / 7.0), self.seed ^ 2),
        );
        let height: f32 = self
            .waves
            .iter()
            .map(|wave| wave.strength * (wave.frequency.dot(bent) + wave.phase).sin())
            .sum();
        let gusts = 0.65 + 0.5 * noise::smooth(at.times(1.0 / 15.0), self.seed ^ 3);
        let height = height * gusts;
        let crest = (height - 1.1).max(0.0);
        self.deep
            .mix(self.shallow, (0.5 + 0.6 * depth).clamp(0.0, 1.0))
            .lit(1.0 + self.relief * height)
            .mix(Color::rgb(240, 240, 236), (self.glitter * crest).min(0.8))
    }
}
