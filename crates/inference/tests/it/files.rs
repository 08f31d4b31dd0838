//! Models in files answer as their bytes do.

use std::fs::File;
use std::io::Write as _;

use ferrotype_core::onnx::{
    AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto, TensorProto,
};
use ferrotype_inference::{
    InferenceErrorKind, Model, RuntimeChoice, embed_manifest, inspect, load_network,
};
use ferrotype_vision::RgbImage;

use crate::networks::{
    HEIGHT, WIDTH, bytes, image, integer, manifest, mean_colour, model, node, tangent_colour,
    tensor, value,
};
use crate::runtimes;

/// Numbers without a pattern, of the size of a layer's weights.
fn weights(name: &str, dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>() as usize;
    let inputs = (count as f32 / dims[0] as f32).max(1.0);
    let mut state = count as u32 ^ 0x9e37_79b9;
    let values: Vec<f32> = (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as f32 / 8_388_608.0 - 1.0) / inputs.sqrt()
        })
        .collect();
    tensor(name, dims, &values)
}

/// Numbers that are positive, as a variance is.
fn positive(name: &str, len: i64) -> TensorProto {
    let values: Vec<f32> = (0..len).map(|index| 0.5 + index as f32 / 64.0).collect();
    tensor(name, &[len], &values)
}

fn convolution(inputs: [&str; 2], output: &str, padding: i64, groups: i64) -> NodeProto {
    let mut convolution = node("Conv", &inputs, output);
    for (name, values) in [
        ("pads", vec![padding; 4]),
        ("strides", vec![1; 2]),
        ("dilations", vec![1; 2]),
    ] {
        convolution.attribute.push(AttributeProto {
            name: Some(name.into()),
            ints: values,
            r#type: Some(AttributeType::Ints as i32),
            ..AttributeProto::default()
        });
    }
    convolution.attribute.push(integer("group", groups));
    convolution
}

/// A network with weights of all kinds that are large enough to stay in the file: of convolutions,
/// with a batch norm behind one and two that share theirs, of products in both orders, and a
/// constant that is added.
fn wide() -> ModelProto {
    let mut flatten = node("Flatten", &["pooled"], "embedding");
    flatten.attribute.push(integer("axis", 1));
    let mut gemm = node("Gemm", &["rectified", "second.weight"], "wide");
    gemm.attribute.push(integer("transB", 1));
    let statistics = ["normed", "scale", "shift", "mean", "variance"];
    model(GraphProto {
        name: Some("wide".into()),
        node: vec![
            convolution(["image", "first.weight"], "first", 0, 1),
            convolution(["first", "dense.weight"], "normed", 1, 1),
            node("BatchNormalization", &statistics, "norm"),
            convolution(["norm", "shared.weight"], "once", 1, 1),
            convolution(["once", "shared.weight"], "twice", 1, 1),
            convolution(["twice", "grouped.weight"], "grouped", 0, 2),
            node("Add", &["grouped", "added"], "sum"),
            node("GlobalAveragePool", &["sum"], "pooled"),
            flatten,
            node("MatMul", &["embedding", "product.weight"], "product"),
            node("Add", &["product", "product.bias"], "biased"),
            node("Relu", &["biased"], "rectified"),
            gemm,
            node("MatMul", &["wide", "last.weight"], "logits"),
        ],
        initializer: vec![
            weights("first.weight", &[32, 3, 1, 1]),
            weights("dense.weight", &[64, 32, 3, 3]),
            positive("scale", 64),
            weights("shift", &[64]),
            weights("mean", &[64]),
            positive("variance", 64),
            weights("shared.weight", &[64, 64, 3, 3]),
            weights("grouped.weight", &[256, 32, 1, 1]),
            weights("added", &[1, 256, HEIGHT.into(), WIDTH.into()]),
            weights("product.weight", &[256, 96]),
            weights("product.bias", &[96]),
            weights("second.weight", &[48, 96]),
            weights("last.weight", &[48, 5]),
        ],
        input: vec![value("image", &[0, 3, HEIGHT.into(), WIDTH.into()])],
        output: vec![value("logits", &[0, 5]), value("embedding", &[0, 256])],
        ..GraphProto::default()
    })
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// The answers' bits for some images, one by one and together.
fn answers(model: &Model) -> Vec<u32> {
    let images: Vec<RgbImage> = (0..3).map(image).collect();
    let alone = images.iter().map(|image| model.predict(image).unwrap());
    let predictions = alone.chain(model.predict_batch(&images).unwrap());
    predictions
        .flat_map(|prediction| [prediction.probabilities, prediction.embedding.unwrap()])
        .flatten()
        .map(f32::to_bits)
        .collect()
}

#[test]
fn a_model_from_a_file_answers_as_from_its_bytes_to_the_bit() {
    for (network, classes) in [(wide(), 5), (mean_colour(), 3), (tangent_colour(), 3)] {
        let manifest = manifest(&network, classes);
        let onnx = embed_manifest(&bytes(&network), &manifest).unwrap();
        let file = file_of(&onnx);
        assert_eq!(inspect(&file).unwrap(), inspect(&onnx).unwrap());
        for choice in runtimes().into_iter().chain([RuntimeChoice::Auto]) {
            for threads in [1, 3] {
                let from_bytes = match Model::load(&onnx, choice, threads) {
                    Ok(model) => model,
                    // The tangent network, which the native executor does not have.
                    Err(error) => {
                        let told = Model::load(&file, choice, threads).unwrap_err();
                        assert_eq!(told, error);
                        continue;
                    }
                };
                let from_file = Model::load(&file, choice, threads).unwrap();
                assert_eq!(from_file.runtime_name(), from_bytes.runtime_name());
                assert_eq!(from_file.native_refusal(), from_bytes.native_refusal());
                assert!(answers(&from_file) == answers(&from_bytes), "{choice}");
                let twice = Model::load_with_manifest(&file, manifest.clone(), choice, threads);
                assert!(answers(&twice.unwrap()) == answers(&from_bytes), "{choice}");
            }
        }
    }
}

#[test]
fn weights_that_stay_in_the_file_are_those_of_other_runtimes() {
    let network = wide();
    let file = file_of(&bytes(&network));
    let load = |choice| Model::load_with_manifest(&file, manifest(&network, 5), choice, 1).unwrap();
    let [native, rten] = [RuntimeChoice::Native, RuntimeChoice::Rten].map(load);
    for seed in 0..4 {
        let [ours, theirs] = [&native, &rten].map(|model| model.predict(&image(seed)).unwrap());
        let [ours, theirs] = [ours, theirs].map(|of| [of.embedding.unwrap(), of.probabilities]);
        for (a, b) in ours.iter().flatten().zip(theirs.iter().flatten()) {
            assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{a} {b}");
        }
    }
}

#[test]
fn a_file_is_cut_short_at_any_place_and_refused_as_its_bytes_are() {
    let network = wide();
    let onnx = embed_manifest(&bytes(&network), &manifest(&network, 5)).unwrap();
    for length in (0..onnx.len())
        .step_by(997)
        .chain(onnx.len() - 40..onnx.len())
    {
        let cut = &onnx[..length];
        let ours = Model::load(&file_of(cut), RuntimeChoice::Native, 1).unwrap_err();
        let expected = Model::load(cut, RuntimeChoice::Native, 1).unwrap_err();
        assert_eq!(ours, expected, "{length} bytes");
    }
}

#[test]
fn a_folder_in_place_of_a_file_is_an_error() {
    let folder = File::open(env!("CARGO_MANIFEST_DIR")).unwrap();
    let error = Model::load(&folder, RuntimeChoice::Auto, 1).unwrap_err();
    assert_eq!(error.kind(), InferenceErrorKind::Unreadable);
}

#[test]
fn a_network_without_manifest_is_loaded_from_a_file() {
    let network = mean_colour();
    let options = ferrotype_inference::NetworkOptions {
        input_name: "image".into(),
        output_name: "logits".into(),
        embedding_name: None,
        image_shape: [3, HEIGHT as usize, WIDTH as usize],
        fixed_batch: None,
        threads: std::num::NonZeroUsize::MIN,
    };
    let image: Vec<f32> = (0..3 * WIDTH * HEIGHT).map(|x| x as f32 / 9.0).collect();
    let file = file_of(&bytes(&network));
    let [from_file, from_bytes] = [
        load_network(&file, RuntimeChoice::Native, &options).unwrap(),
        load_network(&bytes(&network), RuntimeChoice::Native, &options).unwrap(),
    ];
    let [ours, expected] = [from_file, from_bytes].map(|of| of.network.run(&image, 1).unwrap());
    assert_eq!(ours, expected);
}
