//! What models answer.

use std::collections::BTreeMap;

use ferrotype_core::manifest::{OutputKind, Preprocessing, Task};
use ferrotype_inference::{
    InferenceErrorKind, Model, RuntimeChoice, embed_manifest, inspect, softmax,
};
use ferrotype_vision::RgbImage;
use ferrotype_vision::transform::Transform;
use serde::Deserialize;

use crate::networks::{self, HEIGHT, WIDTH, bytes, constant, image, manifest, mean_colour, mirror};
use crate::runtimes;

fn load(model: &ferrotype_core::onnx::ModelProto, classes: usize, choice: RuntimeChoice) -> Model {
    let manifest = manifest(model, classes);
    Model::load_with_manifest(&bytes(model), manifest, choice, 1).unwrap()
}

#[test]
fn a_colour_is_recognised_with_the_probabilities_of_the_formula() {
    for choice in runtimes() {
        let model = load(&mean_colour(), 3, choice);
        let green = RgbImage::filled(31, 17, [51, 204, 102]);
        let prediction = model.predict(&green).unwrap();
        let channels = [51, 204, 102].map(|byte| (byte as f32 / 255.0 - 0.5) / 0.25);
        let embedding = prediction.embedding.as_ref().unwrap();
        for (ours, theirs) in embedding.iter().zip(channels) {
            assert!((ours - theirs).abs() < 1e-5, "{choice}: {ours} {theirs}");
        }
        let logits: Vec<f32> = networks::COLOUR_WEIGHTS
            .chunks(3)
            .map(|row| row.iter().zip(channels).map(|(w, c)| w * c).sum())
            .collect();
        for (ours, theirs) in prediction.probabilities.iter().zip(softmax(&logits)) {
            assert!((ours - theirs).abs() < 1e-5, "{choice}: {ours} {theirs}");
        }
        let top = model.top(&prediction.probabilities, 2);
        assert_eq!(top.len(), 2);
        assert_eq!((top[0].class, top[0].index), ("class 1", 1));
        assert!(top[0].probability > top[1].probability);
    }
}

#[test]
fn the_networks_input_is_bit_for_bit_what_the_transform_gives() {
    let length = (3 * WIDTH * HEIGHT) as usize;
    for choice in runtimes() {
        let model = load(&mirror(), length, choice);
        let transform = Transform::new(&model.manifest().preprocessing).unwrap();
        for (seed, width, height) in [(1, WIDTH, HEIGHT), (2, 64, 48), (3, 3, 2), (4, 1, 1)] {
            let image = networks::image_of_size(seed, width, height);
            let seen = model.predict(&image).unwrap().embedding.unwrap();
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&seen), bits(&transform.apply(&image)), "{choice}");
        }
    }
}

#[test]
fn a_batch_answers_as_its_images_do_one_by_one() {
    // More than one run takes at most, and not a multiple of it.
    let images: Vec<RgbImage> = (0..71).map(image).collect();
    for choice in runtimes() {
        let model = load(&mean_colour(), 3, choice);
        let together = model.predict_batch(&images).unwrap();
        assert_eq!(together.len(), images.len());
        for (image, prediction) in images.iter().zip(&together) {
            let alone = model.predict(image).unwrap();
            for (a, b) in alone.probabilities.iter().zip(&prediction.probabilities) {
                assert!((a - b).abs() < 1e-6, "{choice}: {a} {b}");
            }
        }
        assert!(model.predict_batch(&[]).unwrap().is_empty());
    }
}

#[test]
fn a_network_with_a_fixed_batch_answers_for_any_number_of_images() {
    let mut fixed = mean_colour();
    let graph = fixed.graph.as_mut().unwrap();
    graph.input = vec![networks::value(
        "image",
        &[4, 3, HEIGHT.into(), WIDTH.into()],
    )];
    graph.output = vec![networks::value("logits", &[4, 3])];
    let images: Vec<RgbImage> = (0..6).map(image).collect();
    for choice in runtimes() {
        let any = load(&mean_colour(), 3, choice)
            .predict_batch(&images)
            .unwrap();
        let four = load(&fixed, 3, choice).predict_batch(&images).unwrap();
        assert_eq!(four.len(), 6);
        for (a, b) in any.iter().zip(&four) {
            for (a, b) in a.probabilities.iter().zip(&b.probabilities) {
                assert!((a - b).abs() < 1e-6, "{choice}: {a} {b}");
            }
        }
    }
}

#[test]
fn a_model_answers_several_threads_at_once() {
    for choice in runtimes() {
        let model = load(&mean_colour(), 3, choice);
        let alone: Vec<_> = (0..8)
            .map(|seed| model.predict(&image(seed)).unwrap().probabilities)
            .collect();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (model, alone) = (&model, &alone);
                scope.spawn(move || {
                    for round in 0..50_u32 {
                        let seed = (round + thread) % 8;
                        let now = model.predict(&image(seed)).unwrap().probabilities;
                        assert_eq!(now, alone[seed as usize]);
                    }
                });
            }
        });
    }
}

#[test]
fn probabilities_are_passed_on_and_logits_in_their_place_are_refused() {
    for choice in runtimes() {
        let said = [0.25, 0.75];
        let network = constant(&said);
        let mut manifest = manifest(&network, 2);
        manifest.output = OutputKind::Probabilities;
        let load =
            |network, manifest| Model::load_with_manifest(&bytes(network), manifest, choice, 1);
        let model = load(&network, manifest.clone()).unwrap();
        assert_eq!(model.predict(&image(0)).unwrap().probabilities, said);
        let error = load(&constant(&[-3.0, 5.0]), manifest).unwrap_err();
        assert_eq!(error.kind(), InferenceErrorKind::Mismatch);
        assert!(error.hint().unwrap().contains("logits"), "{error}");
    }
}

#[test]
fn labels_are_asked_one_by_one_and_those_above_the_threshold_answered() {
    for choice in runtimes() {
        let network = constant(&[0.0, 2.0, -2.0]);
        let mut manifest = manifest(&network, 3);
        manifest.task = Task::MultiLabel;
        let load = |manifest| Model::load_with_manifest(&bytes(&network), manifest, choice, 1);
        let model = load(manifest.clone()).unwrap();
        let probabilities = model.predict(&image(0)).unwrap().probabilities;
        // From SciPy: expit([0, 2, -2]).
        for (found, expected) in probabilities.iter().zip([0.5, 0.880_797, 0.119_203]) {
            assert!((found - expected).abs() < 1e-6, "{probabilities:?}");
        }
        let names = |model: &Model| -> Vec<String> {
            let thresholds = model.manifest().label_thresholds();
            let labels = model.labels(&probabilities, &thresholds).unwrap();
            labels.iter().map(|label| label.class.into()).collect()
        };
        assert_eq!(names(&model), ["class 1"]);
        manifest.threshold = Some(0.3);
        assert_eq!(
            names(&load(manifest.clone()).unwrap()),
            ["class 1", "class 0"]
        );
        manifest.thresholds = Some(vec![0.6, 0.9, 0.1]);
        assert_eq!(names(&load(manifest.clone()).unwrap()), ["class 2"]);
        manifest.threshold = Some(1.5);
        assert!(load(manifest).is_err());
    }
}

#[test]
fn a_network_that_answers_nan_is_refused() {
    for choice in runtimes() {
        for bad in [f32::NAN, f32::INFINITY] {
            let network = constant(&[0.5, bad]);
            let manifest = manifest(&network, 2);
            let error =
                Model::load_with_manifest(&bytes(&network), manifest, choice, 1).unwrap_err();
            assert_eq!(
                error.kind(),
                InferenceErrorKind::NotFinite,
                "{choice}: {error}"
            );
            assert!(error.to_string().contains("`class 1`"), "{error}");
        }
    }
}

#[test]
fn the_number_of_threads_does_not_change_the_answer() {
    for choice in runtimes() {
        let network = mean_colour();
        let answer = |threads| {
            let manifest = manifest(&network, 3);
            let model =
                Model::load_with_manifest(&bytes(&network), manifest, choice, threads).unwrap();
            model.predict(&image(5)).unwrap().probabilities
        };
        assert_eq!(answer(1), answer(2));
        assert_eq!(answer(1), answer(0));
    }
}

#[derive(Deserialize)]
struct Golden {
    side: u32,
    pixels: Vec<Vec<u8>>,
    cases: Vec<GoldenCase>,
}

#[derive(Deserialize)]
struct GoldenCase {
    name: String,
    outputs: BTreeMap<String, Vec<Vec<f32>>>,
}

/// The largest difference, against the bound 1e-4 × (1 + largest expected).
#[track_caller]
fn assert_agrees(what: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0_f32, f32::max);
    let difference = largest(&mut ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()));
    let bound = 1e-4 * (1.0 + largest(&mut theirs.iter().map(|value| value.abs())));
    assert!(difference <= bound, "{what}: {difference} above {bound}");
}

#[test]
fn networks_of_other_exporters_answer_as_in_onnx_runtime_from_pypi() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let json = std::fs::read_to_string(format!("{folder}/answers.json")).unwrap();
    let golden: Golden = serde_json::from_str(&json).unwrap();
    let images: Vec<RgbImage> = golden
        .pixels
        .iter()
        .map(|pixels| RgbImage::from_pixels(golden.side, golden.side, pixels.clone()).unwrap())
        .collect();
    for choice in runtimes() {
        for case in &golden.cases {
            let onnx = std::fs::read(format!("{folder}/{}.onnx", case.name)).unwrap();
            let summary = inspect(&onnx).unwrap();
            let mut manifest = manifest(&mean_colour(), 5);
            manifest.preprocessing = Preprocessing {
                width: golden.side,
                height: golden.side,
                ..manifest.preprocessing
            };
            manifest.output_name = summary.answer_output(5).unwrap().name.clone();
            manifest.embedding_name = case
                .outputs
                .contains_key("embedding")
                .then(|| "embedding".into());
            let answers_probabilities = manifest.output_name == "probabilities";
            if answers_probabilities {
                manifest.output = OutputKind::Probabilities;
            }
            let model = Model::load(&embed_manifest(&onnx, &manifest).unwrap(), choice, 2).unwrap();
            let predictions = model.predict_batch(&images).unwrap();
            for (row, prediction) in predictions.iter().enumerate() {
                let what = format!("{} on {choice}", case.name);
                let answer = &case.outputs[&manifest.output_name][row];
                let expected = if answers_probabilities {
                    answer.clone()
                } else {
                    softmax(answer)
                };
                assert_agrees(&what, &prediction.probabilities, &expected);
                if let Some(embedding) = &prediction.embedding {
                    assert_agrees(&what, embedding, &case.outputs["embedding"][row]);
                }
            }
        }
    }
}
