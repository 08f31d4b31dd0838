//! From a configuration to operations with fixed parameters.

mod automatic;
mod colors;
mod places;

use ferrotype_core::config::augment::{Limits, SomeOf, Steps, Transform, WholeLimits};

use super::color::{Pixelwise, Tables};
use super::geometry::{Border, Geometry};
use super::operation::Operation;
use crate::random::{self, Pcg64};

/// What is done to an image of this size.
pub(super) fn operations(
    transforms: &[Transform],
    size: [u32; 2],
    rng: &mut Pcg64,
) -> Vec<Operation> {
    let mut draw = Draw {
        rng,
        size,
        operations: Vec::new(),
    };
    draw.all(transforms);
    draw.operations
}

/// Operations being drawn, and the size that the image has after them.
struct Draw<'a> {
    rng: &'a mut Pcg64,
    size: [u32; 2],
    operations: Vec<Operation>,
}

impl Draw<'_> {
    /// Each transform by its probability, in order.
    fn all(&mut self, transforms: &[Transform]) {
        for transform in transforms {
            if random::chance(self.rng, transform.probability()) {
                self.one(transform);
            }
        }
    }

    fn one(&mut self, transform: &Transform) {
        match transform {
            Transform::HorizontalFlip(_) => self.geometry(Geometry::horizontal_flip(self.size)),
            Transform::VerticalFlip(_) => self.geometry(Geometry::vertical_flip(self.size)),
            Transform::Transpose(_) => self.geometry(Geometry::transpose(self.size)),
            Transform::RandomRotate90(_) => self.quarter_turns(),
            Transform::D4(_) => {
                self.quarter_turns();
                if random::chance(self.rng, 0.5) {
                    self.geometry(Geometry::horizontal_flip(self.size));
                }
            }
            Transform::Rotate(own) => self.rotate(own),
            Transform::Affine(own) => self.affine(own),
            Transform::ShiftScaleRotate(own) => self.shift_scale_rotate(own),
            Transform::Perspective(own) => self.perspective(own),
            Transform::RandomResizedCrop(own) => self.random_resized_crop(own),
            Transform::RandomCrop(own) => self.random_crop(own),
            Transform::CropPadding(own) => self.crop_padding(own),
            Transform::CenterCrop(own) => self.center_crop(own),
            Transform::PadIfNeeded(own) => self.pad_if_needed(own),
            Transform::GridDistortion(own) => self.grid_distortion(own),
            Transform::ElasticTransform(own) => self.elastic_transform(own),
            Transform::OpticalDistortion(own) => self.optical_distortion(own),
            Transform::CoarseDropout(own) => self.coarse_dropout(own),
            Transform::RandomErasing(own) => self.random_erasing(own),
            Transform::RandAugment(own) => self.rand_augment(own),
            Transform::TrivialAugment(own) => self.trivial_augment(own),
            Transform::OneOf(own) => self.one_of(&own.transforms),
            Transform::SomeOf(own) => self.some_of(own),
            Transform::Sequential(own) => self.all(&own.transforms.0),
            colors => self.change_colors(colors),
        }
    }

    /// One, as likely as its probability is large.
    fn one_of(&mut self, transforms: &Steps) {
        let sum: f64 = transforms.0.iter().map(Transform::probability).sum();
        let mut left = random::uniform(self.rng, 0.0, sum);
        for transform in &transforms.0 {
            left -= transform.probability();
            if left < 0.0 {
                return self.one(transform);
            }
        }
    }

    fn some_of(&mut self, own: &SomeOf) {
        let choices = &own.transforms.0;
        let count = self.whole(own.n) as usize;
        let mut chosen: Vec<usize> = if own.replace && !choices.is_empty() {
            let any = |_| random::below(self.rng, choices.len() as u64) as usize;
            (0..count).map(any).collect()
        } else {
            let mut order: Vec<usize> = (0..choices.len()).collect();
            random::shuffle(&mut order, self.rng);
            order.into_iter().take(count).collect()
        };
        chosen.sort_unstable();
        for index in chosen {
            self.all(&choices[index..=index]);
        }
    }

    fn quarter_turns(&mut self) {
        let quarters = random::below(self.rng, 4);
        if quarters > 0 {
            self.geometry(Geometry::quarter_turns(self.size, quarters));
        }
    }

    fn push(&mut self, operation: Operation) {
        self.operations.push(operation);
    }

    fn geometry(&mut self, geometry: Geometry) {
        self.size = [geometry.width, geometry.height];
        self.push(Operation::Geometry(geometry));
    }

    fn tables(&mut self, tables: Tables) {
        self.push(Operation::Pixelwise(Pixelwise::Tables(tables)));
    }

    fn between(&mut self, [low, high]: Limits) -> f64 {
        random::uniform(self.rng, low, high)
    }

    fn whole(&mut self, [low, high]: WholeLimits) -> u32 {
        let count = u64::from(high.saturating_sub(low)) + 1;
        low + random::below(self.rng, count) as u32
    }

    /// An odd number within limits, which are made odd upwards.
    fn odd(&mut self, [low, high]: WholeLimits) -> u32 {
        let (low, high) = (low | 1, high | 1);
        low + 2 * random::below(self.rng, u64::from(high.saturating_sub(low)) / 2 + 1) as u32
    }

    /// Seed of values that are drawn pixel by pixel.
    fn seed(&mut self) -> u64 {
        use rand::Rng as _;
        self.rng.next_u64()
    }

    fn width(&self) -> f64 {
        self.size[0].into()
    }

    fn height(&self) -> f64 {
        self.size[1].into()
    }

    /// The border of a transform that has these two parameters.
    const fn border(
        mode: ferrotype_core::config::augment::BorderMode,
        fill: ferrotype_core::config::augment::Color,
    ) -> Border {
        Border { mode, fill }
    }
}
