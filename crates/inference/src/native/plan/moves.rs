//! Operators that move elements and compute nothing.

use std::sync::Arc;

use ferrotype_kernels::strided::{self, Axis};

use super::{
    Kind, Known, Layout, Piece, Planner, Tensor, axis_of, constant_tensor, order, strides,
};
use crate::native::fold::sizes;
use crate::native::refusal::Refusal;
use crate::native::tensor::{Constant, Numbers, elements};

/// Something that is moved: its shape and how it lies.
pub(super) struct Moved {
    pub(super) known: Known,
    pub(super) shape: Vec<usize>,
    pub(super) layout: Layout,
}

impl Moved {
    pub(super) fn strides(&self) -> Vec<usize> {
        strides(&self.shape, self.layout)
    }
}

/// Elements that are moved into a new value.
pub(super) struct Move {
    pub(super) sources: Vec<Moved>,
    pub(super) pieces: Vec<Piece>,
    pub(super) shape: Vec<usize>,
    pub(super) layout: Layout,
    pub(super) fill: Option<f32>,
}

impl Planner<'_> {
    pub(super) fn moved(&self, place: usize) -> Result<Moved, Refusal> {
        let known = self
            .optional(place)?
            .ok_or_else(|| Refusal::malformed(format!("input {place} is missing")))?;
        let (shape, layout) = match &known {
            Known::Constant(constant) => (constant.shape.clone(), Layout::Plain),
            Known::Computed(tensor) => (tensor.shape.clone(), tensor.layout),
        };
        Ok(Moved {
            known,
            shape,
            layout,
        })
    }

    /// Moves the elements of one value to a plain one of `shape`; `from` tells how far apart those of
    /// each axis lie.
    pub(super) fn carry_out_one(
        &mut self,
        output: usize,
        input: Moved,
        shape: Vec<usize>,
        from: &[usize],
    ) -> Result<(), Refusal> {
        let to = strides(&shape, Layout::Plain);
        let piece = Piece {
            input: 0,
            axes: axes_of(&shape, from, &to, Layout::Plain),
            source_start: 0,
            target_start: 0,
        };
        self.carry_out(
            output,
            Move {
                sources: vec![input],
                pieces: vec![piece],
                shape,
                layout: Layout::Plain,
                fill: None,
            },
        )
    }

    /// Moves elements: now, if all are known, else in a step.
    pub(super) fn carry_out(&mut self, output: usize, work: Move) -> Result<(), Refusal> {
        let count = elements(&work.shape)?;
        let sizes = work.pieces.iter().map(|piece| 4 * (2 + piece.axes.len()));
        self.spent.constant(sizes.sum())?;
        let constants: Option<Vec<Arc<Constant>>> = work
            .sources
            .iter()
            .map(|source| match &source.known {
                Known::Constant(constant) => Some(Arc::clone(constant)),
                Known::Computed(_) => None,
            })
            .collect();
        if let Some(constants) = constants.filter(|_| work.layout == Layout::Plain) {
            self.spent.constant(count)?;
            let constant = moved_constants(&constants, &work, count)?;
            self.known
                .insert(output, Known::Constant(Arc::new(constant)));
            return Ok(());
        }
        let mut inputs = Vec::new();
        for source in &work.sources {
            inputs.push(match &source.known {
                Known::Computed(tensor) => tensor.source.clone(),
                Known::Constant(constant) => constant_tensor(constant)?.source,
            });
        }
        let kind = Kind::Copy {
            fill: work.fill,
            pieces: work.pieces,
        };
        let tensor = self.step(kind, inputs, &work.shape, work.layout)?;
        self.tell(output, tensor)
    }

    /// A copy with its axes in another order.
    pub(super) fn permuted(&mut self, tensor: &Tensor, perm: &[usize]) -> Result<Tensor, Refusal> {
        let own = tensor.strides();
        let shape: Vec<usize> = perm.iter().map(|axis| tensor.shape[*axis]).collect();
        let from: Vec<usize> = perm.iter().map(|axis| own[*axis]).collect();
        let to = strides(&shape, Layout::Plain);
        if from == to {
            return Ok(Tensor {
                source: tensor.source.clone(),
                shape,
                layout: Layout::Plain,
            });
        }
        let piece = Piece {
            input: 0,
            axes: axes_of(&shape, &from, &to, Layout::Plain),
            source_start: 0,
            target_start: 0,
        };
        let kind = Kind::Copy {
            fill: None,
            pieces: vec![piece],
        };
        self.step(kind, vec![tensor.source.clone()], &shape, Layout::Plain)
    }

    pub(super) fn transpose(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let given = attributes.integers("perm")?;
        attributes.finish()?;
        let input = self.moved(0)?;
        let rank = input.shape.len();
        let perm = match given {
            None => (0..rank).rev().collect(),
            Some(perm) => perm
                .iter()
                .map(|axis| axis_of(*axis, rank))
                .collect::<Result<Vec<_>, _>>()?,
        };
        let mut sorted = perm.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..rank) {
            return Err(Refusal::malformed(format!("`perm` of {perm:?}")));
        }
        let own = input.strides();
        let shape: Vec<usize> = perm.iter().map(|axis| input.shape[*axis]).collect();
        let from: Vec<usize> = perm.iter().map(|axis| own[*axis]).collect();
        let output = self.output()?;
        if let Known::Computed(tensor) = &input.known {
            // In another order of axes the elements may lie as they should.
            let layouts = [Layout::Plain, Layout::ChannelsLast];
            let fitting = layouts
                .into_iter()
                .take(if rank == 4 { 2 } else { 1 })
                .find(|layout| {
                    let wanted = strides(&shape, *layout);
                    (0..rank).all(|axis| shape[axis] == 1 || wanted[axis] == from[axis])
                });
            if let Some(layout) = fitting {
                let tensor = Tensor {
                    source: tensor.source.clone(),
                    shape,
                    layout,
                };
                return self.tell(output, tensor);
            }
        }
        self.carry_out_one(output, input, shape, &from)
    }

    pub(super) fn concat(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let axis = attributes.integer("axis", 1)?;
        attributes.finish()?;
        let mut sources = Vec::new();
        for place in 0..self.node.inputs.len() {
            sources.push(self.moved(place)?);
        }
        let Some(first) = sources.first() else {
            return Err(Refusal::malformed("nothing to join"));
        };
        let rank = first.shape.len();
        let axis = axis_of(axis, rank)?;
        let mut shape = first.shape.clone();
        shape[axis] = 0;
        for source in &sources {
            let fits = source.shape.len() == rank
                && (0..rank).all(|other| other == axis || source.shape[other] == shape[other]);
            if !fits {
                return Err(Refusal::malformed("shapes that cannot be joined"));
            }
            shape[axis] = shape[axis].saturating_add(source.shape[axis]);
        }
        let is_last = sources.iter().any(|s| s.layout == Layout::ChannelsLast);
        let layout = if is_last {
            Layout::ChannelsLast
        } else {
            Layout::Plain
        };
        let to = strides(&shape, layout);
        let mut begin = 0;
        let mut pieces = Vec::new();
        for (input, source) in sources.iter().enumerate() {
            if !source.shape.contains(&0) {
                pieces.push(Piece {
                    input,
                    axes: axes_of(&source.shape, &source.strides(), &to, layout),
                    source_start: 0,
                    target_start: begin * to[axis],
                });
            }
            begin += source.shape[axis];
        }
        let output = self.output()?;
        self.carry_out(
            output,
            Move {
                sources,
                pieces,
                shape,
                layout,
                fill: None,
            },
        )
    }

    /// Copies the box of `shape` that begins at `start`, every `step`-th element along each axis.
    fn cut(
        &mut self,
        input: &Moved,
        output: usize,
        start: &[usize],
        step: &[isize],
        shape: Vec<usize>,
    ) -> Result<(), Refusal> {
        let own = input.strides();
        let to = strides(&shape, input.layout);
        let axes = order(shape.len(), input.layout)
            .into_iter()
            .map(|axis| Axis {
                len: shape[axis],
                source: own[axis] as isize * step[axis],
                target: to[axis],
            });
        let piece = Piece {
            input: 0,
            axes: axes.collect(),
            source_start: own.iter().zip(start).map(|(own, start)| own * start).sum(),
            target_start: 0,
        };
        let source = Moved {
            known: input.known.clone(),
            shape: input.shape.clone(),
            layout: input.layout,
        };
        let pieces = if shape.contains(&0) {
            Vec::new()
        } else {
            vec![piece]
        };
        self.carry_out(
            output,
            Move {
                sources: vec![source],
                pieces,
                shape,
                layout: input.layout,
                fill: None,
            },
        )
    }

    pub(super) fn split(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let axis = attributes.integer("axis", 0)?;
        let count = attributes.integer("num_outputs", self.node.outputs.len() as i64)?;
        let mut parts = attributes.integers("split")?.map(<[i64]>::to_vec);
        attributes.finish()?;
        if let Some(constant) = self.optional_constant(1)? {
            parts = Some(constant.as_whole()?.to_vec());
        }
        let input = self.moved(0)?;
        let axis = axis_of(axis, input.shape.len())?;
        let outputs = self.node.outputs.clone();
        let len = input.shape[axis];
        let parts = match parts {
            Some(parts) => sizes(&Constant::whole(vec![parts.len()], parts))?,
            None => {
                let part = len.div_ceil(outputs.len().max(1));
                (0..outputs.len())
                    .map(|index| part.min(len.saturating_sub(index * part)))
                    .collect()
            }
        };
        let sum = parts
            .iter()
            .try_fold(0_usize, |sum, part| sum.checked_add(*part));
        if parts.len() != outputs.len() || sum != Some(len) || count != outputs.len() as i64 {
            return Err(Refusal::malformed(format!("`{len}` split in {parts:?}")));
        }
        let mut begin = 0;
        for (output, part) in outputs.into_iter().zip(parts) {
            let mut shape = input.shape.clone();
            shape[axis] = part;
            let mut start = vec![0; shape.len()];
            start[axis] = begin;
            begin += part;
            let step = vec![1; shape.len()];
            if let Some(output) = output.filter(|output| self.uses[*output] > 0) {
                self.cut(&input, output, &start, &step, shape)?;
            }
        }
        Ok(())
    }

    pub(super) fn slice(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let input = self.moved(0)?;
        let rank = input.shape.len();
        let (starts, ends, axes, steps) = if self.network.opset < 10 {
            let needed = |list: Option<&[i64]>| {
                list.map(<[i64]>::to_vec)
                    .ok_or_else(|| Refusal::malformed("no `starts` or `ends`"))
            };
            let starts = needed(attributes.integers("starts")?)?;
            let ends = needed(attributes.integers("ends")?)?;
            let axes = attributes.integers("axes")?.map(<[i64]>::to_vec);
            (starts, ends, axes, None)
        } else {
            let list = |constant: Option<Arc<Constant>>| match constant {
                None => Ok(None),
                Some(constant) => constant.as_whole().map(|list| Some(list.to_vec())),
            };
            let starts = self.constant(1)?.as_whole()?.to_vec();
            let ends = self.constant(2)?.as_whole()?.to_vec();
            let axes = list(self.optional_constant(3)?)?;
            (starts, ends, axes, list(self.optional_constant(4)?)?)
        };
        attributes.finish()?;
        let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || starts.len() > rank {
            return Err(Refusal::malformed("lists of different lengths"));
        }
        let mut shape = input.shape.clone();
        let mut begin = vec![0; rank];
        let mut step = vec![1_isize; rank];
        for index in 0..starts.len() {
            let axis = axis_of(axes[index], rank)?;
            let (start, count) = span(input.shape[axis], starts[index], ends[index], steps[index])?;
            begin[axis] = start;
            shape[axis] = count;
            step[axis] = steps[index] as isize;
        }
        let output = self.output()?;
        self.cut(&input, output, &begin, &step, shape)
    }
}

/// The first element and the number of elements of a slice along an axis of `len`.
fn span(len: usize, start: i64, end: i64, step: i64) -> Result<(usize, usize), Refusal> {
    let size = len as i64;
    let counted = |place: i64| {
        if place < 0 {
            place.saturating_add(size)
        } else {
            place
        }
    };
    let (start, end) = match step {
        0 => return Err(Refusal::malformed("a step of zero")),
        1.. => (counted(start).clamp(0, size), counted(end).clamp(0, size)),
        _ => (
            counted(start).clamp(-1, size - 1),
            counted(end).clamp(-1, size - 1),
        ),
    };
    let distance = if step > 0 { end - start } else { start - end };
    let count = distance.max(0) as u64;
    let count = count.div_ceil(step.unsigned_abs()) as usize;
    Ok((start.max(0) as usize, count))
}

pub(super) fn axes_of(shape: &[usize], from: &[usize], to: &[usize], layout: Layout) -> Vec<Axis> {
    order(shape.len(), layout)
        .into_iter()
        .map(|axis| Axis {
            len: shape[axis],
            source: from[axis] as isize,
            target: to[axis],
        })
        .collect()
}

/// Moves constants now.
fn moved_constants(
    constants: &[Arc<Constant>],
    work: &Move,
    count: usize,
) -> Result<Constant, Refusal> {
    let is_whole = matches!(
        constants.first().map(|constant| &constant.numbers),
        Some(Numbers::Whole(_))
    );
    if is_whole {
        let mut target = vec![work.fill.unwrap_or_default() as i64; count];
        for piece in &work.pieces {
            let source = constants[piece.input].as_whole()?;
            copy_whole(
                &piece.axes,
                source,
                piece.source_start as isize,
                &mut target,
                piece.target_start,
            );
        }
        return Ok(Constant::whole(work.shape.clone(), target));
    }
    let mut target = vec![work.fill.unwrap_or_default(); count];
    for piece in &work.pieces {
        let source = constants[piece.input].as_floats()?;
        strided::copy(
            &piece.axes,
            source,
            piece.source_start,
            &mut target,
            piece.target_start,
        );
    }
    Ok(Constant::floats(work.shape.clone(), target))
}

fn copy_whole(axes: &[Axis], source: &[i64], from: isize, target: &mut [i64], to: usize) {
    match axes {
        [] => target[to] = source[from as usize],
        [axis, rest @ ..] => {
            for index in 0..axis.len {
                let from = from + index as isize * axis.source;
                copy_whole(rest, source, from, target, to + index * axis.target);
            }
        }
    }
}
