//! Transforms that change values only.

use ferrotype_core::config::augment::{
    ColorJitter, GaussNoise, GaussianBlur, HueSaturationValue, IsoNoise, MotionBlur,
    RandomBrightnessContrast, Sharpen, Transform,
};

use super::Draw;
use crate::augment::color::{Pixelwise, Tables};
use crate::augment::filter::{self, Kernel};
use crate::augment::noise;
use crate::augment::operation::Operation;
use crate::random;

impl Draw<'_> {
    pub(super) fn change_colors(&mut self, transform: &Transform) {
        match transform {
            Transform::RandomBrightnessContrast(own) => self.brightness_contrast(own),
            Transform::HueSaturationValue(own) => self.hue_saturation_value(own),
            Transform::RgbShift(own) => {
                let limits = [own.r_shift_limit, own.g_shift_limit, own.b_shift_limit];
                let shifts = limits.map(|limits| self.between(limits) as f32);
                self.tables(Tables::shift(shifts));
            }
            Transform::ColorJitter(own) => self.color_jitter(own),
            Transform::Brightness(own) => {
                let factor = self.factor(own.limit);
                self.brightness(factor);
            }
            Transform::Contrast(own) => {
                let factor = self.factor(own.limit);
                self.contrast(factor);
            }
            Transform::Saturation(own) => {
                let factor = self.factor(own.limit);
                self.saturation(factor);
            }
            Transform::RandomGamma(own) => {
                let power = self.between(own.gamma_limit) / 100.0;
                self.tables(Tables::gamma(power));
            }
            Transform::ToGray(_) => self.push(Operation::Pixelwise(Pixelwise::Gray)),
            Transform::Posterize(own) => {
                let bits = self.whole(own.num_bits);
                self.tables(Tables::posterize(bits));
            }
            Transform::Solarize(own) => {
                let threshold = self.between(own.threshold_range) * 255.0;
                self.tables(Tables::solarize(threshold as f32));
            }
            Transform::Invert(_) => self.tables(Tables::invert()),
            Transform::Equalize(own) => self.push(Operation::Equalize(own.mode)),
            Transform::AutoContrast(own) => self.push(Operation::AutoContrast(own.cutoff)),
            Transform::Clahe(own) => {
                let clip_limit = self.between(own.clip_limit);
                let tiles = own.tile_grid_size;
                self.push(Operation::Clahe { clip_limit, tiles });
            }
            neighbours => self.change_by_neighbours(neighbours),
        }
    }

    fn change_by_neighbours(&mut self, transform: &Transform) {
        match transform {
            Transform::GaussianBlur(own) => self.gaussian_blur(own),
            Transform::MotionBlur(own) => self.motion_blur(own),
            Transform::MedianBlur(own) => {
                let side = self.odd(own.blur_limit);
                self.push(Operation::Median(side));
            }
            Transform::Sharpen(own) => self.sharpen(own),
            Transform::GaussNoise(own) => self.gauss_noise(own),
            Transform::IsoNoise(own) => self.iso_noise(own),
            Transform::ImageCompression(own) => {
                let quality = self.whole(own.quality_range);
                self.push(Operation::Compress(quality));
            }
            Transform::Downscale(own) => {
                let scale = self.between(own.scale_range);
                let interpolation = own.interpolation;
                self.push(Operation::Downscale {
                    scale,
                    interpolation,
                });
            }
            // The others move pixels, or are made of others.
            _ => {}
        }
    }

    /// A factor from 1 − limit to 1 + limit.
    fn factor(&mut self, limit: f64) -> f64 {
        self.between([1.0 - limit, 1.0 + limit])
    }

    pub(super) fn brightness(&mut self, factor: f64) {
        if factor != 1.0 {
            self.tables(Tables::linear(factor as f32, 0.0));
        }
    }

    pub(super) fn contrast(&mut self, factor: f64) {
        if factor != 1.0 {
            self.push(Operation::Contrast(factor as f32));
        }
    }

    pub(super) fn saturation(&mut self, factor: f64) {
        if factor != 1.0 {
            self.push(Operation::Pixelwise(Pixelwise::Saturation(factor as f32)));
        }
    }

    fn color_jitter(&mut self, own: &ColorJitter) {
        let mut order = [0, 1, 2, 3];
        random::shuffle(&mut order, self.rng);
        for change in order {
            match change {
                0 => {
                    let factor = self.between(own.brightness);
                    self.brightness(factor);
                }
                1 => {
                    let factor = self.between(own.contrast);
                    self.contrast(factor);
                }
                2 => {
                    let factor = self.between(own.saturation);
                    self.saturation(factor);
                }
                _ => {
                    let shift = self.between(own.hue);
                    if shift != 0.0 {
                        self.push(Operation::Pixelwise(Pixelwise::Hue(shift as f32)));
                    }
                }
            }
        }
    }

    fn brightness_contrast(&mut self, own: &RandomBrightnessContrast) {
        let factor = 1.0 + self.between(own.contrast_limit) as f32;
        let brightness = self.between(own.brightness_limit) as f32;
        if own.brightness_by_max {
            self.tables(Tables::linear(factor, brightness * 255.0));
        } else {
            self.push(Operation::ContrastAndMean {
                factor,
                means: brightness,
            });
        }
    }

    fn hue_saturation_value(&mut self, own: &HueSaturationValue) {
        let limits = [
            own.hue_shift_limit,
            own.sat_shift_limit,
            own.val_shift_limit,
        ];
        let shifts = limits.map(|limits| self.between(limits) as f32);
        self.push(Operation::Pixelwise(Pixelwise::HueSaturationValue(shifts)));
    }

    fn gaussian_blur(&mut self, own: &GaussianBlur) {
        let sigma = self.between(own.sigma_limit);
        let size = self.whole(own.blur_limit) as usize;
        self.push(Operation::Smooth(filter::gaussian(sigma, size)));
    }

    fn motion_blur(&mut self, own: &MotionBlur) {
        let side = self.odd(own.blur_limit) as usize;
        let angle = self.between(own.angle_range);
        let direction = self.between(own.direction_range);
        let quarter = (side / 2) as f64 / 2.0;
        let shift = if own.allow_shifted {
            [(); 2].map(|()| self.between([-quarter, quarter]))
        } else {
            [0.0; 2]
        };
        let kernel = filter::motion(side, angle, direction, shift);
        self.push(Operation::Convolve(kernel));
    }

    fn sharpen(&mut self, own: &Sharpen) {
        let alpha = self.between(own.alpha) as f32;
        let lightness = self.between(own.lightness) as f32;
        let mut weights = vec![-alpha; 9];
        weights[4] = (1.0 - alpha) + alpha * (8.0 + lightness);
        self.push(Operation::Convolve(Kernel { side: 3, weights }));
    }

    fn gauss_noise(&mut self, own: &GaussNoise) {
        let deviation = (self.between(own.std_range) * 255.0) as f32;
        let mean = (self.between(own.mean_range) * 255.0) as f32;
        let seed = self.seed();
        self.push(Operation::Noise(noise::Noise {
            mean,
            deviation,
            per_channel: own.per_channel,
            seed,
        }));
    }

    fn iso_noise(&mut self, own: &IsoNoise) {
        let color_shift = (self.between(own.color_shift) * 360.0) as f32;
        let intensity = self.between(own.intensity) as f32;
        let seed = self.seed();
        self.push(Operation::IsoNoise(noise::IsoNoise {
            color_shift,
            intensity,
            seed,
        }));
    }
}
