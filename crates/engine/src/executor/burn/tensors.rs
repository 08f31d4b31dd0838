//! Between plain numbers and Burn's tensors.

use burn::tensor::{Device, ExecutionError, Gradients, Tensor, TensorData, Transaction};

use crate::error::EngineError;
use crate::executor::device::device_error;

/// What to try when a device fails in the middle of its work.
pub(super) const DEVICE_HINT: &str = "if its memory is full, a smaller `train.batch_size` helps; `train --resume` goes on from the last checkpoint";

/// What flows between layers.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// `[batch, channels, height, width]`
    Map(Tensor<4>),
    /// `[batch, features]`
    Row(Tensor<2>),
}

impl Value {
    /// Pixels of an image.
    pub(super) fn pixel_count(&self) -> usize {
        match self {
            Self::Map(map) => map.dims()[2] * map.dims()[3],
            Self::Row(_) => 1,
        }
    }

    /// As one row of features per image.
    pub(super) fn into_row(self) -> Tensor<2> {
        match self {
            Self::Map(map) => map.flatten(1, 3),
            Self::Row(row) => row,
        }
    }

    /// As a map; a row becomes one pixel of many channels. (The graph's shapes are checked
    /// before it is executed: a layer that needs a map gets one.)
    pub(super) fn into_map(self) -> Tensor<4> {
        match self {
            Self::Map(map) => map,
            Self::Row(row) => {
                let [batch, features] = row.dims();
                row.reshape([batch, features, 1, 1])
            }
        }
    }
}

/// A named tensor of the graph, as a leaf of the recorded computation.
#[derive(Debug, Clone)]
pub(super) enum Leaf {
    /// Bias, scale, shift or running statistic.
    Vector(Tensor<1>),
    /// A linear layer's weight, `[out, in]`.
    Matrix(Tensor<2>),
    /// A class token or the position embeddings, `[1, tokens, channels]`.
    Tokens(Tensor<3>),
    /// A convolution's weight, `[out, in / groups, height, width]`.
    Kernel(Tensor<4>),
}

impl Leaf {
    /// A leaf with these values; `tracked` ones get a gradient.
    pub(super) fn new(shape: &[usize], values: &[f32], tracked: bool, device: &Device) -> Self {
        match *shape {
            [out, inner] => Self::Matrix(leaf(values, [out, inner], tracked, device)),
            [one, tokens, channels] => {
                Self::Tokens(leaf(values, [one, tokens, channels], tracked, device))
            }
            [out, inner, height, width] => {
                Self::Kernel(leaf(values, [out, inner, height, width], tracked, device))
            }
            _ => Self::Vector(leaf(values, [values.len()], tracked, device)),
        }
    }

    /// As a vector.
    pub(super) fn vector(&self) -> Tensor<1> {
        match self {
            Self::Vector(vector) => vector.clone(),
            Self::Matrix(matrix) => matrix.clone().flatten(0, 1),
            Self::Tokens(tokens) => tokens.clone().flatten(0, 2),
            Self::Kernel(kernel) => kernel.clone().flatten(0, 3),
        }
    }

    /// Takes the gradient out, to be read; answers whether the loss depends on the leaf at all.
    pub(super) fn take_gradient(&self, gradients: &mut Gradients, reading: &mut Reading) -> bool {
        fn add<const D: usize>(gradient: Option<Tensor<D>>, reading: &mut Reading) -> bool {
            gradient.map(|gradient| reading.add(gradient)).is_some()
        }
        match self {
            Self::Vector(vector) => add(vector.grad_remove(gradients), reading),
            Self::Matrix(matrix) => add(matrix.grad_remove(gradients), reading),
            Self::Tokens(tokens) => add(tokens.grad_remove(gradients), reading),
            Self::Kernel(kernel) => add(kernel.grad_remove(gradients), reading),
        }
    }
}

fn leaf<const D: usize>(
    values: &[f32],
    shape: [usize; D],
    tracked: bool,
    device: &Device,
) -> Tensor<D> {
    let tensor = from_values(values.to_vec(), shape, device);
    if tracked {
        tensor.require_grad()
    } else {
        tensor
    }
}

/// A tensor of these values.
pub(super) fn from_values<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The values of a tensor in row-major order.
///
/// # Errors
/// What the device was to compute failed.
pub(super) fn into_values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, EngineError> {
    values_of(tensor.try_into_data().map_err(failed)?)
}

/// Reads several tensors at once, so that the device is waited for once.
#[derive(Default)]
pub(super) struct Reading {
    transaction: Transaction,
}

impl Reading {
    /// Adds a tensor.
    pub(super) fn add<const D: usize>(&mut self, tensor: Tensor<D>) {
        let transaction = std::mem::take(&mut self.transaction);
        self.transaction = transaction.register(tensor);
    }

    /// The values of all tensors in the order they were added.
    ///
    /// # Errors
    /// What the device was to compute failed.
    pub(super) fn execute(self) -> Result<Vec<Vec<f32>>, EngineError> {
        let all = self.transaction.try_execute().map_err(failed)?;
        all.into_iter().map(values_of).collect()
    }
}

fn values_of(data: TensorData) -> Result<Vec<f32>, EngineError> {
    data.try_into_vec::<f32>()
        .map_err(|error| device_error(format!("the device computes in another type: {error:?}")))
}

fn failed(error: ExecutionError) -> EngineError {
    device_error(format!("the device failed: {error}")).with_hint(DEVICE_HINT)
}
