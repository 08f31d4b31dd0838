//! Changes that move whole pixels.

use ferrotype_kernels::pixels::mirror;

use super::Border;
use super::matrix::Matrix;
use crate::RgbImage;

/// Copies pixels to where a rigid change has them.
pub(super) fn copy(
    source: &RgbImage,
    inverse: &Matrix,
    border: Border,
    [left, top, width, height]: [u32; 4],
    result: &mut RgbImage,
) {
    let [[a, _, _], [d, e, _], _] = inverse.0;
    // Column and row of the source for the result's columns; the same for its rows.
    let (first_x, first_y) = inverse.apply(0.5, 0.5);
    let [x, y] = [first_x - f64::from(left), first_y - f64::from(top)].map(|at| at.floor() as i64);
    let is_turned = a == 0.0;
    if is_turned {
        let rows = positions(y, d as i64, result.width, border, height);
        let columns = positions(x, inverse.0[0][1] as i64, result.height, border, width);
        turned(source, [left, top], &columns, &rows, border.fill, result);
        return;
    }
    let columns = positions(x, a as i64, result.width, border, width);
    let rows = positions(y, e as i64, result.height, border, height);
    let is_whole = columns.iter().all(Option::is_some);
    let goes_by = |step: i64| {
        let next = |at: Option<usize>| at.map(|at| at as i64 + step);
        columns
            .windows(2)
            .all(|pair| pair[1].map(|at| at as i64) == next(pair[0]))
    };
    let (is_forward, is_backward) = (goes_by(1), goes_by(-1));
    let result_row_bytes = result.row_bytes();
    // The part of a row that is shown as it stands, or mirrored.
    let ends = columns
        .first()
        .copied()
        .flatten()
        .zip(columns.last().copied().flatten());
    let part = ends
        .filter(|_| is_whole && (is_forward || is_backward))
        .map(|(first, last)| 3 * first.min(last)..3 * (first.max(last) + 1));
    for (&row, line) in rows
        .iter()
        .zip(result.pixels.chunks_exact_mut(result_row_bytes))
    {
        let Some(row) = row else {
            line.as_chunks_mut::<3>().0.fill(border.fill);
            continue;
        };
        let start = (row + top as usize) * source.row_bytes() + left as usize * 3;
        let from = &source.pixels[start..start + width as usize * 3];
        match part.clone().map(|part| &from[part]) {
            Some(part) if is_forward => line.copy_from_slice(part),
            Some(part) => mirror(part, line),
            None => pick(from.as_chunks().0, &columns, border.fill, line),
        }
    }
}

/// Position of every pixel of a result's side, beginning at `first`.
fn positions(first: i64, step: i64, count: u32, border: Border, length: u32) -> Vec<Option<usize>> {
    (0..i64::from(count))
        .map(|index| border.position(first + step * index, length))
        .collect()
}

fn pick(from: &[[u8; 3]], columns: &[Option<usize>], fill: [u8; 3], line: &mut [u8]) {
    for (pixel, &column) in line.as_chunks_mut::<3>().0.iter_mut().zip(columns) {
        *pixel = column.and_then(|at| from.get(at)).copied().unwrap_or(fill);
    }
}

/// Rows become columns, in blocks that stay in the first-level cache.
fn turned(
    source: &RgbImage,
    [left, top]: [u32; 2],
    columns: &[Option<usize>],
    rows: &[Option<usize>],
    fill: [u8; 3],
    result: &mut RgbImage,
) {
    const BLOCK: usize = 32;
    let pixels = source.pixels.as_chunks::<3>().0;
    let result_width = result.width as usize;
    let lines = result.pixels.as_chunks_mut::<3>().0;
    for first_row in (0..rows.len()).step_by(BLOCK) {
        let last_row = (first_row + BLOCK).min(rows.len());
        for (line, &column) in columns.iter().enumerate() {
            let target =
                &mut lines[line * result_width + first_row..line * result_width + last_row];
            for (pixel, &row) in target.iter_mut().zip(&rows[first_row..last_row]) {
                *pixel = row.zip(column).map_or(fill, |(row, column)| {
                    let row = row + top as usize;
                    pixels[row * source.width as usize + column + left as usize]
                });
            }
        }
    }
}
