//! Norms: of layers, groups, channels and neighbours.

use std::sync::Arc;

use ferrotype_kernels::finish::Function;
use ferrotype_kernels::strided::Operation;
use ferrotype_kernels::windows::{Pool, Reduction};

use super::parts::{along_channels, number, numbers};
use super::{Geometry, Kind, Known, Layout, Planner, Tensor, axis_of};
use crate::native::fold::broadcast;
use crate::native::refusal::Refusal;
use crate::native::tensor::{Constant, elements};

impl Planner<'_> {
    /// Over the axes from `axis` on.
    pub(super) fn layer_norm(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let axis = attributes.integer("axis", -1)?;
        let epsilon = attributes.float("epsilon", 1e-5)?;
        attributes.integer("stash_type", 1)?;
        attributes.finish()?;
        let input = self.tensor(0)?;
        let axis = axis_of(axis, input.shape.len())?;
        let input = self.plain(&input)?;
        let (shape, layout) = (input.shape.clone(), Layout::Plain);
        let normal = &shape[axis..];
        let mut inputs = vec![input.source.clone()];
        for place in [1, 2] {
            let Some(known) = self.optional(place)? else {
                continue;
            };
            match known {
                Known::Constant(constant) => {
                    let constant = spread(&constant, normal)?;
                    self.spent.constant(constant.len())?;
                    inputs.push(numbers(constant, vec![]).source);
                }
                Known::Computed(tensor) if tensor.shape == normal => {
                    inputs.push(self.plain(&tensor)?.source);
                }
                Known::Computed(_) => {
                    return Err(Refusal::unsupported("factors of another shape"));
                }
            }
        }
        if self.optional(1)?.is_none() {
            return Err(Refusal::malformed("no factors"));
        }
        let output = self.output()?;
        let tensor = self.step(Kind::LayerNorm { epsilon }, inputs, &shape, layout)?;
        self.tell(output, tensor)
    }

    /// `x / √(mean of x² + ε) · scale` over the axes from `axis` on.
    pub(super) fn root_mean_square_norm(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let axis = attributes.integer("axis", -1)?;
        let epsilon = attributes.float("epsilon", 1e-5)?;
        attributes.integer("stash_type", 1)?;
        attributes.finish()?;
        let (input, scale) = (self.tensor(0)?, self.tensor(1)?);
        let rank = input.shape.len();
        let axes: Vec<usize> = (axis_of(axis, rank)?..rank).collect();
        let squares = self.pair_of(Operation::Multiply, input.clone(), input.clone())?;
        let mean = self.reduced(squares, &axes, Reduction::Mean)?;
        let mean = self.pair_of(Operation::Add, mean, number(epsilon))?;
        let root = self.function_of(mean, Function::Sqrt)?;
        let normal = self.pair_of(Operation::Divide, input, root)?;
        if broadcast(&normal.shape, &scale.shape)? != normal.shape {
            return Err(Refusal::malformed("factors of another shape"));
        }
        let scaled = self.pair_of(Operation::Multiply, normal, scale)?;
        let output = self.output()?;
        self.tell(output, scaled)
    }

    /// Rows of mean 0 and deviation 1, each as long as `groups` of them fill an image.
    fn normal_groups(
        &mut self,
        input: &Tensor,
        groups: usize,
        epsilon: f32,
    ) -> Result<Tensor, Refusal> {
        let [batch, channels, ..] = input.shape[..] else {
            return Err(Refusal::malformed("an input without channels"));
        };
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(Refusal::malformed(format!(
                "`{channels}` channels in `{groups}` groups"
            )));
        }
        let len = input.len() / (batch * groups).max(1);
        let rows = self.viewed(input, vec![batch * groups, len])?;
        self.spent.constant(len)?;
        let ones = numbers(vec![1.0; len].into(), vec![len]).source;
        let (kind, shape) = (Kind::LayerNorm { epsilon }, rows.shape.clone());
        let normal = self.step(kind, vec![rows.source, ones], &shape, Layout::Plain)?;
        self.viewed(&normal, input.shape.clone())
    }

    /// `input · scale + shift`, with a number for each channel.
    fn scaled_channels(
        &mut self,
        input: Tensor,
        [scale, shift]: [Arc<[f32]>; 2],
    ) -> Result<Tensor, Refusal> {
        let (channels, rank) = (input.shape[1], input.shape.len());
        if [scale.len(), shift.len()] != [channels; 2] {
            return Err(Refusal::malformed(
                "other than one factor and shift for a channel",
            ));
        }
        let shape = along_channels(channels, rank);
        let mut scaled = input;
        if scale.iter().any(|factor| *factor != 1.0) {
            let scale = numbers(scale, shape.clone());
            scaled = self.pair_of(Operation::Multiply, scaled, scale)?;
        }
        if shift.iter().any(|shift| *shift != 0.0) {
            scaled = self.pair_of(Operation::Add, scaled, numbers(shift, shape))?;
        }
        Ok(scaled)
    }

    fn floats(&self, place: usize) -> Result<Arc<[f32]>, Refusal> {
        Ok(Arc::clone(self.constant(place)?.as_floats()?))
    }

    pub(super) fn instance_norm(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let epsilon = attributes.float("epsilon", 1e-5)?;
        attributes.finish()?;
        let input = self.tensor(0)?;
        let Some(channels) = input.shape.get(1).copied() else {
            return Err(Refusal::malformed("an input without channels"));
        };
        let normal = self.normal_groups(&input, channels, epsilon)?;
        let factors = [self.floats(1)?, self.floats(2)?];
        let scaled = self.scaled_channels(normal, factors)?;
        let output = self.output()?;
        self.tell(output, scaled)
    }

    pub(super) fn group_norm(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let epsilon = attributes.float("epsilon", 1e-5)?;
        attributes.integer("stash_type", 1)?;
        let groups = usize::try_from(attributes.integer("num_groups", 0)?).unwrap_or(0);
        attributes.finish()?;
        let input = self.tensor(0)?;
        let normal = self.normal_groups(&input, groups, epsilon)?;
        let channels = input.shape[1];
        // Up to opset 20 there is a factor for each group.
        let each = match self.network.opset < 21 {
            true => channels / groups,
            false => 1,
        };
        let spread = |values: Arc<[f32]>| -> Arc<[f32]> {
            let repeated = values.iter().flat_map(|x| std::iter::repeat_n(*x, each));
            repeated.take(channels.saturating_add(1)).collect()
        };
        let factors = [spread(self.floats(1)?), spread(self.floats(2)?)];
        let scaled = self.scaled_channels(normal, factors)?;
        let output = self.output()?;
        self.tell(output, scaled)
    }

    /// A batch norm of values that are no images.
    pub(super) fn scaled_batch(
        &mut self,
        input: Tensor,
        factor: Vec<f32>,
        shift: Vec<f32>,
    ) -> Result<(), Refusal> {
        let scaled = self.scaled_channels(input, [factor.into(), shift.into()])?;
        let output = self.output()?;
        self.tell(output, scaled)
    }

    /// Divided by the sum of absolute numbers, or the root of the sum of squares.
    pub(super) fn unit_norm(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let axis = attributes.integer("axis", -1)?;
        let power = attributes.integer("p", 2)?;
        attributes.finish()?;
        let input = self.tensor(0)?;
        let axis = axis_of(axis, input.shape.len())?;
        let norm = match power {
            1 => {
                let absolute = self.function_of(input.clone(), Function::Absolute)?;
                self.reduced(absolute, &[axis], Reduction::Sum)?
            }
            2 => {
                let sum = self.sum_of_squares(input.clone(), &[axis])?;
                self.function_of(sum, Function::Sqrt)?
            }
            _ => return Err(Refusal::malformed(format!("`p` of `{power}`"))),
        };
        // Zeros stay zeros.
        let least = number(f32::MIN_POSITIVE);
        let norm = self.pair_of(Operation::Maximum, norm, least)?;
        let unit = self.pair_of(Operation::Divide, input, norm)?;
        let output = self.output()?;
        self.tell(output, unit)
    }

    /// `x / (bias + alpha / size · Σ x² of size channels around)^beta`
    pub(super) fn local_response_norm(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let alpha = attributes.float("alpha", 1e-4)?;
        let beta = attributes.float("beta", 0.75)?;
        let bias = attributes.float("bias", 1.0)?;
        let size = usize::try_from(attributes.integer("size", 0)?).unwrap_or(0);
        attributes.finish()?;
        let input = self.tensor(0)?;
        let input = self.plain(&input)?;
        let [batch, channels, ..] = input.shape[..] else {
            return Err(Refusal::malformed("an input without channels"));
        };
        if size == 0 || size > 2 * channels {
            return Err(Refusal::unsupported(format!("`size` of `{size}`")));
        }
        let squares = self.pair_of(Operation::Multiply, input.clone(), input.clone())?;
        // The channels as the rows of an image whose channels are the pixels.
        let before = (size - 1) / 2;
        let after = size - 1 - before;
        let pool = Pool::MeanWithPadding {
            end_padding: [after, 0],
        };
        let kind = Kind::Pool {
            pool,
            geometry: Geometry {
                batch,
                input: [channels, 1],
                output: [channels, 1],
                stride: [1, 1],
                dilation: [1, 1],
                padding: [before, 0],
            },
            kernel: [size, 1],
            channels: input.len() / (batch * channels).max(1),
        };
        let shape = input.shape.clone();
        let mean = self.step(kind, vec![squares.source], &shape, Layout::Plain)?;
        let affine = Function::Affine {
            factor: alpha,
            offset: bias,
        };
        let sum = self.function_of(mean, affine)?;
        let power = self.pair_of(Operation::Power, sum, number(-beta))?;
        let normal = self.pair_of(Operation::Multiply, input, power)?;
        let output = self.output()?;
        self.tell(output, normal)
    }
}

/// A constant's numbers, repeated as its shape asks to fill another.
fn spread(constant: &Constant, shape: &[usize]) -> Result<Arc<[f32]>, Refusal> {
    let own = match constant.shape.len() > shape.len() {
        // Axes of one element in front.
        true => constant
            .shape
            .iter()
            .skip_while(|size| **size == 1)
            .copied()
            .collect(),
        false => constant.shape.clone(),
    };
    let values = constant.as_floats()?;
    if own == shape {
        return Ok(Arc::clone(values));
    }
    if broadcast(&own, shape)? != shape {
        return Err(Refusal::malformed("factors of another shape"));
    }
    let count = elements(shape)?;
    let place = |at| crate::native::fold::place_in(&own, shape, at);
    Ok((0..count).map(|at| values[place(at)]).collect())
}
