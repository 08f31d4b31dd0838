//! What grows: fields in rows, forests, orchards.

use std::f32::consts::{PI, TAU};

use super::noise;
use super::paint::{Color, Ground, Leaves, Point, above, between, noise_seed, pick_between};
use crate::random::{self, Pcg64};

/// One plot of a crop in rows.
struct Plot {
    direction: Point,
    period: f32,
    contrast: f32,
    waviness: f32,
    soil: Ground,
    crop: Color,
    tracks: bool,
    seed: u32,
}

impl Plot {
    fn new(rng: &mut Pcg64) -> Self {
        const CROPS: [Color; 7] = [
            Color::rgb(92, 124, 58),
            Color::rgb(64, 98, 52),
            Color::rgb(132, 138, 74),
            Color::rgb(186, 166, 92),
            Color::rgb(206, 190, 140),
            Color::rgb(150, 124, 92),
            Color::rgb(96, 84, 66),
        ];
        Self {
            direction: Point::from_angle(between(rng, 0.0, PI)),
            period: between(rng, 3.4, 6.4),
            contrast: between(rng, 0.45, 0.9),
            waviness: between(rng, 0.0, 1.6),
            soil: Ground::new(rng),
            crop: pick_between(rng, &CROPS),
            tracks: random::chance(rng, 0.4),
            seed: noise_seed(rng),
        }
    }

    fn at(&self, at: Point) -> Color {
        let row = at.turned(self.direction);
        let bend = self.waviness * noise::smooth(at.times(1.0 / 26.0), self.seed);
        let phase = (row.y + bend) / self.period;
        let ridge = 0.5 + 0.5 * (TAU * phase).cos();
        let clumps = 0.22 * noise::smooth(Point::new(row.x * 0.4, phase * 2.0), self.seed ^ 2);
        let growth = (ridge + clumps).clamp(0.0, 1.0);
        let slope = 0.14 * (TAU * phase).sin();
        let soil = self.soil.at(at);
        let color = soil.mix(self.crop.lit(1.0 + clumps), self.contrast * growth);
        let wheel = self.tracks && (phase + 0.5).rem_euclid(6.0) < 1.0;
        let shade = if wheel { 0.78 } else { 0.82 + 0.25 * growth };
        color.lit(shade + slope)
    }
}

/// Fields: one plot, or two along a track.
pub(super) struct Field {
    plots: [Plot; 2],
    border: Point,
    border_at: f32,
    track: Color,
    is_split: bool,
}

impl Field {
    pub(super) fn new(rng: &mut Pcg64, center: Point) -> Self {
        let border = Point::from_angle(between(rng, 0.0, TAU));
        Self {
            plots: [Plot::new(rng), Plot::new(rng)],
            border,
            border_at: border.dot(center) + between(rng, 4.0, 22.0),
            track: Color::rgb(172, 158, 130).lit(between(rng, 0.6, 1.1)),
            is_split: random::chance(rng, 0.45),
        }
    }

    pub(super) fn at(&self, at: Point) -> Color {
        if !self.is_split {
            return self.plots[0].at(at);
        }
        let beyond = self.border.dot(at) - self.border_at;
        let plot = usize::from(beyond > 0.0);
        let on_track = above(1.4, beyond.abs());
        self.plots[plot].at(at).mix(self.track, on_track)
    }
}

/// A closed canopy of round crowns.
pub(super) struct Forest {
    spacing: f32,
    radius: f32,
    leaves: Leaves,
    sun: Point,
    floor: Color,
    depth: f32,
    seed: u32,
}

impl Forest {
    pub(super) fn new(rng: &mut Pcg64) -> Self {
        let spacing = between(rng, 4.6, 7.6);
        Self {
            spacing,
            radius: spacing * between(rng, 0.68, 0.85),
            leaves: Leaves::new(rng),
            sun: Point::from_angle(between(rng, 0.0, TAU)),
            floor: Color::rgb(46, 48, 36).lit(between(rng, 0.6, 1.5)),
            depth: between(rng, 0.25, 0.5),
            seed: noise_seed(rng),
        }
    }

    pub(super) fn at(&self, at: Point) -> Color {
        let cell = at.times(1.0 / self.spacing);
        let (column, row) = (cell.x.floor() as i32, cell.y.floor() as i32);
        let mut highest = (0.0, self.floor);
        for (near_column, near_row) in neighbours(column, row) {
            let [dx, dy, kind] = noise::lattice3(near_column, near_row, self.seed);
            let middle = Point::new(
                (near_column as f32 + 0.15 + 0.7 * dx) * self.spacing,
                (near_row as f32 + 0.15 + 0.7 * dy) * self.spacing,
            );
            let radius = self.radius * (0.7 + 0.45 * kind);
            let offset = at.minus(middle).times(1.0 / radius);
            let height = (1.0 - offset.dot(offset)) * (0.6 + 0.4 * kind);
            if height > highest.0 {
                let share = (dx * 7.0 + dy * 3.0).fract();
                highest = (height, self.leaves.crown(share, offset, self.sun));
            }
        }
        let leaf = noise::smooth(at.times(0.9), self.seed ^ 5);
        let light = 1.0 - self.depth + self.depth * (highest.0 * 2.2).min(1.0);
        highest.1.lit(light * (1.0 + 0.13 * leaf))
    }
}

/// The lattice cells around one, and itself.
fn neighbours(column: i32, row: i32) -> impl Iterator<Item = (i32, i32)> {
    (row - 1..=row + 1).flat_map(move |row| (column - 1..=column + 1).map(move |c| (c, row)))
}

/// Trees in a grid with their shadows, on bare or mown ground.
pub(super) struct Orchard {
    direction: Point,
    column_spacing: f32,
    row_spacing: f32,
    radius: f32,
    leaves: Leaves,
    ground: Ground,
    sun: Point,
    shadow: f32,
    strip: f32,
    seed: u32,
}

impl Orchard {
    pub(super) fn new(rng: &mut Pcg64) -> Self {
        let column_spacing = between(rng, 7.0, 10.0);
        let row_spacing = column_spacing * between(rng, 1.0, 1.3);
        Self {
            direction: Point::from_angle(between(rng, 0.0, PI)),
            column_spacing,
            row_spacing,
            radius: column_spacing * between(rng, 0.3, 0.4),
            leaves: Leaves::new(rng),
            ground: Ground::new(rng),
            sun: Point::from_angle(between(rng, 0.0, TAU)),
            shadow: between(rng, 0.35, 0.65),
            strip: between(rng, -0.15, 0.15),
            seed: noise_seed(rng),
        }
    }

    pub(super) fn at(&self, at: Point) -> Color {
        let plan = at.turned(self.direction);
        let between_rows = (TAU * plan.y / self.row_spacing).cos();
        let ground = self.ground.at(at).lit(1.0 + self.strip * between_rows);
        let reach = self.radius * 0.8;
        let towards_sun = Point::new(plan.x + self.sun.x * reach, plan.y + self.sun.y * reach);
        let shaded = self.tree(towards_sun).map_or(0.0, |tree| tree.cover);
        let ground = ground.lit(1.0 - self.shadow * shaded);
        let Some(tree) = self.tree(plan) else {
            return ground;
        };
        let leaf = noise::smooth(at.times(0.9), self.seed ^ 5);
        let crown = self.leaves.crown(tree.kind, tree.offset, self.sun);
        ground.mix(crown.lit(1.0 + 0.12 * leaf), tree.cover)
    }

    /// The tree whose cell holds a place of the plan, if one stands there.
    fn tree(&self, plan: Point) -> Option<Tree> {
        let column = (plan.x / self.column_spacing).round();
        let row = (plan.y / self.row_spacing).round();
        let [dx, dy, kind] = noise::lattice3(column as i32, row as i32, self.seed);
        if kind > 0.95 {
            return None;
        }
        let middle = Point::new(
            column * self.column_spacing + (dx - 0.5) * 1.1,
            row * self.row_spacing + (dy - 0.5) * 1.1,
        );
        let radius = self.radius * (0.82 + 0.3 * kind);
        let offset = plan.minus(middle);
        Some(Tree {
            cover: above(radius, offset.length()),
            offset: offset.times(1.0 / radius),
            kind,
        })
    }
}

struct Tree {
    /// How much of a place its crown covers.
    cover: f32,
    /// From its middle, in radii.
    offset: Point,
    kind: f32,
}
