//! What the networks are run on: all of it lies in memory before a clock runs.

use ferrotype_vision::random::{stream, uniform};

use super::SEED;

/// Images that are taken of a folder at most.
pub(crate) const MOST_IMAGES: usize = 64;

/// Random images at most.
const MOST_RANDOM_IMAGES: usize = 16;

/// Different batches at most.
const MOST_BATCHES: usize = 8;

/// Numbers that images, and the batches of one size, have at most, unless one alone has more.
const MOST_NUMBERS: usize = 1 << 24;

/// Images as the network reads them.
pub(crate) struct Inputs {
    images: Vec<Vec<f32>>,
}

impl Inputs {
    /// Images of noise, of about the size of normalised ones, the same every time.
    pub(crate) fn random(numbers: usize) -> Self {
        let count = (MOST_NUMBERS / numbers.max(1)).clamp(1, MOST_RANDOM_IMAGES);
        let image = |index: usize| {
            let mut rng = stream(SEED, "bench-images", &[index as u64]);
            let numbers = (0..numbers).map(|_| uniform(&mut rng, -2.0, 2.0) as f32);
            numbers.collect()
        };
        Self {
            images: (0..count).map(image).collect(),
        }
    }

    /// These images, of which there is at least one.
    pub(crate) fn of(images: Vec<Vec<f32>>) -> Option<Self> {
        (!images.is_empty()).then_some(Self { images })
    }

    /// A few batches of so many images, one image after the other and from the first again.
    pub(super) fn batches(&self, batch: usize) -> Vec<Vec<f32>> {
        let numbers = self.images[0].len() * batch;
        let count = (MOST_NUMBERS / numbers.max(1)).clamp(1, MOST_BATCHES);
        let mut images = self.images.iter().cycle();
        (0..count)
            .map(|_| images.by_ref().take(batch).flatten().copied().collect())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_go_through_the_images_in_turn() {
        let inputs = Inputs::of(vec![vec![1.0, 1.5], vec![2.0, 2.5], vec![3.0, 3.5]]).unwrap();
        let batches = inputs.batches(2);
        assert_eq!(batches.len(), MOST_BATCHES);
        assert_eq!(batches[0], [1.0, 1.5, 2.0, 2.5]);
        assert_eq!(batches[1], [3.0, 3.5, 1.0, 1.5]);
        assert!(Inputs::of(Vec::new()).is_none());
    }

    #[test]
    fn random_images_differ_and_are_the_same_every_time() {
        let inputs = Inputs::random(12);
        assert_eq!(inputs.images.len(), MOST_RANDOM_IMAGES);
        assert_ne!(inputs.images[0], inputs.images[1]);
        assert_eq!(inputs.images, Inputs::random(12).images);
        assert!(inputs.images.iter().flatten().all(|x| x.abs() <= 2.0));
    }
}
