//! Weights that others trained: files of safetensors and of PyTorch, and how they fit a graph.
//!
//! [`read()`] opens a file and lists its tensors; nothing in a file is executed, and nothing is
//! allocated that the file's length does not allow. The numbers of a tensor are read when
//! [`NamedTensors::load`] asks for them. [`fit()`] brings them to a graph by name.

mod element;
mod error;
mod file;
mod fit;
mod foreign;
mod pickle;
mod pytorch;
mod safetensors;
mod stored;
mod zip;

use std::collections::BTreeMap;
use std::path::Path;

pub use element::Element;
pub use fit::{Fitted, MatchReport, Nearest, ShapeChange, fit};

use self::error::damaged;
use self::file::WeightsFile;
use self::stored::Stored;
use crate::error::EngineError;
use crate::state::{State, StateTensor};

/// The largest header of names and shapes that is read.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// What kind of file the weights come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// safetensors.
    Safetensors,
    /// A checkpoint of our own, which is safetensors as well.
    Checkpoint,
    /// `torch.save` since PyTorch 1.6.
    PyTorch,
    /// `torch.save` before PyTorch 1.6.
    PyTorchLegacy,
    /// No file: a state in memory.
    Memory,
}

impl Format {
    /// What to call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Checkpoint => "Ferrotype checkpoint",
            Self::PyTorch => "PyTorch",
            Self::PyTorchLegacy => "PyTorch before 1.6",
            Self::Memory => "memory",
        }
    }
}

/// Named tensors of a file, read one by one when they are asked for.
#[derive(Debug)]
pub struct NamedTensors {
    format: Format,
    source: Source,
    nested_in: String,
    skipped: Vec<String>,
}

#[derive(Debug)]
enum Source {
    File {
        file: WeightsFile,
        tensors: BTreeMap<String, Stored>,
    },
    State(State),
}

/// What is known of a tensor without reading its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorInfo<'a> {
    /// Its name in the file.
    pub name: &'a str,
    /// Its shape, outermost first.
    pub shape: &'a [usize],
    /// The format of its numbers.
    pub element: Element,
}

impl TensorInfo<'_> {
    /// How many numbers it has.
    pub fn element_count(&self) -> u64 {
        self.shape
            .iter()
            .fold(1, |count: u64, size| count.saturating_mul(*size as u64))
    }
}

/// Opens a file of weights: safetensors, or `.pt`, `.pth`, `.bin` of `torch.save`, told apart by
/// what they contain.
///
/// # Errors
/// There is no such file, it is damaged, or it holds something else than weights by name.
pub fn read(path: &Path) -> Result<NamedTensors, EngineError> {
    let file = WeightsFile::open(path)?;
    let contents = read_contents(&file).map_err(|error| error.with_path(path))?;
    Ok(NamedTensors {
        format: contents.format,
        source: Source::File {
            file,
            tensors: contents.tensors.into_iter().collect(),
        },
        nested_in: contents.nested_in,
        skipped: contents.skipped,
    })
}

/// What a reader finds in a file.
struct Contents {
    format: Format,
    tensors: Vec<(String, Stored)>,
    nested_in: String,
    skipped: Vec<String>,
}

fn read_contents(file: &WeightsFile) -> Result<Contents, EngineError> {
    /// Enough to tell the formats apart.
    const BEGINNING_BYTES: u64 = 512;
    let beginning = file.beginning(BEGINNING_BYTES)?;
    if safetensors::is_beginning(&beginning) {
        safetensors::read(file)
    } else if beginning.starts_with(&zip::LOCAL_HEADER) {
        pytorch::read_zip(file)
    } else if beginning.starts_with(&pytorch::LEGACY_BEGINNING) {
        pytorch::read_legacy(file)
    } else {
        Err(foreign::describe(&beginning))
    }
}

impl From<State> for NamedTensors {
    fn from(state: State) -> Self {
        Self {
            format: Format::Memory,
            source: Source::State(state.for_use()),
            nested_in: String::new(),
            skipped: Vec::new(),
        }
    }
}

impl NamedTensors {
    /// What kind of file they come from.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The keys that led to the weights inside of the file, such as `model` or
    /// `state_dict.model`; empty when they were not nested.
    pub fn nested_in(&self) -> &str {
        &self.nested_in
    }

    /// Names of entries that are no tensors.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::File { tensors, .. } => tensors.len(),
            Source::State(state) => state.tensors.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tensors, sorted by name.
    pub fn iter(&self) -> Box<dyn Iterator<Item = TensorInfo<'_>> + '_> {
        match &self.source {
            Source::File { tensors, .. } => {
                Box::new(tensors.iter().map(|(name, stored)| TensorInfo {
                    name,
                    shape: &stored.shape,
                    element: stored.element,
                }))
            }
            Source::State(state) => {
                Box::new(state.tensors.iter().map(|(name, tensor)| TensorInfo {
                    name,
                    shape: &tensor.shape,
                    element: Element::F32,
                }))
            }
        }
    }

    /// Reads the numbers of a tensor.
    ///
    /// # Errors
    /// There is no such tensor, it does not hold floating point numbers, or the file is damaged.
    pub fn load(&self, name: &str) -> Result<StateTensor, EngineError> {
        let missing = || damaged(format!("there is no tensor `{name}` in it"));
        match &self.source {
            Source::File { file, tensors } => tensors
                .get(name)
                .ok_or_else(missing)?
                .load(name, file)
                .map_err(|error| error.with_path(file.path())),
            Source::State(state) => state.get(name).cloned().ok_or_else(missing),
        }
    }
}
