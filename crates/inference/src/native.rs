//! Our own executor for inference, on the crate `kernels`.
//!
//! A file becomes a [`graph::Network`], which is simplified once and planned for each batch size into
//! a [`program::Program`]: steps over buffers in one piece of memory. What is not known is a
//! [`Refusal`] while loading, never a wrong number.

mod fold;
mod graph;
mod plan;
mod program;
mod refusal;
mod simplify;
mod tensor;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ferrotype_kernels::aligned::Aligned;
use ferrotype_kernels::team::Team;

use self::plan::PreparedWeights;
use self::program::Program;
pub(crate) use self::refusal::Refusal;
use crate::error::InferenceError;
use crate::runtime::{LoadedNetwork, Network, NetworkOptions, Outputs, StepCost};

/// The runtime's name.
pub(crate) const NAME: &str = "native";

/// Batch sizes whose programs are kept.
const MOST_PROGRAMS: usize = 64;

/// A network that our executor has loaded.
pub(crate) struct NativeNetwork {
    network: graph::Network,
    prepared: PreparedWeights,
    programs: Mutex<HashMap<usize, Arc<Program>>>,
    /// Memory of runs that have ended.
    arenas: Mutex<Vec<Aligned>>,
    team: Team,
    image_shape: [usize; 3],
    has_embedding: bool,
}

/// Loads a network, planned for one image.
pub(crate) fn load(onnx: &[u8], options: &NetworkOptions) -> Result<LoadedNetwork, Refusal> {
    Ok(LoadedNetwork {
        network: Box::new(NativeNetwork::load(onnx, options)?),
        runtime_name: NAME.into(),
        refusal: None,
    })
}

/// Runs a network once on one input of any shape: for checks against ONNX's own test data.
///
/// # Errors
/// Whether other runtimes may run it, and why this one does not.
pub(crate) fn run_once(
    onnx: &[u8],
    [input_name, output_name]: [&str; 2],
    shape: &[usize],
    input: &[f32],
) -> Result<Vec<f32>, Refusal> {
    let mut network = graph::Network::read(onnx, input_name, &[output_name])?;
    simplify::simplify(&mut network);
    let program = plan::plan(&network, &PreparedWeights::default(), shape)?;
    if tensor::elements(shape)? != input.len() {
        return Err(Refusal::malformed("the input does not fill its shape"));
    }
    let team = Team::new(std::num::NonZeroUsize::MIN);
    let outputs = program.run(&team, input, &mut Aligned::default());
    Ok(outputs.into_iter().next().unwrap_or_default())
}

impl NativeNetwork {
    pub(crate) fn load(onnx: &[u8], options: &NetworkOptions) -> Result<Self, Refusal> {
        let mut outputs = vec![options.output_name.as_str()];
        outputs.extend(options.embedding_name.as_deref());
        let mut network = graph::Network::read(onnx, &options.input_name, &outputs)?;
        simplify::simplify(&mut network);
        let mut loaded = Self {
            network,
            prepared: Mutex::default(),
            programs: Mutex::default(),
            arenas: Mutex::default(),
            team: Team::new(options.threads),
            image_shape: options.image_shape,
            has_embedding: options.embedding_name.is_some(),
        };
        let program = loaded.plan(options.fixed_batch.unwrap_or(1))?;
        loaded.forget_packed_weights();
        let programs = loaded.programs.get_mut();
        let programs = programs.unwrap_or_else(PoisonError::into_inner);
        programs.insert(options.fixed_batch.unwrap_or(1), Arc::new(program));
        Ok(loaded)
    }

    fn plan(&self, batch: usize) -> Result<Program, Refusal> {
        let [channels, height, width] = self.image_shape;
        plan::plan(
            &self.network,
            &self.prepared,
            &[batch, channels, height, width],
        )
    }

    /// Frees the weights that are kept in another order: their shapes are all that is needed of them.
    fn forget_packed_weights(&mut self) {
        let prepared = self.prepared.get_mut();
        let prepared = prepared.unwrap_or_else(PoisonError::into_inner);
        let network = &mut self.network;
        let uses = network.uses();
        for number in prepared.keys() {
            let node = &network.nodes[*number];
            let is_weight = matches!(&node.operator[..], "Conv" | "Gemm" | "MatMul");
            let weight = node.inputs.get(1).copied().flatten();
            if let Some(weight) = weight.filter(|weight| is_weight && uses[*weight] == 1)
                && let Some(constant) = network.constants.get_mut(&weight)
            {
                *constant = Arc::new(tensor::Constant::floats(constant.shape.clone(), Vec::new()));
            }
        }
    }

    fn program(&self, batch: usize) -> Result<Arc<Program>, Refusal> {
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = programs.get(&batch) {
            return Ok(Arc::clone(program));
        }
        let program = Arc::new(self.plan(batch)?);
        if programs.len() >= MOST_PROGRAMS {
            programs.clear();
        }
        programs.insert(batch, Arc::clone(&program));
        Ok(program)
    }

    fn with_arena<R>(&self, work: impl FnOnce(&mut Aligned) -> R) -> R {
        let kept = self
            .arenas
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut arena = kept.unwrap_or_default();
        let result = work(&mut arena);
        self.arenas
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(arena);
        result
    }

    /// What each step of a run costs, in their order.
    fn profile(&self, input: &[f32], batch: usize) -> Result<Vec<StepCost>, InferenceError> {
        let program = self.program(batch).map_err(Refusal::into_error)?;
        let mut costs = Vec::with_capacity(program.len());
        self.with_arena(|arena| {
            program.profile(&self.team, input, arena, |cost| costs.push(cost));
        });
        Ok(costs)
    }
}

impl Network for NativeNetwork {
    fn run(&self, input: &[f32], batch: usize) -> Result<Outputs, InferenceError> {
        crate::runtime::guarded(NAME, "running the model", || {
            let program = self.program(batch).map_err(Refusal::into_error)?;
            let outputs = self.with_arena(|arena| program.run(&self.team, input, arena));
            let mut outputs = outputs.into_iter();
            Ok(Outputs {
                answer: outputs.next().unwrap_or_default(),
                embedding: outputs.next().filter(|_| self.has_embedding),
            })
        })
    }

    fn profile(&self, input: &[f32], batch: usize) -> Option<Vec<StepCost>> {
        self.profile(input, batch).ok()
    }
}
