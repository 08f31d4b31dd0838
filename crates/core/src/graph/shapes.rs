//! Shapes, parameters and floating-point operations, layer by layer.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::costs::{element_count, flops, inner_elements};
use super::output_shape::output_shape;
use super::tensors::{layer_tensors, parameter_count};
use super::{Graph, GraphError, GraphErrorKind, IMAGE, Layer, Op};

/// The most layers a graph may have.
pub const MAX_LAYERS: usize = 5_000;

/// The most parameters a graph may have: 1 GB of weights. VGG-16 has 138 million.
pub const MAX_PARAMETERS: u64 = 250_000_000;

/// The most elements that all layers together may compute for one image: 1 GB.
/// ResNet-50 gives 22 million at 224 pixels.
pub const MAX_ACTIVATIONS: u64 = 250_000_000;

/// The largest hyper-parameter and side of an image; keeps products far from overflow.
pub(super) const MAX_DIMENSION: usize = 1 << 20;

/// What a layer gives and costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerInfo {
    /// The layer's name.
    pub name: String,
    /// The operation's name.
    pub op: &'static str,
    /// The layers it reads; [`IMAGE`] for the image.
    pub inputs: Vec<String>,
    /// Output shape without the batch: `[channels, height, width]` or `[features]`.
    pub output_shape: Vec<usize>,
    /// Numbers that training fits.
    pub parameters: u64,
    /// Floating-point operations of one image's forward pass; a multiply-add counts as two.
    pub flops: u64,
}

impl Graph {
    /// Checks names, inputs, hyper-parameters, shapes and limits, and says what each layer gives
    /// and costs, in execution order.
    ///
    /// # Errors
    /// A [`GraphError`] that names the layer, what was expected and what was got.
    pub fn shapes(&self) -> Result<Vec<LayerInfo>, GraphError> {
        check_size(self)?;
        let mut infos = Vec::with_capacity(self.layers.len());
        let mut shapes: HashMap<&str, Vec<usize>> = HashMap::new();
        shapes.insert(IMAGE, self.input.to_vec());
        let mut totals = Totals::default();
        let mut tensor_names = HashSet::new();
        for (index, layer) in self.layers.iter().enumerate() {
            check_name(layer)?;
            let names = self.inputs_of(index);
            let inputs = input_shapes(layer, &names, &shapes)?;
            let info = layer_info(layer, &names, &inputs)?;
            check_tensor_names(layer, first_of(&inputs), &mut tensor_names)?;
            totals.add(&info, first_of(&inputs), &layer.op)?;
            if shapes
                .insert(&layer.name, info.output_shape.clone())
                .is_some()
            {
                return Err(duplicate(&layer.name));
            }
            infos.push(info);
        }
        self.check_all_used()?;
        Ok(infos)
    }

    fn check_all_used(&self) -> Result<(), GraphError> {
        let used: HashSet<&str> = (0..self.layers.len())
            .flat_map(|index| self.inputs_of(index))
            .collect();
        let inner = self.layers.len().saturating_sub(1);
        match self.layers[..inner]
            .iter()
            .find(|layer| !used.contains(layer.name.as_str()))
        {
            None => Ok(()),
            Some(layer) => Err(GraphError::layer(
                GraphErrorKind::UnusedLayer,
                &layer.name,
                "no layer reads its output",
            )
            .with_hint("name it in another layer's `inputs`, or remove it")),
        }
    }
}

/// A shape as text: `[64, 8, 8]`.
pub(super) fn display_shape(shape: &[usize]) -> String {
    format!("{shape:?}")
}

#[derive(Default)]
struct Totals {
    parameters: u64,
    activations: u64,
}

impl Totals {
    fn add(&mut self, info: &LayerInfo, input: &[usize], op: &Op) -> Result<(), GraphError> {
        let elements = element_count(&info.output_shape).saturating_add(inner_elements(op, input));
        self.parameters = self.parameters.saturating_add(info.parameters);
        self.activations = self.activations.saturating_add(elements);
        for (what, total, limit) in [
            ("parameters", self.parameters, MAX_PARAMETERS),
            ("activations per image", self.activations, MAX_ACTIVATIONS),
        ] {
            if total > limit {
                return Err(GraphError::layer(
                    GraphErrorKind::TooLarge,
                    &info.name,
                    format!("the graph has {total} {what} up to here, over the limit of {limit}"),
                ));
            }
        }
        Ok(())
    }
}

fn check_size(graph: &Graph) -> Result<(), GraphError> {
    if graph.layers.is_empty() {
        return Err(GraphError::graph(
            GraphErrorKind::Malformed,
            "the graph has no layers",
        ));
    }
    if graph.layers.len() > MAX_LAYERS {
        return Err(GraphError::graph(
            GraphErrorKind::TooLarge,
            format!(
                "the graph has {} layers, over the limit of {MAX_LAYERS}",
                graph.layers.len()
            ),
        ));
    }
    if graph
        .input
        .iter()
        .any(|side| !(1..=MAX_DIMENSION).contains(side))
    {
        return Err(GraphError::graph(
            GraphErrorKind::InvalidValue,
            format!(
                "the input is {}, expected [channels, height, width] of 1 to {MAX_DIMENSION} each",
                display_shape(&graph.input)
            ),
        ));
    }
    Ok(())
}

fn check_name(layer: &Layer) -> Result<(), GraphError> {
    let name = layer.name.as_str();
    let valid = (1..=128).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && name.split('.').all(|part| !part.is_empty());
    if !valid {
        return Err(GraphError::layer(
            GraphErrorKind::InvalidName,
            name,
            "a layer's name has 1 to 128 letters, digits, `_`, `-`, with single dots between",
        ));
    }
    // `optimizer.` begins the names of the optimiser's moments in a checkpoint.
    if name == IMAGE || name.split('.').next() == Some("optimizer") {
        return Err(GraphError::layer(
            GraphErrorKind::InvalidName,
            name,
            format!("the names `{IMAGE}` and `optimizer` are reserved"),
        ));
    }
    Ok(())
}

/// A tensor may go by its layer's name, which could be that of another layer's tensor.
fn check_tensor_names(
    layer: &Layer,
    input: &[usize],
    taken: &mut HashSet<String>,
) -> Result<(), GraphError> {
    for (role, _) in layer_tensors(&layer.op, input) {
        let name = role.tensor_name(&layer.name);
        if taken.contains(&name) {
            return Err(GraphError::layer(
                GraphErrorKind::InvalidName,
                &layer.name,
                format!("its tensor `{name}` has the name of another layer's"),
            )
            .with_hint("give the layer another name"));
        }
        taken.insert(name);
    }
    Ok(())
}

fn duplicate(name: &str) -> GraphError {
    GraphError::layer(
        GraphErrorKind::InvalidName,
        name,
        "the name is taken by a layer above",
    )
    .with_hint("give each layer its own name")
}

fn input_shapes<'a>(
    layer: &Layer,
    names: &[&str],
    shapes: &'a HashMap<&str, Vec<usize>>,
) -> Result<Vec<&'a [usize]>, GraphError> {
    let expected_many = layer.op.joins();
    if expected_many != (names.len() > 1) {
        return Err(GraphError::layer(
            GraphErrorKind::WrongInputCount,
            &layer.name,
            format!(
                "`{}` reads {}, got {}",
                layer.op.name(),
                if expected_many {
                    "two layers or more"
                } else {
                    "one layer"
                },
                names.len()
            ),
        ));
    }
    names
        .iter()
        .map(|name| {
            let shape = shapes
                .get(*name)
                .ok_or_else(|| unknown_input(layer, name, shapes))?;
            Ok(shape.as_slice())
        })
        .collect()
}

fn unknown_input(layer: &Layer, name: &str, shapes: &HashMap<&str, Vec<usize>>) -> GraphError {
    let error = GraphError::layer(
        GraphErrorKind::UnknownInput,
        &layer.name,
        format!("it reads `{name}`, but no layer above has that name"),
    );
    // Sorted, so that the same mistake gives the same words each time.
    let mut known: Vec<&str> = shapes.keys().copied().collect();
    known.sort_unstable();
    match super::error::nearest(name, known) {
        Some(nearest) => error.with_hint(format!("did you mean `{nearest}`?")),
        None => error,
    }
}

fn first_of<'a>(inputs: &[&'a [usize]]) -> &'a [usize] {
    inputs.first().copied().unwrap_or_default()
}

fn layer_info(layer: &Layer, names: &[&str], inputs: &[&[usize]]) -> Result<LayerInfo, GraphError> {
    let output_shape = output_shape(layer, inputs)?;
    let input = first_of(inputs);
    Ok(LayerInfo {
        name: layer.name.clone(),
        op: layer.op.name(),
        inputs: names.iter().map(|name| (*name).to_string()).collect(),
        parameters: parameter_count(&layer.op, input),
        flops: flops(&layer.op, input, inputs.len(), &output_shape),
        output_shape,
    })
}
