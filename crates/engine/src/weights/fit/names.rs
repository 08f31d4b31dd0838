//! Which tensor of a file is which of a graph.

use std::collections::{BTreeMap, BTreeSet};

use ferrotype_core::graph::TensorSpec;

use crate::weights::{NamedTensors, TensorInfo};

/// What wrappers put before every name: `DataParallel`, `torch.compile`, Lightning, and code that
/// keeps the network as a part of another.
const PREFIXES: [&str; 5] = ["module.", "_orig_mod.", "model.", "backbone.", "net."];

/// How many prefixes may stand one behind the other.
const MOST_PREFIXES: usize = 4;

type ByName<'a> = BTreeMap<&'a str, TensorInfo<'a>>;

/// The tensors of a file by the names that a graph has for them.
pub(super) struct Names<'a> {
    by_name: ByName<'a>,
    /// The prefixes that were removed, the outermost first.
    pub(super) removed: Vec<&'static str>,
}

impl<'a> Names<'a> {
    /// Removes prefixes as long as more names match those of `specs`. The prefixes of one file
    /// may hide each other: what is behind two of them is looked at, too.
    pub(super) fn align(tensors: &'a NamedTensors, specs: &[TensorSpec]) -> Self {
        let wanted: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        let plain = Self {
            by_name: tensors.iter().map(|info| (info.name, info)).collect(),
            removed: Vec::new(),
        };
        let mut best_count = plain.count(&wanted);
        let mut best = plain;
        let mut candidates = best.shorter();
        for _ in 0..MOST_PREFIXES {
            let mut next = Vec::new();
            for candidate in candidates {
                next.extend(candidate.shorter());
                let count = candidate.count(&wanted);
                if count > best_count {
                    best_count = count;
                    best = candidate;
                }
            }
            candidates = next;
        }
        best
    }

    /// These names with one more prefix removed, for each prefix that most of them have.
    fn shorter(&self) -> Vec<Self> {
        let has = |prefix: &str| {
            let count = self.by_name.keys().filter(|name| name.starts_with(prefix));
            count.count() * 2 > self.by_name.len()
        };
        PREFIXES
            .into_iter()
            .filter(|prefix| has(prefix))
            .map(|prefix| Self {
                by_name: without(prefix, &self.by_name),
                removed: self.removed.iter().copied().chain([prefix]).collect(),
            })
            .collect()
    }

    fn count(&self, wanted: &BTreeSet<&str>) -> usize {
        let names = self.by_name.keys();
        names.filter(|name| wanted.contains(*name)).count()
    }

    /// The file's tensor for this name of the graph.
    pub(super) fn get(&self, name: &str) -> Option<TensorInfo<'a>> {
        self.by_name.get(name).copied()
    }

    /// All tensors, with the names they have for the graph.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, TensorInfo<'a>)> {
        self.by_name.iter().map(|(name, info)| (*name, *info))
    }
}

/// The names without a prefix; one that is there without it already is left as it is.
fn without<'a>(prefix: &str, names: &ByName<'a>) -> ByName<'a> {
    let shorten = |name: &'a str| match name.strip_prefix(prefix) {
        Some(rest) if !names.contains_key(rest) => rest,
        _ => name,
    };
    names
        .iter()
        .map(|(name, info)| (shorten(name), *info))
        .collect()
}
