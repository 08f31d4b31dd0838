//! The update rules, each in one pass over the parameters.

use ferrotype_core::config::schema::OptimizerConfig;
use ferrotype_core::graph::TensorSpec;
use rayon::prelude::*;

use crate::error::{EngineError, EngineErrorKind};
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
    /// First moment (AdamW) or momentum buffer (SGD).
    first: Vec<f32>,
    /// Second moment (AdamW); empty otherwise.
    second: Vec<f32>,
}

/// The numbers of one update.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    /// The step's number, counted from 0.
    pub(crate) step: u64,
    /// Learning rate.
    pub(crate) learning_rate: f64,
    /// Factor of the gradients: below one when they are clipped.
    pub(crate) gradient_scale: f64,
}

impl Optimizer {
    /// An optimiser for the trained tensors of `specs`, with moments of zero.
    pub(crate) fn new(config: &OptimizerConfig, specs: &[TensorSpec]) -> Self {
        let slots = specs
            .iter()
            .enumerate()
            .filter(|(_, spec)| spec.role.is_trained())
            .map(|(tensor, spec)| Slot::new(config, tensor, spec))
            .collect();
        Self {
            config: config.clone(),
            slots,
        }
    }

    /// Changes the trained tensors among the graph's `values` by their `gradients`, which are in
    /// the same order.
    pub(crate) fn update(
        &mut self,
        values: &mut [Vec<f32>],
        gradients: &[Vec<f32>],
        update: &Update,
    ) {
        for slot in &mut self.slots {
            let (weights, gradient) = (&mut values[slot.tensor], &gradients[slot.tensor]);
            match &self.config {
                OptimizerConfig::AdamW {
                    beta1,
                    beta2,
                    epsilon,
                    weight_decay,
                } => {
                    let decay = if slot.decays { *weight_decay } else { 0.0 };
                    let rule = AdamW::new([*beta1, *beta2], *epsilon, decay, update);
                    slot.apply_adamw(&rule, weights, gradient);
                }
                OptimizerConfig::Sgd {
                    momentum,
                    weight_decay,
                    nesterov,
                } => {
                    let rule = Sgd {
                        learning_rate: update.learning_rate as f32,
                        gradient_scale: update.gradient_scale as f32,
                        momentum: *momentum as f32,
                        weight_decay: if slot.decays {
                            *weight_decay as f32
                        } else {
                            0.0
                        },
                        nesterov: *nesterov,
                    };
                    slot.apply_sgd(&rule, weights, gradient);
                }
            }
        }
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

    fn apply_adamw(&mut self, rule: &AdamW, weights: &mut [f32], gradient: &[f32]) {
        weights
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(self.first.par_chunks_mut(CHUNK))
            .zip(self.second.par_chunks_mut(CHUNK))
            .for_each(|(((weights, gradient), first), second)| {
                rule.apply(weights, gradient, first, second);
            });
    }

    fn apply_sgd(&mut self, rule: &Sgd, weights: &mut [f32], gradient: &[f32]) {
        if self.first.is_empty() {
            weights
                .par_chunks_mut(CHUNK)
                .zip(gradient.par_chunks(CHUNK))
                .for_each(|(weights, gradient)| rule.apply_plain(weights, gradient));
            return;
        }
        weights
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(self.first.par_chunks_mut(CHUNK))
            .for_each(|((weights, gradient), buffer)| rule.apply(weights, gradient, buffer));
    }
}

/// AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) in PyTorch's form:
/// `p ← p·(1 − lr·wd)`, then `p ← p − lr/c₁ · m / (√v/√c₂ + ε)` with `cᵢ = 1 − βᵢᵗ`.
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
    fn new(betas: [f64; 2], epsilon: f64, weight_decay: f64, update: &Update) -> Self {
        let count = (update.step + 1) as f64;
        let [correction1, correction2] = betas.map(|beta| 1.0 - beta.powf(count));
        Self {
            gradient_scale: update.gradient_scale as f32,
            keep: (1.0 - update.learning_rate * weight_decay) as f32,
            beta1: betas[0] as f32,
            beta2: betas[1] as f32,
            step_size: (update.learning_rate / correction1) as f32,
            root_correction2: correction2.sqrt() as f32,
            epsilon: epsilon as f32,
        }
    }

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
