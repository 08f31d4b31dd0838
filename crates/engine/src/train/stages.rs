//! Which layers are fitted, and how fast: stages, freezing, thawing, layer-wise learning rates.

use ferrotype_core::config::schema::{Freeze, TrainConfig};
use ferrotype_core::graph::{Graph, Op, TensorSpec};
use ferrotype_core::name::nearest;

use crate::error::{EngineError, EngineErrorKind};
use crate::executor::Fit;

/// How every tensor of a graph is fitted in every epoch.
#[derive(Debug, Clone)]
pub(super) struct Fits {
    tensors: Vec<TensorFit>,
    /// Frozen stages, from the head downwards: the order in which they thaw.
    thawing: Vec<usize>,
    every_epochs: Option<u32>,
    steps_in_epoch: u64,
}

#[derive(Debug, Clone, Copy)]
struct TensorFit {
    stage: usize,
    is_trained: bool,
    is_frozen: bool,
    rate: f64,
}

impl Fits {
    /// What `config` means for `graph`.
    ///
    /// # Errors
    /// A pattern matches no layer, or every layer is frozen.
    pub(super) fn new(
        graph: &Graph,
        config: &TrainConfig,
        steps_in_epoch: u64,
    ) -> Result<Self, EngineError> {
        let specs = graph.tensors()?;
        let stages = stages_of(graph, &specs);
        let count = stages.iter().max().map_or(0, |last| last + 1);
        let freeze = match (&config.freeze, config.unfreeze_every_epochs) {
            (None, Some(_)) => Some(Freeze::Stages(
                u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX),
            )),
            (freeze, _) => freeze.clone(),
        };
        let frozen = frozen_layers(graph, &specs, &stages, freeze.as_ref())?;
        let decay = config.layer_decay.unwrap_or(1.0);
        let tensors: Vec<TensorFit> = specs
            .iter()
            .zip(&stages)
            .map(|(spec, stage)| TensorFit {
                stage: *stage,
                is_trained: spec.role.is_trained(),
                is_frozen: frozen[spec.layer],
                rate: decay.powi(i32::try_from(count - 1 - stage).unwrap_or(i32::MAX)),
            })
            .collect();
        if tensors.iter().all(|tensor| tensor.is_frozen) {
            return Err(EngineError::new(
                EngineErrorKind::Config,
                format!("`train.freeze` leaves nothing to train: the network has {count} stages"),
            )
            .with_hint(format!(
                "freeze {} stages at most, so that the head learns",
                count.saturating_sub(1)
            )));
        }
        let thawing = (0..count)
            .rev()
            .filter(|stage| tensors.iter().any(|t| t.stage == *stage && t.is_frozen))
            .collect();
        Ok(Self {
            tensors,
            thawing,
            every_epochs: config.unfreeze_every_epochs,
            steps_in_epoch,
        })
    }

    /// How each tensor is fitted in epoch `epoch`, counted from 0.
    pub(super) fn in_epoch(&self, epoch: u32) -> Vec<Option<Fit>> {
        let fit = |tensor: &TensorFit| {
            let thaws = if tensor.is_frozen {
                self.thaws_in(tensor.stage)?
            } else {
                0
            };
            (tensor.is_trained && epoch >= thaws).then(|| Fit {
                rate: tensor.rate,
                since: u64::from(thaws) * self.steps_in_epoch,
            })
        };
        self.tensors.iter().map(fit).collect()
    }

    /// The epoch in which a frozen stage thaws; none for never.
    fn thaws_in(&self, stage: usize) -> Option<u32> {
        let place = self.thawing.iter().position(|frozen| *frozen == stage)?;
        let place = u32::try_from(place + 1).ok()?;
        self.every_epochs.map(|every| every.saturating_mul(place))
    }
}

/// The stage of each tensor, counted from the image.
///
/// Layers whose names begin alike up to the first part with a digit (`layer1`, `features.3`,
/// `blocks.0`, `conv1`) are one stage. Only a convolution or a linear layer begins a new one:
/// a normalisation, a class token or a position belongs to the stage above it.
fn stages_of(graph: &Graph, specs: &[TensorSpec]) -> Vec<usize> {
    let mut names: Vec<&str> = Vec::new();
    let mut stages = Vec::with_capacity(specs.len());
    for spec in specs {
        let layer = &graph.layers[spec.layer];
        let name = stage_name(&layer.name);
        let begins = matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. });
        let known = names.iter().position(|known| *known == name);
        let stage = match known {
            Some(stage) => stage,
            None if begins || names.is_empty() => {
                names.push(name);
                names.len() - 1
            }
            None => names.len() - 1,
        };
        stages.push(stage);
    }
    stages
}

/// A layer's name up to the first part that has a digit: the whole name when none has.
fn stage_name(name: &str) -> &str {
    let mut end = 0;
    for part in name.split('.') {
        end += part.len();
        if part.contains(|c: char| c.is_ascii_digit()) {
            return &name[..end];
        }
        end += 1;
    }
    name
}

/// Whether each layer is frozen.
fn frozen_layers(
    graph: &Graph,
    specs: &[TensorSpec],
    stages: &[usize],
    freeze: Option<&Freeze>,
) -> Result<Vec<bool>, EngineError> {
    let mut frozen = vec![false; graph.layers.len()];
    match freeze {
        None => {}
        Some(Freeze::Stages(count)) => {
            for (spec, stage) in specs.iter().zip(stages) {
                frozen[spec.layer] = *stage < *count as usize;
            }
        }
        Some(Freeze::Layers(patterns)) => {
            for pattern in patterns {
                freeze_matching(graph, specs, pattern, &mut frozen)?;
            }
        }
    }
    Ok(frozen)
}

fn freeze_matching(
    graph: &Graph,
    specs: &[TensorSpec],
    pattern: &str,
    frozen: &mut [bool],
) -> Result<(), EngineError> {
    let mut found = false;
    for spec in specs {
        if is_named(pattern, &graph.layers[spec.layer].name) {
            frozen[spec.layer] = true;
            found = true;
        }
    }
    if found {
        return Ok(());
    }
    let names = || {
        specs
            .iter()
            .map(|spec| graph.layers[spec.layer].name.as_str())
    };
    let stages = names().map(stage_name);
    let error = EngineError::new(
        EngineErrorKind::Config,
        format!("`train.freeze` names `{pattern}`, but no layer with weights is called so"),
    );
    Err(match nearest(pattern, names().chain(stages)) {
        Some(nearest) => error.with_hint(format!("did you mean `{nearest}`?")),
        None => error.with_hint(format!(
            "`ferrotype summary` lists the layers of `{}`",
            graph.name
        )),
    })
}

/// Whether a pattern is a layer's name, or that of something it is part of.
fn is_named(pattern: &str, name: &str) -> bool {
    let ends = name.match_indices('.').map(|(end, _)| end);
    ends.chain([name.len()])
        .any(|end| matches(pattern.as_bytes(), &name.as_bytes()[..end]))
}

/// Whether a text is as a pattern says, in which `*` stands for any characters.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let Some(star) = pattern.iter().position(|byte| *byte == b'*') else {
        return pattern == text;
    };
    let (before, after) = (&pattern[..star], &pattern[star + 1..]);
    text.starts_with(before)
        && (before.len()..=text.len()).any(|start| matches(after, &text[start..]))
}

#[cfg(test)]
mod tests;
