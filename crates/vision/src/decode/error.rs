//! Why bytes are no usable image.

use std::error::Error;
use std::io;

use image::ImageError;

use super::sniff::Format;

/// The kind of a [`DecodeError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// There are no bytes.
    Empty,
    /// The bytes are something else, such as text.
    NotAnImage,
    /// A Git LFS pointer stands where the image should be.
    LfsPointer,
    /// An image in a format or variant that is not read.
    UnsupportedFormat,
    /// The file ends too early.
    Truncated,
    /// The file breaks its format's rules.
    Corrupt,
    /// More pixels than [`super::DecodeLimits`] allow.
    TooManyPixels,
}

impl DecodeErrorKind {
    /// The kind in snake case, as the API and reports write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotAnImage => "not_an_image",
            Self::LfsPointer => "lfs_pointer",
            Self::UnsupportedFormat => "unsupported_format",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::TooManyPixels => "too_many_pixels",
        }
    }
}

/// Bytes that are no usable image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DecodeError {
    /// Why.
    pub kind: DecodeErrorKind,
    /// The format, when the first bytes told it.
    pub format: Option<&'static str>,
    /// What is wrong, in a sentence without the file's name.
    pub message: String,
}

impl DecodeError {
    pub(super) fn new(kind: DecodeErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            format: None,
            message: message.into(),
        }
    }

    pub(super) fn unsupported(name: &str) -> Self {
        Self::new(
            DecodeErrorKind::UnsupportedFormat,
            format!("{name} is not read"),
        )
    }

    pub(super) fn truncated(format: Format, detail: &str) -> Self {
        Self::new(
            DecodeErrorKind::Truncated,
            format!("the {} file ends too early: {detail}", format.name()),
        )
        .of(format)
    }

    pub(super) fn corrupt(format: Format, detail: &str) -> Self {
        Self::new(
            DecodeErrorKind::Corrupt,
            format!("the {} file is corrupt: {detail}", format.name()),
        )
        .of(format)
    }

    pub(super) fn too_many_pixels(format: Format, width: u64, height: u64, limit: u64) -> Self {
        Self::new(
            DecodeErrorKind::TooManyPixels,
            format!("the image has {width}×{height} pixels, more than the limit of `{limit}`"),
        )
        .of(format)
    }

    /// The same error, saying the format.
    pub(super) fn of(mut self, format: Format) -> Self {
        self.format = Some(format.id());
        self
    }

    /// An error of the `image` crate's decoders in our words.
    pub(super) fn from_image(format: Format, error: &ImageError) -> Self {
        match error {
            ImageError::Unsupported(_) => {
                let what = format!("this variant of {} ({error})", format.name());
                Self::unsupported(&what).of(format)
            }
            ImageError::Limits(_) => Self::new(
                DecodeErrorKind::TooManyPixels,
                format!("the {} file asks for too much memory", format.name()),
            )
            .of(format),
            _ if ends_early(error) => Self::truncated(format, &error.to_string()),
            _ => Self::corrupt(format, &error.to_string()),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self.kind {
            DecodeErrorKind::Empty | DecodeErrorKind::Truncated => {
                "the copy is incomplete: fetch the file again from its source"
            }
            DecodeErrorKind::NotAnImage => "send a JPEG, PNG, WebP, BMP, GIF or TIFF image",
            DecodeErrorKind::LfsPointer => "fetch the real file with `git lfs pull`",
            DecodeErrorKind::UnsupportedFormat => "convert it to JPEG or PNG",
            DecodeErrorKind::Corrupt => {
                "open it in an image viewer and save it anew as JPEG or PNG"
            }
            DecodeErrorKind::TooManyPixels => "make the image smaller, or raise the pixel limit",
        };
        Some(hint.into())
    }
}

/// Whether the cause of an error is that the bytes came to an end.
fn ends_early(error: &ImageError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.kind() == io::ErrorKind::UnexpectedEof
        {
            return true;
        }
        // Decoders wrap this case in private types, so that their words are all there is.
        let text = error.to_string().to_ascii_lowercase();
        if [
            "unexpected end of",
            "unexpected eof",
            "failed to fill whole buffer",
        ]
        .iter()
        .any(|words| text.contains(words))
        {
            return true;
        }
        cause = error.source();
    }
    false
}
