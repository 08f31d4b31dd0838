//! Mixing the images of a batch and their targets, pair by pair.
//!
//! - *mixup*: each image becomes `λ · itself + (1 − λ) · its partner`
//!   (Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", arXiv:1710.09412)
//! - *cutmix*: a rectangle of each image is its partner's
//!   (Yun et al. 2019, "CutMix", arXiv:1905.04899), placed as torchvision's `v2.CutMix` does
//!
//! One `λ`, drawn from `Beta(α, α)`, and one rectangle hold for the whole batch; the partners are a
//! random permutation. All draws come from a stream keyed by seed, epoch and batch.

mod beta;

use std::ops::Range;

use crate::random::{self, Pcg64};

/// Mixing settings that make no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{field}` is `{value}`, expected {expected}")]
pub struct MixError {
    /// The setting's name.
    pub field: &'static str,
    /// Its value.
    pub value: f64,
    /// The range it should be in.
    pub expected: &'static str,
}

/// How batches are mixed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix {
    mixup_alpha: f64,
    cutmix_alpha: f64,
    probability: f64,
}

/// Which batch is mixed: all that its draws depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchKey {
    /// The run's seed.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u64,
    /// The batch's number within the epoch, from 0.
    pub batch: u64,
}

/// What was done to a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Mixed {
    /// Nothing: the draw said so, or there are fewer than two images.
    Unchanged,
    /// All pixels were averaged.
    Mixup {
        /// Share of an image's own pixels.
        own_share: f32,
        /// The partner of each image.
        partners: Vec<usize>,
    },
    /// A rectangle was replaced.
    Cutmix {
        /// Share of an image's own pixels: one minus the rectangle's exact share of the area.
        own_share: f32,
        /// The partner of each image.
        partners: Vec<usize>,
        /// The rectangle's columns.
        columns: Range<usize>,
        /// The rectangle's rows.
        rows: Range<usize>,
    },
}

impl Mix {
    /// Mixing by mixup with `Beta(mixup_alpha, mixup_alpha)`, by cutmix with
    /// `Beta(cutmix_alpha, cutmix_alpha)`, or by either, as likely, when both are over 0.
    /// A batch is mixed with probability `probability`.
    ///
    /// # Errors
    /// When an alpha is not in 0 to 1000 or the probability not in 0 to 1.
    pub fn new(mixup_alpha: f64, cutmix_alpha: f64, probability: f64) -> Result<Self, MixError> {
        for (field, value) in [("mixup", mixup_alpha), ("cutmix", cutmix_alpha)] {
            if !(0.0..=1000.0).contains(&value) {
                let expected = "a number from 0 (off) to 1000";
                return Err(MixError {
                    field,
                    value,
                    expected,
                });
            }
        }
        if !(0.0..=1.0).contains(&probability) {
            return Err(MixError {
                field: "mix_probability",
                value: probability,
                expected: "a probability from 0 to 1",
            });
        }
        Ok(Self {
            mixup_alpha,
            cutmix_alpha,
            probability,
        })
    }

    /// Mixes `images` `[n, channels, height, width]`, given as `[height, width]`, and their
    /// `targets` `[n, classes]` (see [`one_hot`]; or independent labels, each 0 to 1) in place.
    ///
    /// Does nothing when the lengths do not fit together.
    pub fn apply(
        &self,
        images: &mut [f32],
        [height, width]: [usize; 2],
        targets: &mut [f32],
        count: usize,
        key: BatchKey,
    ) -> Mixed {
        let area = height * width;
        let fits =
            |numbers: usize, unit: usize| numbers > 0 && numbers.is_multiple_of(count * unit);
        if count < 2 || area == 0 || !fits(images.len(), area) || !fits(targets.len(), 1) {
            return Mixed::Unchanged;
        }
        let mixed = self.draw(count, [height, width], key);
        match &mixed {
            Mixed::Unchanged => {}
            Mixed::Mixup {
                own_share,
                partners,
            } => {
                blend(images, partners, *own_share);
                blend(targets, partners, *own_share);
            }
            Mixed::Cutmix {
                own_share,
                partners,
                columns,
                rows,
            } => {
                let planes = images.len() / count / area;
                with_partners(images, partners, |own, partner| {
                    for plane in 0..planes {
                        for row in rows.clone() {
                            let start = plane * area + row * width;
                            let cut = start + columns.start..start + columns.end;
                            own[cut.clone()].copy_from_slice(&partner[cut]);
                        }
                    }
                });
                blend(targets, partners, *own_share);
            }
        }
        mixed
    }

    /// What is done to a batch of `count` images.
    fn draw(&self, count: usize, [height, width]: [usize; 2], key: BatchKey) -> Mixed {
        let mut rng = random::stream(key.seed, "mix", &[key.epoch, key.batch]);
        let is_mixed = random::chance(&mut rng, self.probability);
        let has_both = self.mixup_alpha > 0.0 && self.cutmix_alpha > 0.0;
        let is_cut = if has_both {
            random::chance(&mut rng, 0.5)
        } else {
            self.cutmix_alpha > 0.0
        };
        let alpha = if is_cut {
            self.cutmix_alpha
        } else {
            self.mixup_alpha
        };
        if !is_mixed || alpha <= 0.0 {
            return Mixed::Unchanged;
        }
        let own_share = beta::symmetric(&mut rng, alpha);
        let mut partners: Vec<usize> = (0..count).collect();
        random::shuffle(&mut partners, &mut rng);
        if !is_cut {
            let own_share = own_share as f32;
            return Mixed::Mixup {
                own_share,
                partners,
            };
        }
        let half_side = 0.5 * (1.0 - own_share).sqrt();
        let columns = cut_range(&mut rng, width, half_side);
        let rows = cut_range(&mut rng, height, half_side);
        let cut_area = (columns.len() * rows.len()) as f64;
        Mixed::Cutmix {
            own_share: (1.0 - cut_area / (width * height) as f64) as f32,
            partners,
            columns,
            rows,
        }
    }
}

/// The rows of each label's class: `[n, classes]`. A label past the classes gives zeros.
pub fn one_hot(labels: &[u32], classes: usize) -> Vec<f32> {
    let mut shares = vec![0.0; labels.len() * classes];
    for (row, &label) in shares.chunks_exact_mut(classes.max(1)).zip(labels) {
        if let Some(share) = row.get_mut(label as usize) {
            *share = 1.0;
        }
    }
    shares
}

/// The rows of each image's labels: `[n, classes]`, 1 for each that it has. A label past the
/// classes is left out.
pub fn multi_hot(label_sets: &[&[u32]], classes: usize) -> Vec<f32> {
    let mut targets = vec![0.0; label_sets.len() * classes];
    for (row, labels) in targets.chunks_exact_mut(classes.max(1)).zip(label_sets) {
        for &label in *labels {
            if let Some(target) = row.get_mut(label as usize) {
                *target = 1.0;
            }
        }
    }
    targets
}

/// A range around a random position of `0..length`, `half_share` of the length to both sides.
fn cut_range(rng: &mut Pcg64, length: usize, half_share: f64) -> Range<usize> {
    let center = random::below(rng, length as u64) as usize;
    let half = (half_share * length as f64) as usize;
    center.saturating_sub(half)..(center + half).min(length)
}

/// Averages each of the rows (as many as there are partners) with its partner.
fn blend(rows: &mut [f32], partners: &[usize], own_share: f32) {
    let partner_share = 1.0 - own_share;
    with_partners(rows, partners, |own, partner| {
        for (own, partner) in own.iter_mut().zip(partner) {
            *own = own_share * *own + partner_share * *partner;
        }
    });
}

/// Changes each of the rows by its unchanged partner. The partners are a permutation, so walking
/// along its cycles needs a copy of one row only.
fn with_partners(rows: &mut [f32], partners: &[usize], change: impl Fn(&mut [f32], &[f32])) {
    let row_len = rows.len() / partners.len().max(1);
    let mut is_done = vec![false; partners.len()];
    for first in 0..partners.len() {
        // A row that is its own partner is a cycle of one: mixed with itself it stays.
        if is_done[first] || partners[first] == first {
            continue;
        }
        let first_row = rows[first * row_len..][..row_len].to_vec();
        let mut own = first;
        loop {
            is_done[own] = true;
            let partner = partners[own];
            if partner == first {
                change(&mut rows[own * row_len..][..row_len], &first_row);
                break;
            }
            if let Ok([own_row, partner_row]) = rows.get_disjoint_mut([
                own * row_len..(own + 1) * row_len,
                partner * row_len..(partner + 1) * row_len,
            ]) {
                change(own_row, partner_row);
            }
            own = partner;
        }
    }
}

#[cfg(test)]
mod tests;
