//! Initial values, as the libraries that the architectures come from draw them.

mod normal;

use ferrotype_core::graph::{Graph, Op, TensorRole, TensorSpec, WeightInit};
use ferrotype_vision::random::{self, Pcg64};
use rayon::prelude::*;

use self::normal::Normal;

/// How many numbers are drawn from one stream.
const PIECE: usize = 1 << 15;

/// The initial values of all tensors of `graph`, in the order of `specs`. Each tensor is drawn from
/// streams of its own, keyed by the seed and its name, so that a layer added elsewhere changes
/// nothing here and any number of threads gives the same.
///
/// - weights and biases of convolutions and linear layers: as the graph's
///   [`Initialization`](ferrotype_core::graph::Initialization) says
/// - normalisation: weight one, bias zero; running mean zero, running variance one
/// - layer scale: the layer's own number
/// - class token: normal with deviation 1e-6; position embedding: normal with deviation 0.02
///   (timm's vision transformers, whose truncation lies a hundred deviations away)
pub(crate) fn initial_values(graph: &Graph, specs: &[TensorSpec], seed: u64) -> Vec<Vec<f32>> {
    let normal = Normal::new();
    specs
        .iter()
        .map(|spec| draw(distribution(graph, specs, spec), &normal, spec, seed))
        .collect()
}

/// What a tensor's values are drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Distribution {
    Constant(f32),
    /// Mean zero, this standard deviation.
    Normal(f64),
    /// Between minus and plus this bound.
    Uniform(f64),
}

fn distribution(graph: &Graph, specs: &[TensorSpec], spec: &TensorSpec) -> Distribution {
    match spec.role {
        TensorRole::Weight => weight_distribution(weight_init(graph, spec), &spec.shape),
        TensorRole::Bias => bias_distribution(graph, specs, spec),
        TensorRole::NormWeight | TensorRole::RunningVar => Distribution::Constant(1.0),
        TensorRole::LayerScale => match graph.layers[spec.layer].op {
            Op::LayerScale { initial } => Distribution::Constant(initial as f32),
            _ => Distribution::Constant(1.0),
        },
        TensorRole::ClassToken => Distribution::Normal(1e-6),
        TensorRole::PositionEmbedding => Distribution::Normal(0.02),
        _ => Distribution::Constant(0.0),
    }
}

fn weight_init(graph: &Graph, spec: &TensorSpec) -> WeightInit {
    match graph.layers[spec.layer].op {
        Op::Conv2d { .. } => graph.initialization.convolution,
        _ => graph.initialization.linear,
    }
}

fn weight_distribution(init: WeightInit, shape: &[usize]) -> Distribution {
    let outputs = shape.first().copied().unwrap_or_default();
    let kernel: usize = shape.iter().skip(2).product();
    let fan_out = (outputs * kernel).max(1) as f64;
    match init {
        WeightInit::UniformFanIn => Distribution::Uniform(1.0 / fan_in(shape).sqrt()),
        WeightInit::UniformFanOut => Distribution::Uniform(1.0 / fan_out.sqrt()),
        WeightInit::Normal { deviation } => Distribution::Normal(deviation),
        _ => Distribution::Normal((2.0 / fan_out).sqrt()),
    }
}

/// Zero, but in PyTorch's default, where it has the bounds of its layer's weight.
fn bias_distribution(graph: &Graph, specs: &[TensorSpec], spec: &TensorSpec) -> Distribution {
    let weight = specs
        .iter()
        .find(|other| other.layer == spec.layer && other.role == TensorRole::Weight);
    match (weight_init(graph, spec), weight) {
        (WeightInit::UniformFanIn, Some(weight)) => {
            Distribution::Uniform(1.0 / fan_in(&weight.shape).sqrt())
        }
        _ => Distribution::Constant(0.0),
    }
}

/// How many numbers go into one output.
fn fan_in(shape: &[usize]) -> f64 {
    shape.iter().skip(1).product::<usize>().max(1) as f64
}

fn draw(distribution: Distribution, normal: &Normal, spec: &TensorSpec, seed: u64) -> Vec<f32> {
    if let Distribution::Constant(value) = distribution {
        return vec![value; spec.element_count()];
    }
    let purpose = format!("init/{}", spec.name);
    let mut values = vec![0.0; spec.element_count()];
    values
        .par_chunks_mut(PIECE)
        .enumerate()
        .for_each(|(piece, values)| {
            let mut rng = random::stream(seed, &purpose, &[piece as u64]);
            fill(distribution, normal, &mut rng, values);
        });
    values
}

fn fill(distribution: Distribution, normal: &Normal, rng: &mut Pcg64, values: &mut [f32]) {
    match distribution {
        Distribution::Constant(value) => values.fill(value),
        Distribution::Normal(deviation) => {
            for value in values {
                *value = (deviation * normal.draw(rng)) as f32;
            }
        }
        Distribution::Uniform(bound) => {
            for value in values {
                *value = random::uniform(rng, -bound, bound) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ferrotype_core::graph::zoo;

    use super::*;

    /// Standard deviation and largest magnitude of a tensor's initial values.
    fn spread(graph: &Graph, name: &str) -> (f64, f64) {
        let specs = graph.tensors().unwrap();
        let index = specs.iter().position(|spec| spec.name == name).unwrap();
        let values = initial_values(graph, &specs[index..=index], 3).remove(0);
        let square = |value: &f32| f64::from(*value).powi(2);
        let mean_square = values.iter().map(square).sum::<f64>() / values.len() as f64;
        let largest = values
            .iter()
            .fold(0.0, |max: f32, value| max.max(value.abs()));
        (mean_square.sqrt(), f64::from(largest))
    }

    #[test]
    fn weights_are_spread_as_their_libraries_spread_them() {
        let uniform = |bound: f64| (bound / 3.0_f64.sqrt(), bound);
        let normal = |deviation: f64| (deviation, f64::INFINITY);
        let fan_in = |count: f64| uniform(1.0 / count.sqrt());
        let cases = [
            ("alexnet", "features.3.weight", fan_in(64.0 * 25.0)),
            ("alexnet", "classifier.4.weight", fan_in(4096.0)),
            (
                "vgg11",
                "features.3.weight",
                normal((2.0 / (128.0 * 9.0_f64)).sqrt()),
            ),
            ("vgg11", "classifier.3.weight", normal(0.01)),
            (
                "resnet18",
                "layer1.0.conv1.weight",
                normal((2.0 / (64.0 * 9.0_f64)).sqrt()),
            ),
            ("resnet18", "fc.weight", fan_in(512.0)),
            ("mobilenet_v2", "classifier.1.weight", normal(0.01)),
            (
                "mobilenet_v3_small",
                "features.5.block.1.0.weight",
                normal((2.0 / (240.0 * 25.0_f64)).sqrt()),
            ),
            (
                "efficientnet_b0",
                "classifier.1.weight",
                uniform(1.0 / 10.0_f64.sqrt()),
            ),
            (
                "convnext_tiny",
                "stages.0.blocks.0.conv_dw.weight",
                normal(0.02),
            ),
            ("convnext_tiny", "head.fc.weight", normal(0.02)),
            ("vit_tiny", "patch_embed.proj.weight", fan_in(3.0 * 256.0)),
            ("vit_tiny", "blocks.0.attn.qkv.weight", normal(0.02)),
            ("vit_tiny", "pos_embed", normal(0.02)),
            ("vit_tiny", "cls_token", normal(1e-6)),
        ];
        for (architecture, name, (deviation, bound)) in cases {
            let graph = zoo::build(architecture, [3, 64, 64], 10, &Default::default()).unwrap();
            let (found, largest) = spread(&graph, name);
            let tolerance = 0.12 * deviation;
            assert!(
                (found - deviation).abs() < tolerance,
                "{architecture} {name}: {found}"
            );
            assert!(largest <= bound, "{architecture} {name}: {largest}");
        }
    }

    #[test]
    fn biases_are_zero_but_in_pytorchs_default() {
        let zero = [
            ("vgg11", "features.0.bias"),
            ("vgg11", "classifier.0.bias"),
            ("efficientnet_b0", "classifier.1.bias"),
            ("convnext_tiny", "stem.0.bias"),
            ("vit_tiny", "head.bias"),
        ];
        let uniform = [
            ("alexnet", "features.0.bias"),
            ("resnet18", "fc.bias"),
            ("vit_tiny", "patch_embed.proj.bias"),
        ];
        let is_zero = |architecture: &str, name: &str| {
            let graph = zoo::build(architecture, [3, 64, 64], 10, &Default::default()).unwrap();
            let specs = graph.tensors().unwrap();
            let spec = specs.iter().find(|spec| spec.name == name).unwrap();
            distribution(&graph, &specs, spec) == Distribution::Constant(0.0)
        };
        assert!(
            zero.iter()
                .all(|(architecture, name)| is_zero(architecture, name))
        );
        assert!(
            !uniform
                .iter()
                .any(|(architecture, name)| is_zero(architecture, name))
        );
    }

    #[test]
    fn a_layer_scale_begins_with_its_own_number() {
        let graph = zoo::build("convnext_tiny", [3, 32, 32], 2, &Default::default()).unwrap();
        let specs = graph.tensors().unwrap();
        let values = initial_values(&graph, &specs, 1);
        let gamma = specs
            .iter()
            .position(|spec| spec.name.ends_with(".gamma"))
            .unwrap();
        assert!(values[gamma].iter().all(|value| *value == 1e-6));
    }
}
