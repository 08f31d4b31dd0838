//! Operators that take elements by their indices, which are constants.

use std::sync::Arc;

use super::moves::{Move, Moved, axes_of};
use super::{Kind, Known, Layout, Piece, Planner, Source, axis_of, constant_tensor, strides};
use crate::native::fold::{broadcast, place_in};
use crate::native::refusal::Refusal;
use crate::native::tensor::{Constant, Numbers, elements};

/// Indices that are copied one by one, at most; more are a list of places.
const MOST_PIECES: usize = 64;

impl Planner<'_> {
    pub(super) fn gather(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let axis = attributes.integer("axis", 0)?;
        attributes.finish()?;
        let input = self.moved(0)?;
        let axis = axis_of(axis, input.shape.len())?;
        let indices = self.constant(1)?;
        let list = indices.as_whole()?;
        if list.len() > MOST_PIECES {
            return self.gather_many(&input, axis, &indices);
        }
        let shape = [
            &input.shape[..axis],
            &indices.shape[..],
            &input.shape[axis + 1..],
        ]
        .concat();
        // As if the indices were along one axis.
        let mut flat = input.shape.clone();
        flat[axis] = list.len();
        let (from, to) = (input.strides(), strides(&flat, Layout::Plain));
        let mut single = flat.clone();
        single[axis] = 1;
        let mut pieces = Vec::new();
        for (place, index) in list.iter().enumerate() {
            let index = axis_of(*index, input.shape[axis])?;
            pieces.push(Piece {
                input: 0,
                axes: axes_of(&single, &from, &to, Layout::Plain),
                source_start: index * from[axis],
                target_start: place * to[axis],
            });
        }
        let output = self.output()?;
        self.carry_out(
            output,
            Move {
                sources: vec![input],
                pieces,
                shape,
                layout: Layout::Plain,
                fill: None,
            },
        )
    }

    /// As [`Self::gather`], element by element.
    fn gather_many(
        &mut self,
        input: &Moved,
        axis: usize,
        indices: &Constant,
    ) -> Result<(), Refusal> {
        let list = indices.as_whole()?;
        let shape = [
            &input.shape[..axis],
            &indices.shape[..],
            &input.shape[axis + 1..],
        ]
        .concat();
        let inner: usize = input.shape[axis + 1..].iter().product();
        let len = input.shape[axis];
        let list: Vec<usize> = list
            .iter()
            .map(|index| axis_of(*index, len))
            .collect::<Result<_, _>>()?;
        let count = self.count_places(&shape)?;
        let places = (0..count).map(|at| {
            let (outer, place, rest) = (
                at / (list.len() * inner),
                at / inner % list.len(),
                at % inner,
            );
            (outer * len + list[place]) * inner + rest
        });
        let places = places.collect();
        self.take(vec![input.known.clone()], places, shape)
    }

    pub(super) fn gather_elements(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let axis = attributes.integer("axis", 0)?;
        attributes.finish()?;
        let (input, indices) = (self.moved(0)?, self.constant(1)?);
        let rank = input.shape.len();
        let axis = axis_of(axis, rank)?;
        let fits = indices.shape.len() == rank
            && (0..rank).all(|other| other == axis || indices.shape[other] <= input.shape[other]);
        if !fits {
            return Err(Refusal::malformed("indices of another shape"));
        }
        let count = self.count_places(&indices.shape)?;
        let own = strides(&input.shape, Layout::Plain);
        let list = indices.as_whole()?;
        let places = (0..count).map(|at| {
            let mut rest = at;
            let mut place = 0;
            for other in (0..rank).rev() {
                let index = rest % indices.shape[other];
                rest /= indices.shape[other];
                place += own[other]
                    * match other == axis {
                        true => axis_of(list[at], input.shape[axis])?,
                        false => index,
                    };
            }
            Ok(place)
        });
        let places = places.collect::<Result<_, Refusal>>()?;
        self.take(vec![input.known], places, indices.shape.clone())
    }

    /// Indices are tuples: each takes a part of the value.
    pub(super) fn gather_tuples(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let batch_axes = attributes.integer("batch_dims", 0)?;
        attributes.finish()?;
        if batch_axes != 0 {
            return Err(Refusal::unsupported("`batch_dims`"));
        }
        let (input, indices) = (self.moved(0)?, self.constant(1)?);
        let tuples = Tuples::of(&input.shape, &indices)?;
        let outer = &indices.shape[..indices.shape.len() - 1];
        let shape = [outer, &input.shape[tuples.width..]].concat();
        self.count_places(&shape)?;
        let starts = tuples.starts.iter();
        let places = starts.flat_map(|start| *start..*start + tuples.part);
        let places = places.collect();
        self.take(vec![input.known], places, shape)
    }

    /// Parts of the value at tuples of indices are replaced.
    pub(super) fn scatter_tuples(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let reduction = attributes.text("reduction", "none")?;
        attributes.finish()?;
        if reduction != "none" {
            return Err(Refusal::unsupported(format!(
                "`reduction` of `{reduction}`"
            )));
        }
        let (input, indices, updates) = (self.moved(0)?, self.constant(1)?, self.moved(2)?);
        let tuples = Tuples::of(&input.shape, &indices)?;
        let outer = &indices.shape[..indices.shape.len() - 1];
        if updates.shape != [outer, &input.shape[tuples.width..]].concat() {
            return Err(Refusal::malformed("updates of another shape"));
        }
        let count = self.count_places(&input.shape)?;
        let mut places: Vec<usize> = (0..count).collect();
        let mut next = count;
        for start in &tuples.starts {
            for place in &mut places[*start..*start + tuples.part] {
                *place = next;
                next += 1;
            }
        }
        self.take(vec![input.known, updates.known], places, input.shape)
    }

    /// Elements of one value or another, as a constant condition tells.
    pub(super) fn choose(&mut self) -> Result<(), Refusal> {
        self.attributes().finish()?;
        let condition = self.constant(0)?;
        let (left, right) = (self.moved(1)?, self.moved(2)?);
        let shape = broadcast(&left.shape, &right.shape)?;
        let shape = broadcast(&condition.shape, &shape)?;
        let truth = condition.as_whole()?;
        let count = self.count_places(&shape)?;
        let behind = elements(&left.shape)?;
        let places =
            (0..count).map(
                |at| match truth[place_in(&condition.shape, &shape, at)] != 0 {
                    true => place_in(&left.shape, &shape, at),
                    false => behind + place_in(&right.shape, &shape, at),
                },
            );
        let places = places.collect();
        self.take(vec![left.known, right.known], places, shape)
    }

    /// Counts the elements of a shape as places that are kept.
    fn count_places(&mut self, shape: &[usize]) -> Result<usize, Refusal> {
        let count = elements(shape)?;
        self.spent.constant(count)?;
        Ok(count)
    }

    /// A value of the elements of one value, or of two as if they followed each other.
    fn take(
        &mut self,
        sources: Vec<Known>,
        places: Vec<usize>,
        shape: Vec<usize>,
    ) -> Result<(), Refusal> {
        let output = self.output()?;
        let whole: Option<Vec<&[i64]>> = sources.iter().map(whole_numbers).collect();
        if let Some(lists) = whole {
            let all = lists.concat();
            let values: Vec<i64> = places.iter().map(|place| all[*place]).collect();
            return self.tell_constant(Constant::whole(shape, values));
        }
        let mut inputs: Vec<Source> = Vec::new();
        for source in &sources {
            inputs.push(match source {
                Known::Computed(tensor) => self.plain(tensor)?.source,
                Known::Constant(constant) => constant_tensor(constant)?.source,
            });
        }
        let places: Option<Arc<[u32]>> = places
            .into_iter()
            .map(|place| u32::try_from(place).ok())
            .collect();
        let places = places.ok_or_else(|| Refusal::unsupported("a tensor that is too large"))?;
        let tensor = self.step(Kind::Take(places), inputs, &shape, Layout::Plain)?;
        self.tell(output, tensor)
    }
}

fn whole_numbers(known: &Known) -> Option<&[i64]> {
    match known {
        Known::Constant(constant) => match &constant.numbers {
            Numbers::Whole(values) => Some(values),
            Numbers::Floats(_) | Numbers::Stored(_) => None,
        },
        Known::Computed(_) => None,
    }
}

/// Tuples of indices into the first axes of a value.
struct Tuples {
    /// Axes that are indexed.
    width: usize,
    /// Elements that a tuple stands for.
    part: usize,
    /// Where they begin.
    starts: Vec<usize>,
}

impl Tuples {
    fn of(shape: &[usize], indices: &Constant) -> Result<Self, Refusal> {
        let width = indices.shape.last().copied().unwrap_or(0);
        if width == 0 || width > shape.len() {
            return Err(Refusal::malformed("tuples of other than some indices"));
        }
        let own = strides(shape, Layout::Plain);
        let start = |tuple: &[i64]| {
            let places = tuple.iter().enumerate().map(|(axis, index)| {
                let index = axis_of(*index, shape[axis])?;
                Ok(index * own[axis])
            });
            places.sum::<Result<usize, Refusal>>()
        };
        let starts = indices.as_whole()?.chunks_exact(width).map(start);
        Ok(Self {
            width,
            part: shape[width..].iter().product(),
            starts: starts.collect::<Result<_, _>>()?,
        })
    }
}
