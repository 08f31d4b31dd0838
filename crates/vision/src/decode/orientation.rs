//! Which way up: the EXIF orientation, found and applied.

use std::io::Read;

use image::metadata::Orientation;

use crate::RgbImage;

/// The most bytes that a compressed EXIF block may unpack to.
const MAX_PROFILE_BYTES: u64 = 1 << 20;

/// The orientation in an EXIF block; upright when there is none or it is broken.
pub(super) fn from_exif(exif: &[u8]) -> Orientation {
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    Orientation::from_exif_chunk(exif).unwrap_or(Orientation::NoTransforms)
}

/// Whether width and height change places.
pub(super) const fn swaps_sides(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// Turns the image upright.
pub(super) fn apply(image: &mut RgbImage, orientation: Orientation) {
    if orientation == Orientation::NoTransforms {
        return;
    }
    let (width, height) = if swaps_sides(orientation) {
        (image.height, image.width)
    } else {
        (image.width, image.height)
    };
    let walk = Walk::new(orientation, image.width as isize, image.height as isize);
    let mut pixels = Vec::with_capacity(image.pixels.len());
    for y in 0..height as isize {
        for x in 0..width as isize {
            let at = (walk.start + x * walk.right + y * walk.down) as usize * 3;
            pixels.extend_from_slice(&image.pixels[at..at + 3]);
        }
    }
    *image = RgbImage {
        width,
        height,
        pixels,
    };
}

/// Where the upright image's pixels lie in the stored one, counted in pixels.
struct Walk {
    start: isize,
    right: isize,
    down: isize,
}

impl Walk {
    const fn new(orientation: Orientation, width: isize, height: isize) -> Self {
        let (last_column, last_row) = (width - 1, (height - 1) * width);
        let (start, right, down) = match orientation {
            Orientation::NoTransforms => (0, 1, width),
            Orientation::FlipHorizontal => (last_column, -1, width),
            Orientation::Rotate180 => (last_row + last_column, -1, -width),
            Orientation::FlipVertical => (last_row, 1, -width),
            Orientation::Rotate90FlipH => (0, width, 1),
            Orientation::Rotate90 => (last_row, -width, 1),
            Orientation::Rotate270FlipH => (last_row + last_column, -width, -1),
            Orientation::Rotate270 => (last_column, width, -1),
        };
        Self { start, right, down }
    }
}

/// The orientation in a PNG file, wherever its EXIF stands: in an `eXIf` chunk, or, as ImageMagick
/// wrote it, in a text chunk named `Raw profile type exif`.
pub(super) fn of_png(bytes: &[u8]) -> Orientation {
    chunks(bytes)
        .find_map(|(kind, data)| match kind {
            b"eXIf" => Some(from_exif(data)),
            b"tEXt" | b"zTXt" => raw_profile(data, kind == b"zTXt").map(|exif| from_exif(&exif)),
            _ => None,
        })
        .unwrap_or(Orientation::NoTransforms)
}

/// The chunks of a PNG file as (type, data), up to the first that does not fit.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (kind, after) = after.split_first_chunk::<4>()?;
        let (data, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = after.get(4..)?;
        Some((kind, data))
    })
}

/// The bytes of a `Raw profile type exif` text: a name, a length, then hexadecimal digits.
fn raw_profile(chunk: &[u8], compressed: bool) -> Option<Vec<u8>> {
    let text = chunk.strip_prefix(b"Raw profile type exif\0")?;
    let mut unpacked = Vec::new();
    let text = if compressed {
        flate2::read::ZlibDecoder::new(text.get(1..)?)
            .take(MAX_PROFILE_BYTES)
            .read_to_end(&mut unpacked)
            .ok()?;
        &unpacked
    } else {
        text
    };
    let mut lines = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let (_name, _length) = (lines.next()?, lines.next()?);
    let digits: Vec<u8> = lines.flat_map(str::bytes).collect();
    digits
        .chunks_exact(2)
        .map(|pair| {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            u8::try_from(high << 4 | low).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two columns, three rows; every pixel is its own number.
    fn numbered() -> RgbImage {
        let pixels = (0..6).flat_map(|n| [n, n, n]).collect();
        RgbImage {
            width: 2,
            height: 3,
            pixels,
        }
    }

    #[test]
    fn every_orientation_turns_the_image_as_exif_says() {
        // Figures from the EXIF 2.32 specification, section 4.6.4, "Orientation".
        let cases: [(u8, (u32, u32), [u8; 6]); 8] = [
            (1, (2, 3), [0, 1, 2, 3, 4, 5]),
            (2, (2, 3), [1, 0, 3, 2, 5, 4]),
            (3, (2, 3), [5, 4, 3, 2, 1, 0]),
            (4, (2, 3), [4, 5, 2, 3, 0, 1]),
            (5, (3, 2), [0, 2, 4, 1, 3, 5]),
            (6, (3, 2), [4, 2, 0, 5, 3, 1]),
            (7, (3, 2), [5, 3, 1, 4, 2, 0]),
            (8, (3, 2), [1, 3, 5, 0, 2, 4]),
        ];
        for (number, size, expected) in cases {
            let orientation = Orientation::from_exif(number).unwrap();
            let mut upright = numbered();
            apply(&mut upright, orientation);
            assert_eq!(
                (upright.width, upright.height),
                size,
                "orientation {number}"
            );
            let values: Vec<u8> = upright.pixels.chunks(3).map(|pixel| pixel[0]).collect();
            assert_eq!(values, expected, "orientation {number}");
        }
    }

    #[test]
    fn broken_exif_means_upright() {
        for exif in [
            &b""[..],
            b"Exif\0\0",
            b"II*\0\xFF\xFF\xFF\xFF",
            b"MM\0*\0\0\0\x08\xFF\xFF",
        ] {
            assert_eq!(from_exif(exif), Orientation::NoTransforms);
        }
    }

    #[test]
    fn a_raw_profile_is_unpacked_from_its_digits() {
        let text = b"Raw profile type exif\0\nexif\n       4\n4d4d\n002a\n";
        assert_eq!(raw_profile(text, false), Some(b"MM\0*".to_vec()));
        assert_eq!(
            raw_profile(b"Raw profile type exif\0\nexif\n 1\nzz", false),
            None
        );
        assert_eq!(raw_profile(b"Comment\0hello", false), None);
        assert_eq!(raw_profile(b"Raw profile type exif\0\0broken", true), None);
    }
}
