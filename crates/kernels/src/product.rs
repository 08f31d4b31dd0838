//! Matrix products, on the `gemm` crate's kernels (AVX-512, AVX2, NEON or scalar, chosen at run
//! time).

use gemm::Parallelism;

/// A matrix that lies in a slice.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::with_stride(values, rows, columns, columns)
    }

    /// A matrix whose rows start `row_stride` apart.
    ///
    /// # Panics
    /// The matrix reaches past the end of `values`.
    pub fn with_stride(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert_fits(values.len(), rows, columns, row_stride);
        Self {
            values,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// The same numbers with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// A row-major matrix that is written to.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    values: &'a mut [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// A row-major matrix.
    pub fn new(values: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::with_stride(values, rows, columns, columns)
    }

    /// A matrix whose rows start `row_stride` apart.
    ///
    /// # Panics
    /// The matrix reaches past the end of `values`, or its rows overlap.
    pub fn with_stride(
        values: &'a mut [f32],
        rows: usize,
        columns: usize,
        row_stride: usize,
    ) -> Self {
        assert!(row_stride >= columns || rows <= 1, "rows overlap");
        assert_fits(values.len(), rows, columns, row_stride);
        Self {
            values,
            rows,
            columns,
            row_stride,
        }
    }
}

/// What happens to the numbers that a product's destination holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// They are replaced by the product.
    Replace,
    /// The product is added to them.
    Add,
}

/// Who computes a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread.
    One,
    /// The thread pool.
    Pool,
}

/// `destination ← left · right`, or `destination += left · right`.
///
/// # Panics
/// The shapes do not fit each other.
pub fn multiply(
    destination: MatrixMut<'_>,
    mode: Destination,
    left: Matrix<'_>,
    right: Matrix<'_>,
    threads: Threads,
) {
    assert_eq!(left.columns, right.rows, "inner sizes differ");
    assert_eq!(left.rows, destination.rows, "rows differ");
    assert_eq!(right.columns, destination.columns, "columns differ");
    if destination.rows == 0 || destination.columns == 0 {
        return;
    }
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::Pool => Parallelism::Rayon(0),
    };
    // Strides are at most the slices' lengths, which are at most `isize::MAX` bytes.
    let stride = |stride: usize| stride as isize;
    // SAFETY: every element of the three matrices lies in its slice (checked when they were
    // made), the shapes fit each other (checked above), the destination's rows do not overlap
    // each other (checked when it was made), and as it is borrowed mutably it overlaps neither
    // factor.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            destination.rows,
            destination.columns,
            left.columns,
            destination.values.as_mut_ptr(),
            1,
            stride(destination.row_stride),
            mode == Destination::Add,
            left.values.as_ptr(),
            stride(left.column_stride),
            stride(left.row_stride),
            right.values.as_ptr(),
            stride(right.column_stride),
            stride(right.row_stride),
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

fn assert_fits(len: usize, rows: usize, columns: usize, row_stride: usize) {
    if rows == 0 || columns == 0 {
        return;
    }
    let end = (rows - 1)
        .checked_mul(row_stride)
        .and_then(|start| start.checked_add(columns));
    assert!(
        end.is_some_and(|end| end <= len),
        "a matrix of {rows}×{columns} does not fit {len} numbers"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_that_of_its_definition_in_every_orientation() {
        let left = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let right = [7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
        let expected = [58.0, 64.0, 139.0, 154.0];
        let left_transposed = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0];
        let right_transposed = [7.0, 9.0, 11.0, 8.0, 10.0, 12.0];
        let lefts = [
            Matrix::new(&left, 2, 3),
            Matrix::new(&left_transposed, 3, 2).transposed(),
        ];
        let rights = [
            Matrix::new(&right, 3, 2),
            Matrix::new(&right_transposed, 2, 3).transposed(),
        ];
        for left in lefts {
            for right in rights {
                let mut result = [100.0; 4];
                let replaced = MatrixMut::new(&mut result, 2, 2);
                multiply(replaced, Destination::Replace, left, right, Threads::One);
                assert_eq!(result, expected);
                let added = MatrixMut::new(&mut result, 2, 2);
                multiply(added, Destination::Add, left, right, Threads::Pool);
                assert_eq!(result, expected.map(|value| 2.0 * value));
            }
        }
    }

    #[test]
    fn an_empty_inner_size_gives_zeros() {
        let mut result = [1.0; 4];
        let destination = MatrixMut::new(&mut result, 2, 2);
        let (left, right) = (Matrix::new(&[], 2, 0), Matrix::new(&[], 0, 2));
        multiply(destination, Destination::Replace, left, right, Threads::One);
        assert_eq!(result, [0.0; 4]);
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn a_matrix_that_reaches_past_its_slice_is_refused() {
        let _ = Matrix::new(&[0.0; 5], 2, 3);
    }
}
