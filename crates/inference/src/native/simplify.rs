//! Rewrites a network before it is planned: batch norms go into convolutions, biases into products,
//! and activations that are written out as several nodes become one.

use std::collections::HashMap;
use std::sync::Arc;

use super::graph::{Attribute, Network, Node, ValueId};
use super::stored::Stored;
use super::tensor::{Constant, Numbers};

/// Applies all rewritings.
pub(crate) fn simplify(network: &mut Network) {
    lift_constants(network);
    fold_batch_norms(network);
    fold_biases(network);
    join_activations(network);
}

/// `Constant` nodes become constants.
fn lift_constants(network: &mut Network) {
    let nodes = std::mem::take(&mut network.nodes);
    for node in nodes {
        match (&node.operator[..], &node.attributes[..], &node.outputs[..]) {
            ("Constant", [(name, value)], [Some(output)]) => match constant_of(name, value) {
                Some(constant) => {
                    network.constants.insert(*output, constant);
                }
                None => network.nodes.push(node),
            },
            _ => network.nodes.push(node),
        }
    }
}

/// The constant of a `Constant` node's attribute.
fn constant_of(name: &str, value: &Attribute) -> Option<Arc<Constant>> {
    let constant = match (name, value) {
        ("value", Attribute::Tensor(tensor)) => return Some(Arc::clone(tensor)),
        ("value_float", Attribute::Float(value)) => Constant::floats(Vec::new(), vec![*value]),
        ("value_int", Attribute::Integer(value)) => Constant::whole(Vec::new(), vec![*value]),
        ("value_floats", Attribute::Floats(values)) => {
            Constant::floats(vec![values.len()], values.clone())
        }
        ("value_ints", Attribute::Integers(values)) => {
            Constant::whole(vec![values.len()], values.clone())
        }
        _ => return None,
    };
    Some(Arc::new(constant))
}

/// The node that writes each value.
fn producers(network: &Network) -> HashMap<ValueId, usize> {
    let outputs = |(index, node): (usize, &Node)| {
        let outputs: Vec<ValueId> = node.outputs.iter().flatten().copied().collect();
        outputs.into_iter().map(move |output| (output, index))
    };
    network.nodes.iter().enumerate().flat_map(outputs).collect()
}

fn constant_floats(network: &Network, value: Option<ValueId>) -> Option<(Vec<usize>, Arc<[f32]>)> {
    let constant = network.constants.get(&value?)?;
    let floats = constant.as_floats().ok()?;
    Some((constant.shape.clone(), Arc::clone(floats)))
}

/// A batch norm behind a convolution that nobody else reads becomes part of its weights.
fn fold_batch_norms(network: &mut Network) {
    let uses = network.uses();
    let producers = producers(network);
    let mut dropped = Vec::new();
    for index in 0..network.nodes.len() {
        let node = &network.nodes[index];
        let is_plain = node.operator == "BatchNormalization"
            && node.outputs.iter().flatten().count() == 1
            && node
                .attributes
                .iter()
                .all(|(name, _)| matches!(&name[..], "epsilon" | "momentum"));
        let Some(input) = node.inputs.first().copied().flatten().filter(|_| is_plain) else {
            continue;
        };
        let Some(convolution) = producers.get(&input).copied() else {
            continue;
        };
        let before = &network.nodes[convolution];
        if before.operator != "Conv" || uses[input] != 1 || before.outputs.len() != 1 {
            continue;
        }
        if let Some([weight, bias]) = folded(network, &network.nodes[convolution], node) {
            let output = network.nodes[index].outputs.clone();
            let values = [weight, bias].map(|constant| {
                let id = network.new_value();
                network.constants.insert(id, Arc::new(constant));
                Some(id)
            });
            let before = &mut network.nodes[convolution];
            before.inputs.truncate(1);
            before.inputs.extend(values);
            before.outputs = output;
            dropped.push(index);
        }
    }
    remove(network, &dropped);
}

/// Weight and bias of a convolution with the batch norm behind it:
/// `scale / √(variance + ε) · (x − mean) + shift`.
fn folded(network: &Network, convolution: &Node, norm: &Node) -> Option<[Constant; 2]> {
    let get = |node: &Node, place: usize| {
        constant_floats(network, node.inputs.get(place).copied().flatten())
    };
    let weight = network
        .constants
        .get(&convolution.inputs.get(1).copied()??)?;
    let shape = weight.shape.clone();
    let outputs = *shape.first()?;
    let bias = match convolution.inputs.get(2).copied().flatten() {
        Some(_) => get(convolution, 2)?.1,
        None => vec![0.0; outputs].into(),
    };
    let [scale, shift, mean, variance] = [1, 2, 3, 4].map(|place| get(norm, place));
    let [scale, shift, mean, variance] = [scale?.1, shift?.1, mean?.1, variance?.1];
    let lengths = [&bias, &scale, &shift, &mean, &variance].map(|values| values.len());
    if shape.contains(&0) || lengths != [outputs; 5] {
        return None;
    }
    let epsilon = norm.attributes.iter().find(|(name, _)| name == "epsilon");
    let epsilon = match epsilon {
        Some((_, Attribute::Float(value))) => *value,
        Some(_) => return None,
        None => 1e-5,
    };
    let factor: Vec<f32> = scale
        .iter()
        .zip(variance.iter())
        .map(|(scale, variance)| {
            (f64::from(*scale) / (f64::from(*variance) + f64::from(epsilon)).sqrt()) as f32
        })
        .collect();
    let numbers = match &weight.numbers {
        Numbers::Floats(values) => {
            let rows = values.chunks_exact(values.len() / outputs).zip(&factor);
            let scaled = rows.flat_map(|(row, factor)| row.iter().map(move |x| x * factor));
            Numbers::Floats(scaled.collect())
        }
        Numbers::Stored(Stored {
            bytes,
            factors: None,
        }) => Numbers::Stored(Stored {
            bytes: bytes.clone(),
            factors: Some(factor.clone().into()),
        }),
        _ => return None,
    };
    let bias: Vec<f32> = (0..outputs)
        .map(|at| (bias[at] - mean[at]) * factor[at] + shift[at])
        .collect();
    Some([
        Constant { shape, numbers },
        Constant::floats(vec![outputs], bias),
    ])
}

/// An addition of constants behind a product with a constant matrix becomes the product's bias.
fn fold_biases(network: &mut Network) {
    let uses = network.uses();
    let producers = producers(network);
    let mut dropped = Vec::new();
    for index in 0..network.nodes.len() {
        let node = &network.nodes[index];
        let [Some(left), Some(right)] = node.inputs[..] else {
            continue;
        };
        if node.operator != "Add" {
            continue;
        }
        for (product, bias) in [(left, right), (right, left)] {
            let Some(before) = producers.get(&product).copied() else {
                continue;
            };
            let matrix = &network.nodes[before];
            let fits =
                matrix.operator == "MatMul" && matrix.inputs.len() == 2 && uses[product] == 1;
            let weight = matrix.inputs.get(1).copied().flatten();
            let (Some(weight), Some((bias_shape, _))) = (
                weight.and_then(|weight| network.constants.get(&weight)),
                constant_floats(network, Some(bias)),
            ) else {
                continue;
            };
            let weight = match weight.numbers {
                Numbers::Whole(_) => continue,
                _ => &weight.shape,
            };
            if fits && weight.len() == 2 && bias_shape == [weight[1]] {
                let outputs = node.outputs.clone();
                network.nodes[before].inputs.push(Some(bias));
                network.nodes[before].outputs = outputs;
                dropped.push(index);
                break;
            }
        }
    }
    remove(network, &dropped);
}

fn remove(network: &mut Network, dropped: &[usize]) {
    let mut index = 0;
    network.nodes.retain(|_| {
        index += 1;
        dropped.binary_search(&(index - 1)).is_err()
    });
}

/// `x · sigmoid(x)` and its kin become one node named `Silu`, `HardSwish`, `Mish` or `Gelu`.
fn join_activations(network: &mut Network) {
    let uses = network.uses();
    let producers = producers(network);
    let mut dropped = Vec::new();
    for index in 0..network.nodes.len() {
        if network.nodes[index].operator != "Mul" {
            continue;
        }
        let found = gate_of(network, &producers, &uses, index)
            .or_else(|| gelu_of(network, &producers, &uses, index));
        if let Some((operator, input, nodes)) = found {
            let node = &mut network.nodes[index];
            node.operator = operator.into();
            node.inputs = vec![Some(input)];
            node.attributes.clear();
            dropped.extend(nodes);
        }
    }
    dropped.sort_unstable();
    remove(network, &dropped);
}

type Joined = (&'static str, ValueId, Vec<usize>);

/// A product of a value with a gate of the same value.
fn gate_of(
    network: &Network,
    producers: &HashMap<ValueId, usize>,
    uses: &[usize],
    index: usize,
) -> Option<Joined> {
    let [Some(left), Some(right)] = network.nodes[index].inputs[..] else {
        return None;
    };
    [(left, right), (right, left)]
        .into_iter()
        .find_map(|(x, gate)| {
            let before = *producers.get(&gate).filter(|_| uses[gate] == 1)?;
            let node = &network.nodes[before];
            let input = node.inputs.first().copied().flatten()?;
            match &node.operator[..] {
                "Sigmoid" if input == x => Some(("Silu", x, vec![before])),
                "HardSigmoid" if input == x && is_hard_swish(node) => {
                    Some(("HardSwish", x, vec![before]))
                }
                "Tanh" => {
                    let inner = *producers.get(&input).filter(|_| uses[input] == 1)?;
                    let softplus = &network.nodes[inner];
                    let is_mish = softplus.operator == "Softplus" && softplus.inputs == [Some(x)];
                    is_mish.then(|| ("Mish", x, vec![before, inner]))
                }
                _ => None,
            }
        })
}

fn is_hard_swish(node: &Node) -> bool {
    let close = |name: &str, default: f32, wanted: f32| {
        let found = node.attributes.iter().find(|(key, _)| key == name);
        match found {
            None => default == wanted,
            Some((_, Attribute::Float(value))) => (value - wanted).abs() < 1e-6,
            Some(_) => false,
        }
    };
    close("alpha", 0.2, 1.0 / 6.0) && close("beta", 0.5, 0.5)
}

/// `x · (1 + erf(x / √2)) · ½`, with the half before or behind.
fn gelu_of(
    network: &Network,
    producers: &HashMap<ValueId, usize>,
    uses: &[usize],
    index: usize,
) -> Option<Joined> {
    let single = |value: Option<ValueId>| {
        let constant = network.constants.get(&value?)?;
        constant.as_float().ok()
    };
    let before = |value: Option<ValueId>| {
        let value = value.filter(|value| uses[*value] == 1)?;
        producers.get(&value).copied()
    };
    // A product or sum with a constant: the other side, and the constant.
    let with_constant = |node: &Node| match node.inputs[..] {
        [left, right] => match (single(left), single(right)) {
            (None, Some(constant)) => Some((left, constant)),
            (Some(constant), None) => Some((right, constant)),
            _ => None,
        },
        _ => None,
    };
    // `1 + erf(x / √2)`: x and the nodes.
    let cumulative = |value: Option<ValueId>| {
        let sum = before(value)?;
        let (inner, one) = with_constant(&network.nodes[sum])?;
        let erf = before(inner)?;
        let scaled = before(network.nodes[erf].inputs.first().copied().flatten())?;
        let (x, factor) = with_constant(&network.nodes[scaled])?;
        let factor = match &network.nodes[scaled].operator[..] {
            "Div" => 1.0 / factor,
            "Mul" => factor,
            _ => return None,
        };
        let fits = network.nodes[sum].operator == "Add"
            && network.nodes[erf].operator == "Erf"
            && one == 1.0
            && (factor - std::f32::consts::FRAC_1_SQRT_2).abs() < 1e-6;
        fits.then_some((x?, vec![sum, erf, scaled]))
    };
    let node = &network.nodes[index];
    if let Some((product, half)) = with_constant(node) {
        let product = before(product)?;
        let inner = &network.nodes[product];
        let [left, right] = inner.inputs[..] else {
            return None;
        };
        if inner.operator != "Mul" || half != 0.5 {
            return None;
        }
        return [(left, right), (right, left)]
            .into_iter()
            .find_map(|(x, gate)| {
                let (of, mut nodes) = cumulative(gate)?;
                nodes.push(product);
                (Some(of) == x).then_some(("Gelu", of, nodes))
            });
    }
    let [left, right] = node.inputs[..] else {
        return None;
    };
    [(left, right), (right, left)]
        .into_iter()
        .find_map(|(halved, gate)| {
            let (of, mut nodes) = cumulative(gate)?;
            let half = before(halved)?;
            let (x, factor) = with_constant(&network.nodes[half])?;
            let fits = network.nodes[half].operator == "Mul" && factor == 0.5 && x == Some(of);
            nodes.push(half);
            fits.then_some(("Gelu", of, nodes))
        })
}
