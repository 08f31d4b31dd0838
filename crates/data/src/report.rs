//! What an import found: kept with the dataset version, shown by `data import` and `data show`.

use std::collections::BTreeMap;

use ferrotype_core::dataset::{ImageEntry, Split};
use ferrotype_core::manifest::Task;
use ferrotype_core::report::{BulkReport, Skipped};
use serde::{Deserialize, Serialize};

use crate::layout::OTHER_FILE;
use crate::summary::total;
use crate::walk::HIDDEN;

/// Examples that are kept of each kind of finding.
pub(crate) const EXAMPLES: usize = 10;

/// What an import found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportReport {
    /// Images taken.
    pub images: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Images per class and split, in class order.
    pub classes: Vec<ClassCounts>,
    /// Where images may have several labels: how many images there are, and without a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labelling: Option<Labelling>,
    /// Files left out, most frequent reason first.
    pub skipped: Vec<SkippedKind>,
    /// Equal images and look-alikes.
    pub duplicates: DuplicateReport,
    /// Sizes, modes, formats and colours.
    pub statistics: ImageStatistics,
    /// How the folder was understood.
    pub notes: Vec<String>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Images counted once each, where the counts of the classes count them once for each label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Labelling {
    /// All images of each split.
    pub images: ClassCounts,
    /// Those that have no label.
    pub unlabelled: ClassCounts,
}

impl Labelling {
    pub(crate) fn of(entries: &[ImageEntry]) -> Self {
        let named = |class: &str| ClassCounts {
            class: class.to_string(),
            ..ClassCounts::default()
        };
        let mut counts = Self {
            images: named("images"),
            unlabelled: named("no label"),
        };
        for entry in entries {
            counts.images.add(entry.split);
            if entry.labels().is_empty() {
                counts.unlabelled.add(entry.split);
            }
        }
        counts
    }
}

impl ImportReport {
    /// Whether each image has one class or any number of labels.
    pub fn task(&self) -> Task {
        match self.labelling {
            None => Task::Classification,
            Some(_) => Task::MultiLabel,
        }
    }

    /// All images of each split.
    pub fn splits(&self) -> ClassCounts {
        match &self.labelling {
            None => total(&self.classes),
            Some(labelling) => labelling.images.clone(),
        }
    }

    /// Files left out, whatever the reason.
    pub fn skipped_count(&self) -> u64 {
        self.skipped.iter().map(|kind| kind.count).sum()
    }
}

/// How many images of a class each split holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassCounts {
    /// The class's name.
    pub class: String,
    /// Images in the training split.
    pub train: u64,
    /// Images in the validation split.
    pub val: u64,
    /// Images in the test split.
    pub test: u64,
}

impl ClassCounts {
    /// Images in one split.
    pub fn in_split(&self, split: Split) -> u64 {
        match split {
            Split::Train => self.train,
            Split::Val => self.val,
            Split::Test => self.test,
        }
    }

    /// Images in all splits.
    pub fn total(&self) -> u64 {
        self.train + self.val + self.test
    }

    fn add(&mut self, split: Split) {
        match split {
            Split::Train => self.train += 1,
            Split::Val => self.val += 1,
            Split::Test => self.test += 1,
        }
    }
}

/// Files left out for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedKind {
    /// The reason in one word: `truncated`, `not_an_image`, `lfs_pointer` …
    pub kind: String,
    /// How many files.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<Skipped>,
}

impl SkippedKind {
    /// Whether these files were never meant to be images: hidden ones, a README.
    pub fn is_harmless(&self) -> bool {
        [HIDDEN, OTHER_FILE].contains(&self.kind.as_str())
    }
}

/// Findings of one kind: how many there are, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings<T> {
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<T>,
}

impl<T> Default for Findings<T> {
    fn default() -> Self {
        Self {
            count: 0,
            examples: Vec::new(),
        }
    }
}

impl<T> Findings<T> {
    pub(crate) fn add(&mut self, finding: T) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(finding);
        }
    }
}

/// Equal images and look-alikes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DuplicateReport {
    /// Images whose bytes another image has too, not counting the first of each.
    pub equal_images: u64,
    /// Groups of images with equal bytes.
    pub equal: Findings<ImageGroup>,
    /// Groups of images that look the same but differ in their bytes.
    pub alike: Findings<ImageGroup>,
    /// Groups that lie in more than one of the given splits.
    pub leaks: Findings<ImageGroup>,
    /// Groups of images with equal bytes in more than one class.
    pub label_conflicts: Findings<ImageGroup>,
    /// Clusters of look-alikes that are too large to be kept in one split.
    pub too_large: Findings<ImageGroup>,
}

/// Images that are equal or look the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageGroup {
    /// How many images.
    pub size: u64,
    /// Whether all of them have the same bytes.
    pub equal: bool,
    /// The first of them.
    pub images: Vec<GroupMember>,
}

/// An image of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// Path below the imported folder.
    pub path: String,
    /// Its class's name.
    pub class: String,
    /// Its split.
    pub split: Split,
}

/// Sizes, modes, formats and colours of the images.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageStatistics {
    /// Widths in pixels, upright.
    pub width: Spread,
    /// Heights in pixels, upright.
    pub height: Spread,
    /// File sizes in bytes.
    pub bytes: Spread,
    /// The most frequent sizes as `width×height`, most frequent first.
    pub sizes: Vec<Count>,
    /// How many different sizes there are.
    pub distinct_sizes: u64,
    /// Pixel modes in Pillow's words, most frequent first.
    pub modes: Vec<Count>,
    /// File formats, most frequent first.
    pub formats: Vec<Count>,
    /// Mean of red, green and blue in 0 to 1, each image counted alike.
    pub mean: [f64; 3],
    /// Standard deviation of red, green and blue in 0 to 1, each image counted alike.
    pub std: [f64; 3],
}

/// The least, the middle and the largest of some numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spread {
    /// The least.
    pub min: u64,
    /// The middle one; of an even number, the lower of the two.
    pub median: u64,
    /// The largest.
    pub max: u64,
}

impl Spread {
    fn of(values: impl Iterator<Item = u64>) -> Self {
        let mut values: Vec<u64> = values.collect();
        values.sort_unstable();
        match (values.first(), values.last()) {
            (Some(&min), Some(&max)) => Self {
                min,
                median: values[(values.len() - 1) / 2],
                max,
            },
            _ => Self::default(),
        }
    }
}

/// How often something occurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// What.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// Means of an image's channels and of their squares, in 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct ChannelMoments {
    pub(crate) mean: [f64; 3],
    pub(crate) mean_square: [f64; 3],
}

impl ChannelMoments {
    /// Of rows of red, green and blue.
    pub(crate) fn of(pixels: &[u8]) -> Self {
        let mut sums = [0_u64; 3];
        let mut squares = [0_u64; 3];
        for pixel in pixels.chunks_exact(3) {
            for channel in 0..3 {
                let value = u64::from(pixel[channel]);
                sums[channel] += value;
                squares[channel] += value * value;
            }
        }
        let count = (pixels.len() / 3).max(1) as f64;
        Self {
            mean: sums.map(|sum| sum as f64 / (count * 255.0)),
            mean_square: squares.map(|sum| sum as f64 / (count * 255.0 * 255.0)),
        }
    }
}

/// Counts images per class and split.
pub(crate) fn count_classes(classes: &[String], entries: &[ImageEntry]) -> Vec<ClassCounts> {
    let mut counts: Vec<ClassCounts> = classes
        .iter()
        .map(|class| ClassCounts {
            class: class.clone(),
            ..ClassCounts::default()
        })
        .collect();
    for entry in entries {
        for &class in entry.labels() {
            if let Some(counts) = counts.get_mut(class as usize) {
                counts.add(entry.split);
            }
        }
    }
    counts
}

/// Summarises sizes, modes, formats and colours.
pub(crate) fn describe(entries: &[ImageEntry], moments: &[ChannelMoments]) -> ImageStatistics {
    let sizes = tally(
        entries
            .iter()
            .map(|entry| format!("{}×{}", entry.width, entry.height)),
    );
    let count = moments.len().max(1) as f64;
    let average = |of: fn(&ChannelMoments) -> [f64; 3]| {
        [0, 1, 2].map(|channel| moments.iter().map(|m| of(m)[channel]).sum::<f64>() / count)
    };
    let mean = average(|m| m.mean);
    let mean_square = average(|m| m.mean_square);
    ImageStatistics {
        width: Spread::of(entries.iter().map(|entry| u64::from(entry.width))),
        height: Spread::of(entries.iter().map(|entry| u64::from(entry.height))),
        bytes: Spread::of(entries.iter().map(|entry| entry.bytes)),
        distinct_sizes: sizes.len() as u64,
        sizes: sizes.into_iter().take(5).collect(),
        modes: tally(entries.iter().map(|entry| entry.mode.clone())),
        formats: tally(entries.iter().map(|entry| entry.format.clone())),
        mean,
        std: [0, 1, 2].map(|channel| {
            (mean_square[channel] - mean[channel] * mean[channel])
                .max(0.0)
                .sqrt()
        }),
    }
}

/// Counts names, most frequent first.
fn tally(names: impl Iterator<Item = String>) -> Vec<Count> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut counts: Vec<Count> = counts
        .into_iter()
        .map(|(name, count)| Count { name, count })
        .collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.count));
    counts
}

/// Sorts skipped files by reason, keeping the first of each.
pub(crate) fn skipped_kinds(bulk: &BulkReport) -> Vec<SkippedKind> {
    bulk.skipped_by_kind()
        .into_iter()
        .map(|(kind, count)| SkippedKind {
            count,
            examples: bulk
                .skipped
                .iter()
                .filter(|skipped| skipped.kind == kind)
                .take(EXAMPLES)
                .cloned()
                .collect(),
            kind,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(width: u32, mode: &str, class: u32, split: Split) -> ImageEntry {
        ImageEntry {
            path: "p".into(),
            digest: "d".into(),
            bytes: u64::from(width) * 2,
            width,
            height: 9,
            mode: mode.into(),
            format: "png".into(),
            class,
            label_set: None,
            split,
        }
    }

    #[test]
    fn images_are_counted_per_class_and_split() {
        let entries = [
            entry(1, "L", 0, Split::Train),
            entry(1, "L", 1, Split::Train),
            entry(1, "L", 1, Split::Test),
        ];
        let counts = count_classes(&["a".into(), "b".into()], &entries);
        assert_eq!((counts[0].train, counts[0].total()), (1, 1));
        assert_eq!((counts[1].in_split(Split::Test), counts[1].total()), (1, 2));
    }

    #[test]
    fn an_image_counts_once_for_each_label_and_once_in_all() {
        let mut entries = [
            entry(1, "L", 0, Split::Train),
            entry(1, "L", 0, Split::Test),
        ];
        entries[0].label_set = Some(vec![0, 1]);
        entries[1].label_set = Some(vec![]);
        let counts = count_classes(&["a".into(), "b".into()], &entries);
        assert_eq!((counts[0].total(), counts[1].total()), (1, 1));
        let labelling = Labelling::of(&entries);
        assert_eq!(labelling.images.total(), 2);
        assert_eq!(
            (labelling.unlabelled.train, labelling.unlabelled.test),
            (0, 1)
        );
    }

    #[test]
    fn statistics_name_the_most_frequent_first() {
        let entries = [
            entry(4, "RGB", 0, Split::Train),
            entry(8, "L", 0, Split::Train),
            entry(6, "L", 0, Split::Train),
            entry(8, "L", 0, Split::Train),
        ];
        let black_and_white = ChannelMoments::of(&[0, 0, 255, 255, 0, 255]);
        let statistics = describe(&entries, &[black_and_white; 4]);
        assert_eq!(
            statistics.width,
            Spread {
                min: 4,
                median: 6,
                max: 8
            }
        );
        assert_eq!(
            statistics.sizes[0],
            Count {
                name: "8×9".into(),
                count: 2
            }
        );
        assert_eq!(
            statistics.modes[0],
            Count {
                name: "L".into(),
                count: 3
            }
        );
        assert_eq!(statistics.distinct_sizes, 3);
        assert_eq!(statistics.mean, [0.5, 0.0, 1.0]);
        assert_eq!(statistics.std, [0.5, 0.0, 0.0]);
    }

    #[test]
    fn no_images_give_zeros_and_no_panic() {
        let statistics = describe(&[], &[]);
        assert_eq!(statistics.width, Spread::default());
        assert_eq!(statistics.mean, [0.0; 3]);
    }

    #[test]
    fn findings_keep_their_count_and_the_first_examples() {
        let mut findings = Findings::default();
        (0..25).for_each(|i| findings.add(i));
        assert_eq!(findings.count, 25);
        assert_eq!(findings.examples, (0..10).collect::<Vec<_>>());
    }
}
