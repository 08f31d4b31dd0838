//! What matched and what did not.

use ferrotype_core::graph::TensorSpec;
use serde::Serialize;

use super::names::Names;
use super::{Found, Matches};

/// Ends the names of counters that PyTorch's batch norm keeps and nothing here needs.
const COUNTER: &str = "num_batches_tracked";

/// What matched between a file of weights and a graph, and what did not.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MatchReport {
    /// Tensors taken from the file.
    pub tensors: usize,
    /// Numbers in them that training fits (running statistics are not counted).
    pub parameters: u64,
    /// Tensors of the graph, without those of a head that begins anew.
    pub expected_tensors: usize,
    /// Numbers in them that training fits.
    pub expected_parameters: u64,
    /// Prefixes removed from the names in the file, the outermost first.
    pub removed_prefixes: Vec<String>,
    /// Tensors taken although their shape differs by dimensions of size 1.
    pub reshaped: Vec<ShapeChange>,
    /// Position embeddings that were resampled to another number of tokens.
    pub resampled: Vec<ShapeChange>,
    /// Tensors of the head that keep their initial values, because the classes are others.
    pub new_head: Vec<ShapeChange>,
    /// Tensors of the graph that the file does not have; they keep their initial values.
    pub missing: Vec<String>,
    /// Tensors of the file that the graph does not have.
    pub unexpected: Vec<String>,
    /// Tensors whose shapes do not fit; they keep their initial values.
    pub wrong_shape: Vec<ShapeChange>,
    /// A built-in architecture that the file agrees with, when it is not the graph's.
    pub nearest: Option<Nearest>,
}

/// The shapes of a tensor in the file and in the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShapeChange {
    /// Its name in the graph.
    pub name: String,
    /// Its shape in the file; none when the file does not have it.
    pub in_file: Option<Vec<usize>>,
    /// Its shape in the graph.
    pub in_graph: Vec<usize>,
}

/// A built-in architecture and how well a file agrees with it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Nearest {
    /// Its name.
    pub name: String,
    /// Parameters that both have, as a share of all that one of them has.
    pub agreement: f64,
}

impl MatchReport {
    pub(super) fn new(specs: &[TensorSpec], names: &Names<'_>, matches: &Matches<'_>) -> Self {
        let mut report = Self {
            removed_prefixes: names.removed.iter().map(ToString::to_string).collect(),
            ..Self::default()
        };
        for (spec, found) in specs.iter().zip(&matches.0) {
            report.add(spec, found);
        }
        let is_known = |name: &str| specs.iter().any(|spec| spec.name == name);
        report.unexpected = names
            .iter()
            .filter(|(name, _)| !is_known(name) && !name.ends_with(COUNTER))
            .map(|(_, info)| info.name.to_string())
            .collect();
        report
    }

    fn add(&mut self, spec: &TensorSpec, found: &Found<'_>) {
        let change = |in_file: Option<&[usize]>| ShapeChange {
            name: spec.name.clone(),
            in_file: in_file.map(<[usize]>::to_vec),
            in_graph: spec.shape.clone(),
        };
        match found {
            Found::Same(_) => {}
            Found::Reshaped(_, shape) => self.reshaped.push(change(Some(shape))),
            Found::Resampled(_, shape, _) => self.resampled.push(change(Some(shape))),
            Found::WrongShape(shape) => self.wrong_shape.push(change(Some(shape))),
            Found::Missing => self.missing.push(spec.name.clone()),
            Found::Head(shape) => return self.new_head.push(change(*shape)),
        }
        let parameters = match spec.role.is_trained() {
            true => spec.element_count() as u64,
            false => 0,
        };
        self.expected_tensors += 1;
        self.expected_parameters += parameters;
        if found.is_taken() {
            self.tensors += 1;
            self.parameters += parameters;
        }
    }

    /// How much of the graph's parameters the file has, 0 to 1; a head that begins anew is not
    /// counted.
    pub fn share(&self) -> f64 {
        self.parameters as f64 / self.expected_parameters.max(1) as f64
    }

    /// What did not match simply, a line each, with a few names of long lists.
    pub fn summary(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.describe_prefixes().into_iter().collect();
        if let Some(head) = self.new_head.first() {
            lines.push(describe_head(head));
        }
        for change in &self.resampled {
            lines.push(format!("{}, resampled", change.describe()));
        }
        let shapes = [
            ("reshaped", &self.reshaped),
            ("of another shape, not taken", &self.wrong_shape),
        ];
        for (what, changes) in shapes {
            if let Some(first) = changes.first() {
                let more = more(changes.len() - 1);
                lines.push(format!("{what}: {}{more}", first.describe()));
            }
        }
        let lists = [
            ("not in the file, begin anew", &self.missing),
            ("only in the file", &self.unexpected),
        ];
        for (what, names) in lists {
            if !names.is_empty() {
                lines.push(format!("{what}: {}", examples(names)));
            }
        }
        if let Some(nearest) = &self.nearest {
            lines.push(format!(
                "the file agrees better with the architecture `{}`",
                nearest.name
            ));
        }
        lines
    }

    fn describe_prefixes(&self) -> Option<String> {
        let prefixes = self.removed_prefixes.concat();
        (!prefixes.is_empty()).then(|| format!("the prefix `{prefixes}` of its names was left out"))
    }

    /// Every tensor that was not simply taken, a line each.
    pub fn details(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.describe_prefixes().into_iter().collect();
        let shapes = [
            ("reshaped", &self.reshaped),
            ("resampled", &self.resampled),
            ("new head", &self.new_head),
            ("wrong shape", &self.wrong_shape),
        ];
        for (what, changes) in shapes {
            let changes = changes.iter().map(ShapeChange::describe);
            lines.extend(changes.map(|change| format!("{what}: {change}")));
        }
        for (what, names) in [("missing", &self.missing), ("unexpected", &self.unexpected)] {
            lines.extend(names.iter().map(|name| format!("{what}: `{name}`")));
        }
        lines
    }
}

impl ShapeChange {
    /// Both shapes in words.
    pub fn describe(&self) -> String {
        match &self.in_file {
            Some(in_file) => format!(
                "`{}` is {in_file:?} in the file, {:?} here",
                self.name, self.in_graph
            ),
            None => format!(
                "`{}` is not in the file, {:?} here",
                self.name, self.in_graph
            ),
        }
    }
}

fn describe_head(head: &ShapeChange) -> String {
    let layer = head
        .name
        .rsplit_once('.')
        .map_or(head.name.as_str(), |(layer, _)| layer);
    let classes = head.in_graph.first().copied().unwrap_or_default();
    match head.in_file.as_deref() {
        Some(&[in_file, ..]) if in_file != classes => {
            format!(
                "the head `{layer}` has {in_file} outputs in the file, {classes} here: it begins anew"
            )
        }
        _ => format!("the head `{layer}` begins anew"),
    }
}

/// A few of many names.
pub(super) fn examples(names: &[String]) -> String {
    /// How many are named.
    const NAMED: usize = 3;
    if names.is_empty() {
        return "none besides".to_string();
    }
    let named: Vec<_> = names.iter().take(NAMED).map(|n| format!("`{n}`")).collect();
    format!(
        "{}{}",
        named.join(", "),
        more(names.len().saturating_sub(NAMED))
    )
}

fn more(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!(" and {count} more"),
    }
}
