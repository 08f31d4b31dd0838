//! Convolution and pooling.

use ferrotype_kernels::convolution::prepared::{Geometry, Method, Prepared, Weights};
use ferrotype_kernels::finish::Function;
use ferrotype_kernels::windows::{Pool, Reduction};

use super::{Kind, Layout, Planner, Source, Tensor};
use crate::native::graph::Attributes;
use crate::native::refusal::Refusal;

/// Sizes of an image's input at most along an axis, so that arithmetic of places stays small.
pub(super) const MOST_SIDE: usize = 1 << 20;

/// Whether windows have two axes or one: a line is an image of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Across {
    Image,
    Line,
}

/// Two numbers from an attribute.
pub(super) fn pair(
    values: Option<&[i64]>,
    default: usize,
    across: Across,
) -> Result<[usize; 2], Refusal> {
    let positive = |value: i64| {
        let size = usize::try_from(value).ok();
        size.filter(|size| (1..=MOST_SIDE).contains(size))
            .ok_or_else(|| Refusal::malformed(format!("a size of `{value}`")))
    };
    match (values, across) {
        (None, _) => Ok([default; 2]),
        (Some([height, width]), Across::Image) => Ok([positive(*height)?, positive(*width)?]),
        (Some([len]), Across::Line) => Ok([1, positive(*len)?]),
        (Some(_), _) => Err(Refusal::malformed("windows of other axes than the input")),
    }
}

/// Padding above, on the left, below and on the right, from the attribute `pads`.
pub(super) fn sides(pads: Option<&[i64]>, across: Across) -> Result<[usize; 4], Refusal> {
    let side = |value: &i64| {
        usize::try_from(*value)
            .ok()
            .filter(|pad| *pad <= MOST_SIDE)
            .ok_or_else(|| Refusal::unsupported(format!("a padding of `{value}`")))
    };
    Ok(match (pads, across) {
        (None, _) => [0; 4],
        (Some([top, left, bottom, right]), Across::Image) => {
            [side(top)?, side(left)?, side(bottom)?, side(right)?]
        }
        (Some([before, after]), Across::Line) => [0, side(before)?, 0, side(after)?],
        (Some(_), _) => return Err(Refusal::malformed("pads of other axes than the input")),
    })
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
    across: Across,
) -> Result<Windows, Refusal> {
    let stride = pair(attributes.integers("strides")?, 1, across)?;
    let dilation = pair(attributes.integers("dilations")?, 1, across)?;
    let explicit = sides(attributes.integers("pads")?, across)?;
    let auto = attributes.text("auto_pad", "NOTSET")?;
    let input = [shape[2], shape[3]];
    if input.iter().chain(&kernel).any(|size| *size > MOST_SIDE) {
        return Err(Refusal::unsupported("an image that is too large"));
    }
    let mut padding = [[0; 2]; 2];
    let mut output = [0; 2];
    for axis in 0..2 {
        let reach = (kernel[axis] - 1) * dilation[axis] + 1;
        let same = input[axis].div_ceil(stride[axis]);
        let total = ((same.max(1) - 1) * stride[axis] + reach).saturating_sub(input[axis]);
        padding[axis] = match auto {
            "NOTSET" | "" => [explicit[axis], explicit[axis + 2]],
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
        let (input, across) = self.image_in_any_layout(0)?;
        let weight = self.constant(1)?;
        let bias = self.optional_constant(2)?;
        let (out_channels, inputs, kernel) = match (&weight.shape[..], across) {
            ([outputs, inputs, height, width], Across::Image) => {
                (*outputs, *inputs, [*height, *width])
            }
            ([outputs, inputs, len], Across::Line) => (*outputs, *inputs, [1, *len]),
            _ => return Err(Refusal::malformed("weights of other axes than the input")),
        };
        let [height, width] = kernel;
        let given = match attributes.integers("kernel_shape")? {
            Some(given) => pair(Some(given), 1, across)?,
            None => kernel,
        };
        let groups = usize::try_from(attributes.integer("group", 1)?).unwrap_or(0);
        let in_channels = input.shape[1];
        if given != kernel
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
        let geometry = windows(&mut attributes, kernel, &input.shape, false, across)?.geometry;
        attributes.finish()?;
        let weights = Weights {
            values: weight.as_floats()?,
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
            Ok(Prepared::new(&weights, Method::fastest(&weights, &one)))
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
        let sums = self.step(kind, vec![input.source], &shape, Layout::ChannelsLast)?;
        match across {
            Across::Image => self.tell_sums(sums),
            Across::Line => self.tell_across(sums, across),
        }
    }

    /// Tells the sums of the last step, which may be finished by what follows.
    pub(super) fn tell_sums(&mut self, sums: Tensor) -> Result<(), Refusal> {
        let output = self.output()?;
        if matches!(sums.source, Source::Buffer(_)) {
            self.convolutions.insert(output, self.steps.len() - 1);
        }
        self.tell(output, sums)
    }

    /// Tells an image, or the line that it stands for.
    pub(super) fn tell_across(&mut self, image: Tensor, across: Across) -> Result<(), Refusal> {
        let output = self.output()?;
        let tensor = match across {
            Across::Image => image,
            Across::Line => self.as_line(&image)?,
        };
        self.tell(output, tensor)
    }

    /// An input of images, or of lines as images of one row.
    pub(super) fn image_or_line(&mut self, place: usize) -> Result<(Tensor, Across), Refusal> {
        let (input, across) = self.image_in_any_layout(place)?;
        Ok((self.image(&input)?, across))
    }

    /// The same as it lies in memory.
    fn image_in_any_layout(&mut self, place: usize) -> Result<(Tensor, Across), Refusal> {
        let input = self.tensor(place)?;
        match input.shape.len() {
            3 => Ok((self.as_row(&input)?, Across::Line)),
            4 => Ok((input, Across::Image)),
            // Refuses it.
            _ => Ok((self.image(&input)?, Across::Image)),
        }
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
        let Some(channels) = input.shape.get(1).copied() else {
            return Err(Refusal::malformed("an input without channels"));
        };
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
        if input.shape.len() != 4 {
            return self.scaled_batch(input, factor, shift);
        }
        let input = self.image(&input)?;
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
        let sums = self.step(kind, vec![input.source], &shape, Layout::ChannelsLast)?;
        self.tell_sums(sums)
    }

    pub(super) fn pool(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let (input, across) = self.image_or_line(0)?;
        let Some(kernel) = attributes.integers("kernel_shape")? else {
            return Err(Refusal::malformed("no `kernel_shape`"));
        };
        let kernel = pair(Some(kernel), 1, across)?;
        let ceil = attributes.integer("ceil_mode", 0)? != 0;
        let windows = windows(&mut attributes, kernel, &input.shape, ceil, across)?;
        let geometry = windows.geometry;
        let has_gaps = (0..2).any(|axis| {
            let reach = (geometry.output[axis] - 1) * geometry.stride[axis] + kernel[axis];
            geometry.dilation[axis] != 1 || reach < geometry.input[axis]
        });
        if has_gaps && attributes.text("auto_pad", "")?.starts_with("SAME") {
            // How wide the padding is then, implementations do not agree.
            return Err(Refusal::unsupported("`auto_pad` of windows with gaps"));
        }
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
        let image = self.step(kind, vec![input.source], &shape, Layout::ChannelsLast)?;
        self.tell_across(image, across)
    }

    pub(super) fn global_pool(&mut self) -> Result<(), Refusal> {
        self.attributes().finish()?;
        let (input, across) = self.image_or_line(0)?;
        let [batch, channels, height, width] = input.shape[..] else {
            return Err(Refusal::malformed("no image"));
        };
        let reduction = match &self.node.operator[..] {
            "GlobalMaxPool" => Reduction::Maximum,
            _ => Reduction::Mean,
        };
        let kind = Kind::Reduce(reduction, [batch, height * width, channels]);
        let shape = [batch, channels, 1, 1];
        let image = self.step(kind, vec![input.source], &shape, Layout::ChannelsLast)?;
        self.tell_across(image, across)
    }
}
