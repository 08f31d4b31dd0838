//! Changing an image's size, as Pillow does it: the kernel widens when shrinking.

use std::fmt;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use ferrotype_core::manifest::ResizeFilter;

use crate::RgbImage;

/// A part of an image, in pixels from its top left; may lie between pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Region {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Region {
    pub(crate) fn whole(image: &RgbImage) -> Self {
        Self {
            left: 0.0,
            top: 0.0,
            width: image.width.into(),
            height: image.height.into(),
        }
    }

    /// What remains of the image when it is scaled to cover `width`×`height` and the centre is cut
    /// out, as torchvision's `Resize` and `CenterCrop` do: the longer side is rounded down to whole
    /// pixels, and half a pixel of offset goes to the even side.
    pub(crate) fn center(image: &RgbImage, width: u32, height: u32) -> Self {
        let (image_width, image_height) = (f64::from(image.width), f64::from(image.height));
        let (width, height) = (f64::from(width), f64::from(height));
        let (scaled_width, scaled_height) = if image_width * height <= image_height * width {
            (width, (width * image_height / image_width).floor())
        } else {
            ((height * image_width / image_height).floor(), height)
        };
        let (step_x, step_y) = (image_width / scaled_width, image_height / scaled_height);
        Self {
            left: ((scaled_width - width) / 2.0).round_ties_even() * step_x,
            top: ((scaled_height - height) / 2.0).round_ties_even() * step_y,
            width: (width * step_x).min(image_width),
            height: (height * step_y).min(image_height),
        }
    }
}

/// Changes images' sizes with memory that it uses again: for a thread that does many.
#[derive(Clone, Default)]
pub(crate) struct Resize {
    resizer: Resizer,
}

impl Resize {
    /// Writes a part of `image`, at the size that `target` has, over `target`'s pixels. The kernel
    /// also sees the pixels around that part.
    pub(crate) fn region(
        &mut self,
        image: &RgbImage,
        region: Region,
        filter: ResizeFilter,
        target: &mut RgbImage,
    ) {
        let (width, height) = (target.width, target.height);
        let same_size = (image.width, image.height) == (width, height);
        if same_size && region == Region::whole(image) {
            target.pixels.clone_from(&image.pixels);
            return;
        }
        let kernel = match filter {
            ResizeFilter::Bilinear => FilterType::Bilinear,
            ResizeFilter::Bicubic => FilterType::CatmullRom,
        };
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(kernel))
            .crop(region.left, region.top, region.width, region.height);
        target.set_size(width, height);
        let done = self.convolve(image, &options, target);
        // It fails only when the source's pixels do not match its size, which no decoder gives.
        debug_assert_eq!(done, Ok(()), "{image:?} to {width}×{height}, {region:?}");
    }

    fn convolve(
        &mut self,
        image: &RgbImage,
        options: &ResizeOptions,
        target: &mut RgbImage,
    ) -> Result<(), String> {
        let (width, height) = (target.width, target.height);
        let source = ImageRef::new(image.width, image.height, &image.pixels, PixelType::U8x3)
            .map_err(|error| error.to_string())?;
        let mut target = Image::from_slice_u8(width, height, &mut target.pixels, PixelType::U8x3)
            .map_err(|error| error.to_string())?;
        self.resizer
            .resize(&source, &mut target, options)
            .map_err(|error| error.to_string())
    }
}

impl fmt::Debug for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resize").finish_non_exhaustive()
    }
}

/// A part of the image at another size.
pub(crate) fn resize_region(
    image: &RgbImage,
    region: Region,
    width: u32,
    height: u32,
    filter: ResizeFilter,
) -> RgbImage {
    let mut target = RgbImage {
        width,
        height,
        pixels: Vec::new(),
    };
    Resize::default().region(image, region, filter, &mut target);
    target
}

/// The image at another size; the aspect ratio is not kept.
pub(crate) fn stretch(image: &RgbImage, width: u32, height: u32, filter: ResizeFilter) -> RgbImage {
    resize_region(image, Region::whole(image), width, height, filter)
}

/// A small copy whose longer side has at most `side` pixels; a smaller image stays as it is.
pub fn thumbnail(image: &RgbImage, side: u32) -> RgbImage {
    let longer = image.width.max(image.height);
    let side = side.max(1);
    if longer <= side {
        return image.clone();
    }
    let scaled = |length: u32| {
        let exact = f64::from(length) * f64::from(side) / f64::from(longer);
        (exact.round() as u32).clamp(1, side)
    };
    let (width, height) = (scaled(image.width), scaled(image.height));
    stretch(image, width, height, ResizeFilter::Bilinear)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbnail_keeps_the_aspect_ratio() {
        let size = |width, height, side| {
            let small = thumbnail(&RgbImage::filled(width, height, [9; 3]), side);
            (small.width, small.height)
        };
        assert_eq!(size(400, 200, 100), (100, 50));
        assert_eq!(size(30, 3000, 100), (1, 100));
        assert_eq!(size(20, 10, 100), (20, 10));
        assert_eq!(size(20, 10, 0), (1, 1));
    }

    #[test]
    fn the_centre_of_any_image_lies_inside_of_it() {
        for (width, height) in [(1, 1), (1, 5000), (5000, 1), (63, 64), (640, 427), (3, 2)] {
            let image = RgbImage::filled(width, height, [0, 100, 200]);
            for (target_width, target_height) in [(64, 64), (1, 1), (7, 300)] {
                let region = Region::center(&image, target_width, target_height);
                let small = resize_region(
                    &image,
                    region,
                    target_width,
                    target_height,
                    ResizeFilter::Bilinear,
                );
                let same = small.pixels.chunks(3).all(|pixel| pixel == [0, 100, 200]);
                assert!(same, "{width}×{height} to {target_width}×{target_height}");
            }
        }
    }
}
