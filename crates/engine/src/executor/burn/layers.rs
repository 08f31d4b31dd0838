//! One layer forward, in Burn's operations.

use burn::tensor::module::{
    adaptive_avg_pool2d, avg_pool2d, batch_norm, batch_norm_train, conv2d, layer_norm, linear,
    max_pool2d,
};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Tensor, activation};
use ferrotype_core::graph::{Op, Size};

use super::tensors::{Leaf, Value, from_values};
use crate::executor::StepOptions;
use crate::executor::shared::{draw_depths, draw_dropout, dropout_factor};

/// What a normalisation layer measured, `[channels]` each; the variance is biased.
pub(super) struct Statistics {
    pub(super) mean: Tensor<1>,
    pub(super) variance: Tensor<1>,
}

/// What a layer gave.
pub(super) struct Forward {
    pub(super) value: Value,
    /// From a normalisation layer while training.
    pub(super) statistics: Option<Statistics>,
}

impl From<Value> for Forward {
    fn from(value: Value) -> Self {
        Self {
            value,
            statistics: None,
        }
    }
}

/// What a layer draws at random while training: the same as in every executor.
#[derive(Clone, Copy)]
pub(super) struct Draws<'a> {
    pub(super) options: &'a StepOptions<'a>,
    /// The layer's number in the graph.
    pub(super) layer: usize,
}

impl Draws<'_> {
    /// Zero where dropout drops, else what keeps the mean. In the order of the CPU executor's
    /// numbers: the channels of a pixel side by side.
    fn dropout(self, probability: f64, count: usize) -> Vec<f32> {
        let mut bits = vec![0; count.div_ceil(8)];
        draw_dropout(self.options, self.layer, probability, &mut bits);
        let factor = dropout_factor(probability);
        (0..count)
            .map(|index| f32::from(bits[index / 8] >> (index % 8) & 1) * factor)
            .collect()
    }

    /// A factor for each image.
    fn depths(self, probability: f64, batch: usize) -> Vec<f32> {
        draw_depths(self.options, self.layer, probability, batch)
    }
}

/// Computes `op` on `inputs`. `tensors` are the layer's own, in the order of
/// [`ferrotype_core::graph::Graph::tensors`]; `draws` are absent outside training. None for an
/// operation that is not written here, which the executor refuses.
pub(super) fn forward(
    op: &Op,
    mut inputs: Vec<Value>,
    tensors: &[Leaf],
    draws: Option<Draws<'_>>,
) -> Option<Forward> {
    if op.joins() {
        return join(op, inputs).map(Forward::from);
    }
    let input = inputs.pop()?;
    let value = match op {
        Op::Conv2d {
            stride,
            padding,
            dilation,
            groups,
            ..
        } => {
            let Leaf::Kernel(kernel) = tensors.first()? else {
                return None;
            };
            let [stride, padding, dilation] = [stride, padding, dilation].map(|s| s.to_array());
            let options = ConvOptions::new(stride, padding, dilation, *groups);
            let bias = tensors.get(1).map(Leaf::vector);
            Value::Map(conv2d(input.into_map(), kernel.clone(), bias, options))
        }
        Op::BatchNorm2d { epsilon, .. } => {
            return normalize(input.into_map(), tensors, *epsilon, draws.is_some());
        }
        Op::Linear { .. } => {
            let Leaf::Matrix(matrix) = tensors.first()? else {
                return None;
            };
            let bias = tensors.get(1).map(Leaf::vector);
            let matrix = matrix.clone().transpose();
            if input.pixel_count() > 1 {
                let pixels = pixels_last(input.into_map());
                Value::Map(pixels_second(linear(pixels, matrix, bias)))
            } else {
                Value::Row(linear(input.into_row(), matrix, bias))
            }
        }
        Op::Dropout { probability } => match draws {
            Some(draws) if *probability > 0.0 => drop_out(input, *probability, draws),
            _ => input,
        },
        Op::StochasticDepth { probability } => match draws {
            Some(draws) if *probability > 0.0 => scale_images(input, *probability, draws),
            _ => input,
        },
        Op::Relu {} => elementwise(input, activation::relu, activation::relu),
        Op::Silu {} => elementwise(input, activation::silu, activation::silu),
        Op::Sigmoid {} => elementwise(input, activation::sigmoid, activation::sigmoid),
        Op::HardSwish {} => elementwise(input, activation::hard_swish, activation::hard_swish),
        Op::Relu6 {} => elementwise(input, activation::relu6, activation::relu6),
        Op::Gelu {} => elementwise(input, activation::gelu, activation::gelu),
        Op::HardSigmoid {} => elementwise(
            input,
            |map| activation::hard_sigmoid(map, 1.0 / 6.0, 0.5),
            |row| activation::hard_sigmoid(row, 1.0 / 6.0, 0.5),
        ),
        Op::MaxPool2d {
            kernel,
            stride,
            padding,
        } => {
            let options = MaxPoolOptions::new(kernel.to_array())
                .with_stride(stride.unwrap_or(*kernel).to_array())
                .with_padding(padding.to_array());
            Value::Map(max_pool2d(input.into_map(), options))
        }
        Op::AvgPool2d {
            kernel,
            stride,
            padding,
        } => {
            let stride = stride.unwrap_or(*kernel);
            Value::Map(average_pool(input.into_map(), *kernel, stride, *padding))
        }
        Op::AdaptiveAvgPool2d { output } => {
            Value::Map(adaptive_avg_pool2d(input.into_map(), output.to_array()))
        }
        Op::LayerScale { .. } => {
            let factors = tensors.first()?.vector();
            let channels = factors.dims()[0];
            match input {
                Value::Row(row) => Value::Row(row * factors.reshape([1, channels])),
                Value::Map(map) => Value::Map(map * factors.reshape([1, channels, 1, 1])),
            }
        }
        Op::GlobalAvgPool {} => Value::Map(input.into_map().mean_dim(2).mean_dim(3)),
        Op::Flatten {} => Value::Row(input.into_row()),
        Op::LayerNorm { epsilon } => {
            let [weight, bias] = tensors else {
                return None;
            };
            let (weight, bias) = (weight.vector(), Some(bias.vector()));
            match input {
                Value::Row(row) => Value::Row(layer_norm(row, weight, bias, *epsilon)),
                Value::Map(map) => {
                    let pixels = layer_norm(pixels_last(map), weight, bias, *epsilon);
                    Value::Map(pixels_second(pixels))
                }
            }
        }
        Op::ClassToken {} => {
            let tokens = input.into_map();
            let [batch, channels, height, width] = tokens.dims();
            let tokens = tokens.reshape([batch, channels, height * width, 1]);
            let token = tensors.first()?.vector().reshape([1, channels, 1, 1]);
            let token = token.expand([batch, channels, 1, 1]);
            Value::Map(Tensor::cat(vec![token, tokens], 2))
        }
        Op::PositionEmbedding {} => {
            let Leaf::Tokens(positions) = tensors.first()? else {
                return None;
            };
            let tokens = input.into_map();
            let [_, channels, count, _] = tokens.dims();
            let positions = positions.clone().swap_dims(1, 2);
            Value::Map(tokens + positions.reshape([1, channels, count, 1]))
        }
        Op::Attention { heads } => Value::Map(attend(input.into_map(), *heads)),
        Op::SelectToken { index } => {
            let tokens = input.into_map();
            let [batch, channels, ..] = tokens.dims();
            let token = tokens.slice([0..batch, 0..channels, *index..*index + 1, 0..1]);
            Value::Row(token.reshape([batch, channels]))
        }
        _ => return None,
    };
    Some(value.into())
}

fn average_pool(map: Tensor<4>, kernel: Size, stride: Size, padding: Size) -> Tensor<4> {
    let options = AvgPoolOptions::new(kernel.to_array())
        .with_stride(stride.to_array())
        .with_padding(padding.to_array())
        .with_count_include_pad(true);
    avg_pool2d(map, options)
}

fn join(op: &Op, inputs: Vec<Value>) -> Option<Value> {
    let mut inputs = inputs.into_iter();
    match op {
        Op::Add {} => {
            let first = inputs.next()?;
            Some(inputs.fold(first, add))
        }
        // A gate's single pixel is spread over the map.
        Op::Multiply {} => {
            let first = inputs.next()?;
            Some(inputs.fold(first, |product, factor| {
                Value::Map(product.into_map() * factor.into_map())
            }))
        }
        Op::Concat {} => {
            let first = inputs.next()?;
            Some(match first {
                Value::Map(map) => {
                    let rest = inputs.map(Value::into_map);
                    Value::Map(Tensor::cat(std::iter::once(map).chain(rest).collect(), 1))
                }
                Value::Row(row) => {
                    let rest = inputs.map(Value::into_row);
                    Value::Row(Tensor::cat(std::iter::once(row).chain(rest).collect(), 1))
                }
            })
        }
        _ => None,
    }
}

fn add(left: Value, right: Value) -> Value {
    match left {
        Value::Map(map) => Value::Map(map + right.into_map()),
        Value::Row(row) => Value::Row(row + right.into_row()),
    }
}

fn normalize(map: Tensor<4>, tensors: &[Leaf], epsilon: f64, training: bool) -> Option<Forward> {
    let [weight, bias, mean, variance] = tensors else {
        return None;
    };
    let (weight, bias) = (weight.vector(), bias.vector());
    if !training {
        let output = batch_norm(map, weight, bias, mean.vector(), variance.vector(), epsilon);
        return Some(Value::Map(output).into());
    }
    let result = batch_norm_train(map, weight, bias, epsilon);
    Some(Forward {
        value: Value::Map(result.output),
        statistics: Some(Statistics {
            mean: result.mean,
            variance: result.variance,
        }),
    })
}

/// `[batch, height, width, channels]` of `[batch, channels, height, width]`.
fn pixels_last(map: Tensor<4>) -> Tensor<4> {
    map.permute([0, 2, 3, 1])
}

/// The way back from [`pixels_last`].
fn pixels_second(pixels: Tensor<4>) -> Tensor<4> {
    pixels.permute([0, 3, 1, 2])
}

/// Attention of each token to all, from `[batch, 3 · channels, tokens, 1]`.
fn attend(map: Tensor<4>, heads: usize) -> Tensor<4> {
    let [batch, all, tokens, _] = map.dims();
    let (channels, width) = (all / 3, all / 3 / heads);
    let parts = map
        .reshape([batch, 3 * heads, width, tokens])
        .swap_dims(2, 3);
    let part = |which: usize| {
        let own = which * heads..(which + 1) * heads;
        parts.clone().slice([0..batch, own, 0..tokens, 0..width])
    };
    let scale = 1.0 / (width as f64).sqrt();
    let products = part(0).matmul(part(1).swap_dims(2, 3)) * scale;
    let answer = activation::softmax(products, 3).matmul(part(2));
    answer.swap_dims(2, 3).reshape([batch, channels, tokens, 1])
}

fn drop_out(value: Value, probability: f64, draws: Draws<'_>) -> Value {
    match value {
        Value::Map(map) => {
            let [batch, channels, height, width] = map.dims();
            let shape = [batch, height, width, channels];
            let mask = draws.dropout(probability, shape.iter().product());
            let mask = from_values(mask, shape, &map.device());
            Value::Map(map * pixels_second(mask))
        }
        Value::Row(row) => {
            let shape = row.dims();
            let mask = draws.dropout(probability, shape.iter().product());
            let mask = from_values(mask, shape, &row.device());
            Value::Row(row * mask)
        }
    }
}

fn scale_images(value: Value, probability: f64, draws: Draws<'_>) -> Value {
    match value {
        Value::Map(map) => {
            let batch = map.dims()[0];
            let factors = draws.depths(probability, batch);
            let factors = from_values(factors, [batch, 1, 1, 1], &map.device());
            Value::Map(map * factors)
        }
        Value::Row(row) => {
            let batch = row.dims()[0];
            let factors = draws.depths(probability, batch);
            let factors = from_values(factors, [batch, 1], &row.device());
            Value::Row(row * factors)
        }
    }
}

fn elementwise(
    value: Value,
    on_map: impl FnOnce(Tensor<4>) -> Tensor<4>,
    on_row: impl FnOnce(Tensor<2>) -> Tensor<2>,
) -> Value {
    match value {
        Value::Map(map) => Value::Map(on_map(map)),
        Value::Row(row) => Value::Row(on_row(row)),
    }
}
