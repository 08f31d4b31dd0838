use serde_json::json;

use super::*;
use crate::config::rules::{Alone, Range};

fn read(json: Json) -> AugmentConfig {
    AugmentConfig::from_json(&json).unwrap()
}

fn refused(json: Json) -> String {
    let error = AugmentConfig::from_json(&json).unwrap_err();
    match error.hint() {
        Some(hint) => format!("{error} | {hint}"),
        None => error.to_string(),
    }
}

#[test]
fn a_bare_number_is_the_probability_or_the_main_parameter() {
    let config = read(json!({"horizontal_flip": 0.25, "crop_padding": 4, "brightness": 0.1}));
    let expected = [
        Transform::HorizontalFlip(HorizontalFlip { p: 0.25 }),
        Transform::CropPadding(CropPadding {
            padding: 4,
            ..CropPadding::default()
        }),
        Transform::Brightness(Brightness { limit: 0.1, p: 1.0 }),
    ];
    assert_eq!(config.0, expected);
}

#[test]
fn the_order_is_the_one_written_and_null_leaves_a_transform_out() {
    let config = read(json!({"vertical_flip": 0.1, "rotate": null, "horizontal_flip": 0.2}));
    let names: Vec<_> = config.0.iter().map(Transform::name).collect();
    assert_eq!(names, ["vertical_flip", "horizontal_flip"]);
}

#[test]
fn a_share_of_padding_is_of_each_side_and_leaves_a_pixel() {
    let config = read(json!({"crop_padding": {"share": 0.125}}));
    let [Transform::CropPadding(crop)] = &config.0[..] else {
        panic!("{config:?}");
    };
    let pixels = [1, 4, 32, 33, 64, 224].map(|side| crop.pixels(side));
    assert_eq!(pixels, [0, 1, 4, 4, 8, 28]);
    let most = CropPadding {
        share: 0.99,
        ..CropPadding::default()
    };
    assert_eq!([0, 1, 2, 10].map(|side| most.pixels(side)), [0, 0, 1, 9]);
    // Stored configurations have the number alone.
    let written = |padding, share, p| {
        let crop = CropPadding { padding, share, p };
        serde_json::to_value(AugmentConfig(vec![crop.into()])).unwrap()
    };
    assert_eq!(written(4, 0.0, 1.0), json!({"crop_padding": 4}));
    assert_eq!(
        written(4, 0.0, 0.5),
        json!({"crop_padding": {"padding": 4, "p": 0.5}})
    );
    assert_eq!(
        written(0, 0.25, 1.0),
        json!({"crop_padding": {"share": 0.25}})
    );
    let both = CropPadding {
        padding: 4,
        share: 0.25,
        p: 1.0,
    };
    assert!(AugmentConfig(vec![both.into()]).check().is_err());
}

#[test]
fn one_number_stands_for_two_limits() {
    let config = read(json!({
        "rotate": {"limit": 15, "p": "0.7", "fill": 9},
        "affine": {"scale": 0.5},
        "perspective": {"scale": 0.2},
        "color_jitter": {"brightness": 0.4, "hue": 0.1},
        "motion_blur": {"blur_limit": 9},
        "posterize": {"num_bits": 3},
    }));
    let expected = [
        Transform::Rotate(Rotate {
            limit: [-15.0, 15.0],
            fill: [9; 3],
            p: 0.7,
            ..Rotate::default()
        }),
        Transform::Affine(Affine {
            scale: [0.5, 0.5],
            ..Affine::default()
        }),
        Transform::Perspective(Perspective {
            scale: [0.0, 0.2],
            ..Perspective::default()
        }),
        Transform::ColorJitter(ColorJitter {
            brightness: [0.6, 1.4],
            hue: [-0.1, 0.1],
            ..ColorJitter::default()
        }),
        Transform::MotionBlur(MotionBlur {
            blur_limit: [3, 9],
            ..MotionBlur::default()
        }),
        Transform::Posterize(Posterize {
            num_bits: [3, 3],
            ..Posterize::default()
        }),
    ];
    assert_eq!(config.0, expected);
}

#[test]
fn combinators_take_lists_of_names_and_mappings() {
    let config = read(json!({
        "one_of": ["median_blur", {"gaussian_blur": 0.3}],
        "some_of": {"n": [1, 2], "transforms": [{"one_of": ["invert"]}]},
        "random_erasing": {"value": "random"},
    }));
    let expected = [
        Transform::OneOf(OneOf {
            transforms: Steps(vec![
                Transform::MedianBlur(MedianBlur::default()),
                Transform::GaussianBlur(GaussianBlur {
                    p: 0.3,
                    ..GaussianBlur::default()
                }),
            ]),
            p: 0.5,
        }),
        Transform::SomeOf(SomeOf {
            n: [1, 2],
            transforms: Steps(vec![Transform::OneOf(OneOf {
                transforms: Steps(vec![Transform::Invert(Invert::default())]),
                p: 0.5,
            })]),
            ..SomeOf::default()
        }),
        Transform::RandomErasing(RandomErasing {
            value: Fill::Random(RandomFill::Random),
            ..RandomErasing::default()
        }),
    ];
    assert_eq!(config.0, expected);
    let json = serde_json::to_value(&config).unwrap();
    assert_eq!(
        json["one_of"],
        json!([{"median_blur": 0.5}, {"gaussian_blur": 0.3}])
    );
    assert_eq!(read(json), config);
}

#[test]
fn what_is_wrong_is_named_with_what_was_expected() {
    let refused = [
        refused(json!({"rotat": 0.5})),
        refused(json!({"rotate": {"limits": 5}})),
        refused(json!({"rotate": 1.5})),
        refused(json!({"rotate": {"limit": [5, -5]}})),
        refused(json!({"rotate": {"limit": 500}})),
        refused(json!({"rotate": {"limit": [1, 2, 3]}})),
        refused(json!({"rotate": {"border_mode": "reflect101"}})),
        refused(json!({"rotate": {"fill": [0, 0, 256]}})),
        refused(json!({"crop_padding": -1})),
        refused(json!({"crop_padding": {"share": 1}})),
        refused(json!({"crop_padding": {"padding": 4, "share": 0.1}})),
        refused(json!({"one_of": [{"invert": 1, "clahe": 1}]})),
        refused(json!({"one_of": [{"invrt": 1}]})),
        refused(json!({"one_of": {"transforms": 3}})),
        refused(json!({"motion_blur": {"blur_limit": 2}})),
        refused(json!(["invert"])),
    ];
    insta::assert_snapshot!(refused.join("\n"));
}

/// Values that a rule takes, beside the default.
fn samples(rule: &Rule) -> Vec<Json> {
    let inside = |range: &Range| {
        let mut tried = [0.5, 1.0, 40.0, 1.5].into_iter();
        tried.find(|x| range.contains(*x)).unwrap()
    };
    match rule {
        Rule::Number(range) => vec![json!(inside(range))],
        Rule::Whole(low, _) => vec![json!(low + 1)],
        Rule::Flag => vec![json!(true), json!(false)],
        Rule::OneOf(choices) => choices.iter().map(|choice| json!(choice)).collect(),
        Rule::Limits(range, alone) => {
            let alone = if *alone == Alone::AroundOne {
                0.5
            } else {
                inside(range)
            };
            vec![json!(alone), json!([inside(range), inside(range)])]
        }
        Rule::WholeLimits(low, ..) | Rule::WholePair(low, _) => {
            vec![json!(low + 1), json!([low, low + 1])]
        }
        Rule::Color => vec![json!(7), json!([1, 2, 3])],
        Rule::ColorOr(word) => vec![json!(word), json!([1, 2, 3])],
        Rule::Transforms => vec![json!(["invert"])],
        rule => unreachable!("{rule:?} is no rule of a parameter"),
    }
}

#[test]
fn the_types_know_every_parameter_and_write_what_they_read() {
    for transform in TRANSFORMS {
        let Rule::Shorthand { main, fields } = transform.rule else {
            panic!("{}", transform.name);
        };
        assert!(fields.iter().any(|field| field.name == main));
        for field in fields {
            for sample in samples(&field.rule) {
                let parameters = json!({field.name: sample});
                let config = read(json!({transform.name: parameters}));
                let written = serde_json::to_value(&config).unwrap();
                assert_eq!(read(written.clone()), config, "{written}");
            }
        }
    }
}

#[test]
fn defaults_are_in_their_own_ranges() {
    for transform in TRANSFORMS {
        let name = transform.name;
        let default = Transform::from_json(name, json!({})).unwrap();
        assert_eq!(default.name(), name);
        AugmentConfig(vec![default]).check().unwrap();
    }
}

#[test]
fn a_configuration_made_by_hand_is_checked_too() {
    let config = AugmentConfig(vec![Transform::Rotate(Rotate {
        p: f64::NAN,
        ..Rotate::default()
    })]);
    assert!(config.check().is_err());
}

#[test]
fn images_are_loaded_larger_for_a_crop_that_cuts_a_share_out_of_them() {
    let side = |augment: Json, cache_size: Option<u32>| {
        let data: crate::config::schema::DataConfig = serde_json::from_value(json!({
            "image_size": 224, "mean": [0, 0, 0], "std": [1, 1, 1], "workers": 0,
            "cache_size": cache_size, "augment": augment,
        }))
        .unwrap();
        data.training_side()
    };
    assert_eq!(side(json!({"rotate": 0.5}), None), 224);
    assert_eq!(side(json!({"random_resized_crop": {}}), None), 312);
    assert_eq!(side(json!({"random_resized_crop": {}}), Some(256)), 256);
    let rare = json!({"one_of": [{"random_resized_crop": {"scale": [0.01, 0.1]}}, {"invert": {}}]});
    assert_eq!(side(rare, None), 448);
    let whole = json!({"random_resized_crop": {"scale": [1, 1]}});
    assert_eq!(side(whole, None), 224);
}

#[test]
fn crops_of_no_size_get_one() {
    let config = read(json!({"one_of": [{"random_resized_crop": {}}], "rotate": 0.5}));
    let sized = read(json!({
        "one_of": [{"random_resized_crop": {"height": 64, "width": 64}}], "rotate": 0.5,
    }));
    assert_eq!(config.cropping_to(64), sized);
}
