//! What is built: houses along streets, roads, and solar panels.

use std::f32::consts::{PI, TAU};

use super::noise;
use super::paint::{
    Color, Ground, Leaves, Point, above, between, inside, noise_seed, pick, pick_between,
};
use crate::random::{self, Pcg64};

const ASPHALT: [Color; 5] = [
    Color::rgb(92, 92, 94),
    Color::rgb(120, 118, 116),
    Color::rgb(150, 147, 140),
    Color::rgb(178, 172, 160),
    Color::rgb(70, 70, 74),
];

const CARS: [Color; 4] = [
    Color::rgb(225, 225, 228),
    Color::rgb(40, 42, 48),
    Color::rgb(150, 40, 38),
    Color::rgb(60, 84, 130),
];

/// Houses with gardens in two rows between streets.
pub(super) struct Residential {
    direction: Point,
    lot_width: f32,
    lot_depth: f32,
    street_width: f32,
    street: Color,
    garden: Ground,
    leaves: Leaves,
    roofs: [Color; 3],
    sun: Point,
    seed: u32,
}

impl Residential {
    pub(super) fn new(rng: &mut Pcg64) -> Self {
        const ROOFS: [Color; 8] = [
            Color::rgb(160, 86, 66),
            Color::rgb(136, 72, 58),
            Color::rgb(178, 120, 92),
            Color::rgb(110, 106, 106),
            Color::rgb(82, 82, 90),
            Color::rgb(196, 190, 182),
            Color::rgb(132, 112, 92),
            Color::rgb(156, 158, 166),
        ];
        Self {
            direction: Point::from_angle(between(rng, 0.0, PI)),
            lot_width: between(rng, 12.0, 15.5),
            lot_depth: between(rng, 13.5, 17.0),
            street_width: between(rng, 4.0, 6.0),
            street: pick_between(rng, &ASPHALT),
            garden: Ground::new(rng),
            leaves: Leaves::new(rng),
            roofs: std::array::from_fn(|_| pick_between(rng, &ROOFS)),
            sun: Point::from_angle(between(rng, 0.0, TAU)),
            seed: noise_seed(rng),
        }
    }

    pub(super) fn at(&self, at: Point) -> Color {
        let plan = at.turned(self.direction);
        let block = 2.0 * self.lot_depth + self.street_width;
        let across = plan.y.rem_euclid(block);
        let block_row = (plan.y / block).floor();
        let lots = self.lots(at, plan, across, block_row);
        let from_street = (across - block).abs().min(across) - self.street_width / 2.0;
        let pavement = self
            .street
            .lit(1.0 + 0.05 * noise::smooth(at.times(0.7), self.seed));
        let curb = pavement.lit(1.2);
        let road = pavement.mix(curb, above(from_street, -1.2));
        let color = road.mix(lots, above(from_street, 0.0));
        self.parked_car(plan, from_street, block_row)
            .map_or(color, |(car, cover)| color.mix(car, cover))
    }

    /// Gardens, trees and houses. `across` is the depth into the block.
    fn lots(&self, at: Point, plan: Point, across: f32, block_row: f32) -> Color {
        let column = (plan.x / self.lot_width).floor();
        let behind = f32::from(across > (self.street_width / 2.0 + self.lot_depth));
        let row = block_row * 2.0 + behind;
        let middle = Point::new(
            (column + 0.5) * self.lot_width,
            block_row * (2.0 * self.lot_depth + self.street_width)
                + self.street_width / 2.0
                + (behind + 0.5) * self.lot_depth,
        );
        let numbers = noise::lattice3(column as i32, row as i32, self.seed);
        let house = House::new(numbers, middle, self.lot_width, self.lot_depth);
        let mut color = self.garden.at(at);
        let hedge = above((plan.x - middle.x).abs(), self.lot_width / 2.0 - 0.6);
        color = color.mix(color.lit(0.72), hedge * 0.8);
        let shade = house.cover(Point::new(
            plan.x + self.sun.x * 1.8,
            plan.y + self.sun.y * 1.8,
        ));
        color = color.lit(1.0 - 0.5 * shade);
        color = self.garden_tree(color, plan, middle, numbers);
        let roof = self.roofs[(numbers[2] * 2.99) as usize].lit(0.85 + 0.35 * numbers[0]);
        color.mix(roof.lit(house.light(plan, self.sun)), house.cover(plan))
    }

    fn garden_tree(&self, color: Color, plan: Point, middle: Point, numbers: [f32; 3]) -> Color {
        let side = if numbers[1] > 0.5 { 0.38 } else { -0.38 };
        let tree = Point::new(
            middle.x + side * self.lot_width,
            middle.y + (numbers[0] - 0.5) * self.lot_depth * 0.8,
        );
        let radius = 1.6 + 1.2 * numbers[2];
        let offset = plan.minus(tree);
        let cover = above(radius, offset.length());
        let crown = self
            .leaves
            .crown(numbers[1], offset.times(1.0 / radius), self.sun);
        color.mix(crown, cover)
    }

    /// The colour and cover of a car at the curb, if one is near.
    fn parked_car(&self, plan: Point, from_street: f32, row: f32) -> Option<(Color, f32)> {
        let place = (plan.x / 5.0).floor();
        let [chance, kind, _] = noise::lattice3(place as i32, row as i32, self.seed ^ 9);
        if chance > 0.3 || from_street > 0.0 {
            return None;
        }
        let offset = Point::new(plan.x - (place + 0.5) * 5.0, from_street + 1.2);
        Some((CARS[(kind * 3.99) as usize], inside(offset, 1.6, 0.7)))
    }
}

/// A gabled house.
struct House {
    middle: Point,
    half_width: f32,
    half_depth: f32,
    ridge_along_street: bool,
}

impl House {
    fn new(numbers: [f32; 3], lot: Point, lot_width: f32, lot_depth: f32) -> Self {
        let [first, second, third] = numbers;
        let half_width = lot_width * (0.26 + 0.1 * first);
        let half_depth = lot_depth * (0.22 + 0.1 * second);
        Self {
            middle: Point::new(lot.x + (third - 0.5) * 1.6, lot.y + (first - 0.5) * 2.4),
            half_width,
            half_depth,
            ridge_along_street: half_width * (0.7 + 0.6 * third) > half_depth,
        }
    }

    fn cover(&self, plan: Point) -> f32 {
        inside(plan.minus(self.middle), self.half_width, self.half_depth)
    }

    /// Light on the roof: the side towards the sun is brighter, the ridge is a line.
    fn light(&self, plan: Point, sun: Point) -> f32 {
        let offset = plan.minus(self.middle);
        let (from_ridge, towards_sun) = if self.ridge_along_street {
            (offset.y, sun.y)
        } else {
            (offset.x, sun.x)
        };
        let ridge = above(0.5, from_ridge.abs());
        1.0 + 0.3 * towards_sun * from_ridge.clamp(-1.0, 1.0) + 0.18 * ridge
    }
}

/// One carriageway or two, bent, often crossed by another road, through open land.
pub(super) struct Road {
    origin: Point,
    direction: Point,
    crossing: Option<Point>,
    half_width: f32,
    bend: f32,
    bend_phase: f32,
    has_median: bool,
    asphalt: Color,
    marking: f32,
    ground: Ground,
    leaves: Leaves,
    scrub: f32,
    sun: Point,
    seed: u32,
}

impl Road {
    pub(super) fn new(rng: &mut Pcg64, center: Point) -> Self {
        let direction = Point::from_angle(between(rng, 0.0, TAU));
        let crosses = random::chance(rng, 0.4);
        let turn = Point::from_angle(between(rng, 1.1, 2.0));
        Self {
            origin: Point::new(
                center.x + between(rng, -9.0, 9.0),
                center.y + between(rng, -9.0, 9.0),
            ),
            direction,
            crossing: crosses.then_some(direction.turned(turn)),
            half_width: between(rng, 3.4, 5.6),
            bend: between(rng, 0.0, 7.0),
            bend_phase: between(rng, 0.0, TAU),
            has_median: random::chance(rng, 0.3),
            asphalt: pick_between(rng, &ASPHALT),
            marking: between(rng, 0.35, 0.9),
            ground: Ground::new(rng),
            leaves: Leaves::new(rng),
            scrub: between(rng, 0.03, 0.3),
            sun: Point::from_angle(between(rng, 0.0, TAU)),
            seed: noise_seed(rng),
        }
    }

    pub(super) fn at(&self, at: Point) -> Color {
        let land = self.land(at);
        let plan = at.minus(self.origin);
        let along = self.along(plan, self.direction);
        let main = self.carriageway(along, self.has_median);
        let Some(direction) = self.crossing else {
            return land.mix(main.0, main.1);
        };
        let other = self.carriageway(plan.turned(direction), false);
        let color = land.mix(other.0, other.1).mix(main.0, main.1);
        // No lines where the two meet.
        color.mix(self.asphalt, main.1.min(other.1) * 0.85)
    }

    /// Grass with bushes.
    fn land(&self, at: Point) -> Color {
        let ground = self.ground.at(at);
        let cell = at.times(1.0 / 6.0);
        let (column, row) = (cell.x.floor(), cell.y.floor());
        let [dx, dy, kind] = noise::lattice3(column as i32, row as i32, self.seed);
        if kind > self.scrub {
            return ground;
        }
        let middle = Point::new(
            (column + 0.3 + 0.4 * dx) * 6.0,
            (row + 0.3 + 0.4 * dy) * 6.0,
        );
        let radius = 1.0 + 0.9 * dy;
        let offset = at.minus(middle);
        let crown = self.leaves.crown(dx, offset.times(1.0 / radius), self.sun);
        ground.mix(crown, above(radius, offset.length()))
    }

    /// Place along and across the bent road.
    fn along(&self, plan: Point, direction: Point) -> Point {
        let straight = plan.turned(direction);
        let shift =
            self.bend * ((straight.x / 34.0 + self.bend_phase).sin() - self.bend_phase.sin());
        Point::new(straight.x, straight.y + shift)
    }

    /// Colour of a road and how much of the place it covers.
    fn carriageway(&self, along: Point, has_median: bool) -> (Color, f32) {
        let across = along.y.abs();
        let wear = 0.06 * noise::smooth(Point::new(along.x * 0.12, along.y * 0.8), self.seed ^ 3);
        let mut color = self.asphalt.lit(1.0 + wear);
        let paint = Color::rgb(235, 233, 224);
        let edge = above(0.45, (across - self.half_width + 1.0).abs());
        let is_dash = along.x.rem_euclid(7.0) < 4.0;
        let middle = above(0.45, across) * f32::from(is_dash || has_median);
        color = color.mix(paint, self.marking * edge.max(middle));
        color = self.car(along, color);
        (color, above(self.half_width, across))
    }

    fn car(&self, along: Point, color: Color) -> Color {
        let place = (along.x / 13.0).floor();
        let lane = if along.y > 0.0 { 1 } else { -1 };
        let [chance, shift, kind] = noise::lattice3(place as i32, lane, self.seed ^ 9);
        if chance > 0.3 {
            return color;
        }
        let offset = Point::new(
            along.x - (place + 0.3 + 0.4 * shift) * 13.0,
            along.y - lane as f32 * self.half_width * 0.5,
        );
        let shadow = inside(Point::new(offset.x - 0.5, offset.y - 0.5), 2.1, 1.1);
        color
            .lit(1.0 - 0.4 * shadow)
            .mix(CARS[(kind * 3.99) as usize], inside(offset, 2.0, 1.0))
    }
}

/// Rows of dark, tilted panels; a class that training does not know.
pub(super) struct Solar {
    direction: Point,
    row_spacing: f32,
    panel_depth: f32,
    panel_width: f32,
    panel: Color,
    ground: Ground,
    seed: u32,
}

impl Solar {
    pub(super) fn new(rng: &mut Pcg64) -> Self {
        const PANELS: [Color; 3] = [
            Color::rgb(34, 42, 78),
            Color::rgb(26, 30, 44),
            Color::rgb(52, 66, 104),
        ];
        let row_spacing = between(rng, 8.0, 12.0);
        Self {
            direction: Point::from_angle(between(rng, 0.0, PI)),
            row_spacing,
            panel_depth: row_spacing * between(rng, 0.55, 0.72),
            panel_width: between(rng, 4.0, 6.5),
            panel: pick(rng, &PANELS),
            ground: Ground::new(rng),
            seed: noise_seed(rng),
        }
    }

    pub(super) fn at(&self, at: Point) -> Color {
        let plan = at.turned(self.direction);
        let row = (plan.y / self.row_spacing).floor();
        let depth = plan.y - row * self.row_spacing;
        let table = (plan.x / (self.panel_width * 6.0)).floor();
        let gap = noise::lattice(table as i32, row as i32, self.seed) > 0.93;
        let ground = self.ground.at(at);
        let shadow = above(self.panel_depth + 1.6, depth) * f32::from(!gap);
        let color = ground.lit(1.0 - 0.45 * shadow);
        if gap {
            return color;
        }
        let across = plan.x.rem_euclid(self.panel_width);
        let frame_x = above(0.45, across.min(self.panel_width - across));
        let half = self.panel_depth / 2.0;
        let frame_y = above(0.4, (depth - half).abs()).max(above(0.45, self.panel_depth - depth));
        let sheen = 1.0 + 0.35 * (depth / self.panel_depth);
        let panel = self
            .panel
            .lit(sheen)
            .mix(Color::rgb(170, 176, 186), 0.55 * frame_x.max(frame_y));
        color.mix(panel, above(self.panel_depth, depth))
    }
}
