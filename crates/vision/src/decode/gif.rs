//! The first frame of a GIF, painted as Pillow paints it.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, MemoryLimit};
use image::metadata::Orientation;

use super::error::DecodeError;
use super::sniff::Format;
use super::{DecodeLimits, Header, Opened};

pub(super) fn open(bytes: &[u8]) -> Result<Opened<'_>, DecodeError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    // The sizes of the screen and of the frame are checked before they are allocated here.
    options.set_memory_limit(MemoryLimit::Unlimited);
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(from_gif)?;
    let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    if width == 0 || height == 0 {
        return Err(DecodeError::corrupt(Format::Gif, "it has no pixels"));
    }
    if decoder.next_frame_info().map_err(from_gif)?.is_none() {
        return Err(DecodeError::truncated(Format::Gif, "it has no frame"));
    }
    let mode = if is_grayscale(decoder.palette().map_err(from_gif)?) {
        "L"
    } else {
        "P"
    };
    Ok(Opened {
        header: Header {
            mode,
            width,
            height,
            orientation: Orientation::NoTransforms,
        },
        read: Box::new(move |limits, pixels| {
            *pixels = read_frame(decoder, limits)?;
            Ok(())
        }),
    })
}

/// Reads the frame that `decoder` stands at onto its screen.
fn read_frame(
    mut decoder: Decoder<Cursor<&[u8]>>,
    limits: &DecodeLimits,
) -> Result<Vec<u8>, DecodeError> {
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));
    let Some(frame) = decoder.current_frame_info() else {
        return Err(DecodeError::truncated(Format::Gif, "it has no frame"));
    };
    limits.check(Format::Gif, frame.width.into(), frame.height.into())?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let frame_width = usize::from(frame.width);
    let uncovered = frame.transparent.unwrap_or(0);
    let mut indices = vec![0; frame_width * usize::from(frame.height)];
    decoder.read_into_buffer(&mut indices).map_err(from_gif)?;

    let palette = decoder.palette().map_err(from_gif)?;
    let color = |index: u8| {
        let at = usize::from(index) * 3;
        palette.get(at..at + 3).unwrap_or(&[0; 3])
    };
    let mut pixels = color(uncovered).repeat(screen.0 * screen.1);
    let rows = pixels.chunks_exact_mut(screen.0 * 3).skip(top);
    for (row, indices) in rows.zip(indices.chunks_exact(frame_width.max(1))) {
        for (pixel, &index) in row.chunks_exact_mut(3).skip(left).zip(indices) {
            pixel.copy_from_slice(color(index));
        }
    }
    Ok(pixels)
}

/// Whether the palette is the ramp from black to white by ones, which Pillow calls no palette.
fn is_grayscale(palette: &[u8]) -> bool {
    palette
        .chunks_exact(3)
        .enumerate()
        .all(|(index, color)| color.iter().all(|&value| usize::from(value) == index))
}

fn from_gif(error: DecodingError) -> DecodeError {
    let detail = error.to_string();
    match error {
        DecodingError::UnexpectedEof => DecodeError::truncated(Format::Gif, &detail),
        DecodingError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            DecodeError::truncated(Format::Gif, &detail)
        }
        _ => DecodeError::corrupt(Format::Gif, &detail),
    }
}
