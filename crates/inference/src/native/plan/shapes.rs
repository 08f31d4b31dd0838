//! Operators that give the same elements another shape.

use std::sync::Arc;

use super::limits::check_axes;
use super::{Known, Planner, axis_of};
use crate::native::refusal::Refusal;
use crate::native::tensor::{Constant, elements};

impl Planner<'_> {
    pub(super) fn shape_of(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let is_size = self.node.operator == "Size";
        let (mut start, mut end) = (0, i64::MAX);
        if !is_size {
            start = attributes.integer("start", start)?;
            end = attributes.integer("end", end)?;
        }
        attributes.finish()?;
        let shape = match self.optional(0)? {
            Some(Known::Computed(tensor)) => tensor.shape,
            Some(Known::Constant(constant)) => constant.shape.clone(),
            None => return Err(Refusal::malformed("no input")),
        };
        if is_size {
            let count = elements(&shape)?;
            return self.tell_constant(Constant::whole(Vec::new(), vec![count as i64]));
        }
        let rank = shape.len() as i64;
        let place = |place: i64| {
            let counted = if place < 0 {
                place.saturating_add(rank)
            } else {
                place
            };
            counted.clamp(0, rank) as usize
        };
        let kept = shape.get(place(start)..place(end)).unwrap_or_default();
        let sizes: Vec<i64> = kept.iter().map(|size| *size as i64).collect();
        self.tell_constant(Constant::whole(vec![sizes.len()], sizes))
    }

    pub(super) fn reshape(&mut self) -> Result<(), Refusal> {
        let known = self
            .optional(0)?
            .ok_or_else(|| Refusal::malformed("no input"))?;
        let old = match &known {
            Known::Computed(tensor) => tensor.shape.clone(),
            Known::Constant(constant) => constant.shape.clone(),
        };
        let shape = match &self.node.operator[..] {
            "Flatten" => self.flattened(&old)?,
            "Reshape" => self.reshaped(&old)?,
            "Squeeze" => self.squeezed(&old)?,
            _ => self.unsqueezed(&old)?,
        };
        check_axes(&shape)?;
        if elements(&shape)? != elements(&old)? {
            return Err(Refusal::malformed(format!("from {old:?} to {shape:?}")));
        }
        let output = self.output()?;
        match known {
            Known::Constant(constant) => {
                let constant = Constant {
                    shape,
                    numbers: constant.numbers.clone(),
                };
                self.known
                    .insert(output, Known::Constant(Arc::new(constant)));
                Ok(())
            }
            Known::Computed(tensor) => {
                let mut tensor = self.plain(&tensor)?;
                tensor.shape = shape;
                self.tell(output, tensor)
            }
        }
    }

    fn flattened(&self, old: &[usize]) -> Result<Vec<usize>, Refusal> {
        let mut attributes = self.attributes();
        let axis = attributes.integer("axis", 1)?;
        attributes.finish()?;
        let axis = match axis {
            axis if axis == old.len() as i64 => old.len(),
            axis => axis_of(axis, old.len())?,
        };
        Ok(vec![
            old[..axis].iter().product(),
            old[axis..].iter().product(),
        ])
    }

    fn reshaped(&self, old: &[usize]) -> Result<Vec<usize>, Refusal> {
        let mut attributes = self.attributes();
        let keeps_zero = attributes.integer("allowzero", 0)? != 0;
        attributes.finish()?;
        let wanted = self.constant(1)?;
        let mut shape = Vec::new();
        let mut open = None;
        for (axis, size) in wanted.as_whole()?.iter().enumerate() {
            shape.push(match *size {
                0 if !keeps_zero => *old
                    .get(axis)
                    .ok_or_else(|| Refusal::malformed("a zero behind the last axis"))?,
                -1 if open.is_none() => {
                    open = Some(axis);
                    1
                }
                size => usize::try_from(size)
                    .map_err(|_| Refusal::malformed(format!("a size of `{size}`")))?,
            });
        }
        if let Some(axis) = open {
            let others = elements(&shape)?;
            let all = elements(old)?;
            if others == 0 || !all.is_multiple_of(others) {
                return Err(Refusal::malformed(format!("from {old:?} to {shape:?}")));
            }
            shape[axis] = all / others;
        }
        Ok(shape)
    }

    /// Axes from an attribute or, since opset 13, an input.
    fn axes(&self, rank: usize) -> Result<Option<Vec<usize>>, Refusal> {
        let mut attributes = self.attributes();
        let given = attributes.integers("axes")?.map(<[i64]>::to_vec);
        attributes.finish()?;
        let given = match self.optional_constant(1)? {
            Some(constant) => Some(constant.as_whole()?.to_vec()),
            None => given,
        };
        let Some(axes) = given else {
            return Ok(None);
        };
        if axes.len() > rank {
            return Err(Refusal::malformed("more axes than there are"));
        }
        let axes = axes.into_iter().map(|axis| axis_of(axis, rank));
        let mut axes = axes.collect::<Result<Vec<_>, _>>()?;
        axes.sort_unstable();
        axes.dedup();
        Ok(Some(axes))
    }

    fn squeezed(&self, old: &[usize]) -> Result<Vec<usize>, Refusal> {
        let axes = self.axes(old.len())?;
        let axes = axes.unwrap_or_else(|| (0..old.len()).filter(|axis| old[*axis] == 1).collect());
        if axes.iter().any(|axis| old[*axis] != 1) {
            return Err(Refusal::malformed("an axis of more than one element"));
        }
        let kept = (0..old.len()).filter(|axis| !axes.contains(axis));
        Ok(kept.map(|axis| old[axis]).collect())
    }

    fn unsqueezed(&self, old: &[usize]) -> Result<Vec<usize>, Refusal> {
        let count = match self.optional_constant(1)? {
            Some(constant) => constant.as_whole()?.len(),
            None => match self.attributes().integers("axes")? {
                Some(axes) => axes.len(),
                None => return Err(Refusal::malformed("no axes")),
            },
        };
        let rank = old.len() + count;
        let axes = self.axes(rank)?.unwrap_or_default();
        if axes.len() != count {
            return Err(Refusal::malformed("an axis twice"));
        }
        let mut sizes = old.iter();
        let size = |axis: usize| match axes.contains(&axis) {
            true => Some(1),
            false => sizes.next().copied(),
        };
        Ok((0..rank).filter_map(size).collect())
    }
}
