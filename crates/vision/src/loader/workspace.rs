//! What a thread uses again from image to image.

use crate::RgbImage;
use crate::decode::{DecodeError, DecodeLimits, Probe, decode_for};
use crate::resize::Resize;
use crate::transform::Transform;

/// Memory that a thread uses again for its next image. A full-size picture takes
/// megabytes, and to get them from the system anew each time costs a tenth of its decoding.
#[derive(Debug, Default)]
pub struct Workspace {
    /// For a file's bytes. A source takes it while it reads and puts it back.
    pub file: Vec<u8>,
    resize: Resize,
    decoded: RgbImage,
}

impl Workspace {
    /// Writes a file's image at `transform`'s size over `image`.
    ///
    /// # Errors
    /// As [`crate::decode::decode`].
    pub fn decode(
        &mut self,
        bytes: &[u8],
        limits: &DecodeLimits,
        transform: &Transform,
        image: &mut RgbImage,
    ) -> Result<Probe, DecodeError> {
        let probe = decode_for(transform, bytes, limits, &mut self.decoded)?;
        transform.resize_into(&self.decoded, &mut self.resize, image);
        Ok(probe)
    }

    /// Writes `source` at `transform`'s size over `image`.
    pub fn resize(&mut self, source: &RgbImage, transform: &Transform, image: &mut RgbImage) {
        transform.resize_into(source, &mut self.resize, image);
    }
}
