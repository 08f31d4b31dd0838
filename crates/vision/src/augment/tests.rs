use ferrotype_core::config::augment::{BorderMode, Interpolation};

use super::*;
use crate::random;

fn picture(width: u32, height: u32) -> RgbImage {
    let mut image = RgbImage::filled(width, height, [0; 3]);
    for y in 0..height {
        for x in 0..width {
            let color = [x * 5 + y * 3, y * 7 + x, 40 + (x * y) / 9].map(|value| {
                let wave = value % 510;
                wave.min(510 - wave).min(255) as u8
            });
            image.set_pixel(x, y, color);
        }
    }
    image
}

fn augment(yaml_as_json: &str) -> Augment {
    let json = serde_json::from_str(yaml_as_json).unwrap();
    Augment::new(AugmentConfig::from_json(&json).unwrap()).unwrap()
}

/// The names of all transforms, from the error that lists or guesses them.
const NAMES: [&str; 43] = [
    "horizontal_flip",
    "vertical_flip",
    "transpose",
    "random_rotate90",
    "d4",
    "rotate",
    "affine",
    "shift_scale_rotate",
    "perspective",
    "random_resized_crop",
    "random_crop",
    "center_crop",
    "pad_if_needed",
    "grid_distortion",
    "elastic_transform",
    "optical_distortion",
    "random_brightness_contrast",
    "hue_saturation_value",
    "rgb_shift",
    "color_jitter",
    "random_gamma",
    "to_gray",
    "gaussian_blur",
    "motion_blur",
    "median_blur",
    "gauss_noise",
    "iso_noise",
    "clahe",
    "equalize",
    "posterize",
    "solarize",
    "invert",
    "sharpen",
    "auto_contrast",
    "image_compression",
    "downscale",
    "coarse_dropout",
    "random_erasing",
    "rand_augment",
    "trivial_augment",
    "one_of",
    "some_of",
    "sequential",
];

#[test]
fn every_transform_takes_images_of_any_size() {
    for name in NAMES {
        let augment = augment(&format!("{{\"{name}\": 1}}"));
        for (width, height) in [(1, 1), (2, 3), (17, 9), (40, 40)] {
            for index in 0..4 {
                let mut sample = Sample {
                    image: picture(width, height),
                    boxes: vec![LabelledBox {
                        x_min: 0.0,
                        y_min: 0.0,
                        x_max: width.into(),
                        y_max: height.into(),
                        label: 0,
                    }],
                };
                augment.apply_to_sample(&mut sample, &mut random::stream(1, "test", &[index]));
                let image = &sample.image;
                let bytes = image.width as usize * image.height as usize * 3;
                assert_eq!(image.pixels.len(), bytes, "{name}");
                for own in &sample.boxes {
                    assert_eq!(*own, own.clipped(image.width, image.height), "{name}");
                }
            }
        }
    }
}

#[test]
fn every_transform_changes_something() {
    for name in NAMES {
        let config = match name {
            "center_crop" => r#"{"center_crop": {"height": 20, "width": 20}}"#.to_string(),
            "pad_if_needed" => r#"{"pad_if_needed": {"min_height": 60}}"#.to_string(),
            "random_crop" => r#"{"random_crop": {"padding": 4}}"#.to_string(),
            "affine" => r#"{"affine": {"scale": 0.5, "p": 1}}"#.to_string(),
            "elastic_transform" => {
                r#"{"elastic_transform": {"alpha": 300, "sigma": 3, "p": 1}}"#.to_string()
            }
            "optical_distortion" => {
                r#"{"optical_distortion": {"distort_limit": 1, "p": 1}}"#.to_string()
            }
            "one_of" | "some_of" | "sequential" => {
                format!("{{\"{name}\": {{\"transforms\": [{{\"invert\": 1}}], \"p\": 1}}}}")
            }
            name => format!("{{\"{name}\": 1}}"),
        };
        let augment = augment(&config);
        let original = picture(40, 40);
        let is_changed = (0..20).any(|index| {
            let mut image = original.clone();
            augment.apply(&mut image, &mut random::stream(2, "test", &[index]));
            image != original
        });
        assert!(is_changed, "{name}");
    }
}

#[test]
fn nothing_configured_changes_nothing() {
    let mut image = picture(9, 7);
    augment("{}").apply(&mut image, &mut random::stream(1, "augment", &[]));
    assert_eq!(image, picture(9, 7));
    let off = r#"{"horizontal_flip": 0, "crop_padding": 0, "brightness": 0, "contrast": 0.0}"#;
    augment(off).apply(&mut image, &mut random::stream(1, "augment", &[]));
    assert_eq!(image, picture(9, 7));
}

#[test]
fn padding_by_a_share_is_what_so_many_pixels_are() {
    let by_share = augment(r#"{"crop_padding": {"share": 0.125}}"#);
    for (side, pixels) in [(32, 4), (48, 6)] {
        let by_pixels = augment(&format!(r#"{{"crop_padding": {pixels}}}"#));
        for index in 0..5 {
            let [share, number] = [&by_share, &by_pixels].map(|augment| {
                let mut image = picture(side, side);
                augment.apply(&mut image, &mut random::stream(3, "test", &[index]));
                image
            });
            assert_eq!(share, number);
        }
    }
}

#[test]
fn the_same_stream_gives_the_same_image_and_another_one_another() {
    let names: Vec<String> = NAMES[..40]
        .iter()
        .map(|name| format!("\"{name}\": 0.3"))
        .collect();
    let augment = augment(&format!("{{{}}}", names.join(",")));
    let augmented = |epoch| {
        let mut image = picture(30, 22);
        augment.apply(&mut image, &mut random::stream(1, "augment", &[epoch, 5]));
        image
    };
    assert_eq!(augmented(0), augmented(0));
    assert_ne!(augmented(0), augmented(1));
}

#[test]
fn half_of_the_images_are_flipped_at_probability_one_half() {
    let augment = augment(r#"{"horizontal_flip": 0.5}"#);
    let original = picture(2, 1);
    let flipped = (0..1000)
        .filter(|&index| {
            let mut image = original.clone();
            augment.apply(&mut image, &mut random::stream(3, "augment", &[0, index]));
            image != original
        })
        .count();
    assert!((440..560).contains(&flipped), "{flipped}");
}

#[test]
fn one_of_chooses_by_the_probabilities_and_some_of_so_many() {
    let one = augment(r#"{"one_of": {"transforms": [{"invert": 0.9}, {"to_gray": 0.3}], "p": 1}}"#);
    let drawn =
        |augment: &Augment, index| augment.draw([4, 4], &mut random::stream(1, "test", &[index]));
    let grays = (0..1000)
        .filter(|&index| drawn(&one, index) == [Operation::Pixelwise(Pixelwise::Gray)])
        .count();
    assert!((200..300).contains(&grays), "{grays}");
    let some = augment(
        r#"{"some_of": {"n": 2, "transforms": [{"invert": 1}, {"to_gray": 1}, {"equalize": 1}]}}"#,
    );
    assert!((0..50).all(|index| drawn(&some, index).len() == 2));
}

/// All at once, and each by itself.
fn both_ways(operations: &[Operation]) -> [RgbImage; 2] {
    let rules = BoxRules::default();
    let mut at_once = picture(40, 31);
    apply_all(operations, &mut at_once, &mut Vec::new(), &rules);
    let mut one_by_one = picture(40, 31);
    for operation in operations {
        let single = std::slice::from_ref(operation);
        apply_all(single, &mut one_by_one, &mut Vec::new(), &rules);
    }
    [at_once, one_by_one]
}

fn largest_difference([first, second]: [&RgbImage; 2]) -> u8 {
    assert_eq!((first.width, first.height), (second.width, second.height));
    let pairs = first.pixels.iter().zip(&second.pixels);
    pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

fn geometry(matrix: Matrix, [width, height]: [u32; 2], mode: BorderMode) -> Operation {
    Operation::Geometry(Geometry {
        matrix,
        width,
        height,
        border: Border {
            mode,
            fill: [0, 255, 0],
        },
        interpolation: Interpolation::Linear,
    })
}

/// Turned around the centre of 40×31 by about 30 degrees.
fn turn(mode: BorderMode) -> Operation {
    let matrix = Matrix::shift(-20.0, -15.5)
        .then(&Matrix::affine([[0.866, 0.5, 0.0], [-0.5, 0.866, 0.0]]))
        .then(&Matrix::shift(20.0, 15.5));
    geometry(matrix, [40, 31], mode)
}

#[test]
fn flips_turns_and_crops_together_are_what_they_are_one_by_one() {
    let flip = Operation::Geometry(Geometry::horizontal_flip([40, 31]));
    let quarter = Operation::Geometry(Geometry::quarter_turns([40, 31], 1));
    let transpose = Operation::Geometry(Geometry::transpose([31, 40]));
    let crop = Operation::Geometry(operation::crop([3, 7, 20, 11]));
    let shift = geometry(Matrix::shift(-4.0, 3.0), [40, 31], BorderMode::Reflect101);
    let chains = [
        vec![flip.clone(), quarter.clone(), transpose],
        vec![
            crop.clone(),
            Operation::Geometry(Geometry::vertical_flip([20, 11])),
        ],
        vec![shift.clone(), flip.clone(), crop.clone()],
        vec![flip, shift, crop],
    ];
    for chain in chains {
        let [at_once, one_by_one] = both_ways(&chain);
        assert_eq!(at_once.pixels, one_by_one.pixels, "{chain:?}");
    }
}

#[test]
fn a_turn_after_a_crop_shows_the_fill_and_not_what_was_cut_off() {
    let crop = Operation::Geometry(operation::crop([10, 8, 20, 15]));
    let matrix = Matrix::shift(-10.0, -7.5)
        .then(&Matrix::affine([[0.7, 0.7, 0.0], [-0.7, 0.7, 0.0]]))
        .then(&Matrix::shift(10.0, 7.5));
    for mode in [
        BorderMode::Constant,
        BorderMode::Reflect101,
        BorderMode::Replicate,
    ] {
        let chain = [crop.clone(), geometry(matrix, [20, 15], mode)];
        let [at_once, one_by_one] = both_ways(&chain);
        assert!(largest_difference([&at_once, &one_by_one]) <= 1, "{mode:?}");
    }
}

#[test]
fn a_flip_after_a_turn_is_the_same_image_mirrored() {
    let flip = Operation::Geometry(Geometry::horizontal_flip([40, 31]));
    for mode in [BorderMode::Constant, BorderMode::Wrap] {
        let chain = [turn(mode), flip.clone()];
        let [at_once, one_by_one] = both_ways(&chain);
        assert!(largest_difference([&at_once, &one_by_one]) <= 1, "{mode:?}");
    }
}

#[test]
fn what_a_first_turn_filled_stays_filled_after_a_second() {
    let shift = |by| geometry(Matrix::shift(by, 0.25), [40, 31], BorderMode::Constant);
    // Out by 15 columns and back: they are gone.
    let [at_once, one_by_one] = both_ways(&[shift(15.0), shift(-15.0)]);
    for y in 2..29 {
        assert_eq!(at_once.pixel(30, y), [0, 255, 0]);
        assert_eq!(one_by_one.pixel(30, y), [0, 255, 0]);
        let (x, near) = (8, at_once.pixel(8, y));
        let far = near
            .iter()
            .zip(one_by_one.pixel(x, y))
            .map(|(a, b)| a.abs_diff(b));
        // Two resamplings blur where one does not.
        assert!(far.max().unwrap() <= 12);
    }
}

#[test]
fn colours_between_changes_of_coordinates_keep_their_place() {
    let colors = Operation::Pixelwise(Pixelwise::Tables(Tables::invert()));
    let chain = [
        turn(BorderMode::Constant),
        colors,
        turn(BorderMode::Constant),
        Operation::Contrast(0.5),
        Operation::Pixelwise(Pixelwise::Gray),
    ];
    let [at_once, one_by_one] = both_ways(&chain);
    assert_eq!(at_once.pixels, one_by_one.pixels);
}

/// Where the white pixels are.
fn white_part(image: &RgbImage) -> Option<[f64; 4]> {
    let mut around: Option<[f64; 4]> = None;
    for y in 0..image.height {
        for x in 0..image.width {
            if image.pixel(x, y)[0] < 128 {
                continue;
            }
            let (x, y) = (f64::from(x), f64::from(y));
            let [x0, y0, x1, y1] = around.unwrap_or([x, y, x, y]);
            around = Some([x0.min(x), y0.min(y), x1.max(x + 1.0), y1.max(y + 1.0)]);
        }
    }
    around
}

#[test]
fn boxes_stay_around_their_objects() {
    let names = [
        "horizontal_flip",
        "vertical_flip",
        "transpose",
        "random_rotate90",
        "d4",
        "rotate",
        "shift_scale_rotate",
        "perspective",
        "random_resized_crop",
        "grid_distortion",
        "optical_distortion",
    ];
    for first in names {
        for second in names {
            let augment = augment(&format!(
                "{{\"sequential\": {{\"p\": 1, \"transforms\": [{{\"{first}\": 1}}, {{\"{second}\": 1}}]}}}}"
            ));
            let mut image = RgbImage::filled(60, 50, [0; 3]);
            for y in 20..32 {
                for x in 25..39 {
                    image.set_pixel(x, y, [255; 3]);
                }
            }
            let boxes = vec![LabelledBox {
                x_min: 25.0,
                y_min: 20.0,
                x_max: 39.0,
                y_max: 32.0,
                label: 4,
            }];
            let mut sample = Sample { image, boxes };
            augment.apply_to_sample(&mut sample, &mut random::stream(5, "boxes", &[]));
            let Some([x0, y0, x1, y1]) = white_part(&sample.image) else {
                continue;
            };
            let own = sample.boxes.first().copied();
            let covers = own.is_some_and(|own| {
                // Stretched pixels are blended farther than the box's own.
                own.x_min <= x0 + 2.5
                    && own.y_min <= y0 + 2.5
                    && own.x_max >= x1 - 2.5
                    && own.y_max >= y1 - 2.5
            });
            assert!(
                covers,
                "{first}, {second}: {own:?} around {:?}",
                [x0, y0, x1, y1]
            );
        }
    }
}

#[test]
fn a_reflected_object_has_a_box_of_its_own() {
    let shift = geometry(Matrix::shift(15.0, 0.0), [40, 31], BorderMode::Reflect);
    let mut boxes = vec![LabelledBox {
        x_min: 2.0,
        y_min: 5.0,
        x_max: 8.0,
        y_max: 9.0,
        label: 1,
    }];
    apply_all(
        &[shift],
        &mut picture(40, 31),
        &mut boxes,
        &BoxRules::default(),
    );
    let mut edges: Vec<[f64; 2]> = boxes.iter().map(|own| [own.x_min, own.x_max]).collect();
    edges.sort_by(|a, b| a[0].total_cmp(&b[0]));
    assert_eq!(edges, [[7.0, 13.0], [17.0, 23.0]]);
}

#[test]
fn a_configuration_out_of_range_is_refused() {
    let config = AugmentConfig(vec![
        ferrotype_core::config::augment::HorizontalFlip { p: 1.5 }.into(),
    ]);
    let error = Augment::new(config).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`data.augment.horizontal_flip` is `1.5`, expected a number from 0 to 1"
    );
}
