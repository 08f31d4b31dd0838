//! The update rules, each in one pass over the parameters, their moments and their averages.

use ferrotype_core::config::schema::OptimizerConfig;
use ferrotype_core::graph::TensorSpec;
use rayon::prelude::*;

use crate::error::{EngineError, EngineErrorKind};
use crate::executor::Fit;
use crate::state::{OPTIMIZER_PREFIX, State};

/// Elements that one thread takes at a time. Fixed, so that sums over chunks have the same
/// order on any number of threads.
const CHUNK: usize = 16 * 1024;

/// Fits weights by their gradients, with the moments that the rule needs.
#[derive(Debug, Clone)]
pub(crate) struct Optimizer {
    config: OptimizerConfig,
    slots: Vec<Slot>,
}

/// What the optimiser keeps for one tensor.
#[derive(Debug, Clone)]
struct Slot {
    /// Position among the graph's tensors.
    tensor: usize,
    name: String,
    shape: Vec<usize>,
    decays: bool,
    fit: Fit,
    /// First moment (AdamW) or momentum buffer (SGD).
    first: Vec<f32>,
    /// Second moment (AdamW); empty otherwise.
    second: Vec<f32>,
}

/// The numbers of one update.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    /// The update's number, counted from 0.
    pub(crate) step: u64,
    /// Learning rate.
    pub(crate) learning_rate: f64,
    /// Momentum (`beta1` of AdamW) in place of the configuration's.
    pub(crate) momentum: Option<f64>,
    /// Factor of the gradients: below one when they are clipped.
    pub(crate) gradient_scale: f64,
    /// Share of the old value in the weights' moving average, where there is one.
    pub(crate) average_decay: f64,
}

impl Optimizer {
    /// An optimiser for the trained tensors of `specs`, with moments of zero.
    pub(crate) fn new(config: &OptimizerConfig, specs: &[TensorSpec]) -> Self {
        let mut optimizer = Self {
            config: config.clone(),
            slots: Vec::new(),
        };
        let fits: Vec<_> = specs
            .iter()
            .map(|spec| spec.role.is_trained().then_some(Fit::PLAIN))
            .collect();
        optimizer.set_fits(specs, &fits);
        optimizer
    }

    /// Takes on other tensors of `specs`, or other rates. Moments of those that are fitted as
    /// before stay.
    pub(crate) fn set_fits(&mut self, specs: &[TensorSpec], fits: &[Option<Fit>]) {
        let mut before = std::mem::take(&mut self.slots).into_iter().peekable();
        for (tensor, (spec, fit)) in specs.iter().zip(fits).enumerate() {
            let kept = before.next_if(|slot| slot.tensor == tensor);
            let Some(fit) = *fit else { continue };
            let mut slot = kept.unwrap_or_else(|| Slot::new(&self.config, tensor, spec));
            slot.fit = fit;
            self.slots.push(slot);
        }
    }

    /// Changes the fitted tensors among the graph's `values` by their `gradients`, and moves their
    /// `averages` towards them; all three are in the same order. An average may be empty.
    pub(crate) fn update(
        &mut self,
        values: &mut [Vec<f32>],
        averages: &mut [Vec<f32>],
        gradients: &[Vec<f32>],
        update: &Update,
    ) {
        let mut pieces = Vec::new();
        let mut slots = self.slots.iter_mut().peekable();
        let buffers = values.iter_mut().zip(averages).zip(gradients);
        for (tensor, ((weights, average), gradient)) in buffers.enumerate() {
            let Some(slot) = slots.next_if(|slot| slot.tensor == tensor) else {
                continue;
            };
            let rule = Rule::new(&self.config, slot, update);
            let mut first = slot.first.chunks_mut(CHUNK);
            let mut second = slot.second.chunks_mut(CHUNK);
            let mut average = average.chunks_mut(CHUNK);
            let chunks = weights.chunks_mut(CHUNK).zip(gradient.chunks(CHUNK));
            pieces.extend(chunks.map(|(weights, gradient)| Piece {
                rule,
                weights,
                gradient,
                first: first.next().unwrap_or_default(),
                second: second.next().unwrap_or_default(),
                average: average.next().unwrap_or_default(),
            }));
        }
        let average_decay = update.average_decay as f32;
        pieces
            .into_par_iter()
            .for_each(|piece| piece.update(average_decay));
    }

    /// Bytes that an update reads and writes, the gradients' norm included: weights and moments
    /// both ways, gradients twice.
    pub(crate) fn update_bytes(&self) -> u64 {
        let numbers = self.slots.iter().map(|slot| {
            let weights: usize = slot.shape.iter().product();
            2 * (2 * weights + slot.first.len() + slot.second.len())
        });
        (numbers.sum::<usize>() * size_of::<f32>()) as u64
    }

    /// Adds the moments to `state` by name.
    pub(crate) fn write_to(&self, state: &mut State) {
        for slot in &self.slots {
            for (suffix, moment) in slot.moments() {
                if !moment.is_empty() {
                    state.insert(slot.key(suffix), slot.shape.clone(), moment.clone());
                }
            }
        }
    }

    /// Takes the moments from `state`; those it lacks start at zero.
    ///
    /// # Errors
    /// A moment has another shape; the error names it.
    pub(crate) fn read_from(&mut self, state: &State) -> Result<(), EngineError> {
        for slot in &mut self.slots {
            for suffix in ["m", "v"] {
                let key = slot.key(suffix);
                let moment = slot.moment_mut(suffix);
                match state.get(&key) {
                    None => moment.fill(0.0),
                    Some(tensor) if tensor.values.len() == moment.len() => {
                        moment.clone_from(&tensor.values);
                    }
                    // The run used another rule; its moments mean nothing here.
                    Some(_) if moment.is_empty() => {}
                    Some(tensor) => {
                        return Err(EngineError::new(
                            EngineErrorKind::OtherCheckpoint,
                            format!(
                                "tensor `{key}` has the shape {:?}, expected {:?}",
                                tensor.shape, slot.shape
                            ),
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Slot {
    fn new(config: &OptimizerConfig, tensor: usize, spec: &TensorSpec) -> Self {
        let count = spec.element_count();
        let (first, second) = match config {
            OptimizerConfig::AdamW { .. } => (count, count),
            OptimizerConfig::Sgd { momentum, .. } if *momentum > 0.0 => (count, 0),
            OptimizerConfig::Sgd { .. } => (0, 0),
        };
        Self {
            tensor,
            name: spec.name.clone(),
            shape: spec.shape.clone(),
            decays: spec.role.decays(),
            fit: Fit::PLAIN,
            first: vec![0.0; first],
            second: vec![0.0; second],
        }
    }

    fn key(&self, suffix: &str) -> String {
        format!("{OPTIMIZER_PREFIX}{}.{suffix}", self.name)
    }

    fn moments(&self) -> [(&'static str, &Vec<f32>); 2] {
        [("m", &self.first), ("v", &self.second)]
    }

    fn moment_mut(&mut self, suffix: &str) -> &mut Vec<f32> {
        if suffix == "m" {
            &mut self.first
        } else {
            &mut self.second
        }
    }
}

/// A chunk of one tensor with all that belongs to it. Moments and average may be empty.
struct Piece<'a> {
    rule: Rule,
    weights: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    average: &'a mut [f32],
}

impl Piece<'_> {
    fn update(self, average_decay: f32) {
        match &self.rule {
            Rule::AdamW(rule) => rule.apply(self.weights, self.gradient, self.first, self.second),
            Rule::Sgd(rule) if self.first.is_empty() => {
                rule.apply_plain(self.weights, self.gradient);
            }
            Rule::Sgd(rule) => rule.apply(self.weights, self.gradient, self.first),
        }
        // The chunk of weights is still in the first-level cache.
        blend(self.average, self.weights, average_decay);
    }
}

/// `average ← decay · average + (1 − decay) · values`
pub(crate) fn blend(average: &mut [f32], values: &[f32], decay: f32) {
    for (average, value) in average.iter_mut().zip(values) {
        *average = decay * *average + (1.0 - decay) * value;
    }
}

/// The numbers of an update rule for one tensor.
#[derive(Debug, Clone, Copy)]
enum Rule {
    AdamW(AdamW),
    Sgd(Sgd),
}

impl Rule {
    fn new(config: &OptimizerConfig, slot: &Slot, update: &Update) -> Self {
        let learning_rate = update.learning_rate * slot.fit.rate;
        let decay_of = |weight_decay: f64| if slot.decays { weight_decay } else { 0.0 };
        match config {
            OptimizerConfig::AdamW {
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } => {
                let beta1 = update.momentum.unwrap_or(*beta1);
                let count = (update.step.saturating_sub(slot.fit.since) + 1) as f64;
                let [correction1, correction2] = [beta1, *beta2].map(|beta| 1.0 - beta.powf(count));
                Self::AdamW(AdamW {
                    gradient_scale: update.gradient_scale as f32,
                    keep: (1.0 - learning_rate * decay_of(*weight_decay)) as f32,
                    beta1: beta1 as f32,
                    beta2: *beta2 as f32,
                    step_size: (learning_rate / correction1) as f32,
                    root_correction2: correction2.sqrt() as f32,
                    epsilon: *epsilon as f32,
                })
            }
            OptimizerConfig::Sgd {
                momentum,
                weight_decay,
                nesterov,
            } => Self::Sgd(Sgd {
                learning_rate: learning_rate as f32,
                gradient_scale: update.gradient_scale as f32,
                momentum: update.momentum.unwrap_or(*momentum) as f32,
                weight_decay: decay_of(*weight_decay) as f32,
                nesterov: *nesterov,
            }),
        }
    }
}

/// AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) in PyTorch's form:
/// `p ← p·(1 − lr·wd)`, then `p ← p − lr/c₁ · m / (√v/√c₂ + ε)` with `cᵢ = 1 − βᵢᵗ`.
#[derive(Debug, Clone, Copy)]
struct AdamW {
    gradient_scale: f32,
    keep: f32,
    beta1: f32,
    beta2: f32,
    step_size: f32,
    root_correction2: f32,
    epsilon: f32,
}

impl AdamW {
    fn apply(&self, weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let moments = first.iter_mut().zip(second);
        for ((weight, gradient), (first, second)) in weights.iter_mut().zip(gradient).zip(moments) {
            let gradient = gradient * self.gradient_scale;
            *first = self.beta1 * *first + (1.0 - self.beta1) * gradient;
            *second = self.beta2 * *second + (1.0 - self.beta2) * gradient * gradient;
            let denominator = second.sqrt() / self.root_correction2 + self.epsilon;
            *weight = *weight * self.keep - self.step_size * *first / denominator;
        }
    }
}

/// Stochastic gradient descent as PyTorch's `SGD`, dampening zero.
#[derive(Debug, Clone, Copy)]
struct Sgd {
    learning_rate: f32,
    gradient_scale: f32,
    momentum: f32,
    weight_decay: f32,
    nesterov: bool,
}

impl Sgd {
    fn apply(&self, weights: &mut [f32], gradient: &[f32], buffer: &mut [f32]) {
        for ((weight, gradient), buffer) in weights.iter_mut().zip(gradient).zip(buffer) {
            let gradient = gradient * self.gradient_scale + self.weight_decay * *weight;
            *buffer = self.momentum * *buffer + gradient;
            let direction = if self.nesterov {
                gradient + self.momentum * *buffer
            } else {
                *buffer
            };
            *weight -= self.learning_rate * direction;
        }
    }

    fn apply_plain(&self, weights: &mut [f32], gradient: &[f32]) {
        for (weight, gradient) in weights.iter_mut().zip(gradient) {
            let gradient = gradient * self.gradient_scale + self.weight_decay * *weight;
            *weight -= self.learning_rate * gradient;
        }
    }
}

/// The L2 norm over all gradients. Summed in chunks of fixed size and in their order, so that
/// the result is the same on any number of threads.
pub(crate) fn global_norm(gradients: &[Vec<f32>]) -> f64 {
    let squares: f64 = gradients
        .iter()
        .map(|gradient| {
            let partial: Vec<f64> = gradient
                .par_chunks(CHUNK)
                .map(|chunk| chunk.iter().map(|g| f64::from(*g) * f64::from(*g)).sum())
                .collect();
            partial.iter().sum::<f64>()
        })
        .sum();
    squares.sqrt()
}

/// The factor that brings gradients of norm `norm` down to `clip`, as PyTorch's
/// `clip_grad_norm_` has it.
pub(crate) fn clip_scale(norm: f64, clip: Option<f64>) -> f64 {
    clip.map_or(1.0, |clip| (clip / (norm + 1e-6)).min(1.0))
}
