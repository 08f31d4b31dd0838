//! Which images are trained on, chosen on and tested on, when the folder does not say.

mod stratify;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use ferrotype_core::dataset::Split;
use serde::{Deserialize, Serialize};

/// The shares of the three splits; they add up to one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SplitRatios {
    /// Share of the training split, above zero.
    pub train: f64,
    /// Share of the validation split.
    pub val: f64,
    /// Share of the test split.
    pub test: f64,
}

impl Default for SplitRatios {
    fn default() -> Self {
        Self {
            train: 0.7,
            val: 0.15,
            test: 0.15,
        }
    }
}

impl SplitRatios {
    /// Ratios in any unit, scaled to add up to one: `70, 15, 15` as well as `0.7, 0.15, 0.15`.
    ///
    /// # Errors
    /// A sentence that says which share is out of range.
    pub fn new(train: f64, val: f64, test: f64) -> Result<Self, String> {
        for (split, share) in Split::ALL.into_iter().zip([train, val, test]) {
            if !share.is_finite() || share < 0.0 {
                return Err(format!(
                    "the share of {split} is `{share}`, expected 0 or more"
                ));
            }
        }
        let sum = train + val + test;
        if train <= 0.0 || !sum.is_finite() {
            return Err(format!(
                "the share of train is `{train}`, expected more than 0"
            ));
        }
        Ok(Self {
            train: train / sum,
            val: val / sum,
            test: test / sum,
        })
    }

    /// The share of one split.
    pub fn share(&self, split: Split) -> f64 {
        match split {
            Split::Train => self.train,
            Split::Val => self.val,
            Split::Test => self.test,
        }
    }
}

/// As percentages: `70/15/15`.
impl fmt::Display for SplitRatios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| (share * 1000.0).round() / 10.0;
        write!(
            f,
            "{}/{}/{}",
            percent(self.train),
            percent(self.val),
            percent(self.test)
        )
    }
}

/// Three numbers with `/` or `,` between them: `70/15/15`, `0.8,0.1,0.1`.
impl FromStr for SplitRatios {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected =
            || format!("`{text}` is not three shares of train, val and test, such as `70/15/15`");
        let shares = text
            .split(['/', ','])
            .map(|share| share.trim().parse::<f64>())
            .collect::<Result<Vec<f64>, _>>()
            .map_err(|_| expected())?;
        match shares.as_slice() {
            [train, val, test] => Self::new(*train, *val, *test),
            _ => Err(expected()),
        }
    }
}

/// Splits that the import made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssignedSplits {
    /// Seed of the choice.
    pub seed: u64,
    /// Shares that were aimed at.
    pub ratios: SplitRatios,
    /// The splits that images were chosen for, out of those that would have been trained on.
    pub splits: Vec<Split>,
}

/// Where a dataset version's splits come from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitPolicy {
    /// Splits that were folders.
    pub given: Vec<Split>,
    /// Splits that the import made; absent when the folders gave all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned: Option<AssignedSplits>,
}

impl SplitPolicy {
    /// What to make, given the splits that are folders.
    ///
    /// A missing split is carved out of train, unless its share is zero. Without a training
    /// folder nothing is made: the folders were named for something else than training.
    pub(crate) fn decide(given: &BTreeSet<Split>, seed: u64, ratios: SplitRatios) -> Self {
        let can_carve = given.is_empty() || given.contains(&Split::Train);
        let splits: Vec<Split> = [Split::Val, Split::Test]
            .into_iter()
            .filter(|split| can_carve && !given.contains(split) && ratios.share(*split) > 0.0)
            .collect();
        Self {
            given: given.iter().copied().collect(),
            assigned: (!splits.is_empty()).then_some(AssignedSplits {
                seed,
                ratios,
                splits,
            }),
        }
    }
}

/// What the choice needs to know of an image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    /// Its class.
    pub(crate) class: u32,
    /// Its labels, where images may have several; then all items have them.
    pub(crate) labels: Option<&'a [u32]>,
    /// Images of one group stay in one split.
    pub(crate) group: usize,
    /// Digest of its bytes, so that the choice does not depend on names.
    pub(crate) digest: &'a str,
    /// The split that its folder names.
    pub(crate) given: Option<Split>,
}

/// Images that stay together.
struct Group {
    members: Vec<usize>,
    home: u32,
    /// Pseudo-random, from the seed and the smallest digest: adding images to a folder leaves
    /// most others where they were.
    key: [u8; 32],
}

/// The split of every item.
pub(crate) fn assign(items: &[Item<'_>], policy: &SplitPolicy) -> Vec<Split> {
    let mut splits: Vec<Split> = items
        .iter()
        .map(|item| item.given.unwrap_or(Split::Train))
        .collect();
    let Some(assigned) = &policy.assigned else {
        return splits;
    };
    if items.first().is_some_and(|item| item.labels.is_some()) {
        assign_by_labels(items, assigned, &mut splits);
        return splits;
    }
    for groups in groups_by_class(items, &splits, assigned.seed).values() {
        for (split, group) in deal(groups, assigned) {
            for &member in &group.members {
                splits[member] = split;
            }
        }
    }
    splits
}

/// Moves images out of train so that every label comes in every split.
fn assign_by_labels(items: &[Item<'_>], assigned: &AssignedSplits, splits: &mut [Split]) {
    let mut groups = groups_in_train(items, splits, assigned.seed);
    groups.sort_by_key(|group| group.key);
    let dealt = stratify::deal(&groups, items, assigned);
    for (group, split) in groups.iter().zip(dealt) {
        for &member in &group.members {
            splits[member] = split;
        }
    }
}

/// The groups of the images that may be moved out of train, by the class most of them have.
fn groups_by_class(items: &[Item<'_>], splits: &[Split], seed: u64) -> BTreeMap<u32, Vec<Group>> {
    let mut classes: BTreeMap<u32, Vec<Group>> = BTreeMap::new();
    for group in groups_in_train(items, splits, seed) {
        classes.entry(group.home).or_default().push(group);
    }
    for groups in classes.values_mut() {
        groups.sort_by_key(|group| group.key);
    }
    classes
}

/// The groups of the images that may be moved out of train.
fn groups_in_train(items: &[Item<'_>], splits: &[Split], seed: u64) -> Vec<Group> {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, item) in items
        .iter()
        .enumerate()
        .filter(|(i, _)| splits[*i] == Split::Train)
    {
        members.entry(item.group).or_default().push(index);
    }
    members
        .into_values()
        .map(|members| {
            let home = most_common_class(items, &members);
            let digest = members
                .iter()
                .map(|&member| items[member].digest)
                .min()
                .unwrap_or("");
            let key = key(seed, digest);
            Group { members, home, key }
        })
        .collect()
}

fn most_common_class(items: &[Item<'_>], members: &[usize]) -> u32 {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for &member in members {
        *counts.entry(items[member].class).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(0);
    counts
        .into_iter()
        .find(|(_, count)| *count == most)
        .map_or(0, |(class, _)| class)
}

fn key(seed: u64, digest: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("ferrotype 2026 dataset split");
    hasher.update(&seed.to_le_bytes());
    hasher.update(digest.as_bytes());
    *hasher.finalize().as_bytes()
}

/// Deals one class's groups out. The first one always stays in train.
fn deal<'a>(groups: &'a [Group], assigned: &AssignedSplits) -> Vec<(Split, &'a Group)> {
    let images: usize = groups.iter().map(|group| group.members.len()).sum();
    let quotas = quotas(images, assigned);
    let mut counts = vec![0_usize; quotas.len()];
    let mut dealt = Vec::new();
    for group in groups.iter().skip(1) {
        debug_assert_eq!(group.home, groups[0].home);
        let size = group.members.len();
        // A group is taken while the quota is missed by less with it than without.
        let open = quotas
            .iter()
            .zip(&counts)
            .position(|((_, quota), count)| 2 * count + size <= 2 * quota);
        if let Some(place) = open {
            counts[place] += size;
            dealt.push((quotas[place].0, group));
        }
    }
    dealt
}

/// How many of a class's images each split should get: its share, at least one, never all.
fn quotas(images: usize, assigned: &AssignedSplits) -> Vec<(Split, usize)> {
    let AssignedSplits { ratios, splits, .. } = assigned;
    let whole: f64 = ratios.train + splits.iter().map(|split| ratios.share(*split)).sum::<f64>();
    let mut left = images.saturating_sub(1);
    splits
        .iter()
        .map(|split| {
            let share = ratios.share(*split) / whole;
            let quota = ((images as f64 * share).round() as usize).max(1).min(left);
            left -= quota;
            (*split, quota)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(count: usize) -> Vec<String> {
        (0..count)
            .map(|i| blake3::hash(&i.to_le_bytes()).to_hex().to_string())
            .collect()
    }

    fn items<'a>(digests: &'a [String], class: impl Fn(usize) -> u32) -> Vec<Item<'a>> {
        digests
            .iter()
            .enumerate()
            .map(|(i, digest)| Item {
                class: class(i),
                labels: None,
                group: i,
                digest,
                given: None,
            })
            .collect()
    }

    fn policy(given: &[Split]) -> SplitPolicy {
        SplitPolicy::decide(&given.iter().copied().collect(), 1, SplitRatios::default())
    }

    fn counts(splits: &[Split]) -> [usize; 3] {
        Split::ALL.map(|split| splits.iter().filter(|s| **s == split).count())
    }

    #[test]
    fn every_class_is_split_in_the_ratios() {
        let digests = digests(300);
        let items = items(&digests, |i| u32::from(i % 3 == 0));
        let splits = assign(&items, &policy(&[]));
        for class in [0, 1] {
            let of_class: Vec<Split> = (0..300)
                .filter(|&i| items[i].class == class)
                .map(|i| splits[i])
                .collect();
            let expected = if class == 0 {
                [140, 30, 30]
            } else {
                [70, 15, 15]
            };
            assert_eq!(counts(&of_class), expected);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_splits_in_any_order_and_another_seed_others() {
        let digests = digests(100);
        let forward = items(&digests, |_| 0);
        let mut backward = forward.clone();
        backward.reverse();
        let splits = assign(&forward, &policy(&[]));
        let mut reversed = assign(&backward, &policy(&[]));
        reversed.reverse();
        assert_eq!(splits, reversed);
        let other = SplitPolicy::decide(&BTreeSet::new(), 2, SplitRatios::default());
        assert_ne!(splits, assign(&forward, &other));
    }

    #[test]
    fn adding_images_leaves_most_of_the_others_where_they_were() {
        let digests = digests(210);
        let items = items(&digests, |_| 0);
        let before = assign(&items[..200], &policy(&[]));
        let after = assign(&items, &policy(&[]));
        let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert!(moved <= 10, "{moved}");
    }

    #[test]
    fn small_classes_go_to_train_first_then_val_then_test() {
        for (images, expected) in [
            (1, [1, 0, 0]),
            (2, [1, 1, 0]),
            (3, [1, 1, 1]),
            (4, [2, 1, 1]),
        ] {
            let digests = digests(images);
            let splits = assign(&items(&digests, |_| 0), &policy(&[]));
            assert_eq!(counts(&splits), expected, "{images} images");
        }
    }

    #[test]
    fn a_group_never_straddles_splits() {
        let digests = digests(120);
        let mut items = items(&digests, |i| (i % 2) as u32);
        for (i, item) in items.iter_mut().enumerate() {
            item.group = i / 4;
        }
        let splits = assign(&items, &policy(&[]));
        for group in splits.chunks(4) {
            assert!(group.iter().all(|split| *split == group[0]));
        }
        assert!(
            counts(&splits).iter().all(|count| *count >= 16),
            "{:?}",
            counts(&splits)
        );
    }

    #[test]
    fn a_class_of_one_large_group_stays_in_train() {
        let digests = digests(10);
        let mut items = items(&digests, |_| 0);
        for item in &mut items {
            item.group = 0;
        }
        assert_eq!(counts(&assign(&items, &policy(&[]))), [10, 0, 0]);
    }

    #[test]
    fn a_missing_split_is_carved_out_of_train_only() {
        let digests = digests(120);
        let mut items = items(&digests, |_| 0);
        for (i, item) in items.iter_mut().enumerate() {
            item.given = Some(if i < 20 { Split::Test } else { Split::Train });
        }
        let splits = assign(&items, &policy(&[Split::Train, Split::Test]));
        assert!(splits[..20].iter().all(|split| *split == Split::Test));
        // 15 of 85 parts of what was given for training.
        assert_eq!(counts(&splits), [82, 18, 20]);
    }

    #[test]
    fn given_splits_are_kept() {
        let all = policy(&Split::ALL);
        assert_eq!(all.assigned, None);
        assert_eq!(policy(&[Split::Test]).assigned, None);
        let no_test = SplitRatios::new(8.0, 2.0, 0.0).unwrap();
        let made = SplitPolicy::decide(&BTreeSet::new(), 0, no_test)
            .assigned
            .unwrap();
        assert_eq!(made.splits, [Split::Val]);
    }

    /// 400 images of four labels, from half of all images to one in 40, that go together or alone;
    /// some have none.
    fn label_sets() -> Vec<Vec<u32>> {
        let has = |i: usize, label: u32| match label {
            0 => i.is_multiple_of(2),
            1 => i.is_multiple_of(5),
            2 => i % 4 == 1,
            _ => i % 40 == 7,
        };
        (0..400)
            .map(|i| (0..4).filter(|label| has(i, *label)).collect())
            .collect()
    }

    /// 400 images of four labels, each on about half of them; one in 16 has none.
    fn frequent_label_sets() -> Vec<Vec<u32>> {
        (0..400_u32)
            .map(|i| (0..4).filter(|label| i >> label & 1 == 1).collect())
            .collect()
    }

    fn labelled<'a>(digests: &'a [String], sets: &'a [Vec<u32>]) -> Vec<Item<'a>> {
        let mut items = items(digests, |_| 0);
        for (item, labels) in items.iter_mut().zip(sets) {
            item.labels = Some(labels);
        }
        items
    }

    #[test]
    fn every_label_is_split_in_the_ratios_and_so_are_images_without() {
        let digests = digests(400);
        // Labels that mostly come together cannot all be dealt out to the image.
        for (sets, slack) in [(label_sets(), 0.0), (frequent_label_sets(), 0.03)] {
            let splits = assign(&labelled(&digests, &sets), &policy(&[]));
            let near = |wanted: &dyn Fn(&[u32]) -> bool| {
                let chosen: Vec<Split> = (0..400)
                    .filter(|&i| wanted(&sets[i]))
                    .map(|i| splits[i])
                    .collect();
                for (found, share) in counts(&chosen).into_iter().zip([0.7, 0.15, 0.15]) {
                    let wanted = chosen.len() as f64 * share;
                    let slack = (slack * chosen.len() as f64).max(1.5);
                    assert!(
                        (found as f64 - wanted).abs() <= slack,
                        "{found} of {}, wanted {wanted}",
                        chosen.len()
                    );
                }
            };
            for label in 0..4 {
                near(&|labels| labels.contains(&label));
            }
            near(&|labels| labels.is_empty());
            near(&|_| true);
        }
    }

    #[test]
    fn labels_are_split_alike_in_any_order_of_the_files_and_otherwise_by_another_seed() {
        let (digests, sets) = (digests(400), label_sets());
        let forward = labelled(&digests, &sets);
        let mut backward = forward.clone();
        backward.reverse();
        for (index, item) in backward.iter_mut().enumerate() {
            item.group = index;
        }
        let splits = assign(&forward, &policy(&[]));
        let mut reversed = assign(&backward, &policy(&[]));
        reversed.reverse();
        assert_eq!(splits, reversed);
        let other = SplitPolicy::decide(&BTreeSet::new(), 2, SplitRatios::default());
        assert_ne!(splits, assign(&forward, &other));
    }

    #[test]
    fn look_alikes_with_labels_stay_together_and_given_splits_stay() {
        let (digests, sets) = (digests(400), label_sets());
        let mut items = labelled(&digests, &sets);
        for (i, item) in items.iter_mut().enumerate() {
            item.group = i / 4;
            item.given = Some(if i < 40 { Split::Test } else { Split::Train });
        }
        let splits = assign(&items, &policy(&[Split::Train, Split::Test]));
        for group in splits.chunks(4) {
            assert!(group.iter().all(|split| *split == group[0]));
        }
        let [train, val, test] = counts(&splits);
        assert_eq!((train + val, test), (360, 40));
        assert!((56..=72).contains(&val), "{val}");
    }

    #[test]
    fn ratios_are_read_in_any_unit() {
        let parsed: SplitRatios = "70/15/15".parse().unwrap();
        assert_eq!(parsed.to_string(), "70/15/15");
        assert_eq!(
            "0.8, 0.1, 0.1".parse::<SplitRatios>().unwrap().to_string(),
            "80/10/10"
        );
        for bad in [
            "70/30",
            "a/b/c",
            "0/50/50",
            "70/-15/15",
            "nan/1/1",
            "inf/1/1",
            "",
            "1e308/1e308/1",
        ] {
            assert!(bad.parse::<SplitRatios>().is_err(), "{bad}");
        }
    }
}
