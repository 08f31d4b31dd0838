//! Between `[batch, channels, pixels]` and `[batch, pixels, channels]`.

use rayon::prelude::*;

/// Writes `source` (`[batch, channels, pixels]`) to `target` as `[batch, pixels, channels]`.
///
/// # Panics
/// The lengths differ or are no multiple of an image.
pub fn channels_last(source: &[f32], channels: usize, pixels: usize, target: &mut [f32]) {
    transpose_images(source, channels, pixels, target);
}

/// Writes `source` (`[batch, pixels, channels]`) to `target` as `[batch, channels, pixels]`.
///
/// # Panics
/// The lengths differ or are no multiple of an image.
pub fn channels_first(source: &[f32], channels: usize, pixels: usize, target: &mut [f32]) {
    transpose_images(source, pixels, channels, target);
}

/// The bytes of numbers, in the machine's order: for reading them from a file.
pub fn bytes_mut(values: &mut [f32]) -> &mut [u8] {
    pulp::bytemuck::cast_slice_mut(values)
}

fn transpose_images(source: &[f32], rows: usize, columns: usize, target: &mut [f32]) {
    let image = rows * columns;
    assert_eq!(source.len(), target.len(), "lengths differ");
    if image == 0 {
        return;
    }
    assert_eq!(source.len() % image, 0, "not a whole number of images");
    target
        .par_chunks_mut(image)
        .zip(source.par_chunks(image))
        .for_each(|(target, source)| transpose(source, rows, columns, target));
}

/// Writes the transpose of a row-major matrix.
pub(crate) fn transpose(source: &[f32], rows: usize, columns: usize, target: &mut [f32]) {
    // Squares small enough that both sides stay in the first-level cache.
    const BLOCK: usize = 16;
    for row_block in (0..rows).step_by(BLOCK) {
        for column_block in (0..columns).step_by(BLOCK) {
            for row in row_block..rows.min(row_block + BLOCK) {
                for column in column_block..columns.min(column_block + BLOCK) {
                    target[column * rows + row] = source[row * columns + column];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_gives_the_same_image() {
        let (batch, channels, pixels) = (2, 3, 35);
        let source: Vec<f32> = (0..batch * channels * pixels).map(|i| i as f32).collect();
        let mut last = vec![0.0; source.len()];
        channels_last(&source, channels, pixels, &mut last);
        assert_eq!(last[..3], [0.0, 35.0, 70.0]);
        let mut first = vec![0.0; source.len()];
        channels_first(&last, channels, pixels, &mut first);
        assert_eq!(first, source);
    }
}
