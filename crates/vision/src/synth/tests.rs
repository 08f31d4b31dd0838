use super::*;

fn tile(class: usize, index: u64, drift: &Drift) -> RgbImage {
    paint(class, 11, index, 48, drift)
}

fn mean(image: &RgbImage) -> f64 {
    let sum: u64 = image.pixels.iter().map(|&value| u64::from(value)).sum();
    sum as f64 / image.pixels.len() as f64
}

/// Mean absolute difference between pixels side by side.
fn roughness(image: &RgbImage) -> f64 {
    let differences = image.pixels.iter().zip(&image.pixels[3..]);
    let sum: u64 = differences.map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
    sum as f64 / image.pixels.len() as f64
}

#[test]
fn the_same_key_paints_the_same_tile_and_another_key_another() {
    let tiles: Vec<RgbImage> = (0..=6)
        .flat_map(|class| (0..3).map(move |index| tile(class, index, &Drift::NONE)))
        .collect();
    assert_eq!(tiles[4], tile(1, 1, &Drift::NONE));
    assert_ne!(tiles[4], paint(1, 12, 1, 48, &Drift::NONE));
    for (number, tile) in tiles.iter().enumerate() {
        assert!(!tiles[..number].contains(tile), "tile {number} repeats");
    }
}

#[test]
fn tiles_of_any_size_are_painted() {
    for size in [0, 1, 2, 7, 130] {
        for class in 0..=6 {
            let side = size.max(1);
            let tile = paint(class, 1, 1, size, &Drift::NONE);
            assert_eq!((tile.width, tile.height), (side, side));
            assert_eq!(tile.pixels.len(), side as usize * side as usize * 3);
        }
    }
}

#[test]
fn no_tile_is_nearly_black_white_or_flat() {
    for class in 0..=6 {
        for index in 0..40 {
            let tile = tile(class, index, &Drift::NONE);
            let mean = mean(&tile);
            assert!(
                (25.0..230.0).contains(&mean),
                "{class} {index}: mean {mean}"
            );
            let roughness = roughness(&tile);
            assert!(roughness > 0.8, "{class} {index}: roughness {roughness}");
        }
    }
}

#[test]
fn brightness_drift_dims_the_same_scene() {
    let dim = Drift {
        brightness: 0.5,
        ..Drift::NONE
    };
    let (plain, dimmed) = (tile(2, 5, &Drift::NONE), tile(2, 5, &dim));
    for (&before, &after) in plain.pixels.iter().zip(&dimmed.pixels) {
        assert_eq!(after, before.div_ceil(2));
    }
}

#[test]
fn blur_drift_smooths_and_keeps_the_brightness() {
    let blurred = Drift {
        blur: 1.5,
        ..Drift::NONE
    };
    for class in 0..6 {
        let (plain, soft) = (tile(class, 5, &Drift::NONE), tile(class, 5, &blurred));
        assert!(roughness(&soft) < 0.8 * roughness(&plain), "class {class}");
        assert!((mean(&soft) - mean(&plain)).abs() < 2.0, "class {class}");
    }
}

#[test]
fn noise_drift_roughens() {
    let noisy = Drift {
        noise: 20.0,
        ..Drift::NONE
    };
    for class in 0..6 {
        let (plain, rough) = (tile(class, 5, &Drift::NONE), tile(class, 5, &noisy));
        assert!(roughness(&rough) > roughness(&plain) + 4.0, "class {class}");
    }
}

#[test]
fn the_unseen_class_takes_its_share_of_the_tiles() {
    let drift = Drift {
        unseen: 0.3,
        ..Drift::NONE
    };
    let mut unseen = 0;
    for index in 0..200 {
        let replaced = shows_unseen(1, 11, index, &drift);
        let changed = tile(1, index, &drift) != tile(1, index, &Drift::NONE);
        assert_eq!(replaced, changed, "tile {index}");
        unseen += usize::from(replaced);
    }
    assert!((40..80).contains(&unseen), "{unseen} of 200");
}

/// The mean colour of a tile, which is about what a linear model on pixels can use when
/// direction and place are random.
fn mean_color(tile: &RgbImage) -> [f64; 3] {
    std::array::from_fn(|channel| {
        let values = tile.pixels.iter().skip(channel).step_by(3);
        values.map(|&value| f64::from(value)).sum::<f64>() * 3.0 / tile.pixels.len() as f64
    })
}

#[test]
fn colour_alone_does_not_tell_the_classes() {
    let colors = |class, range: std::ops::Range<u64>| -> Vec<[f64; 3]> {
        range
            .map(|index| mean_color(&paint(class, 5, index, 24, &Drift::NONE)))
            .collect()
    };
    let learned: Vec<Vec<[f64; 3]>> = (0..6).map(|class| colors(class, 0..60)).collect();
    let distance =
        |a: &[f64; 3], b: &[f64; 3]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum() };
    let mut right = 0;
    for class in 0..6 {
        for color in colors(class, 60..90) {
            let nearest = (0..6).min_by(|&a, &b| {
                let nearest_of = |class: usize| {
                    let distances = learned[class].iter().map(|other| distance(&color, other));
                    distances.fold(f64::INFINITY, f64::min)
                };
                nearest_of(a).total_cmp(&nearest_of(b))
            });
            right += usize::from(nearest == Some(class));
        }
    }
    assert!(right < 180 * 55 / 100, "{right} of 180");
}
