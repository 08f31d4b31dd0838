//! The transforms, their parameters, defaults and ranges.

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::define::define_transforms;
use super::{BorderMode, Color, Interpolation, Limits, Steps, WholeLimits, parameters, shortest};
use crate::config::rules::{Alone, BELOW_ONE, Field, Range, Rule, ZERO_TO_ONE, optional};

const fn between(low: f64, high: f64) -> Range {
    Range {
        low,
        has_low: true,
        high,
        has_high: true,
    }
}

/// More than 0.
const fn above_zero(high: f64) -> Range {
    Range {
        has_low: false,
        ..between(0.0, high)
    }
}

const ANGLE: Rule = Rule::Limits(between(-360.0, 360.0), Alone::Symmetric);
const SHARE: Rule = Rule::Limits(ZERO_TO_ONE, Alone::Point);
const BLUR: Rule = Rule::WholeLimits(3, 99, Alone::UpFrom(3));
const SIZE: Rule = Rule::Whole(0, 8192);
const BORDER: Rule = Rule::OneOf(&["constant", "replicate", "reflect", "reflect_101", "wrap"]);
const INTERPOLATION: Rule = Rule::OneOf(&["nearest", "linear"]);
const FACTORS: Rule = Rule::Limits(between(0.0, 100.0), Alone::AroundOne);
const SHIFT: Rule = Rule::Limits(between(-255.0, 255.0), Alone::Symmetric);
const RATIO: Rule = Rule::Limits(above_zero(100.0), Alone::Point);

define_transforms! {
    /// Mirrors left to right.
    HorizontalFlip "horizontal_flip" ("p") 0.5 {}

    /// Mirrors top to bottom.
    VerticalFlip "vertical_flip" ("p") 0.5 {}

    /// Swaps rows and columns.
    Transpose "transpose" ("p") 0.5 {}

    /// Rotates by 0, 90, 180 or 270 degrees, each as likely.
    RandomRotate90 "random_rotate90" ("p") 1.0 {}

    /// One of the square's eight symmetries, each as likely.
    D4 "d4" ("p") 1.0 {}

    /// Rotates around the centre.
    Rotate "rotate" ("p") 0.5 {
        /// Degrees, counterclockwise.
        limit: Limits = [-90.0, 90.0], ANGLE;
        /// How colours between pixels are found.
        interpolation: Interpolation = Interpolation::Linear, INTERPOLATION;
        /// What is shown beyond the edges.
        border_mode: BorderMode = BorderMode::Constant, BORDER;
        /// The colour of a constant border.
        fill: Color = [0; 3], Rule::Color;
    }

    /// Scales, rotates, shears and shifts, in this order, around the centre.
    Affine "affine" ("p") 0.5 {
        /// Scale factors, for x and y drawn apart.
        scale: Limits = [1.0, 1.0], Rule::Limits(above_zero(100.0), Alone::Point);
        /// The same factor for x and y.
        keep_ratio: bool = false, Rule::Flag;
        /// Shift in shares of the side, for x and y drawn apart; rounded down to pixels.
        translate_percent: Limits = [0.0, 0.0], Rule::Limits(between(-1.0, 1.0), Alone::Point);
        /// Rotation in degrees, counterclockwise.
        rotate: Limits = [0.0, 0.0], Rule::Limits(between(-360.0, 360.0), Alone::Point);
        /// Shear in degrees, for x and y drawn apart.
        shear: Limits = [0.0, 0.0], Rule::Limits(between(-80.0, 80.0), Alone::Point);
        /// How colours between pixels are found.
        interpolation: Interpolation = Interpolation::Linear, INTERPOLATION;
        /// What is shown beyond the edges.
        border_mode: BorderMode = BorderMode::Constant, BORDER;
        /// The colour of a constant border.
        fill: Color = [0; 3], Rule::Color;
    }

    /// Shifts, scales and rotates around the centre.
    ShiftScaleRotate "shift_scale_rotate" ("p") 0.5 {
        /// Shift in shares of the side, for x and y drawn apart.
        shift_limit: Limits = [-0.0625, 0.0625],
            Rule::Limits(between(-1.0, 1.0), Alone::Symmetric);
        /// What is added to a scale of 1, for x and y drawn apart.
        scale_limit: Limits = [-0.1, 0.1], Rule::Limits(between(-0.99, 99.0), Alone::Symmetric);
        /// Degrees, counterclockwise.
        rotate_limit: Limits = [-45.0, 45.0], ANGLE;
        /// How colours between pixels are found.
        interpolation: Interpolation = Interpolation::Linear, INTERPOLATION;
        /// What is shown beyond the edges.
        border_mode: BorderMode = BorderMode::Constant, BORDER;
        /// The colour of a constant border.
        fill: Color = [0; 3], Rule::Color;
    }

    /// Moves the four corners inwards and stretches what is between them over the image.
    Perspective "perspective" ("p") 0.5 {
        /// Standard deviation of the corners' moves, in shares of the side.
        scale: Limits = [0.05, 0.1], Rule::Limits(ZERO_TO_ONE, Alone::UpFrom(0));
        /// How colours between pixels are found.
        interpolation: Interpolation = Interpolation::Linear, INTERPOLATION;
        /// What is shown beyond the edges.
        border_mode: BorderMode = BorderMode::Constant, BORDER;
        /// The colour of a constant border.
        fill: Color = [0; 3], Rule::Color;
    }

    /// Cuts out a random part and stretches it to a size.
    RandomResizedCrop "random_resized_crop" ("p") 1.0 {
        /// Height of the result in pixels; 0: the image's.
        height: u32 = 0, SIZE;
        /// Width of the result in pixels; 0: the image's.
        width: u32 = 0, SIZE;
        /// The part's share of the area.
        scale: Limits = [0.08, 1.0], Rule::Limits(ZERO_TO_ONE, Alone::UpFrom(0));
        /// The part's width by its height.
        ratio: Limits = [0.75, 4.0 / 3.0], RATIO;
        /// Smooth when it shrinks, as torchvision does; Albumentations does not.
        antialias: bool = true, Rule::Flag;
    }

    /// Pads and cuts out a part of a size at a random place.
    RandomCrop "random_crop" ("p") 1.0 {
        /// Height of the result in pixels; 0: the image's.
        height: u32 = 0, SIZE;
        /// Width of the result in pixels; 0: the image's.
        width: u32 = 0, SIZE;
        /// Pixels added on each side before (torchvision's); a smaller image is padded anyway.
        padding: u32 = 0, SIZE;
        /// What the padding shows.
        border_mode: BorderMode = BorderMode::Constant, BORDER;
        /// The colour of a constant border.
        fill: Color = [0; 3], Rule::Color;
    }

    /// `random_crop` of the image's own size after padding with its reflection, by `padding` or by
    /// `share`.
    CropPadding "crop_padding" ("padding") 1.0 {
        /// Pixels added on each side.
        padding: u32 = 0, Rule::Whole(0, 8191);
        /// The same in shares of the image's height and width, rounded to pixels.
        share: f64 = 0.0, Rule::Number(BELOW_ONE);
    }

    /// Cuts out the centre; a smaller image is padded.
    CenterCrop "center_crop" ("p") 1.0 {
        /// Height of the result in pixels; 0: the image's.
        height: u32 = 0, SIZE;
        /// Width of the result in pixels; 0: the image's.
        width: u32 = 0, SIZE;
        /// What the padding shows.
        border_mode: BorderMode = BorderMode::Constant, BORDER;
        /// The colour of a constant border.
        fill: Color = [0; 3], Rule::Color;
    }

    /// Pads to a size, the image in the centre.
    PadIfNeeded "pad_if_needed" ("p") 1.0 {
        /// The least height in pixels.
        min_height: u32 = 0, SIZE;
        /// The least width in pixels.
        min_width: u32 = 0, SIZE;
        /// What the padding shows.
        border_mode: BorderMode = BorderMode::Constant, BORDER;
        /// The colour of a constant border.
        fill: Color = [0; 3], Rule::Color;
    }

    /// Moves the lines of a grid apart and together.
    GridDistortion "grid_distortion" ("p") 0.5 {
        /// Cells in each direction.
        num_steps: u32 = 5, Rule::Whole(1, 100);
        /// How much wider a cell gets, in shares of it.
        distort_limit: Limits = [-0.3, 0.3], Rule::Limits(between(-0.99, 0.99), Alone::Symmetric);
        /// How colours between pixels are found.
        interpolation: Interpolation = Interpolation::Linear, INTERPOLATION;
        /// What is shown beyond the edges.
        border_mode: BorderMode = BorderMode::Constant, BORDER;
        /// The colour of a constant border.
        fill: Color = [0; 3], Rule::Color;
    }

    /// Moves every pixel by smooth random fields (Simard et al. 2003).
    ElasticTransform "elastic_transform" ("p") 0.5 {
        /// How far, in pixels, before smoothing.
        alpha: f64 = 1.0, Rule::Number(between(0.0, 100_000.0));
        /// Standard deviation of the smoothing in pixels.
        sigma: f64 = 50.0, Rule::Number(above_zero(1000.0));
        /// How colours between pixels are found.
        interpolation: Interpolation = Interpolation::Linear, INTERPOLATION;
        /// What is shown beyond the edges.
        border_mode: BorderMode = BorderMode::Constant, BORDER;
        /// The colour of a constant border.
        fill: Color = [0; 3], Rule::Color;
    }

    /// A lens' distortion (OpenCV's camera model, both radial coefficients alike).
    OpticalDistortion "optical_distortion" ("p") 0.5 {
        /// The coefficients.
        distort_limit: Limits = [-0.05, 0.05], Rule::Limits(between(-10.0, 10.0), Alone::Symmetric);
        /// How colours between pixels are found.
        interpolation: Interpolation = Interpolation::Linear, INTERPOLATION;
        /// What is shown beyond the edges.
        border_mode: BorderMode = BorderMode::Constant, BORDER;
        /// The colour of a constant border.
        fill: Color = [0; 3], Rule::Color;
    }

    /// Multiplies by a random contrast and adds a random brightness.
    RandomBrightnessContrast "random_brightness_contrast" ("p") 0.5 {
        /// What is added, in shares of the whole range.
        brightness_limit: Limits = [-0.2, 0.2], Rule::Limits(between(-1.0, 1.0), Alone::Symmetric);
        /// What is added to a factor of 1.
        contrast_limit: Limits = [-0.2, 0.2], Rule::Limits(between(-1.0, 10.0), Alone::Symmetric);
        /// Shares of the whole range rather than of the image's mean.
        brightness_by_max: bool = true, Rule::Flag;
    }

    /// Shifts hue, saturation and value, on OpenCV's 8-bit scales (hue 0 to 180).
    HueSaturationValue "hue_saturation_value" ("p") 0.5 {
        /// What is added to the hue, in steps of two degrees.
        hue_shift_limit: Limits = [-20.0, 20.0], Rule::Limits(between(-180.0, 180.0), Alone::Symmetric);
        /// What is added to the saturation.
        sat_shift_limit: Limits = [-30.0, 30.0], SHIFT;
        /// What is added to the value.
        val_shift_limit: Limits = [-20.0, 20.0], SHIFT;
    }

    /// Adds a number to each channel.
    RgbShift "rgb_shift" ("p") 0.5 {
        /// For red.
        r_shift_limit: Limits = [-20.0, 20.0], SHIFT;
        /// For green.
        g_shift_limit: Limits = [-20.0, 20.0], SHIFT;
        /// For blue.
        b_shift_limit: Limits = [-20.0, 20.0], SHIFT;
    }

    /// Torchvision's `ColorJitter`: four changes in random order.
    ColorJitter "color_jitter" ("p") 0.5 {
        /// Factors of brightness.
        brightness: Limits = [0.8, 1.2], FACTORS;
        /// Factors of contrast.
        contrast: Limits = [0.8, 1.2], FACTORS;
        /// Factors of saturation.
        saturation: Limits = [0.8, 1.2], FACTORS;
        /// Shifts of hue in shares of the circle.
        hue: Limits = [-0.5, 0.5], Rule::Limits(between(-0.5, 0.5), Alone::Symmetric);
    }

    /// Multiplies by a factor from 1 − limit to 1 + limit.
    Brightness "brightness" ("limit") 1.0 {
        /// The largest change of the factor.
        limit: f64 = 0.0, Rule::Number(ZERO_TO_ONE);
    }

    /// Moves values away from the mean luma by a factor from 1 − limit to 1 + limit.
    Contrast "contrast" ("limit") 1.0 {
        /// The largest change of the factor.
        limit: f64 = 0.0, Rule::Number(ZERO_TO_ONE);
    }

    /// Moves pixels away from their luma by a factor from 1 − limit to 1 + limit.
    Saturation "saturation" ("limit") 1.0 {
        /// The largest change of the factor.
        limit: f64 = 0.0, Rule::Number(ZERO_TO_ONE);
    }

    /// Raises values in 0 to 1 to a power.
    RandomGamma "random_gamma" ("p") 0.5 {
        /// The power in per cent.
        gamma_limit: Limits = [80.0, 120.0], Rule::Limits(between(1.0, 1000.0), Alone::Point);
    }

    /// Three times the luma.
    ToGray "to_gray" ("p") 0.5 {}

    /// Smooths by a Gaussian.
    GaussianBlur "gaussian_blur" ("p") 0.5 {
        /// Side of the kernel in pixels, odd; 0: as wide as the deviation asks for.
        blur_limit: WholeLimits = [0, 0], Rule::WholeLimits(0, 99, Alone::Point);
        /// Standard deviation in pixels.
        sigma_limit: Limits = [0.5, 3.0], Rule::Limits(above_zero(30.0), Alone::Point);
    }

    /// Smears along a line.
    MotionBlur "motion_blur" ("p") 0.5 {
        /// Side of the kernel in pixels, odd.
        blur_limit: WholeLimits = [3, 7], BLUR;
        /// The line may be off the centre.
        allow_shifted: bool = true, Rule::Flag;
        /// Direction of the line in degrees.
        angle_range: Limits = [0.0, 360.0], Rule::Limits(between(0.0, 360.0), Alone::Point);
        /// Share of the line ahead (1), behind (-1) or on both sides (0).
        direction_range: Limits = [-1.0, 1.0], Rule::Limits(between(-1.0, 1.0), Alone::Point);
    }

    /// Replaces each value by the median around it.
    MedianBlur "median_blur" ("p") 0.5 {
        /// Side of the window in pixels, odd.
        blur_limit: WholeLimits = [3, 7], Rule::WholeLimits(3, 31, Alone::UpFrom(3));
    }

    /// Adds normal noise to every value.
    GaussNoise "gauss_noise" ("p") 0.5 {
        /// Standard deviation in shares of the whole range.
        std_range: Limits = [0.2, 0.44], SHARE;
        /// Mean in shares of the whole range.
        mean_range: Limits = [0.0, 0.0], Rule::Limits(between(-1.0, 1.0), Alone::Point);
        /// Each channel has its own noise.
        per_channel: bool = true, Rule::Flag;
    }

    /// A camera's noise at high sensitivity: of hue (normal) and of lightness (Poisson).
    IsoNoise "iso_noise" ("p") 0.5 {
        /// Spread of the hue, in shares of the circle.
        color_shift: Limits = [0.01, 0.05], SHARE;
        /// Strength of both.
        intensity: Limits = [0.1, 0.5], Rule::Limits(between(0.0, 2.0), Alone::Point);
    }

    /// Equalises the lightness tile by tile, with limited contrast (Zuiderveld 1994).
    Clahe "clahe" ("p") 0.5 {
        /// The most that a bin of a tile's histogram may have, in shares of the mean.
        clip_limit: Limits = [1.0, 4.0], Rule::Limits(between(1.0, 1000.0), Alone::UpFrom(1));
        /// Tiles across and down.
        tile_grid_size: WholeLimits = [8, 8], Rule::WholePair(1, 64);
    }

    /// Spreads each channel's values evenly.
    Equalize "equalize" ("p") 0.5 {
        /// OpenCV's or Pillow's definition.
        mode: EqualizeMode = EqualizeMode::Cv, Rule::OneOf(&["cv", "pil"]);
    }

    /// Keeps the upper bits of each value.
    Posterize "posterize" ("p") 0.5 {
        /// Bits that are kept.
        num_bits: WholeLimits = [4, 4], Rule::WholeLimits(1, 7, Alone::Point);
    }

    /// Inverts values from a threshold on.
    Solarize "solarize" ("p") 0.5 {
        /// The threshold in shares of the whole range.
        threshold_range: Limits = [0.5, 0.5], SHARE;
    }

    /// Replaces each value by its complement.
    Invert "invert" ("p") 0.5 {}

    /// Sharpens by a kernel.
    Sharpen "sharpen" ("p") 0.5 {
        /// Share of the sharpened image.
        alpha: Limits = [0.2, 0.5], SHARE;
        /// What the sharpened image's values are multiplied by.
        lightness: Limits = [0.5, 1.0], Rule::Limits(between(0.0, 10.0), Alone::Point);
    }

    /// Stretches each channel's values over the whole range.
    AutoContrast "auto_contrast" ("p") 0.5 {
        /// Per cent of the values that are cut off at each end.
        cutoff: f64 = 0.0, Rule::Number(between(0.0, 49.0));
    }

    /// What JPEG loses.
    ImageCompression "image_compression" ("p") 0.5 {
        /// JPEG quality.
        quality_range: WholeLimits = [99, 100], Rule::WholeLimits(1, 100, Alone::Point);
    }

    /// Shrinks and enlarges again.
    Downscale "downscale" ("p") 0.5 {
        /// The smaller size in shares of the side.
        scale_range: Limits = [0.25, 0.25], Rule::Limits(above_zero(1.0), Alone::Point);
        /// How it is enlarged and shrunk.
        interpolation: Interpolation = Interpolation::Nearest, INTERPOLATION;
    }

    /// Fills rectangles with a colour (cutout, DeVries & Taylor 2017).
    CoarseDropout "coarse_dropout" ("p") 0.5 {
        /// How many.
        num_holes_range: WholeLimits = [1, 2], Rule::WholeLimits(1, 1000, Alone::Point);
        /// Height in shares of the image's; from 1 on in pixels.
        hole_height_range: Limits = [0.1, 0.2], Rule::Limits(above_zero(8192.0), Alone::Point);
        /// Width in shares of the image's; from 1 on in pixels.
        hole_width_range: Limits = [0.1, 0.2], Rule::Limits(above_zero(8192.0), Alone::Point);
        /// The colour.
        fill: Color = [0; 3], Rule::Color;
    }

    /// Fills one rectangle: torchvision's `RandomErasing` (Zhong et al. 2017).
    RandomErasing "random_erasing" ("p") 0.5 {
        /// Share of the area.
        scale: Limits = [0.02, 0.33], SHARE;
        /// Height by width.
        ratio: Limits = [0.3, 3.3], RATIO;
        /// The colour; `random` fills with noise.
        value: Fill = Fill::Color([0; 3]), Rule::ColorOr("random");
    }

    /// `num_ops` of torchvision's `RandAugment` (Cubuk et al. 2020, arXiv:1909.13719).
    RandAugment "rand_augment" ("p") 1.0 {
        /// How many changes, one after another.
        num_ops: u32 = 2, Rule::Whole(0, 20);
        /// Their strength, from 0 to below `num_magnitude_bins`.
        magnitude: u32 = 9, Rule::Whole(0, 1000);
        /// Steps from no change to the strongest.
        num_magnitude_bins: u32 = 31, Rule::Whole(2, 1001);
        /// How colours between pixels are found.
        interpolation: Interpolation = Interpolation::Nearest, INTERPOLATION;
        /// The colour beyond the edges.
        fill: Color = [0; 3], Rule::Color;
    }

    /// One change of random strength: torchvision's `TrivialAugmentWide` (Müller & Hutter 2021,
    /// arXiv:2103.10158).
    TrivialAugment "trivial_augment" ("p") 1.0 {
        /// Steps from no change to the strongest.
        num_magnitude_bins: u32 = 31, Rule::Whole(2, 1001);
        /// How colours between pixels are found.
        interpolation: Interpolation = Interpolation::Nearest, INTERPOLATION;
        /// The colour beyond the edges.
        fill: Color = [0; 3], Rule::Color;
    }

    /// One of several, each as likely as its `p` is large.
    OneOf "one_of" ("p") 0.5 {
        /// The choices.
        transforms: Steps = Steps::default(), Rule::Transforms;
    }

    /// Some of several, each as likely, in order; a chosen one is applied with its own `p`.
    SomeOf "some_of" ("p") 1.0 {
        /// How many.
        n: WholeLimits = [1, 1], Rule::WholeLimits(0, 100, Alone::Point);
        /// The same may be chosen again.
        replace: bool = false, Rule::Flag;
        /// The choices.
        transforms: Steps = Steps::default(), Rule::Transforms;
    }

    /// All of several, in order.
    Sequential "sequential" ("p") 0.5 {
        /// The transforms.
        transforms: Steps = Steps::default(), Rule::Transforms;
    }
}

impl CropPadding {
    /// Pixels added on both ends of a side of this length.
    pub fn pixels(&self, side: u32) -> u32 {
        match self.share > 0.0 {
            // A reflection is at most one pixel shorter than the image.
            true => {
                let pixels = (f64::from(side) * self.share).round() as u32;
                pixels.min(side.saturating_sub(1))
            }
            false => self.padding,
        }
    }
}

/// Whose definition of equalising.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EqualizeMode {
    /// OpenCV's `equalizeHist`.
    Cv,
    /// Pillow's `ImageOps.equalize`.
    Pil,
}

/// What an erased rectangle shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fill {
    /// One colour.
    Color(Color),
    /// A colour of its own for each pixel.
    Random(RandomFill),
}

/// The word for noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RandomFill {
    /// `random`.
    Random,
}
