//! What a file is, told by its first bytes and never by its name.

use super::error::{DecodeError, DecodeErrorKind};

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Bmp,
    Gif,
    Jpeg,
    Png,
    Tiff,
    Webp,
}

impl Format {
    /// The name in data: lower case.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Bmp => "bmp",
            Self::Gif => "gif",
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Tiff => "tiff",
            Self::Webp => "webp",
        }
    }

    /// The name in messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Tiff => "TIFF",
            Self::Webp => "WebP",
        }
    }
}

/// First bytes of image formats that people meet and that are not read here.
const UNREAD: [(usize, &[u8], &str); 17] = [
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftypavis", "an AVIF image"),
    (4, b"ftyphei", "a HEIC image"),
    (4, b"ftypmif1", "a HEIF image"),
    (0, b"\xFF\x0A", "a JPEG XL image"),
    (4, b"JXL \r\n\x87\n", "a JPEG XL image"),
    (4, b"jP  \r\n\x87\n", "a JPEG 2000 image"),
    (0, b"\xFF\x4F\xFF\x51", "a JPEG 2000 image"),
    (0, b"\0\0\x01\0", "a Windows icon"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"\x76\x2F\x31\x01", "an OpenEXR image"),
    (0, b"#?RADIANCE", "a Radiance HDR image"),
    (0, b"qoif", "a QOI image"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"II+\0", "a BigTIFF image"),
    (128, b"DICM", "a DICOM image"),
];

/// The format of a file's bytes.
pub(super) fn sniff(bytes: &[u8]) -> Result<Format, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::new(
            DecodeErrorKind::Empty,
            "the file is empty",
        ));
    }
    if let Some(format) = known(bytes) {
        return Ok(format);
    }
    if bytes.starts_with(b"version https://git-lfs.github.com/spec/") {
        return Err(DecodeError::new(
            DecodeErrorKind::LfsPointer,
            "the file is a Git LFS pointer, not the image itself",
        ));
    }
    match unread(bytes) {
        Some(name) => Err(DecodeError::unsupported(name)),
        None => Err(DecodeError::new(
            DecodeErrorKind::NotAnImage,
            if looks_like_text(bytes) {
                "the file is text, not an image"
            } else {
                "the file does not start like any image format"
            },
        )),
    }
}

fn known(bytes: &[u8]) -> Option<Format> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if starts(b"\xFF\xD8\xFF") {
        Some(Format::Jpeg)
    } else if starts(b"\x89PNG\r\n\x1A\n") {
        Some(Format::Png)
    } else if starts(b"GIF87a") || starts(b"GIF89a") {
        Some(Format::Gif)
    } else if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some(Format::Webp)
    } else if starts(b"BM") && has_bitmap_header(bytes) {
        Some(Format::Bmp)
    } else if starts(b"II*\0") || starts(b"MM\0*") {
        Some(Format::Tiff)
    } else {
        None
    }
}

/// `BM` alone begins many a text; the length of the header after it is one of a few.
fn has_bitmap_header(bytes: &[u8]) -> bool {
    matches!(
        bytes.get(14..18),
        Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])
    )
}

fn unread(bytes: &[u8]) -> Option<&'static str> {
    let magic = UNREAD
        .iter()
        .find(|(offset, magic, _)| bytes.get(*offset..).is_some_and(|b| b.starts_with(magic)))
        .map(|(_, _, name)| *name);
    magic.or_else(|| {
        let head = &bytes[..bytes.len().min(512)];
        let is_svg = looks_like_text(head) && head.windows(4).any(|window| window == b"<svg");
        let is_pnm = matches!(bytes, [b'P', b'1'..=b'7', b'\n' | b' ', ..]);
        match (is_svg, is_pnm) {
            (true, _) => Some("an SVG drawing"),
            (_, true) => Some("a PNM image"),
            _ => None,
        }
    })
}

fn looks_like_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(512)];
    head.iter()
        .all(|&byte| byte >= b' ' && byte != 0x7F || matches!(byte, b'\n' | b'\r' | b'\t'))
        && (std::str::from_utf8(head).is_ok() || head.len() == 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn kind_of(bytes: &[u8]) -> DecodeErrorKind {
        sniff(bytes).expect_err("no image").kind
    }

    #[test]
    fn what_is_no_image_is_told_apart() {
        assert_eq!(kind_of(b""), DecodeErrorKind::Empty);
        assert_eq!(kind_of(b"hello, world\n"), DecodeErrorKind::NotAnImage);
        assert_eq!(kind_of(&[0, 1, 2, 3]), DecodeErrorKind::NotAnImage);
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:85ac\nsize 9\n";
        assert_eq!(kind_of(pointer), DecodeErrorKind::LfsPointer);
    }

    #[test]
    fn an_image_format_that_is_not_read_is_named() {
        let error = sniff(b"\0\0\0\x1Cftypavif\0\0\0\0").expect_err("AVIF");
        assert_eq!(error.kind, DecodeErrorKind::UnsupportedFormat);
        assert_eq!(error.to_string(), "an AVIF image is not read");
        let svg = b"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
        assert_eq!(kind_of(svg), DecodeErrorKind::UnsupportedFormat);
        assert_eq!(
            kind_of(b"P6\n2 2\n255\n"),
            DecodeErrorKind::UnsupportedFormat
        );
        let mut dicom = vec![0; 128];
        dicom.extend_from_slice(b"DICM");
        assert_eq!(kind_of(&dicom), DecodeErrorKind::UnsupportedFormat);
    }

    #[test]
    fn text_that_begins_with_bm_is_no_bitmap() {
        assert_eq!(
            kind_of(b"BMW built this car in 1972."),
            DecodeErrorKind::NotAnImage
        );
    }
}
