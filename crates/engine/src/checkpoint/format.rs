//! The checkpoint as a safetensors file: its metadata has one entry, a JSON header.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};

use ferrotype_core::graph::Graph;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo, TensorView};
use serde::{Deserialize, Serialize};

use super::{CHECKPOINT_VERSION, Checkpoint, Progress};
use crate::error::{EngineError, EngineErrorKind};
use crate::parameters::check_fits;
use crate::state::{State, StateTensor};

/// Key of the header in the file's metadata.
pub(crate) const HEADER_KEY: &str = "ferrotype.checkpoint";

/// What the file holds besides the tensors.
#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    version: u32,
    /// BLAKE3 over the tensors in their order: safetensors itself would not notice a flipped bit.
    digest: String,
    graph: serde_json::Value,
    progress: Progress,
}

/// The part of the header that every version has.
#[derive(Deserialize)]
struct HeaderVersion {
    version: u32,
}

impl Header {
    pub(super) fn new(checkpoint: &Checkpoint) -> Self {
        Self {
            version: CHECKPOINT_VERSION,
            digest: digest(&checkpoint.state),
            graph: serde_json::to_value(&checkpoint.graph).unwrap_or_default(),
            progress: checkpoint.progress.clone(),
        }
    }
}

fn digest(state: &State) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, tensor) in &state.tensors {
        hasher.update(name.as_bytes());
        hasher.update(&(tensor.values.len() as u64).to_le_bytes());
        hasher.update(&little_endian(&tensor.values));
    }
    hasher.finalize().to_hex().to_string()
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// Writes the file: length of the JSON, the JSON, the tensors in the order of their names.
pub(super) fn write(file: &mut dyn Write, header: &Header, state: &State) -> io::Result<()> {
    let metadata = HashMap::from([(HEADER_KEY.to_string(), serde_json::to_string(header)?)]);
    let mut infos = Vec::with_capacity(state.tensors.len());
    let mut offset = 0;
    for (name, tensor) in &state.tensors {
        let end = offset + tensor.values.len() * size_of::<f32>();
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape: tensor.shape.clone(),
            data_offsets: (offset, end),
        };
        infos.push((name.clone(), info));
        offset = end;
    }
    let metadata = Metadata::new(Some(metadata), infos).map_err(io::Error::other)?;
    let mut json = serde_json::to_vec(&metadata)?;
    // The tensors begin at a multiple of eight.
    json.resize(json.len().next_multiple_of(8), b' ');
    file.write_all(&(json.len() as u64).to_le_bytes())?;
    file.write_all(&json)?;
    for tensor in state.tensors.values() {
        file.write_all(&little_endian(&tensor.values))?;
    }
    Ok(())
}

/// Reads a file's bytes, and checks that they are whole and fit their graph.
///
/// # Errors
/// They are no checkpoint, are damaged, or a newer program wrote them.
pub(super) fn read(bytes: &[u8]) -> Result<Checkpoint, EngineError> {
    let (_, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|error| corrupt(format!("it is damaged or not a safetensors file ({error})")))?;
    let header = metadata
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get(HEADER_KEY))
        .ok_or_else(|| corrupt("it is a safetensors file, but not one that Ferrotype trained"))?;
    let header = read_header(header)?;
    let state = read_state(bytes)?;
    if digest(&state) != header.digest {
        return Err(corrupt("its numbers are not those that were written"));
    }
    let graph = Graph::from_value(header.graph)
        .map_err(|error| corrupt(format!("its graph cannot be read: {error}")))?;
    let specs = graph.tensors()?;
    check_fits(&specs, &state).map_err(|error| corrupt(error.to_string()))?;
    Ok(Checkpoint {
        graph,
        state,
        progress: header.progress,
    })
}

fn read_header(text: &str) -> Result<Header, EngineError> {
    let unreadable = |error: serde_json::Error| corrupt(format!("its header is damaged ({error})"));
    let HeaderVersion { version } = serde_json::from_str(text).map_err(unreadable)?;
    if version > CHECKPOINT_VERSION {
        return Err(EngineError::new(
            EngineErrorKind::NewerCheckpoint,
            format!(
                "the checkpoint has version `{version}`, this program reads up to `{CHECKPOINT_VERSION}`"
            ),
        )
        .with_hint("a newer Ferrotype wrote it: update this one"));
    }
    serde_json::from_str(text).map_err(unreadable)
}

fn read_state(bytes: &[u8]) -> Result<State, EngineError> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| corrupt(format!("it is not whole ({error})")))?;
    let mut state = State::default();
    for (name, view) in file.iter() {
        let tensor = read_tensor(&view)
            .ok_or_else(|| corrupt(format!("tensor `{name}` is not of 32-bit floats")))?;
        state.tensors.insert(name.to_string(), tensor);
    }
    Ok(state)
}

fn read_tensor(view: &TensorView<'_>) -> Option<StateTensor> {
    if view.dtype() != Dtype::F32 {
        return None;
    }
    let (numbers, rest) = view.data().as_chunks::<4>();
    rest.is_empty().then(|| StateTensor {
        shape: view.shape().to_vec(),
        values: numbers.iter().copied().map(f32::from_le_bytes).collect(),
    })
}

fn corrupt(reason: impl Into<Cow<'static, str>>) -> EngineError {
    EngineError::new(
        EngineErrorKind::CorruptCheckpoint,
        format!("the checkpoint cannot be used: {}", reason.into()),
    )
    .with_hint("resume from another checkpoint of the run, or start it anew")
}
