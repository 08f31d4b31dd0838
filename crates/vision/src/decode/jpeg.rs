//! JPEG, by `zune-jpeg`.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::error::DecodeError;
use super::sniff::Format;
use super::{Header, Opened, orientation};

/// The longest side that a JPEG header can hold.
const MAX_SIDE: usize = 65_535;

pub(super) fn open(bytes: &[u8]) -> Result<Opened<'_>, DecodeError> {
    let options = DecoderOptions::default()
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .set_strict_mode(false)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder
        .decode_headers()
        .map_err(|error| from_zune(bytes, &error))?;
    let info = decoder
        .info()
        .ok_or_else(|| DecodeError::corrupt(Format::Jpeg, "it has no frame header"))?;
    let mode = match info.components {
        1 => "L",
        3 => "RGB",
        4 => "CMYK",
        count => {
            let what = format!("a JPEG image of {count} components");
            return Err(DecodeError::unsupported(&what).of(Format::Jpeg));
        }
    };
    let orientation = decoder
        .exif()
        .map_or(image::metadata::Orientation::NoTransforms, |exif| {
            orientation::from_exif(exif)
        });
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    Ok(Opened {
        header: Header {
            mode,
            width,
            height,
            orientation,
        },
        read: Box::new(move |_, pixels| {
            // The decoder fills what is missing at the end of the last rows, and says nothing.
            if !has_end(bytes) {
                let detail = "it has no end marker";
                return Err(DecodeError::truncated(Format::Jpeg, detail));
            }
            // Stray bytes between the headers are harmless, damaged pixels are not.
            decoder.set_options(options.set_strict_mode(true));
            // It writes every pixel, so that none of an image before shows through.
            pixels.resize(width as usize * height as usize * 3, 0);
            decoder
                .decode_into(pixels)
                .map_err(|error| from_zune(bytes, &error))
        }),
    })
}

fn from_zune(bytes: &[u8], error: &DecodeErrors) -> DecodeError {
    let detail = error.to_string();
    let detail = detail.trim_matches('"');
    match error {
        DecodeErrors::Unsupported(_) => {
            DecodeError::unsupported(&format!("this variant of JPEG ({detail})")).of(Format::Jpeg)
        }
        DecodeErrors::SofError(_) if detail.contains("bits of precision") => {
            DecodeError::unsupported("a JPEG image of more than 8 bits").of(Format::Jpeg)
        }
        _ if !has_end(bytes) => DecodeError::truncated(Format::Jpeg, detail),
        _ => DecodeError::corrupt(Format::Jpeg, detail),
    }
}

/// Whether an end-of-image marker follows the first scan header. Inside of a scan `FF D9` means
/// nothing else, since `FF` is always followed by `00` there; the segments before it are skipped,
/// for an embedded thumbnail has an end marker of its own.
pub(super) fn has_end(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xDA;
    const END: [u8; 2] = [0xFF, 0xD9];
    let mut at = 2;
    while let Some(&[marker, code, high, low]) = bytes.get(at..at + 4) {
        if marker != 0xFF {
            // Not a segment: stray bytes, as some cameras leave.
            at += 1;
        } else if code == START_OF_SCAN {
            let scans = &bytes[at..];
            return scans.ends_with(&END) || scans.windows(2).any(|pair| pair == END);
        } else if matches!(code, 0x00 | 0x01 | 0xD0..=0xD9 | 0xFF) {
            at += if code == 0xFF { 1 } else { 2 };
        } else {
            at += 2 + usize::from(u16::from_be_bytes([high, low]));
        }
    }
    false
}
