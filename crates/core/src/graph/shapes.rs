//! Shapes, parameters and floating-point operations, layer by layer.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::tensors::parameter_count;
use super::{Graph, GraphError, GraphErrorKind, IMAGE, Layer, Op, Size};

/// The most layers a graph may have.
pub const MAX_LAYERS: usize = 5_000;

/// The most parameters a graph may have: 1 GB of weights. VGG-16 has 138 million.
pub const MAX_PARAMETERS: u64 = 250_000_000;

/// The most elements that all layers together may give for one image: 1 GB.
/// ResNet-50 gives 22 million at 224 pixels.
pub const MAX_ACTIVATIONS: u64 = 250_000_000;

/// The largest hyper-parameter and side of an image; keeps products far from overflow.
const MAX_DIMENSION: usize = 1 << 20;

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
        for (index, layer) in self.layers.iter().enumerate() {
            check_name(layer)?;
            let names = self.inputs_of(index);
            let inputs = input_shapes(layer, &names, &shapes)?;
            let info = layer_info(layer, &names, &inputs)?;
            totals.add(&info)?;
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
    fn add(&mut self, info: &LayerInfo) -> Result<(), GraphError> {
        let elements = element_count(&info.output_shape);
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
                    "two or more layers"
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

fn layer_info(layer: &Layer, names: &[&str], inputs: &[&[usize]]) -> Result<LayerInfo, GraphError> {
    let output_shape = output_shape(layer, inputs)?;
    let input = inputs.first().copied().unwrap_or_default();
    Ok(LayerInfo {
        name: layer.name.clone(),
        op: layer.op.name(),
        inputs: names.iter().map(|name| (*name).to_string()).collect(),
        parameters: parameter_count(&layer.op, input),
        flops: flops(&layer.op, input, inputs.len(), &output_shape),
        output_shape,
    })
}

fn output_shape(layer: &Layer, inputs: &[&[usize]]) -> Result<Vec<usize>, GraphError> {
    let input = inputs.first().copied().unwrap_or_default();
    match &layer.op {
        Op::Conv2d { .. } => convolution_shape(layer, input),
        Op::MaxPool2d {
            kernel,
            stride,
            padding,
        }
        | Op::AvgPool2d {
            kernel,
            stride,
            padding,
        } => pooling_shape(layer, input, *kernel, stride.unwrap_or(*kernel), *padding),
        Op::BatchNorm2d { epsilon, momentum } => {
            in_range(layer, "epsilon", *epsilon, f64::MIN_POSITIVE, 1.0)?;
            in_range(layer, "momentum", *momentum, 0.0, 1.0)?;
            image(layer, input).map(|shape| shape.to_vec())
        }
        Op::Dropout { probability } => {
            in_range(layer, "probability", *probability, 0.0, 0.999)?;
            Ok(input.to_vec())
        }
        Op::Relu {} | Op::Silu {} | Op::HardSwish {} | Op::Sigmoid {} => Ok(input.to_vec()),
        Op::GlobalAvgPool {} => image(layer, input).map(|[channels, ..]| vec![channels, 1, 1]),
        Op::Flatten {} => Ok(vec![input.iter().product()]),
        Op::Linear { out_features, .. } => linear_shape(layer, input, *out_features),
        Op::Add {} => sum_shape(layer, inputs),
        Op::Concat {} => concatenation_shape(layer, inputs),
    }
}

fn convolution_shape(layer: &Layer, input: &[usize]) -> Result<Vec<usize>, GraphError> {
    let Op::Conv2d {
        out_channels,
        kernel,
        stride,
        padding,
        dilation,
        groups,
        ..
    } = &layer.op
    else {
        return Ok(input.to_vec());
    };
    let [channels, height, width] = image(layer, input)?;
    positive(layer, "out_channels", *out_channels)?;
    positive(layer, "groups", *groups)?;
    for (what, count) in [
        ("input channels", channels),
        ("out_channels", *out_channels),
    ] {
        if count % groups != 0 {
            return Err(GraphError::layer(
                GraphErrorKind::InvalidValue,
                &layer.name,
                format!("{what} is {count}, expected a multiple of `groups`, {groups}"),
            ));
        }
    }
    let window = Window {
        kernel: *kernel,
        stride: *stride,
        padding: *padding,
        dilation: *dilation,
    };
    let [height, width] = window.output(layer, [height, width])?;
    Ok(vec![*out_channels, height, width])
}

fn pooling_shape(
    layer: &Layer,
    input: &[usize],
    kernel: Size,
    stride: Size,
    padding: Size,
) -> Result<Vec<usize>, GraphError> {
    let [channels, height, width] = image(layer, input)?;
    if padding.height > kernel.height / 2 || padding.width > kernel.width / 2 {
        return Err(GraphError::layer(
            GraphErrorKind::InvalidValue,
            &layer.name,
            format!("`padding` is {padding}, expected at most half the kernel, {kernel}"),
        ));
    }
    let window = Window {
        kernel,
        stride,
        padding,
        dilation: Size::square(1),
    };
    let [height, width] = window.output(layer, [height, width])?;
    Ok(vec![channels, height, width])
}

/// A window that slides over an image.
struct Window {
    kernel: Size,
    stride: Size,
    padding: Size,
    dilation: Size,
}

impl Window {
    /// Output size, as PyTorch's `Conv2d` documents it:
    /// `floor((input + 2·padding − dilation·(kernel − 1) − 1) / stride) + 1`.
    fn output(&self, layer: &Layer, input: [usize; 2]) -> Result<[usize; 2], GraphError> {
        for (what, size) in [
            ("kernel", self.kernel),
            ("stride", self.stride),
            ("dilation", self.dilation),
        ] {
            positive(layer, what, size.height)?;
            positive(layer, what, size.width)?;
        }
        in_limit(layer, "padding", self.padding.height)?;
        in_limit(layer, "padding", self.padding.width)?;
        let mut output = [0; 2];
        for axis in 0..2 {
            let [kernel, stride, padding, dilation] =
                [self.kernel, self.stride, self.padding, self.dilation].map(|s| s.to_array()[axis]);
            let padded = input[axis] + 2 * padding;
            let reach = dilation * (kernel - 1) + 1;
            if padded < reach {
                return Err(GraphError::layer(
                    GraphErrorKind::ShapeMismatch,
                    &layer.name,
                    format!(
                        "its window reaches over {reach} pixels, but its input has {padded} (padding included)"
                    ),
                )
                .with_hint("use a larger `data.image_size`, or fewer strides and poolings above"));
            }
            output[axis] = (padded - reach) / stride + 1;
        }
        Ok(output)
    }
}

fn linear_shape(
    layer: &Layer,
    input: &[usize],
    out_features: usize,
) -> Result<Vec<usize>, GraphError> {
    positive(layer, "out_features", out_features)?;
    if input.len() != 1 {
        return Err(GraphError::layer(
            GraphErrorKind::ShapeMismatch,
            &layer.name,
            format!(
                "`linear` expected one row of features per image, got {}",
                display_shape(input)
            ),
        )
        .with_hint("put `op: flatten` above it"));
    }
    Ok(vec![out_features])
}

fn sum_shape(layer: &Layer, inputs: &[&[usize]]) -> Result<Vec<usize>, GraphError> {
    let first = inputs.first().copied().unwrap_or_default();
    match inputs.iter().find(|shape| **shape != first) {
        None => Ok(first.to_vec()),
        Some(other) => Err(GraphError::layer(
            GraphErrorKind::ShapeMismatch,
            &layer.name,
            format!(
                "`add` expected {} as its first input gives, got {}",
                display_shape(first),
                display_shape(other)
            ),
        )),
    }
}

fn concatenation_shape(layer: &Layer, inputs: &[&[usize]]) -> Result<Vec<usize>, GraphError> {
    let first = inputs.first().copied().unwrap_or_default();
    let rest = first.get(1..).unwrap_or_default();
    if let Some(other) = inputs
        .iter()
        .find(|shape| shape.len() != first.len() || shape[1..] != *rest)
    {
        return Err(GraphError::layer(
            GraphErrorKind::ShapeMismatch,
            &layer.name,
            format!(
                "`concat` expected the height and width of {}, got {}",
                display_shape(first),
                display_shape(other)
            ),
        ));
    }
    let joined = inputs.iter().map(|shape| shape[0]).sum();
    Ok(std::iter::once(joined)
        .chain(rest.iter().copied())
        .collect())
}

fn image(layer: &Layer, input: &[usize]) -> Result<[usize; 3], GraphError> {
    <[usize; 3]>::try_from(input).map_err(|_| {
        GraphError::layer(
            GraphErrorKind::ShapeMismatch,
            &layer.name,
            format!(
                "`{}` expected [channels, height, width], got {}",
                layer.op.name(),
                display_shape(input)
            ),
        )
    })
}

fn positive(layer: &Layer, what: &str, value: usize) -> Result<(), GraphError> {
    if value == 0 {
        return Err(invalid(layer, what, &value, "1 or more"));
    }
    in_limit(layer, what, value)
}

fn in_limit(layer: &Layer, what: &str, value: usize) -> Result<(), GraphError> {
    if value > MAX_DIMENSION {
        return Err(invalid(
            layer,
            what,
            &value,
            &format!("at most {MAX_DIMENSION}"),
        ));
    }
    Ok(())
}

fn in_range(layer: &Layer, what: &str, value: f64, low: f64, high: f64) -> Result<(), GraphError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(invalid(layer, what, &value, &format!("{low:?} to {high}")))
}

fn invalid(layer: &Layer, what: &str, got: &dyn std::fmt::Display, expected: &str) -> GraphError {
    GraphError::layer(
        GraphErrorKind::InvalidValue,
        &layer.name,
        format!("`{what}` is {got}, expected {expected}"),
    )
}

pub(super) fn element_count(shape: &[usize]) -> u64 {
    shape
        .iter()
        .fold(1, |product: u64, side| product.saturating_mul(*side as u64))
}

fn flops(op: &Op, input: &[usize], input_count: usize, output: &[usize]) -> u64 {
    let elements = element_count(output);
    let per_element: u64 = match op {
        Op::Conv2d {
            kernel,
            groups,
            bias,
            ..
        } => {
            let channels = input.first().map_or(0, |channels| channels / groups);
            let taps = element_count(&[channels, kernel.height, kernel.width]);
            taps.saturating_mul(2).saturating_add(u64::from(*bias))
        }
        Op::Linear { bias, .. } => 2 * element_count(input) + u64::from(*bias),
        // Folded into one multiply-add per element, as at inference.
        Op::BatchNorm2d { .. } => 2,
        Op::Relu {} => 1,
        Op::Silu {} | Op::HardSwish {} | Op::Sigmoid {} => 4,
        Op::MaxPool2d { kernel, .. } | Op::AvgPool2d { kernel, .. } => {
            element_count(&kernel.to_array())
        }
        Op::GlobalAvgPool {} => element_count(input.get(1..).unwrap_or_default()),
        Op::Add {} => input_count.saturating_sub(1) as u64,
        Op::Flatten {} | Op::Dropout { .. } | Op::Concat {} => 0,
    };
    elements.saturating_mul(per_element)
}
