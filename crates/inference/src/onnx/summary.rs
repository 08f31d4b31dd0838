//! What an ONNX file says about itself.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use ferrotype_core::graph::Graph;
use ferrotype_core::manifest::{GRAPH_KEY, MANIFEST_KEY, ModelManifest};
use serde::{Deserialize, Serialize};

use super::document::{Document, with_document};
use super::limits::{OnnxLimits, tensor_elements, tensor_name};
use super::source::OnnxSource;
use super::wire::{Field, Fields};
use crate::error::{InferenceError, InferenceErrorKind};

/// One dimension of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dimension {
    /// Always this size.
    Fixed(i64),
    /// Chosen at run time; the text is its name, `?` when it has none.
    Dynamic(String),
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Dynamic(name) => write!(f, "{name}"),
        }
    }
}

/// What a tensor's elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ElementType {
    /// 32-bit floating point.
    Float32,
    /// 16-bit floating point.
    Float16,
    /// 64-bit floating point.
    Float64,
    /// Unsigned bytes.
    Uint8,
    /// 64-bit integers.
    Int64,
    /// Anything else.
    Other,
}

impl ElementType {
    /// From a number of `TensorProto.DataType`.
    fn from_onnx(data_type: i64) -> Self {
        match data_type {
            1 => Self::Float32,
            2 => Self::Uint8,
            7 => Self::Int64,
            10 => Self::Float16,
            11 => Self::Float64,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Float64 => "float64",
            Self::Uint8 => "uint8",
            Self::Int64 => "int64",
            Self::Other => "other",
        })
    }
}

/// An input or output of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// What its elements are.
    pub element_type: ElementType,
    /// Its dimensions; absent when the file does not tell.
    pub shape: Option<Vec<Dimension>>,
}

impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.name)?;
        match &self.shape {
            Some(shape) => {
                let sizes: Vec<String> = shape.iter().map(Dimension::to_string).collect();
                write!(f, "[{}]", sizes.join(", "))
            }
            None => write!(f, "of unknown shape"),
        }
    }
}

/// What an ONNX file says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnnxSummary {
    /// What has to be fed in. Weights that old files list as inputs are left out.
    pub inputs: Vec<TensorInfo>,
    /// What comes out.
    pub outputs: Vec<TensorInfo>,
    /// Version of the standard operator set.
    pub opset: Option<i64>,
    /// The program that wrote it, with its version.
    pub producer: Option<String>,
    /// Nodes of the network, those of nested networks left out.
    pub nodes: u64,
    /// Numbers in the weights.
    pub parameters: u64,
    /// Named strings, such as the manifest.
    pub metadata: BTreeMap<String, String>,
}

impl OnnxSummary {
    /// The manifest in the metadata, checked by itself.
    ///
    /// # Errors
    /// When there is none, or it cannot be used.
    pub fn manifest(&self) -> Result<ModelManifest, InferenceError> {
        let json = self.metadata.get(MANIFEST_KEY).ok_or_else(|| {
            InferenceError::new(
                InferenceErrorKind::NoManifest,
                "the ONNX file has no Ferrotype manifest, so its classes and preprocessing are unknown",
            )
        })?;
        let manifest: ModelManifest = serde_json::from_str(json).map_err(|error| {
            InferenceError::new(
                InferenceErrorKind::InvalidManifest,
                format!("the manifest in the ONNX file cannot be read: {error}"),
            )
        })?;
        check_manifest(&manifest)?;
        Ok(manifest)
    }

    /// The layer graph in the metadata, if there is one that this program understands.
    pub fn graph(&self) -> Option<Graph> {
        let json = self.metadata.get(GRAPH_KEY)?;
        match serde_json::from_str(json) {
            Ok(graph) => Some(graph),
            Err(error) => {
                tracing::warn!(%error, "the layer graph in the ONNX file cannot be read");
                None
            }
        }
    }

    /// The input that takes images, which is the only one.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn image_input(&self) -> Result<&TensorInfo, InferenceError> {
        match &self.inputs[..] {
            [input] => Ok(input),
            inputs => Err(InferenceError::new(
                InferenceErrorKind::Mismatch,
                format!(
                    "the network has `{}` inputs ({}), expected one that takes images",
                    inputs.len(),
                    listed(inputs)
                ),
            )),
        }
    }

    /// The output that holds one number a class: the only one whose last dimension can be
    /// `classes`, else the first.
    ///
    /// # Errors
    /// When the network has no output.
    pub fn answer_output(&self, classes: usize) -> Result<&TensorInfo, InferenceError> {
        let wanted = i64::try_from(classes).unwrap_or(i64::MAX);
        self.outputs
            .iter()
            .find(|output| {
                let last = output.shape.as_ref().and_then(|shape| shape.last());
                last == Some(&Dimension::Fixed(wanted))
            })
            .or(self.outputs.first())
            .ok_or_else(|| {
                InferenceError::new(InferenceErrorKind::Mismatch, "the network has no output")
            })
    }
}

/// Checks a manifest by itself.
pub(crate) fn check_manifest(manifest: &ModelManifest) -> Result<(), InferenceError> {
    manifest.check().map_err(|reason| {
        InferenceError::new(
            InferenceErrorKind::InvalidManifest,
            format!("the manifest is wrong: {reason}"),
        )
    })
}

/// Reads what an ONNX file says about itself, within the default limits.
///
/// # Errors
/// When the file is empty, no ONNX, damaged, too large, or keeps weights in other files.
pub fn inspect<'a>(onnx: impl Into<OnnxSource<'a>>) -> Result<OnnxSummary, InferenceError> {
    inspect_with_limits(onnx, &OnnxLimits::default())
}

/// Reads what an ONNX file says about itself, within limits.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_with_limits<'a>(
    onnx: impl Into<OnnxSource<'a>>,
    limits: &OnnxLimits,
) -> Result<OnnxSummary, InferenceError> {
    with_document(onnx.into(), limits, |document| Ok(summary_of(document)))
}

/// What a model says about itself.
pub(crate) fn summary_of(document: &Document<'_>) -> OnnxSummary {
    let mut summary = OnnxSummary {
        inputs: Vec::new(),
        outputs: Vec::new(),
        opset: None,
        producer: None,
        nodes: 0,
        parameters: 0,
        metadata: BTreeMap::new(),
    };
    let mut weights = HashSet::new();
    let mut producer = (String::new(), String::new());
    for field in fields(document.outline()) {
        match (field.number, field.bytes()) {
            (2, Some(_)) => producer.0 = field.text().unwrap_or_default(),
            (3, Some(_)) => producer.1 = field.text().unwrap_or_default(),
            (7, Some(graph)) => read_graph(graph, &mut summary, &mut weights),
            (8, Some(operators)) => summary.opset = standard_opset(operators).or(summary.opset),
            (14, Some(entry)) => {
                let (key, value) = string_entry(entry);
                summary.metadata.insert(key, value);
            }
            _ => {}
        }
    }
    let producer = format!("{} {}", producer.0, producer.1).trim().to_string();
    summary.producer = (!producer.is_empty()).then_some(producer);
    summary
        .inputs
        .retain(|input| !weights.contains(&input.name));
    summary
}

/// The name of the first node whose operator is one that `wanted` accepts.
pub(crate) fn node_with_operator(onnx: &[u8], wanted: impl Fn(&str) -> bool) -> Option<String> {
    let graphs = fields(onnx).filter(|field| field.number == 7);
    let mut nodes = graphs
        .filter_map(|graph| graph.bytes())
        .flat_map(fields)
        .filter(|field| field.number == 1)
        .filter_map(|node| node.bytes());
    let text = |node, number| {
        let mut fields = fields(node).filter(|field| field.number == number);
        fields.next().and_then(|field| field.text())
    };
    nodes
        .find(|node| text(node, 4).is_some_and(|operator| wanted(&operator)))
        .and_then(|node| text(node, 3))
}

/// The fields of a message that the walk with limits has passed.
fn fields(bytes: &[u8]) -> impl Iterator<Item = Field<'_>> {
    Fields::of(bytes).flatten()
}

fn listed(tensors: &[TensorInfo]) -> String {
    let names: Vec<String> = tensors.iter().map(|t| format!("`{}`", t.name)).collect();
    names.join(", ")
}

/// The key and value of a `StringStringEntryProto`.
pub(super) fn string_entry(entry: &[u8]) -> (String, String) {
    let mut key_and_value = (String::new(), String::new());
    for field in fields(entry) {
        match field.number {
            1 => key_and_value.0 = field.text().unwrap_or_default(),
            2 => key_and_value.1 = field.text().unwrap_or_default(),
            _ => {}
        }
    }
    key_and_value
}

/// The version of an `OperatorSetIdProto` of the standard domain.
fn standard_opset(operators: &[u8]) -> Option<i64> {
    let mut version = None;
    for field in fields(operators) {
        match field.number {
            1 if !matches!(field.bytes(), Some(b"" | b"ai.onnx")) => return None,
            2 => version = field.integer(),
            _ => {}
        }
    }
    version
}

fn read_graph(graph: &[u8], summary: &mut OnnxSummary, weights: &mut HashSet<String>) {
    for field in fields(graph) {
        match (field.number, field.bytes()) {
            (1, Some(_)) => summary.nodes += 1,
            (5, Some(tensor)) => {
                summary.parameters += tensor_elements(tensor);
                weights.insert(tensor_name(tensor));
            }
            (11, Some(input)) => summary.inputs.push(read_value_info(input)),
            (12, Some(output)) => summary.outputs.push(read_value_info(output)),
            _ => {}
        }
    }
}

fn read_value_info(value_info: &[u8]) -> TensorInfo {
    let mut info = TensorInfo {
        name: String::new(),
        element_type: ElementType::Other,
        shape: None,
    };
    for field in fields(value_info) {
        match (field.number, field.bytes()) {
            (1, _) => info.name = field.text().unwrap_or_default(),
            (2, Some(value_type)) => {
                let tensor_types = fields(value_type).filter(|field| field.number == 1);
                for tensor_type in tensor_types.filter_map(|field| field.bytes()) {
                    read_tensor_type(tensor_type, &mut info);
                }
            }
            _ => {}
        }
    }
    info
}

fn read_tensor_type(tensor_type: &[u8], info: &mut TensorInfo) {
    for field in fields(tensor_type) {
        match (field.number, field.bytes()) {
            (1, _) => {
                let data_type = field.integer().unwrap_or_default();
                info.element_type = ElementType::from_onnx(data_type);
            }
            (2, Some(shape)) => {
                let dimensions = fields(shape).filter(|field| field.number == 1);
                let sizes = dimensions.filter_map(|field| field.bytes());
                info.shape = Some(sizes.map(read_dimension).collect());
            }
            _ => {}
        }
    }
}

fn read_dimension(dimension: &[u8]) -> Dimension {
    let mut read = Dimension::Dynamic("?".into());
    for field in fields(dimension) {
        match field.number {
            1 => read = Dimension::Fixed(field.integer().unwrap_or_default()),
            2 => read = Dimension::Dynamic(field.text().unwrap_or_default()),
            _ => {}
        }
    }
    // Exporters write an unknown size as 0 or -1.
    match read {
        Dimension::Fixed(size) if size < 1 => Dimension::Dynamic("?".into()),
        other => other,
    }
}
