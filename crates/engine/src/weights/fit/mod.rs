//! Brings named tensors to a graph.

mod names;
mod nearest;
mod position;
mod report;

use std::ops::Range;

use ferrotype_core::graph::{Graph, Op, TensorRole, TensorSpec};

pub use report::{MatchReport, Nearest, ShapeChange};

use self::names::Names;
use self::position::Grid;
use super::NamedTensors;
use super::error::damaged;
use crate::error::{EngineError, EngineErrorKind};
use crate::state::State;

/// Less of the network than this, and the file is of another one.
const LEAST_SHARE: f64 = 0.5;

/// The state of a graph with weights from elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The tensors of the graph that the file has, in the graph's shapes; a run draws the others
    /// from its seed.
    pub state: State,
    /// What matched and what did not.
    pub report: MatchReport,
}

/// Brings tensors to `graph` by name.
///
/// A prefix that wrappers of PyTorch put before all names (`module.`, `_orig_mod.`, `model.`,
/// `backbone.`) is removed when more names match without it. A shape that differs only by
/// dimensions of size 1 is taken. Position embeddings of another number of tokens are resampled as
/// timm's `resample_abs_pos_embed` does it. A layer behind the embedding (the head) that does not
/// fit is left out, to begin anew. All else that does not match is listed in the report.
///
/// # Errors
/// The graph does not pass its checks, less than half of its parameters match (the hint names the
/// built-in architecture that the tensors belong to, if there is one), a tensor cannot be read,
/// or it has values that are not finite.
pub fn fit(graph: &Graph, tensors: &NamedTensors) -> Result<Fitted, EngineError> {
    let specs = graph.tensors()?;
    let names = Names::align(tensors, &specs);
    let matches = Matches::of(graph, &specs, &names)?;
    let mut report = MatchReport::new(&specs, &names, &matches);
    report.nearest = nearest::find(tensors, &report);
    if report.share() < LEAST_SHARE {
        return Err(too_little(graph, &report));
    }
    let mut state = State::default();
    for (spec, found) in specs.iter().zip(matches.0) {
        if let Some(values) = found.load(spec, tensors)? {
            state.insert(&spec.name, spec.shape.clone(), values);
        }
    }
    Ok(Fitted { state, report })
}

/// What a file has for each tensor of a graph.
struct Matches<'a>(Vec<Found<'a>>);

/// What a file has for a tensor of the graph.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Found<'a> {
    /// Nothing.
    Missing,
    /// This one, of the same shape.
    Same(&'a str),
    /// This one, of a shape that differs by dimensions of size 1.
    Reshaped(&'a str, &'a [usize]),
    /// Position embeddings for another number of tokens, from one grid to another.
    Resampled(&'a str, &'a [usize], [Grid; 2]),
    /// One whose shape does not fit.
    WrongShape(&'a [usize]),
    /// The layer belongs to other classes, of which there is this, and begins anew.
    Head(Option<&'a [usize]>),
}

impl<'a> Matches<'a> {
    fn of(graph: &Graph, specs: &[TensorSpec], names: &Names<'a>) -> Result<Self, EngineError> {
        let grid = grid(graph)?;
        let head = head(graph);
        let mut matches = Vec::with_capacity(specs.len());
        for layer in specs.chunk_by(|one, other| one.layer == other.layer) {
            let found = layer.iter().map(|spec| Found::of(spec, names, grid));
            let mut found: Vec<_> = found.collect();
            let is_head = layer.iter().all(|spec| head.contains(&spec.layer));
            // A bias without its weight would be of no use.
            if is_head && !found.iter().all(Found::is_taken) {
                for (spec, found) in layer.iter().zip(&mut found) {
                    *found = Found::Head(names.get(&spec.name).map(|info| info.shape));
                }
            }
            matches.extend(found);
        }
        Ok(Self(matches))
    }
}

impl<'a> Found<'a> {
    fn of(spec: &TensorSpec, names: &Names<'a>, grid: Option<Grid>) -> Self {
        let Some(info) = names.get(&spec.name) else {
            return Self::Missing;
        };
        if info.shape == spec.shape {
            return Self::Same(info.name);
        }
        if without_ones(info.shape).eq(without_ones(&spec.shape)) {
            return Self::Reshaped(info.name, info.shape);
        }
        match grid.and_then(|to| Some([embedded_grid(spec, info.shape, to)?, to])) {
            Some(grids) => Self::Resampled(info.name, info.shape, grids),
            None => Self::WrongShape(info.shape),
        }
    }

    fn is_taken(&self) -> bool {
        matches!(
            self,
            Self::Same(_) | Self::Reshaped(..) | Self::Resampled(..)
        )
    }

    /// The numbers in the shape of the graph; none where the file has none that fit.
    fn load(
        self,
        spec: &TensorSpec,
        tensors: &NamedTensors,
    ) -> Result<Option<Vec<f32>>, EngineError> {
        match self {
            Self::Missing | Self::WrongShape(_) | Self::Head(_) => Ok(None),
            Self::Same(name) | Self::Reshaped(name, _) => finite(name, tensors).map(Some),
            Self::Resampled(name, _, [from, to]) => {
                let channels = spec.shape.last().copied().unwrap_or_default();
                let values = finite(name, tensors)?;
                Ok(Some(position::resample(&values, channels, from, to)))
            }
        }
    }
}

fn without_ones(shape: &[usize]) -> impl Iterator<Item = &usize> {
    shape.iter().filter(|size| **size != 1)
}

/// The numbers of a tensor, of which none may be infinite or not a number: a training that begins
/// with them ends at the first step.
fn finite(name: &str, tensors: &NamedTensors) -> Result<Vec<f32>, EngineError> {
    let values = tensors.load(name)?.values;
    if values.iter().all(|value| value.is_finite()) {
        return Ok(values);
    }
    Err(damaged(format!(
        "the tensor `{name}` has values that are not finite"
    )))
}

/// The layers behind the embedding, which belong to the classes; none without an embedding.
fn head(graph: &Graph) -> Range<usize> {
    let end = graph.layers.len();
    let embedding = graph
        .embedding_layer()
        .and_then(|name| graph.layers.iter().position(|layer| layer.name == name));
    embedding.map_or(end, |position| position + 1)..end
}

/// The grid of tokens in a graph with a class token.
fn grid(graph: &Graph) -> Result<Option<Grid>, EngineError> {
    let is_class_token = |op: &Op| matches!(op, Op::ClassToken {});
    let Some(position) = graph
        .layers
        .iter()
        .position(|layer| is_class_token(&layer.op))
    else {
        return Ok(None);
    };
    let infos = graph.shapes()?;
    let read = graph.inputs_of(position).first().copied();
    let input = infos.iter().find(|info| Some(info.name.as_str()) == read);
    Ok(match input.map(|info| info.output_shape.as_slice()) {
        Some(&[_, height, width]) => Some(Grid {
            height,
            width,
            prefix_tokens: 1,
        }),
        _ => None,
    })
}

/// The grid of embeddings in a file, if they can be resampled to those of `spec`.
fn embedded_grid(spec: &TensorSpec, shape: &[usize], to: Grid) -> Option<Grid> {
    let (&[1, tokens, channels], &[1, _, expected]) = (shape, spec.shape.as_slice()) else {
        return None;
    };
    let fits = spec.role == TensorRole::PositionEmbedding && channels == expected;
    fits.then(|| Grid::square(tokens, to.prefix_tokens))
        .flatten()
}

fn too_little(graph: &Graph, report: &MatchReport) -> EngineError {
    let error = EngineError::new(
        EngineErrorKind::OtherWeights,
        format!(
            "the weights are of another network: they have {:.1} % of the parameters of `{}`",
            100.0 * report.share(),
            graph.name
        ),
    );
    match &report.nearest {
        Some(nearest) => error.with_hint(format!(
            "the tensors are those of `{}`: train with `model={}`",
            nearest.name, nearest.name
        )),
        None => error.with_hint(format!(
            "`{}` has tensors such as {}, the file has {}",
            graph.name,
            report::examples(&report.missing),
            report::examples(&report.unexpected),
        )),
    }
}

#[cfg(test)]
mod tests;
