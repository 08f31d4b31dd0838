//! Images that are equal, and images that look the same.
//!
//! Equal bytes are found by digest. Look-alikes are found in two steps: perceptual hashes that
//! differ in a few bits propose a pair, and the pixels of both, scaled down, confirm it.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

/// Hashes that differ in at most this many of their 64 bits propose a pair.
pub(crate) const MAX_HASH_DISTANCE: u32 = 8;

/// Bands that a hash is cut into. Two hashes within [`MAX_HASH_DISTANCE`] agree in at least one
/// band, as there is one more band than bits that may differ.
const BANDS: u32 = MAX_HASH_DISTANCE + 1;

/// How many later images an image is compared with at most. Only sets with thousands of images of
/// one hash reach it; they are chained through their neighbours all the same.
const MAX_PARTNERS: usize = 256;

/// Hashes whose partners are looked for before any of them is compared.
const CHUNK: usize = 4096;

/// Clusters of look-alikes above this share of the set are reported, not kept together …
const LARGE_SHARE: f64 = 0.01;

/// … but never clusters up to this many images.
const ALWAYS_KEPT: usize = 10;

/// Tells whether two images show the same, by their pixels.
pub(crate) trait Confirm: Sync {
    /// What is kept of an image to compare it.
    type Signature: Send + Sync;

    /// Reads an image again; nothing when it cannot be read any more.
    fn signature(&self, image: usize) -> Option<Self::Signature>;

    /// Whether two images show the same.
    fn same(&self, first: &Self::Signature, second: &Self::Signature) -> bool;
}

/// The images of a set, sorted into groups that should stay together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    /// For each image, the first image of its group.
    pub(crate) group_of: Vec<usize>,
    /// Groups of two or more images with equal bytes.
    pub(crate) equal: Vec<Vec<usize>>,
    /// Groups of look-alikes: two or more images that differ in their bytes.
    pub(crate) alike: Vec<Vec<usize>>,
    /// Clusters of look-alikes that are too large to be kept together.
    pub(crate) too_large: Vec<Vec<usize>>,
}

/// Sorts images into groups, by digest and by look.
pub(crate) fn group<C: Confirm>(digests: &[&str], hashes: &[u64], confirm: &C) -> Groups {
    let mut forest = Forest::new(digests.len());
    let distinct = merge_equal(digests, &mut forest);
    let equal = forest.groups(|_| true);
    let pairs = confirmed_pairs(&distinct, hashes, confirm);
    let mut with_alike = forest.clone();
    for &(first, second) in &pairs {
        with_alike.merge(first, second);
    }
    let is_distinct: Vec<bool> = flags(digests.len(), &distinct);
    let clusters = with_alike.groups(|image| is_distinct[image]);
    let limit = large_cluster_limit(digests.len());
    let (too_large, kept): (Vec<_>, Vec<_>) = clusters
        .into_iter()
        .partition(|cluster| cluster.len() > limit);
    for cluster in &kept {
        cluster
            .windows(2)
            .for_each(|pair| forest.merge(pair[0], pair[1]));
    }
    let all = forest.groups(|_| true);
    let alike = all
        .into_iter()
        .filter(|group| group.iter().filter(|image| is_distinct[**image]).count() > 1)
        .collect();
    Groups {
        group_of: (0..digests.len()).map(|image| forest.root(image)).collect(),
        equal,
        alike,
        too_large,
    }
}

/// The most images of a cluster of look-alikes that is kept together.
pub(crate) fn large_cluster_limit(images: usize) -> usize {
    ALWAYS_KEPT.max((images as f64 * LARGE_SHARE) as usize)
}

fn flags(length: usize, set: &[usize]) -> Vec<bool> {
    let mut flags = vec![false; length];
    set.iter().for_each(|&index| flags[index] = true);
    flags
}

/// Puts equal images together; answers with the first image of each content.
fn merge_equal(digests: &[&str], forest: &mut Forest) -> Vec<usize> {
    let mut first_with: HashMap<&str, usize> = HashMap::with_capacity(digests.len());
    let mut distinct = Vec::new();
    for (image, digest) in digests.iter().enumerate() {
        match first_with.get(digest) {
            Some(&first) => forest.merge(first, image),
            None => {
                first_with.insert(digest, image);
                distinct.push(image);
            }
        }
    }
    distinct
}

/// Pairs of images that show the same, enough of them to connect each cluster.
fn confirmed_pairs<C: Confirm>(
    distinct: &[usize],
    hashes: &[u64],
    confirm: &C,
) -> Vec<(usize, usize)> {
    let index = HashIndex::new(distinct, hashes);
    let mut signatures: HashMap<usize, Option<C::Signature>> = HashMap::new();
    let mut clusters = Forest::new(hashes.len());
    let mut pairs = Vec::new();
    for start in (0..index.sorted.len()).step_by(CHUNK) {
        let end = (start + CHUNK).min(index.sorted.len());
        let proposals: Vec<(usize, Vec<usize>)> = (start..end)
            .into_par_iter()
            .map(|position| (index.sorted[position].1, index.partners(position)))
            .filter(|(_, partners)| !partners.is_empty())
            .collect();
        read_signatures(&proposals, confirm, &mut signatures);
        for (image, partners) in proposals {
            let Some(Some(signature)) = signatures.get(&image) else {
                continue;
            };
            for partner in partners {
                if clusters.root(image) == clusters.root(partner) {
                    continue;
                }
                if let Some(Some(other)) = signatures.get(&partner)
                    && confirm.same(signature, other)
                {
                    clusters.merge(image, partner);
                    pairs.push((image, partner));
                }
            }
        }
    }
    pairs
}

/// Reads what is still missing to compare the proposed pairs.
fn read_signatures<C: Confirm>(
    proposals: &[(usize, Vec<usize>)],
    confirm: &C,
    signatures: &mut HashMap<usize, Option<C::Signature>>,
) {
    let mut missing: Vec<usize> = proposals
        .iter()
        .flat_map(|(image, partners)| partners.iter().chain([image]))
        .copied()
        .filter(|image| !signatures.contains_key(image))
        .collect();
    missing.sort_unstable();
    missing.dedup();
    let read: Vec<(usize, Option<C::Signature>)> = missing
        .into_par_iter()
        .map(|image| (image, confirm.signature(image)))
        .collect();
    signatures.extend(read);
}

/// Finds hashes within [`MAX_HASH_DISTANCE`] without comparing every pair.
struct HashIndex {
    /// Hash and image, sorted.
    sorted: Vec<(u64, usize)>,
    /// For each band, its value to the positions in `sorted` at which a hash with it starts.
    bands: Vec<HashMap<u64, Vec<usize>>>,
}

impl HashIndex {
    fn new(distinct: &[usize], hashes: &[u64]) -> Self {
        let mut sorted: Vec<(u64, usize)> = distinct
            .iter()
            .map(|&image| (hashes[image], image))
            .collect();
        sorted.sort_unstable();
        let starts: Vec<usize> = (0..sorted.len())
            .filter(|&position| position == 0 || sorted[position - 1].0 != sorted[position].0)
            .collect();
        let bands = (0..BANDS)
            .map(|band| {
                let mut positions: HashMap<u64, Vec<usize>> = HashMap::new();
                for &start in &starts {
                    positions
                        .entry(band_value(sorted[start].0, band))
                        .or_default()
                        .push(start);
                }
                positions
            })
            .collect();
        Self { sorted, bands }
    }

    /// The images after `position` with a hash near the one there, equal hashes first.
    fn partners(&self, position: usize) -> Vec<usize> {
        let hash = self.sorted[position].0;
        let mut partners: Vec<usize> = self.run(hash, position + 1).take(MAX_PARTNERS).collect();
        for band in 0..BANDS {
            let Some(starts) = self.bands[band as usize].get(&band_value(hash, band)) else {
                continue;
            };
            let later = starts.partition_point(|&start| start <= position);
            for &start in &starts[later..] {
                let other = self.sorted[start].0;
                // A pair that agrees in several bands is proposed by the first of them.
                let proposed_before =
                    (0..band).any(|b| band_value(hash, b) == band_value(other, b));
                if proposed_before || (hash ^ other).count_ones() > MAX_HASH_DISTANCE {
                    continue;
                }
                let room = MAX_PARTNERS.saturating_sub(partners.len());
                partners.extend(self.run(other, start).take(room));
            }
        }
        partners
    }

    /// The images from `start` on as long as they have this hash.
    fn run(&self, hash: u64, start: usize) -> impl Iterator<Item = usize> {
        self.sorted[start..]
            .iter()
            .take_while(move |(h, _)| *h == hash)
            .map(|(_, image)| *image)
    }
}

/// The bits of one band: 64 bits in [`BANDS`] parts of nearly equal width.
fn band_value(hash: u64, band: u32) -> u64 {
    let start = band * 64 / BANDS;
    let end = (band + 1) * 64 / BANDS;
    (hash >> start) & ((1 << (end - start)) - 1)
}

/// Disjoint sets; the root of each is its smallest member.
#[derive(Debug, Clone)]
struct Forest {
    parent: Vec<usize>,
}

impl Forest {
    fn new(length: usize) -> Self {
        Self {
            parent: (0..length).collect(),
        }
    }

    fn root(&mut self, mut image: usize) -> usize {
        while self.parent[image] != image {
            self.parent[image] = self.parent[self.parent[image]];
            image = self.parent[image];
        }
        image
    }

    fn merge(&mut self, first: usize, second: usize) {
        let (first, second) = (self.root(first), self.root(second));
        self.parent[first.max(second)] = first.min(second);
    }

    /// The sets of two or more of the chosen images, by their first image.
    fn groups(&mut self, chosen: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for image in (0..self.parent.len()).filter(|&image| chosen(image)) {
            groups.entry(self.root(image)).or_default().push(image);
        }
        groups
            .into_values()
            .filter(|group| group.len() > 1)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images are single numbers; those that differ by at most one look the same.
    struct Numbers(Vec<i64>);

    impl Confirm for Numbers {
        type Signature = i64;

        fn signature(&self, image: usize) -> Option<i64> {
            self.0.get(image).copied().filter(|value| *value >= 0)
        }

        fn same(&self, first: &i64, second: &i64) -> bool {
            first.abs_diff(*second) <= 1
        }
    }

    fn grouped(digests: &[&str], hashes: &[u64], values: &[i64]) -> Groups {
        group(digests, hashes, &Numbers(values.to_vec()))
    }

    #[test]
    fn equal_images_form_a_group() {
        let groups = grouped(&["a", "b", "a", "a"], &[0, !0, 0, 0], &[1, 50, 1, 1]);
        assert_eq!(groups.group_of, [0, 1, 0, 0]);
        assert_eq!(groups.equal, [vec![0, 2, 3]]);
        assert!(groups.alike.is_empty());
    }

    #[test]
    fn a_near_hash_alone_makes_no_group() {
        let groups = grouped(&["a", "b", "c"], &[0, 0b11, 0], &[1, 2, 90]);
        assert_eq!(groups.group_of, [0, 0, 2]);
        assert_eq!(groups.alike, [vec![0, 1]]);
    }

    #[test]
    fn images_that_cannot_be_read_again_stay_alone() {
        let groups = grouped(&["a", "b"], &[0, 0], &[1, -1]);
        assert_eq!(groups.group_of, [0, 1]);
    }

    #[test]
    fn look_alikes_bring_their_equals_along() {
        let groups = grouped(&["a", "b", "a", "b"], &[7, 7, 7, 7], &[1, 2, 1, 2]);
        assert_eq!(groups.group_of, [0, 0, 0, 0]);
        assert_eq!(groups.equal.len(), 2);
        assert_eq!(groups.alike, [vec![0, 1, 2, 3]]);
    }

    #[test]
    fn hashes_within_eight_bits_are_found_wherever_the_bits_are() {
        let hash = 0x0123_4567_89ab_cdef_u64;
        for bits in [
            [0, 1, 2, 3, 4, 5, 6, 7],
            [0, 7, 14, 21, 28, 35, 42, 49],
            [6, 13, 20, 27, 34, 41, 48, 63],
            [56, 57, 58, 59, 60, 61, 62, 63],
        ] {
            let near = bits.iter().fold(hash, |hash, bit| hash ^ (1 << bit));
            assert_eq!(
                grouped(&["a", "b"], &[hash, near], &[1, 1]).group_of,
                [0, 0],
                "{bits:?}"
            );
            let far = near ^ (1 << 30);
            assert_eq!(
                grouped(&["a", "b"], &[hash, far], &[1, 1]).group_of,
                [0, 1],
                "{bits:?}"
            );
        }
    }

    #[test]
    fn the_index_finds_what_comparing_every_pair_finds() {
        let mut state = 1_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        // Few distinct patterns with some bits flipped: many near pairs.
        let hashes: Vec<u64> = (0..600)
            .map(|_| {
                let pattern = [0, !0, 0x0f0f_0f0f_0f0f_0f0f][next() as usize % 3];
                (0..next() % 7).fold(pattern, |hash: u64, _| hash ^ (1 << (next() % 64)))
            })
            .collect();
        let all: Vec<usize> = (0..hashes.len()).collect();
        let index = HashIndex::new(&all, &hashes);
        let mut found: Vec<(usize, usize)> = (0..all.len())
            .flat_map(|position| {
                let image = index.sorted[position].1;
                let mut partners = index.partners(position);
                assert!(partners.len() < MAX_PARTNERS);
                partners.sort_unstable();
                partners
                    .into_iter()
                    .map(move |other| (image.min(other), image.max(other)))
            })
            .collect();
        found.sort_unstable();
        let expected: Vec<(usize, usize)> = all
            .iter()
            .flat_map(|&a| all[a + 1..].iter().map(move |&b| (a, b)))
            .filter(|&(a, b)| (hashes[a] ^ hashes[b]).count_ones() <= MAX_HASH_DISTANCE)
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_cluster_above_one_per_cent_is_reported_and_not_merged() {
        let names: Vec<String> = (0..2000).map(|i| i.to_string()).collect();
        let digests: Vec<&str> = names.iter().map(String::as_str).collect();
        // The first 300 look the same, the others are far apart; two of those are a pair.
        let hashes: Vec<u64> = (0..2000_u64)
            .map(|i| {
                if i < 300 {
                    0
                } else {
                    i.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                }
            })
            .collect();
        let mut values: Vec<i64> = (0..2000)
            .map(|i| if i < 300 { 5 } else { i * 10 })
            .collect();
        let mut hashes = hashes;
        hashes[1999] = hashes[1998] ^ 1;
        values[1999] = values[1998];
        let groups = grouped(&digests, &hashes, &values);
        assert_eq!(groups.too_large.len(), 1);
        assert_eq!(groups.too_large[0].len(), 300);
        assert_eq!(groups.alike, [vec![1998, 1999]]);
        assert_eq!(groups.group_of[299], 299);
    }

    #[test]
    fn equal_images_stay_together_even_in_a_large_cluster() {
        let digests: Vec<String> = (0..40).map(|i| (i / 2).to_string()).collect();
        let digests: Vec<&str> = digests.iter().map(String::as_str).collect();
        let groups = grouped(&digests, &[0; 40], &[1; 40]);
        assert_eq!(groups.too_large.len(), 1);
        assert_eq!(groups.group_of[3], 2);
        assert_eq!(groups.equal.len(), 20);
    }
}
