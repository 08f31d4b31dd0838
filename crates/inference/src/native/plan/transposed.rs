//! Transposed convolution, put together from convolutions.

use ferrotype_kernels::convolution::prepared::{Method, Prepared, Weights};
use ferrotype_kernels::finish::Function;
use ferrotype_kernels::strided::Axis;

use super::windows::{Across, MOST_SIDE, pair, sides};
use super::{Geometry, Kind, Layout, Piece, Planner, Tensor, strides};
use crate::native::refusal::Refusal;
use crate::native::tensor::Constant;

/// A transposed convolution's windows.
struct Spread {
    in_channels: usize,
    out_channels: usize,
    groups: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    /// Rows and columns that are cut off in front.
    cut: [usize; 2],
    /// Rows and columns of the output.
    output: [usize; 2],
}

impl Planner<'_> {
    pub(super) fn transposed_convolution(&mut self) -> Result<(), Refusal> {
        let (input, across) = self.image_or_line(0)?;
        let weight = self.constant(1)?;
        let bias = self.optional_constant(2)?;
        let spread = self.spread(&input, &weight, across)?;
        let out_channels = spread.out_channels;
        if bias
            .as_ref()
            .is_some_and(|bias| bias.shape != [out_channels])
        {
            return Err(Refusal::malformed("a bias of another length"));
        }
        let bias = match &bias {
            Some(bias) => Some(&bias.as_floats()?[..]),
            None => None,
        };
        let is_tiling = spread.kernel == spread.stride
            && spread.dilation == [1, 1]
            && spread.groups == 1
            && spread.cut == [0, 0]
            && (0..2).all(|a| spread.output[a] == input.shape[2 + a] * spread.stride[a]);
        if is_tiling {
            let image = self.tiled(&input, &spread, &weight, bias)?;
            return self.tell_across(image, across);
        }
        let sums = self.spread_out(&input, &spread, &weight, bias)?;
        match across {
            Across::Image => self.tell_sums(sums),
            Across::Line => self.tell_across(sums, across),
        }
    }

    fn spread(&self, input: &Tensor, weight: &Constant, across: Across) -> Result<Spread, Refusal> {
        let mut attributes = self.attributes();
        let (inputs, outputs, kernel) = match (&weight.shape[..], across) {
            ([inputs, outputs, height, width], Across::Image) => {
                (*inputs, *outputs, [*height, *width])
            }
            ([inputs, outputs, len], Across::Line) => (*inputs, *outputs, [1, *len]),
            _ => return Err(Refusal::malformed("weights of other axes than the input")),
        };
        let given = match attributes.integers("kernel_shape")? {
            Some(given) => pair(Some(given), 1, across)?,
            None => kernel,
        };
        let groups = usize::try_from(attributes.integer("group", 1)?).unwrap_or(0);
        let sizes = kernel.iter().chain([&outputs, &inputs]);
        if given != kernel
            || inputs != input.shape[1]
            || groups == 0
            || !inputs.is_multiple_of(groups)
            || sizes
                .chain(&input.shape[2..])
                .any(|size| !(1..=MOST_SIDE).contains(size))
        {
            return Err(Refusal::malformed(format!(
                "weights of {:?} in `{groups}` groups for {} channels",
                weight.shape, input.shape[1]
            )));
        }
        let stride = pair(attributes.integers("strides")?, 1, across)?;
        let dilation = pair(attributes.integers("dilations")?, 1, across)?;
        let pads = sides(attributes.integers("pads")?, across)?;
        let auto = attributes.text("auto_pad", "NOTSET")?;
        let more = match (attributes.integers("output_padding")?, across) {
            (None, _) => [0, 0],
            (Some([len]), Across::Line) => [0, small(*len)?],
            (Some([height, width]), Across::Image) => [small(*height)?, small(*width)?],
            _ => return Err(Refusal::malformed("`output_padding` of other axes")),
        };
        let wanted = match attributes.integers("output_shape")? {
            None => None,
            Some(list) => {
                let axes = if across == Across::Line { 1 } else { 2 };
                let list = list.get(list.len().saturating_sub(axes)..);
                Some(pair(list, 1, across)?)
            }
        };
        attributes.finish()?;
        let mut spread = Spread {
            in_channels: inputs,
            out_channels: outputs * groups,
            groups,
            kernel,
            stride,
            dilation,
            cut: [0, 0],
            output: [0, 0],
        };
        for axis in 0..2 {
            let reach = (kernel[axis] - 1) * dilation[axis] + 1;
            let len = input.shape[2 + axis];
            let whole = stride[axis] * (len - 1) + more[axis] + reach;
            let output = match (wanted, auto) {
                (Some(wanted), _) => Some(wanted[axis]),
                (None, "SAME_UPPER" | "SAME_LOWER") => Some(len * stride[axis]),
                (None, "NOTSET" | "" | "VALID") => None,
                _ => return Err(Refusal::unsupported(format!("`auto_pad` of `{auto}`"))),
            };
            let (before, after) = match output {
                None if auto == "VALID" => (0, 0),
                None => (pads[axis], pads[axis + 2]),
                Some(output) => {
                    let cut = whole.checked_sub(output).ok_or_else(|| {
                        Refusal::unsupported("an output larger than the windows reach")
                    })?;
                    match auto {
                        "SAME_UPPER" => (cut / 2, cut - cut / 2),
                        _ => (cut - cut / 2, cut / 2),
                    }
                }
            };
            spread.cut[axis] = before;
            spread.output[axis] = whole
                .checked_sub(before + after)
                .filter(|output| (1..=MOST_SIDE).contains(output))
                .ok_or_else(|| Refusal::malformed("an impossible size"))?;
            if before >= reach || after >= reach + more[axis] {
                return Err(Refusal::unsupported("padding as large as the window"));
            }
        }
        Ok(spread)
    }

    /// Where windows lie side by side: the window's elements as channels of a product, which are then
    /// moved to their pixels.
    fn tiled(
        &mut self,
        input: &Tensor,
        spread: &Spread,
        weight: &Constant,
        bias: Option<&[f32]>,
    ) -> Result<Tensor, Refusal> {
        let [rows, columns] = spread.kernel;
        let (inputs, outputs) = (spread.in_channels, spread.out_channels);
        let taps = rows * columns;
        let values = weight.as_floats()?;
        let prepared = self.prepared(|| {
            // `[inputs, outputs, taps]` to `[taps, outputs, inputs]`
            let mut turned = vec![0.0; values.len()];
            for (place, value) in values.iter().enumerate() {
                let (tap, rest) = (place % taps, place / taps);
                turned[(tap * outputs + rest % outputs) * inputs + rest / outputs] = *value;
            }
            let bias = bias.map(|bias| bias.repeat(taps));
            let weights = Weights {
                values: &turned,
                bias: bias.as_deref(),
                in_channels: inputs,
                out_channels: outputs * taps,
                kernel: [1, 1],
                groups: 1,
            };
            Ok(Prepared::new(&weights, Method::Direct))
        })?;
        let side = [input.shape[2], input.shape[3]];
        let batch = input.shape[0];
        let geometry = Geometry {
            batch,
            input: side,
            output: side,
            stride: [1, 1],
            dilation: [1, 1],
            padding: [0, 0],
        };
        let kind = Kind::Convolution {
            prepared,
            geometry,
            planes: false,
            function: Function::Identity,
            order: None,
        };
        let shape = [batch, outputs * taps, side[0], side[1]];
        let product = self.step(
            kind,
            vec![input.source.clone()],
            &shape,
            Layout::ChannelsLast,
        )?;
        let shape = [batch, outputs, spread.output[0], spread.output[1]];
        let (from, to) = (product.strides(), strides(&shape, Layout::ChannelsLast));
        let axis = |len: usize, source: usize, target: usize| Axis {
            len,
            source: source as isize,
            target,
        };
        let piece = Piece {
            input: 0,
            axes: vec![
                axis(batch, from[0], to[0]),
                axis(side[0], from[2], rows * to[2]),
                axis(rows, columns * outputs, to[2]),
                axis(side[1], from[3], columns * to[3]),
                axis(columns, outputs, to[3]),
                axis(outputs, 1, to[1]),
            ],
            source_start: 0,
            target_start: 0,
        };
        let kind = Kind::Copy {
            fill: None,
            pieces: vec![piece],
        };
        self.step(kind, vec![product.source], &shape, Layout::ChannelsLast)
    }

    /// In general: pixels with zeros between them, and the mirrored window over them.
    fn spread_out(
        &mut self,
        input: &Tensor,
        spread: &Spread,
        weight: &Constant,
        bias: Option<&[f32]>,
    ) -> Result<Tensor, Refusal> {
        let [batch, channels] = [input.shape[0], input.shape[1]];
        let reach = [0, 1].map(|a| (spread.kernel[a] - 1) * spread.dilation[a] + 1);
        // As far as the last window needs it.
        let side = [0, 1].map(|a| {
            let pixels = (input.shape[2 + a] - 1) * spread.stride[a] + 1;
            pixels.max((spread.output[a] + spread.cut[a]).saturating_sub(reach[a] - 1))
        });
        let mut apart = input.clone();
        if spread.stride != [1, 1] || side != input.shape[2..] {
            let shape = [batch, channels, side[0], side[1]];
            let (from, to) = (input.strides(), strides(&shape, Layout::ChannelsLast));
            let axes = [0, 2, 3, 1].map(|axis: usize| Axis {
                len: input.shape[axis],
                source: from[axis] as isize,
                target: match axis {
                    2 | 3 => to[axis] * spread.stride[axis - 2],
                    _ => to[axis],
                },
            });
            let piece = Piece {
                input: 0,
                axes: axes.to_vec(),
                source_start: 0,
                target_start: 0,
            };
            let kind = Kind::Copy {
                fill: Some(0.0),
                pieces: vec![piece],
            };
            apart = self.step(
                kind,
                vec![input.source.clone()],
                &shape,
                Layout::ChannelsLast,
            )?;
        }
        let geometry = Geometry {
            batch,
            input: side,
            output: spread.output,
            stride: [1, 1],
            dilation: spread.dilation,
            padding: [0, 1].map(|a| reach[a] - 1 - spread.cut[a]),
        };
        let values = weight.as_floats()?;
        let prepared = self.prepared(|| {
            let turned = mirrored(values, spread);
            let weights = Weights {
                values: &turned,
                bias,
                in_channels: spread.in_channels,
                out_channels: spread.out_channels,
                kernel: spread.kernel,
                groups: spread.groups,
            };
            let one = Geometry {
                batch: 1,
                ..geometry
            };
            Ok(Prepared::new(&weights, Method::fastest(&weights, &one)))
        })?;
        let kind = Kind::Convolution {
            prepared,
            geometry,
            planes: false,
            function: Function::Identity,
            order: None,
        };
        let [height, width] = spread.output;
        let shape = [batch, spread.out_channels, height, width];
        self.step(kind, vec![apart.source], &shape, Layout::ChannelsLast)
    }
}

fn small(value: i64) -> Result<usize, Refusal> {
    usize::try_from(value)
        .ok()
        .filter(|size| *size <= MOST_SIDE)
        .ok_or_else(|| Refusal::malformed(format!("a size of `{value}`")))
}

/// `[inputs, outputs of a group, taps]` to `[outputs, inputs of a group, taps backwards]`
fn mirrored(values: &[f32], spread: &Spread) -> Vec<f32> {
    let taps = spread.kernel[0] * spread.kernel[1];
    let inputs = spread.in_channels / spread.groups;
    let outputs = spread.out_channels / spread.groups;
    let mut turned = vec![0.0; values.len()];
    for (place, value) in values.iter().enumerate() {
        let (tap, rest) = (place % taps, place / taps);
        let (output, input) = (rest % outputs, rest / outputs);
        let (group, input) = (input / inputs, input % inputs);
        turned[((group * outputs + output) * inputs + input) * taps + taps - 1 - tap] = *value;
    }
    turned
}
