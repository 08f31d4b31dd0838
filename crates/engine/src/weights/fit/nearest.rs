//! The built-in architecture that a file's tensors belong to.

use std::collections::BTreeSet;

use ferrotype_core::graph::{Graph, TensorSpec, zoo};

use super::names::Names;
use super::report::{MatchReport, Nearest};
use crate::weights::NamedTensors;

/// A file that covers this share of its network is taken for whole; nothing else is suggested.
const WHOLE_SHARE: f64 = 0.9;

/// The least agreement that is worth naming.
const LEAST_AGREEMENT: f64 = 0.5;

/// The size that the weights of the built-in architectures are published for.
const INPUT: [usize; 3] = [3, 224, 224];

/// The classes that they are published with; heads are left out of the comparison.
const CLASSES: usize = 1000;

/// The built-in architecture that agrees best, unless the graph asked for is covered already.
pub(super) fn find(tensors: &NamedTensors, report: &MatchReport) -> Option<Nearest> {
    if report.share() >= WHOLE_SHARE {
        return None;
    }
    zoo::NAMES
        .iter()
        .filter_map(|name| {
            let graph = zoo::build(name, INPUT, CLASSES, &zoo::ZooOptions::default()).ok()?;
            Some(Nearest {
                name: (*name).to_string(),
                agreement: agreement(tensors, &graph)?,
            })
        })
        .filter(|nearest| nearest.agreement >= LEAST_AGREEMENT)
        .max_by(|one, other| one.agreement.total_cmp(&other.agreement))
}

/// The numbers that both have by the same name and shape, as a share of all that one of them has
/// (the Jaccard index), without the head.
fn agreement(tensors: &NamedTensors, graph: &Graph) -> Option<f64> {
    let specs = graph.tensors().ok()?;
    let names = Names::align(tensors, &specs);
    let head = super::head(graph);
    let (head, body): (Vec<_>, Vec<_>) = specs.iter().partition(|spec| head.contains(&spec.layer));
    let head: BTreeSet<&str> = head.iter().map(|spec| spec.name.as_str()).collect();
    let in_file: u64 = names
        .iter()
        .filter(|(name, info)| info.element.is_float() && !head.contains(name))
        .map(|(_, info)| info.element_count())
        .fold(0, u64::saturating_add);
    let in_graph = count(body.iter().copied());
    let shared = count(body.into_iter().filter(|spec| {
        let info = names.get(&spec.name);
        info.is_some_and(|info| info.shape == spec.shape)
    }));
    Some(shared as f64 / (in_file.saturating_add(in_graph) - shared).max(1) as f64)
}

fn count<'a>(specs: impl Iterator<Item = &'a TensorSpec>) -> u64 {
    specs.map(|spec| spec.element_count() as u64).sum()
}
