//! One layer forward, in Burn's operations.

use burn::tensor::module::{
    adaptive_avg_pool2d, avg_pool2d, batch_norm, batch_norm_train, conv2d, linear, max_pool2d,
};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Tensor, activation};
use ferrotype_core::graph::{Op, Size};

use super::tensors::{Leaf, Value};

/// Batch statistics of a normalisation layer, `[channels]` each; the variance is biased.
pub(super) struct BatchStatistics {
    pub(super) mean: Tensor<1>,
    pub(super) variance: Tensor<1>,
}

/// What a layer gave.
pub(super) struct Forward {
    pub(super) value: Value,
    /// From a normalisation layer while training.
    pub(super) statistics: Option<BatchStatistics>,
}

impl From<Value> for Forward {
    fn from(value: Value) -> Self {
        Self {
            value,
            statistics: None,
        }
    }
}

/// Makes the mask of a dropout layer from its probability and its number of elements.
pub(super) type DropoutMask<'a> = &'a dyn Fn(f64, usize) -> Vec<f32>;

/// Computes `op` on `inputs`. `tensors` are the layer's own, in the order of
/// [`ferrotype_core::graph::Graph::tensors`]; `dropout_mask` is absent outside training.
pub(super) fn forward(
    op: &Op,
    mut inputs: Vec<Value>,
    tensors: &[Leaf],
    dropout_mask: Option<DropoutMask<'_>>,
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
            return normalize(input.into_map(), tensors, *epsilon, dropout_mask.is_some());
        }
        Op::Linear { .. } => {
            let Leaf::Matrix(matrix) = tensors.first()? else {
                return None;
            };
            let bias = tensors.get(1).map(Leaf::vector);
            if input.pixel_count() > 1 {
                return None;
            }
            Value::Row(linear(input.into_row(), matrix.clone().transpose(), bias))
        }
        Op::Dropout { probability } => match dropout_mask {
            Some(mask) if *probability > 0.0 => drop_out(input, |count| mask(*probability, count)),
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
            Value::Map(input.into_map() * factors.reshape([1, channels, 1, 1]))
        }
        Op::GlobalAvgPool {} => Value::Map(input.into_map().mean_dim(2).mean_dim(3)),
        Op::Flatten {} => Value::Row(input.into_row()),
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
        statistics: Some(BatchStatistics {
            mean: result.mean,
            variance: result.variance,
        }),
    })
}

fn drop_out(value: Value, mask: impl Fn(usize) -> Vec<f32>) -> Value {
    fn masked<const D: usize>(tensor: Tensor<D>, mask: impl Fn(usize) -> Vec<f32>) -> Tensor<D> {
        let shape = tensor.dims();
        let values = mask(shape.iter().product());
        let mask = super::tensors::from_values(values, shape, &tensor.device());
        tensor * mask
    }
    match value {
        Value::Map(map) => Value::Map(masked(map, mask)),
        Value::Row(row) => Value::Row(masked(row, mask)),
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
