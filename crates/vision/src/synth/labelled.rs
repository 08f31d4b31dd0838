//! Tiles that show several classes, or none: each in a quarter of its own.

use std::f32::consts::TAU;

use super::paint::{Ground, Point, View, above, between, noise_seed};
use super::{CLASSES, Drift, Scene, light, noise};
use crate::RgbImage;
use crate::random;

/// Quarters of a tile, and the most labels it has.
const QUARTERS: usize = 4;

/// How often a tile has a label: one tile in seven has none, a third one, half several.
const LABEL_SHARE: f64 = 0.27;

/// From the middle of a tile to that of a quarter, along both of its borders.
const TO_QUARTER: f32 = 15.0;

/// The labels of a tile: indices into [`CLASSES`], ascending, none to four.
pub fn labels_of(seed: u64, index: u64) -> Vec<usize> {
    let mut rng = random::stream(seed, "synth/labels", &[index]);
    let mut labels: Vec<usize> = (0..CLASSES.len())
        .filter(|_| random::chance(&mut rng, LABEL_SHARE))
        .collect();
    random::shuffle(&mut labels, &mut rng);
    labels.truncate(QUARTERS);
    labels.sort_unstable();
    labels
}

/// Paints one square tile of `size` pixels (0 counts as 1) that shows its [`labels_of`], each in a
/// quarter, and open ground in the others.
///
/// The same arguments give the same pixels; another drift changes the same scene.
pub fn paint_labelled(seed: u64, index: u64, size: u32, drift: &Drift) -> RgbImage {
    let size = size.max(1);
    let mut rng = random::stream(seed, "synth/labelled-tile", &[index]);
    let view = View::new(&mut rng, size);
    let borders = Point::from_angle(between(&mut rng, 0.0, TAU));
    let ground = Ground::new(&mut rng);
    let bend = noise_seed(&mut rng);
    let mut places: Vec<usize> = (0..QUARTERS).collect();
    random::shuffle(&mut places, &mut rng);
    let mut quarters: [Option<Scene>; QUARTERS] = std::array::from_fn(|_| None);
    for (place, label) in places.into_iter().zip(labels_of(seed, index)) {
        let center = center_of(place, borders, view.center());
        quarters[place] = Some(Scene::new(label, &mut rng, center));
    }
    let colors = view.render(size, |at| {
        let plan = at.minus(view.center()).turned(borders);
        let wave = 3.0 * noise::smooth(plan.times(1.0 / 14.0), bend);
        let (x, y) = (plan.x + wave, plan.y - wave);
        let place = usize::from(x > 0.0) + 2 * usize::from(y > 0.0);
        let land = ground.at(at);
        match &quarters[place] {
            // Ground shows through at the borders.
            Some(scene) => land.mix(scene.at(at), above(x.abs().min(y.abs()), 0.8)),
            None => land,
        }
    });
    let mut tile = light::photograph(&colors, size, &mut rng);
    drift.apply(
        &mut tile,
        &mut random::stream(seed, "synth/labelled-drift", &[index]),
    );
    tile
}

/// The middle of a quarter: its side is turned back from the plan of the borders to the ground.
fn center_of(place: usize, borders: Point, center: Point) -> Point {
    let side = |bit: usize| match place & bit {
        0 => -TO_QUARTER,
        _ => TO_QUARTER,
    };
    let back = Point::new(borders.x, -borders.y);
    let offset = Point::new(side(1), side(2)).turned(back);
    Point::new(center.x + offset.x, center.y + offset.y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_none_to_four_labels_and_every_label_is_frequent() {
        let mut of_count = [0; QUARTERS + 1];
        let mut of_label = [0; CLASSES.len()];
        for index in 0..1000 {
            let labels = labels_of(3, index);
            assert!(labels.is_sorted());
            of_count[labels.len()] += 1;
            for label in labels {
                of_label[label] += 1;
            }
        }
        assert!(of_count.iter().all(|count| *count > 10), "{of_count:?}");
        assert!(of_label.iter().all(|count| *count > 200), "{of_label:?}");
    }

    #[test]
    fn the_same_key_paints_the_same_tile_and_another_key_another() {
        let tile = |seed, index| paint_labelled(seed, index, 32, &Drift::NONE);
        assert_eq!(tile(1, 5), tile(1, 5));
        assert_ne!(tile(1, 5), tile(1, 6));
        assert_ne!(tile(1, 5), tile(2, 5));
        let tiny = paint_labelled(1, 1, 0, &Drift::NONE);
        assert_eq!((tiny.width, tiny.pixels.len()), (1, 3));
    }

    #[test]
    fn the_middle_of_a_quarter_lies_in_it() {
        let (borders, center) = (Point::from_angle(0.7), Point::new(40.0, -7.0));
        for place in 0..QUARTERS {
            let middle = center_of(place, borders, center);
            let plan = middle.minus(center).turned(borders);
            let found = usize::from(plan.x > 0.0) + 2 * usize::from(plan.y > 0.0);
            assert_eq!(found, place);
        }
    }
}
