//! How an epoch's images fall into batches and updates.

/// How an epoch's images fall into batches, and batches into steps of one update each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EpochShape {
    images: usize,
    batch_size: usize,
    accumulate: usize,
}

impl EpochShape {
    /// The shape for `count` training images, `batch_size` and `accumulate` being 1 or more.
    ///
    /// The last batch is left out when it is less than a quarter of a full one: batch statistics
    /// of a few images only add noise, and every epoch leaves out others.
    pub(super) fn new(count: usize, batch_size: usize, accumulate: usize) -> Self {
        let rest = count % batch_size;
        let leaves_rest_out = count > batch_size && rest * 4 < batch_size;
        Self {
            images: if leaves_rest_out { count - rest } else { count },
            batch_size,
            accumulate,
        }
    }

    /// Images of each epoch's order that are trained on.
    pub(super) fn images(self) -> usize {
        self.images
    }

    /// Batches in an epoch.
    pub(super) fn batches(self) -> usize {
        self.images.div_ceil(self.batch_size)
    }

    /// Updates in an epoch. The last takes what batches are left.
    pub(super) fn steps(self) -> usize {
        self.batches().div_ceil(self.accumulate)
    }

    /// The first batch of a step.
    pub(super) fn first_batch(self, step: usize) -> usize {
        step.saturating_mul(self.accumulate)
    }

    /// How many batches a step takes.
    pub(super) fn batches_in(self, step: usize) -> usize {
        self.batches()
            .saturating_sub(self.first_batch(step))
            .min(self.accumulate)
    }

    /// How many images a step takes.
    pub(super) fn images_in(self, step: usize) -> usize {
        let images_in_step = self.accumulate * self.batch_size;
        self.images
            .saturating_sub(step.saturating_mul(images_in_step))
            .min(images_in_step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tiny_last_batch_is_left_out_and_a_fair_one_is_kept() {
        let images = |count| EpochShape::new(count, 64, 1).images();
        assert_eq!(images(129), 128);
        assert_eq!(images(150), 150);
        assert_eq!(images(128), 128);
        assert_eq!(images(3), 3);
        assert_eq!(images(0), 0);
    }

    #[test]
    fn the_last_step_takes_what_batches_are_left() {
        let shape = EpochShape::new(45, 8, 4);
        assert_eq!((shape.batches(), shape.steps()), (6, 2));
        assert_eq!([0, 1].map(|step| shape.batches_in(step)), [4, 2]);
        assert_eq!([0, 1].map(|step| shape.images_in(step)), [32, 13]);
        assert_eq!(shape.first_batch(1), 4);
    }
}
