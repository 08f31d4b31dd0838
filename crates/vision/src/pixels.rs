//! The one form of a decoded image.

use std::fmt;

/// An upright image of 8-bit red, green and blue. The default is the empty one, without a pixel:
/// memory that an image is written over.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RgbImage {
    /// Width in pixels, at least 1 in an image that was decoded or made.
    pub width: u32,
    /// Height in pixels, at least 1 in an image that was decoded or made.
    pub height: u32,
    /// `height` rows of `width` pixels of three bytes, from the top left.
    pub pixels: Vec<u8>,
}

impl RgbImage {
    /// An image from its rows, or nothing when a side is zero or the length is not `width × height × 3`.
    pub fn from_pixels(width: u32, height: u32, pixels: Vec<u8>) -> Option<Self> {
        let length = u64::from(width) * u64::from(height) * 3;
        let matches = length > 0 && u64::try_from(pixels.len()) == Ok(length);
        matches.then_some(Self {
            width,
            height,
            pixels,
        })
    }

    /// An image of one colour. A side of zero is taken as one.
    pub fn filled(width: u32, height: u32, color: [u8; 3]) -> Self {
        let (width, height) = (width.max(1), height.max(1));
        Self {
            width,
            height,
            pixels: color.repeat(width as usize * height as usize),
        }
    }

    /// Makes room for an image of this size. The pixels that follow are what was there before, or
    /// black: whoever calls this writes them all.
    pub(crate) fn set_size(&mut self, width: u32, height: u32) {
        (self.width, self.height) = (width, height);
        self.pixels.resize(width as usize * height as usize * 3, 0);
    }

    /// Becomes an image of this size with these pixels, in the memory that it has.
    pub fn copy_from(&mut self, width: u32, height: u32, pixels: &[u8]) {
        (self.width, self.height) = (width, height);
        self.pixels.clear();
        self.pixels.extend_from_slice(pixels);
    }

    /// Index of a pixel's red in [`Self::pixels`].
    const fn offset(&self, x: u32, y: u32) -> usize {
        (y as usize * self.width as usize + x as usize) * 3
    }

    /// The colour at column `x`, row `y`; black outside of the image.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        if x >= self.width || y >= self.height {
            return [0; 3];
        }
        let at = self.offset(x, y);
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }

    /// Sets the colour at column `x`, row `y`; outside of the image nothing happens.
    pub fn set_pixel(&mut self, x: u32, y: u32, color: [u8; 3]) {
        if x < self.width && y < self.height {
            let at = self.offset(x, y);
            self.pixels[at..at + 3].copy_from_slice(&color);
        }
    }

    /// Bytes in one row.
    pub(crate) const fn row_bytes(&self) -> usize {
        self.width as usize * 3
    }
}

impl fmt::Debug for RgbImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RgbImage({}×{})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_made_only_from_the_right_number_of_bytes() {
        assert!(RgbImage::from_pixels(2, 3, vec![0; 18]).is_some());
        assert!(RgbImage::from_pixels(2, 3, vec![0; 17]).is_none());
        assert!(RgbImage::from_pixels(0, 3, vec![]).is_none());
    }

    #[test]
    fn a_pixel_is_read_where_it_was_set() {
        let mut image = RgbImage::filled(3, 2, [1, 2, 3]);
        image.set_pixel(2, 1, [9, 8, 7]);
        image.set_pixel(3, 0, [5, 5, 5]);
        assert_eq!(image.pixel(2, 1), [9, 8, 7]);
        assert_eq!(image.pixel(0, 1), [1, 2, 3]);
        assert_eq!(image.pixel(3, 0), [0, 0, 0]);
    }
}
