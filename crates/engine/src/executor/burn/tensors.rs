//! Between plain numbers and Burn's tensors.

use burn::tensor::{Device, Gradients, Tensor, TensorData};

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
    /// A convolution's weight, `[out, in / groups, height, width]`.
    Kernel(Tensor<4>),
}

impl Leaf {
    /// A leaf with these values; `tracked` ones get a gradient.
    pub(super) fn new(shape: &[usize], values: &[f32], tracked: bool, device: &Device) -> Self {
        match *shape {
            [out, inner] => Self::Matrix(leaf(values, [out, inner], tracked, device)),
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
            Self::Kernel(kernel) => kernel.clone().flatten(0, 3),
        }
    }

    /// Takes the gradient out; none when the loss does not depend on it.
    pub(super) fn take_gradient(&self, gradients: &mut Gradients) -> Option<Vec<f32>> {
        match self {
            Self::Vector(vector) => vector.grad_remove(gradients).map(into_values),
            Self::Matrix(matrix) => matrix.grad_remove(gradients).map(into_values),
            Self::Kernel(kernel) => kernel.grad_remove(gradients).map(into_values),
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
pub(super) fn into_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data();
    // The device computes in f32, so nothing is converted here.
    data.as_slice::<f32>()
        .map(<[f32]>::to_vec)
        .unwrap_or_default()
}
