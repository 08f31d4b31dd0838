//! Our own executor for inference, on the crate `kernels`.
//!
//! A file becomes a [`graph::Network`], which is simplified once and planned for each batch size into
//! a [`program::Program`]: steps over buffers in one piece of memory. What is not known is a
//! [`Refusal`] while loading, never a wrong number. Large weights stay in the file until a step wants
//! them in its own order ([`stored`]).

mod fold;
mod graph;
mod plan;
mod program;
mod refusal;
mod simplify;
mod stages;
mod stored;
mod tensor;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ferrotype_kernels::team::Team;

pub(crate) use self::plan::Limits;
use self::plan::PreparedWeights;
use self::program::Program;
pub(crate) use self::refusal::Refusal;
use self::stages::{Memory, Schedule};
use self::stored::Packing;
use crate::error::InferenceError;
use crate::onnx::Document;
use crate::runtime::{LoadedNetwork, Network, NetworkOptions, Outputs, StepCost};

/// The runtime's name.
pub(crate) const NAME: &str = "native";

/// Batch sizes whose schedules are kept.
const MOST_SCHEDULES: usize = 64;

/// A network that our executor has loaded.
pub(crate) struct NativeNetwork {
    network: graph::Network,
    prepared: PreparedWeights,
    schedules: Mutex<HashMap<usize, Arc<Schedule>>>,
    /// Memory of runs that have ended.
    memories: Mutex<Vec<Memory>>,
    team: Team,
    image_shape: [usize; 3],
    fixed_batch: Option<usize>,
    has_embedding: bool,
}

/// Loads a network, planned for one image.
pub(crate) fn load(
    document: &Document<'_>,
    options: &NetworkOptions,
) -> Result<LoadedNetwork, Refusal> {
    Ok(LoadedNetwork {
        network: Box::new(NativeNetwork::load(document, options)?),
        runtime_name: NAME.into(),
        refusal: None,
    })
}

/// Runs a network once on one input of any shape: for checks against ONNX's own test data.
///
/// # Errors
/// Whether other runtimes may run it, and why this one does not.
pub(crate) fn run_once(
    document: &Document<'_>,
    [input_name, output_name]: [&str; 2],
    shape: &[usize],
    input: &[f32],
    limits: Limits,
) -> Result<Vec<f32>, Refusal> {
    let network = read(document, input_name, &[output_name])?;
    let team = Team::new(std::num::NonZeroUsize::MIN);
    let packing = Packing {
        document: Some(document),
        team: &team,
    };
    let program = plan::plan_within(
        &network,
        &PreparedWeights::default(),
        packing,
        shape,
        limits,
    )?;
    if tensor::elements(shape)? != input.len() {
        return Err(Refusal::malformed("the input does not fill its shape"));
    }
    let mut arena = ferrotype_kernels::aligned::Aligned::default();
    program.run(&team, input, &mut arena, |_, _| ());
    let output = program.outputs(input, &arena).next();
    Ok(output.unwrap_or_default().to_vec())
}

/// A network as it is planned.
fn read(document: &Document<'_>, input: &str, outputs: &[&str]) -> Result<graph::Network, Refusal> {
    let mut network = graph::Network::read(document, input, outputs)?;
    simplify::simplify(&mut network);
    stored::settle(&mut network, document)?;
    Ok(network)
}

impl NativeNetwork {
    pub(crate) fn load(document: &Document<'_>, options: &NetworkOptions) -> Result<Self, Refusal> {
        let mut outputs = vec![options.output_name.as_str()];
        outputs.extend(options.embedding_name.as_deref());
        let network = read(document, &options.input_name, &outputs)?;
        let mut loaded = Self {
            network,
            prepared: Mutex::default(),
            schedules: Mutex::default(),
            memories: Mutex::default(),
            team: Team::new(options.threads),
            image_shape: options.image_shape,
            fixed_batch: options.fixed_batch,
            has_embedding: options.embedding_name.is_some(),
        };
        let batch = options.fixed_batch.unwrap_or(1);
        // All cores pack weights, however many one run may take; they are gone when that is done.
        let cores = std::thread::available_parallelism().unwrap_or(options.threads);
        let schedule = loaded.schedule(
            batch,
            Packing {
                document: Some(document),
                team: &Team::new(cores.max(options.threads)),
            },
        )?;
        loaded.forget_packed_weights();
        let schedules = loaded.schedules.get_mut();
        let schedules = schedules.unwrap_or_else(PoisonError::into_inner);
        schedules.insert(batch, Arc::new(schedule));
        Ok(loaded)
    }

    fn plan(&self, batch: usize, packing: Packing<'_>) -> Result<Program, Refusal> {
        let [channels, height, width] = self.image_shape;
        plan::plan(
            &self.network,
            &self.prepared,
            packing,
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
                && matches!(constant.numbers, tensor::Numbers::Floats(_))
            {
                *constant = Arc::new(tensor::Constant::floats(constant.shape.clone(), Vec::new()));
            }
        }
    }

    fn schedule(&self, batch: usize, packing: Packing<'_>) -> Result<Schedule, Refusal> {
        // A network that insists on a number of images cannot be run on fewer.
        let plan = |images| self.plan(images, packing);
        let threads = match self.fixed_batch {
            Some(_) => batch,
            None => self.team.threads(),
        };
        let image_len = self.image_shape.iter().product();
        Schedule::new(batch, threads, image_len, plan)
    }

    fn kept_schedule(&self, batch: usize) -> Result<Arc<Schedule>, Refusal> {
        let schedules = || {
            self.schedules
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(schedule) = schedules().get(&batch) {
            return Ok(Arc::clone(schedule));
        }
        // Planned without holding the lock, so that others go on.
        let packing = Packing {
            document: None,
            team: &self.team,
        };
        let schedule = Arc::new(self.schedule(batch, packing)?);
        let mut schedules = schedules();
        if schedules.len() >= MOST_SCHEDULES {
            schedules.clear();
        }
        Ok(Arc::clone(schedules.entry(batch).or_insert(schedule)))
    }

    fn with_memory<R>(&self, work: impl FnOnce(&mut Memory) -> R) -> R {
        let memories = || self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = memories().pop();
        let mut memory = kept.unwrap_or_default();
        let result = work(&mut memory);
        memories().push(memory);
        result
    }

    /// What each step of a run costs, in their order.
    fn profile(&self, input: &[f32], batch: usize) -> Result<Vec<StepCost>, InferenceError> {
        let schedule = self.kept_schedule(batch).map_err(Refusal::into_error)?;
        Ok(self.with_memory(|memory| schedule.profile(&self.team, input, memory)))
    }
}

impl Network for NativeNetwork {
    fn run(&self, input: &[f32], batch: usize) -> Result<Outputs, InferenceError> {
        crate::runtime::guarded(NAME, "running the model", || {
            let schedule = self.kept_schedule(batch).map_err(Refusal::into_error)?;
            let mut outputs = Vec::with_capacity(2);
            self.with_memory(|memory| {
                schedule.run(&self.team, input, memory, |output| {
                    outputs.push(output.to_vec())
                });
            });
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
