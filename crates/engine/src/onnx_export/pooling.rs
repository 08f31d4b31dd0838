//! Means and maxima of windows.

use ferrotype_core::graph::{Layer, Op, Size, adaptive_window};
use ferrotype_core::onnx::AttributeProto;

use super::build::Builder;
use super::nodes::{initializer, int, padding, size};
use super::value::{Layout, Value};

impl Builder<'_> {
    /// Adds a pooling.
    pub(super) fn pooling(&mut self, layer: &Layer, input: &Value, output: &Value) {
        let name = layer.name.as_str();
        let read = self.in_layout(input, Layout::ChannelsFirst);
        let (operator, attributes) = match &layer.op {
            Op::MaxPool2d {
                kernel,
                stride,
                padding,
            } => ("MaxPool", window(*kernel, *stride, *padding)),
            Op::AvgPool2d {
                kernel,
                stride,
                padding,
            } => {
                let mut attributes = window(*kernel, *stride, *padding);
                attributes.push(int("count_include_pad", 1));
                ("AveragePool", attributes)
            }
            Op::AdaptiveAvgPool2d { output: sides } if *sides != Size::square(1) => {
                match equal_windows(&input.shape, *sides) {
                    Some(kernel) => ("AveragePool", window(kernel, None, Size::square(0))),
                    None => return self.adaptive_pooling(name, read, input, *sides, output),
                }
            }
            _ => ("GlobalAveragePool", vec![]),
        };
        self.push(name, operator, vec![read], &output.name, attributes);
    }

    /// Means of windows of unequal size: `rows · image · columns`, with matrices that hold the
    /// share of each pixel.
    fn adaptive_pooling(
        &mut self,
        name: &str,
        read: String,
        input: &Value,
        sides: Size,
        output: &Value,
    ) {
        let (height, width) = (input.shape[1], input.shape[2]);
        let rows = shares(height, sides.height);
        let columns = transposed(&shares(width, sides.width), width);
        let rows = initializer(&format!("/{name}/rows"), &[sides.height, height], &rows);
        let columns = initializer(&format!("/{name}/columns"), &[width, sides.width], &columns);
        let (rows, columns) = (self.add_constant(rows), self.add_constant(columns));
        let pooled = self.step(name, "over_rows", "MatMul", &[&rows, &read], vec![]);
        self.push(name, "MatMul", vec![pooled, columns], &output.name, vec![]);
    }
}

fn window(kernel: Size, stride: Option<Size>, pads: Size) -> Vec<AttributeProto> {
    vec![
        size("kernel_shape", kernel),
        size("strides", stride.unwrap_or(kernel)),
        padding(pads),
    ]
}

/// The size of the windows when they are all alike and do not overlap.
fn equal_windows(input: &[usize], output: Size) -> Option<Size> {
    let (height, width) = (*input.get(1)?, *input.get(2)?);
    let is_even = height % output.height == 0 && width % output.width == 0;
    is_even.then(|| Size::from([height / output.height, width / output.width]))
}

/// The share of each of `input` pixels in each of `output` means, `[output, input]`.
fn shares(input: usize, output: usize) -> Vec<f32> {
    let mut shares = vec![0.0; input * output];
    for (index, row) in shares.chunks_exact_mut(input).enumerate() {
        let window = adaptive_window(index, input, output);
        let share = 1.0 / window.len() as f32;
        row[window].fill(share);
    }
    shares
}

/// The transpose of a matrix with `columns` columns.
fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns)
        .flat_map(|column| matrix.iter().skip(column).step_by(columns).copied())
        .collect()
}
