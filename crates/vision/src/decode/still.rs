//! PNG, WebP, BMP and TIFF, by the `image` crate.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::tiff::TiffDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, ExtendedColorType, ImageDecoder, ImageResult, Limits};

use super::error::DecodeError;
use super::sniff::Format;
use super::{Header, Opened, orientation};

/// What a decoder may allocate beside the pixels: text chunks, colour profiles, tables.
const SIDE_BYTES: u64 = 64 << 20;

/// The longest side that the BMP decoder takes.
const MAX_BMP_SIDE: u32 = 65_535;

/// Four bytes of a PNG header as a number.
fn big_endian(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(field.try_into().ok()?))
}

/// Four bytes of a BMP header as a number.
fn little_endian(bytes: &[u8], at: usize) -> Option<u32> {
    big_endian(bytes, at).map(u32::swap_bytes)
}

pub(super) fn open_png(bytes: &[u8]) -> Result<Opened<'_>, DecodeError> {
    let short = || DecodeError::truncated(Format::Png, "its header is incomplete");
    if bytes.get(12..16).ok_or_else(short)? != b"IHDR" {
        return Err(DecodeError::corrupt(Format::Png, "its header is missing"));
    }
    let width = big_endian(bytes, 16).ok_or_else(short)?;
    let height = big_endian(bytes, 20).ok_or_else(short)?;
    if width == 0 || height == 0 {
        return Err(DecodeError::corrupt(Format::Png, "it has no pixels"));
    }
    let (&bits, &color) = bytes.get(24).zip(bytes.get(25)).ok_or_else(short)?;
    let mode = match (color, bits) {
        (0, 1) => "1",
        (0, 2 | 4 | 8) => "L",
        (0, 16) => "I;16",
        (2, 8 | 16) => "RGB",
        (3, 1 | 2 | 4 | 8) => "P",
        (4, 8) => "LA",
        (4, 16) | (6, 8 | 16) => "RGBA",
        _ => {
            let detail = format!("colour type `{color}` with `{bits}` bits does not exist");
            return Err(DecodeError::corrupt(Format::Png, &detail));
        }
    };
    // The decoder is made only when the size was checked: it allocates a row at once.
    Ok(Opened {
        header: Header {
            mode,
            width,
            height,
            orientation: orientation::of_png(bytes),
        },
        read: Box::new(move |_, pixels| {
            let most = u64::from(width) * u64::from(height) * 8;
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), memory(most));
            read(Format::Png, decoder, pixels)
        }),
    })
}

pub(super) fn open_webp(bytes: &[u8]) -> Result<Opened<'_>, DecodeError> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes))
        .map_err(|error| DecodeError::from_image(Format::Webp, &error))?;
    let mode = match decoder.color_type() {
        ColorType::Rgba8 => "RGBA",
        _ => "RGB",
    };
    let exif = decoder.exif_metadata().ok().flatten();
    let orientation = exif.map_or(Orientation::NoTransforms, |exif| {
        orientation::from_exif(&exif)
    });
    opened(Format::Webp, decoder, mode, orientation)
}

pub(super) fn open_bmp(bytes: &[u8]) -> Result<Opened<'_>, DecodeError> {
    // The decoder refuses such sizes without saying so in its error's type.
    let is_old = bytes.get(14) == Some(&12);
    if let (false, Some(width), Some(height)) =
        (is_old, little_endian(bytes, 18), little_endian(bytes, 22))
    {
        let height = (height as i32).unsigned_abs();
        if (width as i32) > MAX_BMP_SIDE as i32 || height > MAX_BMP_SIDE {
            let limit = u64::from(MAX_BMP_SIDE) * u64::from(MAX_BMP_SIDE);
            let (width, height) = (width.into(), height.into());
            return Err(DecodeError::too_many_pixels(
                Format::Bmp,
                width,
                height,
                limit,
            ));
        }
    }
    let decoder = BmpDecoder::new(Cursor::new(bytes))
        .map_err(|error| DecodeError::from_image(Format::Bmp, &error))?;
    let mode = match (decoder.get_palette(), decoder.color_type()) {
        (Some(palette), _) => palette_mode(palette, bytes),
        (None, ColorType::Rgba8) => "RGBA",
        (None, _) => "RGB",
    };
    opened(Format::Bmp, decoder, mode, Orientation::NoTransforms)
}

/// Pillow's word for a bitmap with this palette: a ramp of grays is no palette.
fn palette_mode(palette: &[[u8; 3]], bytes: &[u8]) -> &'static str {
    let bits = bytes.get(28).copied().unwrap_or(8).min(8);
    let used = &palette[..palette.len().min(1 << bits)];
    let is_gray = |(index, color): (usize, &[u8; 3])| {
        let level = if used.len() == 2 { index * 255 } else { index };
        color.iter().all(|&value| usize::from(value) == level)
    };
    match (used.iter().enumerate().all(is_gray), used.len()) {
        (true, 2) => "1",
        (true, _) => "L",
        (false, _) => "P",
    }
}

pub(super) fn open_tiff(bytes: &[u8]) -> Result<Opened<'_>, DecodeError> {
    let mut decoder = TiffDecoder::new(Cursor::new(bytes))
        .map_err(|error| DecodeError::from_image(Format::Tiff, &error))?;
    let mode = match decoder.original_color_type() {
        ExtendedColorType::L1 => "1",
        ExtendedColorType::L8 => "L",
        ExtendedColorType::L16 => "I;16",
        ExtendedColorType::La8 | ExtendedColorType::La16 => "LA",
        ExtendedColorType::Rgb8 | ExtendedColorType::Rgb16 => "RGB",
        ExtendedColorType::Rgba8 | ExtendedColorType::Rgba16 => "RGBA",
        ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16 => "CMYK",
        other => {
            let what = format!("a TIFF image of {other:?} pixels");
            return Err(DecodeError::unsupported(&what).of(Format::Tiff));
        }
    };
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    opened(Format::Tiff, decoder, mode, orientation)
}

fn opened<'a>(
    format: Format,
    decoder: impl ImageDecoder + 'a,
    mode: &'static str,
    orientation: Orientation,
) -> Result<Opened<'a>, DecodeError> {
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(DecodeError::corrupt(format, "it has no pixels"));
    }
    Ok(Opened {
        header: Header {
            mode,
            width,
            height,
            orientation,
        },
        read: Box::new(move |_, pixels| {
            let mut decoder = decoder;
            let limited = decoder
                .set_limits(memory(decoder.total_bytes().saturating_mul(2)))
                .map(|()| decoder);
            read(format, limited, pixels)
        }),
    })
}

/// The `image` crate's own limits, as a second fence behind ours.
fn memory(bytes: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(bytes.saturating_add(SIDE_BYTES));
    limits
}

/// Writes the pixels of a decoder as rows of RGB over `pixels`.
fn read(
    format: Format,
    decoder: ImageResult<impl ImageDecoder>,
    pixels: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let fail = |error| DecodeError::from_image(format, &error);
    let decoder = decoder.map_err(fail)?;
    let color = decoder.color_type();
    let length = usize::try_from(decoder.total_bytes())
        .map_err(|_| DecodeError::corrupt(format, "its size does not fit in memory"))?;
    // These decoders may leave pixels unwritten, which are black then.
    if color == ColorType::Rgb8 {
        pixels.clear();
        pixels.resize(length, 0);
        return decoder.read_image(pixels).map_err(fail);
    }
    let mut bytes = vec![0; length];
    decoder.read_image(&mut bytes).map_err(fail)?;
    if write_rgb(color, &bytes, pixels) {
        return Ok(());
    }
    let what = format!("a {} image of {color:?} pixels", format.name());
    Err(DecodeError::unsupported(&what).of(format))
}

/// Writes any pixels as RGB, as Pillow's `convert("RGB")` does: alpha is dropped, not composited.
/// Of 16 bits the upper 8 are kept (Pillow does so for colour; gray it cuts off at 255). Answers
/// whether there is such a kind of pixel.
fn write_rgb(color: ColorType, bytes: &[u8], rgb: &mut Vec<u8>) -> bool {
    // Two-byte values come in the machine's byte order.
    let high = usize::from(cfg!(target_endian = "little"));
    let (step, at) = match color {
        ColorType::L8 => (1, [0; 3]),
        ColorType::La8 => (2, [0; 3]),
        ColorType::Rgba8 => (4, [0, 1, 2]),
        ColorType::L16 => (2, [high; 3]),
        ColorType::La16 => (4, [high; 3]),
        ColorType::Rgb16 => (6, [high, 2 + high, 4 + high]),
        ColorType::Rgba16 => (8, [high, 2 + high, 4 + high]),
        _ => return false,
    };
    rgb.clear();
    rgb.extend(
        bytes
            .chunks_exact(step)
            .flat_map(|pixel| at.map(|at| pixel[at])),
    );
    true
}
