//! torchvision's `adjust_sharpness`.

use crate::RgbImage;

/// Moves every pixel but the outermost away from the average around it (its own weight 5, the
/// others' 1) by `factor`: 0 is smooth, 1 no change.
pub(in crate::augment) fn sharpness(image: &mut RgbImage, factor: f32) {
    let (width, height) = (image.width as usize, image.height as usize);
    if width <= 2 || height <= 2 {
        return;
    }
    let row_bytes = image.row_bytes();
    let source = image.pixels.clone();
    for y in 1..height - 1 {
        let rows = [y - 1, y, y + 1].map(|row| &source[row * row_bytes..(row + 1) * row_bytes]);
        let result = &mut image.pixels[y * row_bytes + 3..(y + 1) * row_bytes - 3];
        for (at, byte) in (3..).zip(result) {
            let sum = |row: &[u8]| -> u16 {
                [row[at - 3], row[at], row[at + 3]]
                    .into_iter()
                    .map(u16::from)
                    .sum()
            };
            let own = f32::from(rows[1][at]);
            let around = sum(rows[0]) + sum(rows[1]) + sum(rows[2]);
            let smooth = ((f32::from(around) + 4.0 * own) / 13.0).round_ties_even();
            *byte = (own + (1.0 - factor) * (smooth - own)) as u8;
        }
    }
}
