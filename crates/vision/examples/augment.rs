//! Images a second on one thread: the usual pipeline, and each change by itself, on the image that
//! `bench/augment/albumentations_peer.py` changes too.
//!
//!     cargo run --profile ci -p ferrotype-vision --example augment -- [SECONDS]

#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use ferrotype_core::config::augment::AugmentConfig;
use ferrotype_vision::RgbImage;
use ferrotype_vision::augment::Augment;
use ferrotype_vision::random;

/// What is timed: name, side or size of the image, configuration as YAML's JSON.
const CASES: [(&str, [u32; 2], &str); 21] = [
    (
        "usual pipeline",
        [500, 375],
        r#"{"random_resized_crop": {"height": 224, "width": 224, "antialias": false},
            "horizontal_flip": 0.5,
            "color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "p": 1},
            "rotate": {"limit": 15, "p": 1},
            "gaussian_blur": {"sigma_limit": [0.5, 2.0], "p": 1}}"#,
    ),
    (
        "usual, smooth crop",
        [500, 375],
        r#"{"random_resized_crop": {"height": 224, "width": 224},
            "horizontal_flip": 0.5,
            "color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "p": 1},
            "rotate": {"limit": 15, "p": 1},
            "gaussian_blur": {"sigma_limit": [0.5, 2.0], "p": 1}}"#,
    ),
    (
        "random_resized_crop",
        [500, 375],
        r#"{"random_resized_crop": {"height": 224, "width": 224, "antialias": false}}"#,
    ),
    ("horizontal_flip", [224, 224], r#"{"horizontal_flip": 1}"#),
    ("rotate", [224, 224], r#"{"rotate": {"limit": 15, "p": 1}}"#),
    ("perspective", [224, 224], r#"{"perspective": 1}"#),
    (
        "color_jitter",
        [224, 224],
        r#"{"color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "p": 1}}"#,
    ),
    (
        "brightness_contrast",
        [224, 224],
        r#"{"random_brightness_contrast": 1}"#,
    ),
    (
        "hue_saturation_value",
        [224, 224],
        r#"{"hue_saturation_value": 1}"#,
    ),
    (
        "gaussian_blur",
        [224, 224],
        r#"{"gaussian_blur": {"sigma_limit": [0.5, 2.0], "p": 1}}"#,
    ),
    ("motion_blur", [224, 224], r#"{"motion_blur": 1}"#),
    (
        "median_blur 5",
        [224, 224],
        r#"{"median_blur": {"blur_limit": [5, 5], "p": 1}}"#,
    ),
    ("gauss_noise", [224, 224], r#"{"gauss_noise": 1}"#),
    ("clahe", [224, 224], r#"{"clahe": 1}"#),
    ("equalize", [224, 224], r#"{"equalize": 1}"#),
    ("sharpen", [224, 224], r#"{"sharpen": 1}"#),
    (
        "image_compression",
        [224, 224],
        r#"{"image_compression": {"quality_range": [50, 90], "p": 1}}"#,
    ),
    ("coarse_dropout", [224, 224], r#"{"coarse_dropout": 1}"#),
    ("grid_distortion", [224, 224], r#"{"grid_distortion": 1}"#),
    (
        "elastic_transform",
        [224, 224],
        r#"{"elastic_transform": {"alpha": 300, "sigma": 10, "p": 1}}"#,
    ),
    ("trivial_augment", [224, 224], r#"{"trivial_augment": {}}"#),
];

fn picture([width, height]: [u32; 2]) -> RgbImage {
    let mut image = RgbImage::filled(width, height, [0; 3]);
    for y in 0..height {
        for x in 0..width {
            let color = [0, 1, 2].map(|c| {
                let wave = (x * (3 + c) + y * (5 - c) + (x * y / 64) * (c + 1)) % 510;
                wave.min(510 - wave).min(255) as u8
            });
            image.set_pixel(x, y, color);
        }
    }
    image
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let budget = Duration::from_secs_f64(seconds.unwrap_or(0.2));
    for (name, size, config) in CASES {
        let Some(augment) = serde_json::from_str(config)
            .ok()
            .and_then(|json| AugmentConfig::from_json(&json).ok())
            .and_then(|config| Augment::new(config).ok())
        else {
            println!("{name}\twrong configuration");
            continue;
        };
        let original = picture(size);
        // Without the copy that is changed, which a loader does not make.
        let run = |index| {
            let mut image = original.clone();
            let begin = Instant::now();
            let mut rng = random::stream(7, "augment", &[0, index]);
            augment.apply(&mut image, &mut rng);
            black_box(image);
            begin.elapsed()
        };
        for index in 0..5 {
            run(index);
        }
        let (mut taken, mut count) = (Duration::ZERO, 0);
        while taken < budget {
            taken += run(count);
            count += 1;
        }
        println!("{name}\t{:.1}", count as f64 / taken.as_secs_f64());
    }
}
