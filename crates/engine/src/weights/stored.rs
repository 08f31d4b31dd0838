//! Where the numbers of a tensor lie in a file, and how they are read.

use super::element::{ByteOrder, Element};
use super::error::{damaged, unsupported};
use super::file::WeightsFile;
use crate::error::EngineError;
use crate::state::StateTensor;

/// A tensor in a file, possibly a view that is not contiguous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) element: Element,
    pub(super) shape: Vec<usize>,
    /// Numbers from one index to the next, by dimension.
    pub(super) strides: Vec<usize>,
    /// Where the first number begins, in bytes from the file's start.
    pub(super) offset: u64,
    /// How many numbers lie between the first and the last, both included.
    pub(super) span: u64,
    pub(super) order: ByteOrder,
}

impl Stored {
    /// A tensor in row-major order. The format's reader has checked its size.
    pub(super) fn contiguous(element: Element, shape: Vec<usize>, offset: u64) -> Self {
        Self {
            element,
            span: shape.iter().map(|size| *size as u64).product(),
            strides: row_major(&shape),
            shape,
            offset,
            order: ByteOrder::Little,
        }
    }

    /// Reads the numbers, in row-major order.
    ///
    /// # Errors
    /// They are not of a floating point format, the file is too short for them, or the tensor
    /// repeats its numbers so that it is larger than what is stored.
    pub(super) fn load(&self, name: &str, file: &WeightsFile) -> Result<StateTensor, EngineError> {
        if !self.element.is_float() {
            return Err(unsupported(format!(
                "the tensor `{name}` holds {}, expected floating point numbers",
                self.element.name()
            )));
        }
        let count = self
            .shape
            .iter()
            .try_fold(1_usize, |count, size| count.checked_mul(*size));
        let Some(count) = count.filter(|count| *count as u64 <= self.span) else {
            return Err(unsupported(format!(
                "the tensor `{name}` repeats its numbers (`expand`)"
            )));
        };
        let bytes = self
            .span
            .checked_mul(self.element.bytes())
            .ok_or_else(|| damaged(format!("the tensor `{name}` is larger than any file")))?;
        let numbers = file.read(self.offset, bytes)?;
        let numbers = self
            .element
            .decode(&numbers, self.order)
            .unwrap_or_default();
        Ok(StateTensor {
            values: if self.strides == row_major(&self.shape) {
                numbers
            } else {
                self.gather(&numbers, count)
            },
            shape: self.shape.clone(),
        })
    }

    /// Brings a view into row-major order.
    fn gather(&self, numbers: &[f32], count: usize) -> Vec<f32> {
        let mut values = Vec::with_capacity(count);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let position: usize = index
                .iter()
                .zip(&self.strides)
                .map(|(index, stride)| index * stride)
                .sum();
            values.push(numbers.get(position).copied().unwrap_or_default());
            advance(&mut index, &self.shape);
        }
        values
    }
}

/// The next index in row-major order.
fn advance(index: &mut [usize], shape: &[usize]) {
    for (index, size) in index.iter_mut().zip(shape).rev() {
        *index += 1;
        if *index < *size {
            return;
        }
        *index = 0;
    }
}

fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for dimension in (1..shape.len()).rev() {
        strides[dimension - 1] = strides[dimension].saturating_mul(shape[dimension].max(1));
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_runs_through_the_last_dimension_first() {
        let mut index = [0, 1];
        advance(&mut index, &[2, 2]);
        assert_eq!(index, [1, 0]);
    }

    #[test]
    fn strides_are_those_of_pytorch() {
        assert_eq!(row_major(&[2, 3, 4]), [12, 4, 1]);
        assert!(row_major(&[]).is_empty());
    }
}
