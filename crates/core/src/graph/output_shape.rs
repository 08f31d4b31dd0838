//! The shape that each operation gives, with the checks of its hyper-parameters and inputs.

use super::shapes::{MAX_DIMENSION, display_shape};
use super::{GraphError, GraphErrorKind, Layer, Op, Size};

/// The largest magnitude of a value that a layer's numbers begin with.
const MAX_INITIAL: f64 = 1e6;

/// What `layer` gives for what it reads, without the batch.
///
/// # Errors
/// A hyper-parameter is out of its range, or an input has another shape than the operation takes.
pub(super) fn output_shape(layer: &Layer, inputs: &[&[usize]]) -> Result<Vec<usize>, GraphError> {
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
        Op::LayerNorm { epsilon } => {
            in_range(layer, "epsilon", *epsilon, f64::MIN_POSITIVE, 1.0)?;
            Ok(input.to_vec())
        }
        Op::Dropout { probability } | Op::StochasticDepth { probability } => {
            in_range(layer, "probability", *probability, 0.0, 0.999)?;
            Ok(input.to_vec())
        }
        Op::LayerScale { initial } => {
            in_range(layer, "initial", *initial, -MAX_INITIAL, MAX_INITIAL)?;
            Ok(input.to_vec())
        }
        Op::Relu {}
        | Op::Relu6 {}
        | Op::Silu {}
        | Op::HardSwish {}
        | Op::Sigmoid {}
        | Op::HardSigmoid {}
        | Op::Gelu {} => Ok(input.to_vec()),
        Op::AdaptiveAvgPool2d { output } => {
            let [channels, ..] = image(layer, input)?;
            positive(layer, "output", output.height)?;
            positive(layer, "output", output.width)?;
            Ok(vec![channels, output.height, output.width])
        }
        Op::GlobalAvgPool {} => image(layer, input).map(|[channels, ..]| vec![channels, 1, 1]),
        Op::Flatten {} => Ok(vec![input.iter().product()]),
        Op::Linear { out_features, .. } => linear_shape(layer, input, *out_features),
        Op::Add {} => sum_shape(layer, inputs),
        Op::Multiply {} => product_shape(layer, inputs),
        Op::ClassToken {} => image(layer, input)
            .map(|[channels, height, width]| vec![channels, height * width + 1, 1]),
        Op::PositionEmbedding {} => image(layer, input).map(|shape| shape.to_vec()),
        Op::Attention { heads } => attention_shape(layer, input, *heads),
        Op::SelectToken { index } => selected_shape(layer, input, *index),
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

/// A matrix product acts on the channels, of a row or of each pixel.
fn linear_shape(
    layer: &Layer,
    input: &[usize],
    out_features: usize,
) -> Result<Vec<usize>, GraphError> {
    positive(layer, "out_features", out_features)?;
    let pixels = input.get(1..).unwrap_or_default();
    Ok([&[out_features], pixels].concat())
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

fn product_shape(layer: &Layer, inputs: &[&[usize]]) -> Result<Vec<usize>, GraphError> {
    let &[first, second] = inputs else {
        return Err(GraphError::layer(
            GraphErrorKind::WrongInputCount,
            &layer.name,
            format!("`multiply` reads two layers, got {}", inputs.len()),
        ));
    };
    if first == second || is_one_per_channel(first, second) {
        return Ok(first.to_vec());
    }
    Err(GraphError::layer(
        GraphErrorKind::ShapeMismatch,
        &layer.name,
        format!(
            "`multiply` expected {} as its first input gives, or one number for each of its channels, got {}",
            display_shape(first),
            display_shape(second)
        ),
    ))
}

/// Whether `second` is `[channels]` or `[channels, 1, 1]`, with the channels of `first`.
fn is_one_per_channel(first: &[usize], second: &[usize]) -> bool {
    first.first() == second.first() && second.iter().skip(1).all(|side| *side == 1)
}

fn attention_shape(layer: &Layer, input: &[usize], heads: usize) -> Result<Vec<usize>, GraphError> {
    let [channels, height, width] = image(layer, input)?;
    positive(layer, "heads", heads)?;
    if channels % (3 * heads) != 0 {
        return Err(GraphError::layer(
            GraphErrorKind::ShapeMismatch,
            &layer.name,
            format!(
                "`attention` expected queries, keys and values for `heads`, {heads}: a multiple of {} channels, got {}",
                3 * heads,
                display_shape(input)
            ),
        )
        .with_hint("put `op: linear` with `out_features` of three times the channels above it"));
    }
    Ok(vec![channels / 3, height, width])
}

fn selected_shape(layer: &Layer, input: &[usize], index: usize) -> Result<Vec<usize>, GraphError> {
    let [channels, height, width] = image(layer, input)?;
    let tokens = height * width;
    if index >= tokens {
        let expected = format!("less than the number of tokens, {tokens}");
        return Err(invalid(layer, "index", &index, &expected));
    }
    Ok(vec![channels])
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
