//! Convolution, pooling and resizing.

use ferrotype_kernels::convolution::prepared::{Geometry, Method, Prepared, WeightOrder, Weights};
use ferrotype_kernels::finish::Function;
use ferrotype_kernels::windows::{Pool, Reduction, Sample};

use super::{Kind, Layout, Planner, Tensor};
use crate::native::graph::Attributes;
use crate::native::refusal::Refusal;
use crate::native::tensor::Constant;

/// Sizes of an image's input at most along an axis, so that arithmetic of places stays small.
const MOST_SIDE: usize = 1 << 20;

/// Two numbers from an attribute.
fn pair(values: Option<&[i64]>, default: usize) -> Result<[usize; 2], Refusal> {
    let positive = |value: i64| {
        let size = usize::try_from(value).ok();
        size.filter(|size| (1..=MOST_SIDE).contains(size))
            .ok_or_else(|| Refusal::malformed(format!("a size of `{value}`")))
    };
    match values {
        None => Ok([default; 2]),
        Some([height, width]) => Ok([positive(*height)?, positive(*width)?]),
        Some(_) => Err(Refusal::unsupported("windows with other than two axes")),
    }
}

/// Geometry of windows with the padding at the end.
struct Windows {
    geometry: Geometry,
    end_padding: [usize; 2],
}

/// Reads the attributes that convolution and pooling share.
fn windows(
    attributes: &mut Attributes<'_>,
    kernel: [usize; 2],
    shape: &[usize],
    ceil: bool,
) -> Result<Windows, Refusal> {
    let stride = pair(attributes.integers("strides")?, 1)?;
    let dilation = pair(attributes.integers("dilations")?, 1)?;
    let pads = attributes.integers("pads")?;
    let auto = attributes.text("auto_pad", "NOTSET")?;
    let input = [shape[2], shape[3]];
    let mut padding = [[0; 2]; 2];
    let mut output = [0; 2];
    let explicit = match pads {
        None => [0; 4],
        Some([top, left, bottom, right]) => [*top, *left, *bottom, *right],
        Some(_) => return Err(Refusal::malformed("pads of other than two axes")),
    };
    for axis in 0..2 {
        let reach = (kernel[axis] - 1) * dilation[axis] + 1;
        let same = input[axis].div_ceil(stride[axis]);
        let total = ((same.max(1) - 1) * stride[axis] + reach).saturating_sub(input[axis]);
        padding[axis] = match auto {
            "NOTSET" | "" => {
                let side = |value: i64| {
                    usize::try_from(value)
                        .ok()
                        .filter(|pad| *pad <= MOST_SIDE)
                        .ok_or_else(|| Refusal::unsupported(format!("a padding of `{value}`")))
                };
                [side(explicit[axis])?, side(explicit[axis + 2])?]
            }
            "VALID" => [0, 0],
            "SAME_UPPER" => [total / 2, total - total / 2],
            "SAME_LOWER" => [total - total / 2, total / 2],
            _ => return Err(Refusal::unsupported(format!("`auto_pad` of `{auto}`"))),
        };
        let padded = input[axis] + padding[axis][0] + padding[axis][1];
        let room = padded
            .checked_sub(reach)
            .ok_or_else(|| Refusal::malformed("a window larger than the image"))?;
        output[axis] = match ceil {
            false => room / stride[axis] + 1,
            true => {
                let count = room.div_ceil(stride[axis]) + 1;
                // A window that begins in the padding behind the image does not count.
                let last = (count - 1) * stride[axis];
                count - usize::from(last >= input[axis] + padding[axis][0])
            }
        };
    }
    Ok(Windows {
        geometry: Geometry {
            batch: shape[0],
            input,
            output,
            stride,
            dilation,
            padding: padding.map(|[before, _]| before),
        },
        end_padding: padding.map(|[_, after]| after),
    })
}

impl Planner<'_> {
    pub(super) fn convolution(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let input = self.tensor(0)?;
        if input.shape.len() != 4 {
            // Refuses it.
            self.image(&input)?;
        }
        let weight = self.constant(1)?;
        let bias = self.optional_constant(2)?;
        let [out_channels, inputs, height, width] = weight.shape[..] else {
            return Err(Refusal::unsupported("weights with other than four axes"));
        };
        let kernel = [height, width];
        let given = pair(attributes.integers("kernel_shape")?, 0).unwrap_or(kernel);
        let groups = usize::try_from(attributes.integer("group", 1)?).unwrap_or(0);
        let in_channels = input.shape[1];
        if (given != kernel && given != [0, 0])
            || groups == 0
            || height * width * out_channels == 0
            || inputs.checked_mul(groups) != Some(in_channels)
            || !out_channels.is_multiple_of(groups)
            || bias
                .as_ref()
                .is_some_and(|bias| bias.shape != [out_channels])
        {
            return Err(Refusal::malformed(format!(
                "weights of {:?} in `{groups}` groups for {in_channels} channels",
                weight.shape
            )));
        }
        let geometry = windows(&mut attributes, kernel, &input.shape, false)?.geometry;
        attributes.finish()?;
        let weights = Weights {
            values: &[],
            bias: match &bias {
                Some(bias) => Some(bias.as_floats()?),
                None => None,
            },
            in_channels,
            out_channels,
            kernel,
            groups,
        };
        let prepared = self.prepared(|| {
            let one = Geometry {
                batch: 1,
                ..geometry
            };
            let method = Method::fastest(&weights, &one);
            self.packing
                .pack(&weight, &weights, WeightOrder::OutputsFirst, method)
        })?;
        // The first layer reads the network's input as it is.
        let planes = input.layout == Layout::Plain && prepared.takes_planes();
        let input = match planes {
            true => input,
            false => self.image(&input)?,
        };
        let kind = Kind::Convolution {
            prepared,
            geometry,
            planes,
            function: Function::Identity,
            order: None,
        };
        let shape = [
            input.shape[0],
            out_channels,
            geometry.output[0],
            geometry.output[1],
        ];
        self.write_sums(kind, input, &shape, Layout::ChannelsLast)
    }

    /// Adds a step whose sums may be finished by what follows.
    pub(super) fn write_sums(
        &mut self,
        kind: Kind,
        input: Tensor,
        shape: &[usize],
        layout: Layout,
    ) -> Result<(), Refusal> {
        let output = self.output()?;
        let tensor = self.step(kind, vec![input.source], shape, layout)?;
        self.convolutions.insert(output, self.steps.len() - 1);
        self.tell(output, tensor)
    }

    /// A batch norm that follows no convolution: a kernel of one element for each channel.
    pub(super) fn batch_norm(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let epsilon = attributes.float("epsilon", 1e-5)?;
        attributes.float("momentum", 0.9)?;
        if attributes.integer("training_mode", 0)? != 0 || attributes.integer("spatial", 1)? != 1 {
            return Err(Refusal::unsupported("statistics of the batch"));
        }
        attributes.finish()?;
        let input = self.tensor(0)?;
        let input = self.image(&input)?;
        let channels = input.shape[1];
        let mut values = Vec::new();
        for place in 1..5 {
            let constant = self.constant(place)?;
            if constant.shape != [channels] {
                return Err(Refusal::malformed(
                    "statistics of other than one number a channel",
                ));
            }
            values.push(std::sync::Arc::clone(constant.as_floats()?));
        }
        let factor: Vec<f32> = (0..channels)
            .map(|c| values[0][c] / (values[3][c] + epsilon).sqrt())
            .collect();
        let shift: Vec<f32> = (0..channels)
            .map(|c| values[1][c] - values[2][c] * factor[c])
            .collect();
        let side = [input.shape[2], input.shape[3]];
        let geometry = Geometry {
            batch: input.shape[0],
            input: side,
            output: side,
            stride: [1, 1],
            dilation: [1, 1],
            padding: [0, 0],
        };
        let weights = Weights {
            values: &factor,
            bias: Some(&shift),
            in_channels: channels,
            out_channels: channels,
            kernel: [1, 1],
            groups: channels,
        };
        let kind = Kind::Convolution {
            prepared: self.prepared(|| Ok(Prepared::new(&weights, Method::Depthwise)))?,
            geometry,
            planes: false,
            function: Function::Identity,
            order: None,
        };
        let shape = input.shape.clone();
        self.write_sums(kind, input, &shape, Layout::ChannelsLast)
    }

    pub(super) fn pool(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let input = self.tensor(0)?;
        let input = self.image(&input)?;
        let Some(kernel) = attributes.integers("kernel_shape")? else {
            return Err(Refusal::malformed("no `kernel_shape`"));
        };
        let kernel = pair(Some(kernel), 1)?;
        let ceil = attributes.integer("ceil_mode", 0)? != 0;
        let windows = windows(&mut attributes, kernel, &input.shape, ceil)?;
        let geometry = windows.geometry;
        let pool = if self.node.operator == "MaxPool" {
            attributes.integer("storage_order", 0)?;
            Pool::Maximum
        } else if attributes.integer("count_include_pad", 0)? != 0 {
            Pool::MeanWithPadding {
                end_padding: windows.end_padding,
            }
        } else {
            Pool::Mean
        };
        attributes.finish()?;
        let reach = |axis: usize| (kernel[axis] - 1) * geometry.dilation[axis] + 1;
        let empty = (0..2).any(|axis| {
            geometry.padding[axis] >= reach(axis) || windows.end_padding[axis] >= reach(axis)
        });
        if empty {
            return Err(Refusal::unsupported("windows that lie in the padding"));
        }
        let shape = [
            input.shape[0],
            input.shape[1],
            geometry.output[0],
            geometry.output[1],
        ];
        let kind = Kind::Pool {
            pool,
            geometry,
            kernel,
            channels: input.shape[1],
        };
        let output = self.output()?;
        let tensor = self.step(kind, vec![input.source], &shape, Layout::ChannelsLast)?;
        self.tell(output, tensor)
    }

    pub(super) fn global_pool(&mut self) -> Result<(), Refusal> {
        self.attributes().finish()?;
        let input = self.tensor(0)?;
        let input = self.image(&input)?;
        let [batch, channels, height, width] = input.shape[..] else {
            return Err(Refusal::malformed("no image"));
        };
        let reduction = match &self.node.operator[..] {
            "GlobalMaxPool" => Reduction::Maximum,
            _ => Reduction::Mean,
        };
        let kind = Kind::Reduce(reduction, [batch, height * width, channels]);
        let shape = [batch, channels, 1, 1];
        let output = self.output()?;
        let tensor = self.step(kind, vec![input.source], &shape, Layout::ChannelsLast)?;
        self.tell(output, tensor)
    }

    pub(super) fn resize(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let is_upsample = self.node.operator == "Upsample";
        let mode = attributes.text("mode", "nearest")?;
        let (mut coordinates, mut nearest) = ("asymmetric", "floor");
        if !is_upsample && self.network.opset < 11 {
            return Err(Refusal::unsupported("`Resize` as before opset 11"));
        }
        if !is_upsample {
            coordinates = attributes.text("coordinate_transformation_mode", "half_pixel")?;
            nearest = attributes.text("nearest_mode", "round_prefer_floor")?;
            attributes.float("cubic_coeff_a", -0.75)?;
            attributes.float("extrapolation_value", 0.0)?;
            let plain = attributes.integer("antialias", 0)? == 0
                && attributes.integer("exclude_outside", 0)? == 0
                && attributes.integers("axes")?.is_none()
                && attributes.text("keep_aspect_ratio_policy", "stretch")? == "stretch";
            if !plain {
                return Err(Refusal::unsupported("an option of resizing"));
            }
        }
        attributes.finish()?;
        let input = self.tensor(0)?;
        let input = self.image(&input)?;
        let (scales, sizes) = match is_upsample {
            true => (self.optional_constant(1)?, None),
            false => (self.optional_constant(2)?, self.optional_constant(3)?),
        };
        let sides = [input.shape[2], input.shape[3]];
        let (output, scales) = output_of(&input.shape, sizes.as_deref(), scales.as_deref())?;
        let [rows, columns] = [0, 1].map(|axis| {
            let axis = Resampled {
                input: sides[axis],
                output: output[axis],
                scale: scales[axis],
            };
            axis.samples(mode, coordinates, nearest)
        });
        let kind = Kind::Resize {
            input: sides,
            channels: input.shape[1],
            samples: [rows?, columns?],
        };
        let shape = [input.shape[0], input.shape[1], output[0], output[1]];
        let value = self.output()?;
        let tensor = self.step(kind, vec![input.source], &shape, Layout::ChannelsLast)?;
        self.tell(value, tensor)
    }
}

/// Height and width of a resized image, and the scales.
fn output_of(
    shape: &[usize],
    sizes: Option<&Constant>,
    scales: Option<&Constant>,
) -> Result<([usize; 2], [f64; 2]), Refusal> {
    let wrong = || Refusal::unsupported("resizing of batch or channels");
    let checked =
        |output: [usize; 2]| match output.iter().all(|side| (1..=MOST_SIDE).contains(side)) {
            true => Ok(output),
            false => Err(Refusal::malformed("an impossible size")),
        };
    if let Some(sizes) = sizes.filter(|sizes| !sizes.shape.contains(&0)) {
        let sizes = crate::native::fold::sizes(sizes)?;
        let [batch, channels, height, width] = sizes[..] else {
            return Err(wrong());
        };
        if [batch, channels] != shape[..2] {
            return Err(wrong());
        }
        let scales = [
            height as f64 / shape[2] as f64,
            width as f64 / shape[3] as f64,
        ];
        return Ok((checked([height, width])?, scales));
    }
    let Some(scales) = scales else {
        return Err(Refusal::malformed("neither sizes nor scales"));
    };
    let [batch, channels, height, width] = scales.as_floats()?[..] else {
        return Err(wrong());
    };
    if batch != 1.0 || channels != 1.0 || !(height > 0.0 && width > 0.0) {
        return Err(wrong());
    }
    let scales = [f64::from(height), f64::from(width)];
    let side = |axis: usize| (shape[axis + 2] as f64 * scales[axis]).floor() as usize;
    Ok((checked([side(0), side(1)])?, scales))
}

/// One axis of a resized image.
struct Resampled {
    input: usize,
    output: usize,
    scale: f64,
}

impl Resampled {
    fn samples(
        &self,
        mode: &str,
        coordinates: &str,
        nearest: &str,
    ) -> Result<Vec<Sample>, Refusal> {
        let last = (self.input - 1) as f64;
        let size = self.input as f64 * self.scale;
        if coordinates == "align_corners" && (size - size.round()).abs() > 1e-4 {
            // Which corners these are, implementations do not agree.
            return Err(Refusal::unsupported(
                "`align_corners` of a size with a fraction",
            ));
        }
        (0..self.output)
            .map(|index| {
                let x = index as f64;
                let at = match coordinates {
                    "half_pixel" => (x + 0.5) / self.scale - 0.5,
                    "pytorch_half_pixel" if self.output > 1 => (x + 0.5) / self.scale - 0.5,
                    "pytorch_half_pixel" => 0.0,
                    "asymmetric" => x / self.scale,
                    "align_corners" if self.output > 1 => x * last / (self.output - 1) as f64,
                    "align_corners" => 0.0,
                    _ => {
                        return Err(Refusal::unsupported(format!(
                            "`coordinate_transformation_mode` of `{coordinates}`"
                        )));
                    }
                };
                match mode {
                    "nearest" => {
                        let whole = match nearest {
                            "round_prefer_floor" => (at - 0.5).ceil(),
                            "round_prefer_ceil" => (at + 0.5).floor(),
                            "floor" => at.floor(),
                            "ceil" => at.ceil(),
                            _ => {
                                let reason = format!("`nearest_mode` of `{nearest}`");
                                return Err(Refusal::unsupported(reason));
                            }
                        };
                        let pixel = whole.clamp(0.0, last) as usize;
                        Ok(Sample {
                            low: pixel,
                            high: pixel,
                            share: 0.0,
                        })
                    }
                    "linear" => {
                        let at = at.clamp(0.0, last);
                        let low = at.floor();
                        Ok(Sample {
                            low: low as usize,
                            high: (low + 1.0).min(last) as usize,
                            share: (at - low) as f32,
                        })
                    }
                    _ => Err(Refusal::unsupported(format!("`mode` of `{mode}`"))),
                }
            })
            .collect()
    }
}
