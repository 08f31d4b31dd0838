//! Dealing out images that may have several labels, so that every label comes in every split in
//! about the ratios: iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, "On the
//! Stratification of Multi-Label Data", algorithm 1), with groups of look-alikes in the place of
//! single examples. Having no label is dealt out as one label more: such images are what a model is
//! measured against, and each split needs its part of them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ferrotype_core::dataset::Split;

use super::{AssignedSplits, Group, Item};

/// The place of "no label" among the counts; label `n` has the place `n + 1`.
const NO_LABEL: usize = 0;

/// What is still wanted of a split.
struct Wanted {
    split: Split,
    /// Images.
    images: f64,
    /// Images with each label or none, by the label's place.
    of_label: Vec<f64>,
}

/// The split of each group, in their order. The groups are in the order of their keys; the rarest
/// label is dealt out first, since nothing can make good for it later.
pub(super) fn deal(groups: &[Group], items: &[Item<'_>], assigned: &AssignedSplits) -> Vec<Split> {
    let counts: Vec<BTreeMap<usize, usize>> = groups
        .iter()
        .map(|group| count_labels(group, items))
        .collect();
    let labels = counts
        .iter()
        .filter_map(|counts| counts.keys().next_back())
        .max()
        .map_or(0, |last| last + 1);
    let mut left = vec![0_usize; labels];
    let mut groups_of = vec![Vec::new(); labels];
    for (group, counts) in counts.iter().enumerate() {
        for (&label, &count) in counts {
            left[label] += count;
            groups_of[label].push(group);
        }
    }
    let images = groups.iter().map(|group| group.members.len()).sum();
    let mut wanted = wanted(assigned, images, &left);
    let mut splits: Vec<Option<Split>> = vec![None; groups.len()];
    while let Some(label) = rarest(&left) {
        for &group in &groups_of[label] {
            if splits[group].is_some() {
                continue;
            }
            let place = neediest(&wanted, |wanted| wanted.of_label[label]);
            wanted[place].take(groups[group].members.len(), &counts[group]);
            splits[group] = Some(wanted[place].split);
            for (&other, &count) in &counts[group] {
                left[other] -= count;
            }
        }
    }
    // Every image has a label or none, so every group was dealt out.
    splits
        .into_iter()
        .map(|split| split.unwrap_or(Split::Train))
        .collect()
}

/// How many of a group's images have each label or none, by the label's place.
fn count_labels(group: &Group, items: &[Item<'_>]) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for &member in &group.members {
        let labels = items[member].labels.unwrap_or_default();
        if labels.is_empty() {
            *counts.entry(NO_LABEL).or_default() += 1;
        }
        for &label in labels {
            *counts.entry(label as usize + 1).or_default() += 1;
        }
    }
    counts
}

fn wanted(assigned: &AssignedSplits, images: usize, of_label: &[usize]) -> Vec<Wanted> {
    let AssignedSplits { ratios, splits, .. } = assigned;
    let splits: Vec<Split> = std::iter::once(Split::Train)
        .chain(splits.iter().copied())
        .collect();
    let whole: f64 = splits.iter().map(|split| ratios.share(*split)).sum();
    splits
        .into_iter()
        .map(|split| {
            let share = ratios.share(split) / whole;
            Wanted {
                split,
                images: images as f64 * share,
                of_label: of_label.iter().map(|count| *count as f64 * share).collect(),
            }
        })
        .collect()
}

/// The label with the fewest images left, the first of several; none when none are left.
fn rarest(left: &[usize]) -> Option<usize> {
    let labels = left.iter().enumerate().filter(|(_, count)| **count > 0);
    labels
        .min_by_key(|(_, count)| **count)
        .map(|(label, _)| label)
}

/// The split that wants most, of several the one that wants most images, of these the first.
fn neediest(wanted: &[Wanted], of: impl Fn(&Wanted) -> f64) -> usize {
    let more = |a: &Wanted, b: &Wanted| {
        let by_need = of(a).total_cmp(&of(b));
        by_need.then(a.images.total_cmp(&b.images)) == Ordering::Greater
    };
    (1..wanted.len()).fold(0, |best, place| {
        if more(&wanted[place], &wanted[best]) {
            place
        } else {
            best
        }
    })
}

impl Wanted {
    fn take(&mut self, images: usize, counts: &BTreeMap<usize, usize>) {
        self.images -= images as f64;
        for (&label, &count) in counts {
            self.of_label[label] -= count as f64;
        }
    }
}
