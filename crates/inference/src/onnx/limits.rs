//! Walks a whole ONNX file and refuses what is damaged, oversized or lies outside of it.

use super::document::Document;
use super::wire::{Field, Fields, Value, integers};
use crate::error::{InferenceError, InferenceErrorKind};

/// What an ONNX file may hold at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnnxLimits {
    /// Size of the file in bytes. Protobuf itself ends at 2 GiB.
    pub bytes: usize,
    /// Nodes, tensors, attributes, names and all other parts together. A runtime spends some
    /// hundred bytes on a part that takes two in the file.
    pub parts: usize,
    /// Networks within networks (the branches of `If`, the body of `Loop`).
    pub depth: usize,
}

impl Default for OnnxLimits {
    fn default() -> Self {
        Self {
            bytes: i32::MAX as usize,
            parts: 1_000_000,
            depth: 64,
        }
    }
}

/// The messages of `onnx.proto` that hold further messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    ValueInfo,
    Type,
    /// A tensor, sequence, map or optional type.
    ElementType,
    Shape,
    Function,
    TrainingInfo,
    /// Holds no message that matters here.
    Leaf,
}

/// The message inside a field, if it holds one; `Leaf` also for repeated strings, which count.
fn child(message: Message, field: u64) -> Option<Message> {
    let child = match (message, field) {
        (Message::Model, 7) => Message::Graph,
        (Message::Model, 20) => Message::TrainingInfo,
        (Message::Model, 25) => Message::Function,
        (Message::Model, 8 | 14 | 26) => Message::Leaf,
        (Message::TrainingInfo, 1 | 2) => Message::Graph,
        (Message::TrainingInfo, 3 | 4) => Message::Leaf,
        (Message::Function, 7) => Message::Node,
        (Message::Function, 11) => Message::Attribute,
        (Message::Function, 12) => Message::ValueInfo,
        (Message::Function, 4 | 5 | 6 | 9 | 14) => Message::Leaf,
        (Message::Graph, 1) => Message::Node,
        (Message::Graph, 5) => Message::Tensor,
        (Message::Graph, 11..=13) => Message::ValueInfo,
        (Message::Graph, 15) => Message::SparseTensor,
        (Message::Graph, 14 | 16) => Message::Leaf,
        (Message::Node, 5) => Message::Attribute,
        (Message::Node, 1 | 2 | 9 | 10) => Message::Leaf,
        (Message::Attribute, 5 | 10) => Message::Tensor,
        (Message::Attribute, 6 | 11) => Message::Graph,
        (Message::Attribute, 14 | 15) => Message::Type,
        (Message::Attribute, 22 | 23) => Message::SparseTensor,
        (Message::Attribute, 9) => Message::Leaf,
        (Message::Tensor, 6 | 13 | 16) => Message::Leaf,
        (Message::SparseTensor, 1 | 2) => Message::Tensor,
        (Message::ValueInfo, 2) => Message::Type,
        (Message::ValueInfo, 4) => Message::Leaf,
        (Message::Type, 1 | 4 | 5 | 8 | 9) => Message::ElementType,
        // A shape (tensor) or a type (map) in field 2, a type (sequence, optional) in field 1.
        (Message::ElementType, 1) => Message::Type,
        (Message::ElementType, 2) => Message::Shape,
        (Message::Shape, 1) => Message::Leaf,
        _ => return None,
    };
    Some(child)
}

/// Refuses a file that is empty, too long, or of another kind by its first bytes.
pub(super) fn check_beginning(
    len: u64,
    beginning: &[u8],
    limits: &OnnxLimits,
) -> Result<(), InferenceError> {
    let Some(tag) = beginning.first() else {
        return Err(InferenceError::new(
            InferenceErrorKind::Empty,
            "the model file is empty",
        ));
    };
    if len > limits.bytes as u64 {
        return Err(InferenceError::new(
            InferenceErrorKind::TooLarge,
            format!(
                "the model has `{len}` bytes, the limit is `{}`",
                limits.bytes
            ),
        ));
    }
    // The first field tells another kind of file from a damaged model: it is a known one.
    let known = matches!(
        (tag >> 3, tag & 7),
        (1 | 5, 0) | (2 | 3 | 4 | 6 | 7 | 8 | 14, 2)
    );
    if known {
        return Ok(());
    }
    let error = InferenceError::new(InferenceErrorKind::NotOnnx, "the file is no ONNX model");
    if beginning.starts_with(b"version https://git-lfs") {
        return Err(error.with_hint("it is a Git LFS pointer; fetch the file with `git lfs pull`"));
    }
    Err(error)
}

/// Refuses a model that is damaged, beyond the limits or spread over several files.
pub(super) fn check_structure(
    document: &Document<'_>,
    limits: &OnnxLimits,
) -> Result<(), InferenceError> {
    let mut walk = Walk {
        limits,
        parts: 0,
        has_graph: false,
        document,
    };
    walk.message(Message::Model, document.outline(), 0)?;
    if walk.has_graph {
        Ok(())
    } else {
        Err(InferenceError::new(
            InferenceErrorKind::Corrupt,
            "the model is damaged: it holds no network",
        ))
    }
}

/// The state of a walk over a file.
struct Walk<'a> {
    limits: &'a OnnxLimits,
    parts: usize,
    has_graph: bool,
    document: &'a Document<'a>,
}

impl<'a> Walk<'a> {
    fn message(
        &mut self,
        message: Message,
        bytes: &'a [u8],
        depth: usize,
    ) -> Result<(), InferenceError> {
        if message == Message::Tensor {
            self.check_tensor(bytes)?;
        }
        for field in Fields::of(bytes) {
            let field = field.map_err(|error| self.damaged(bytes, error.offset))?;
            let Some(child) = child(message, field.number) else {
                continue;
            };
            self.count_part()?;
            let Value::Bytes(nested) = field.value else {
                if matches!(child, Message::Leaf | Message::Type) {
                    // Element types of tensors are numbers, where those of sequences are messages.
                    continue;
                }
                return Err(self.damaged(field.raw, 0));
            };
            if child == Message::Leaf {
                continue;
            }
            self.has_graph |= message == Message::Model && child == Message::Graph;
            self.message(child, nested, self.deeper(child, depth)?)?;
        }
        Ok(())
    }

    /// Graphs, and types of types, nest without end; all else is nested as deep as the schema.
    fn deeper(&self, child: Message, depth: usize) -> Result<usize, InferenceError> {
        if !matches!(child, Message::Graph | Message::Type) {
            return Ok(depth);
        }
        if depth >= self.limits.depth {
            return Err(InferenceError::new(
                InferenceErrorKind::TooLarge,
                format!(
                    "the model nests networks or types more than `{}` deep",
                    self.limits.depth
                ),
            ));
        }
        Ok(depth + 1)
    }

    fn count_part(&mut self) -> Result<(), InferenceError> {
        self.parts += 1;
        if self.parts > self.limits.parts {
            return Err(InferenceError::new(
                InferenceErrorKind::TooLarge,
                format!(
                    "the model has more than `{}` nodes, tensors, attributes and names",
                    self.limits.parts
                ),
            ));
        }
        Ok(())
    }

    /// Refuses a tensor whose data lies in another file (`external_data`, field 13, is given, or
    /// `data_location`, field 14, is `EXTERNAL`), and one that claims more than the file can hold.
    fn check_tensor(&self, tensor: &[u8]) -> Result<(), InferenceError> {
        let is_external = |field: &Field<'_>| {
            field.number == 13 || (field.number == 14 && field.integer() == Some(1))
        };
        if Fields::of(tensor)
            .flatten()
            .any(|field| is_external(&field))
        {
            return Err(InferenceError::new(
                InferenceErrorKind::ExternalData,
                format!(
                    "the weights of `{}` lie in another file, which is not opened",
                    tensor_name(tensor)
                ),
            ));
        }
        // The smallest elements, of four bits, go two into a byte.
        if tensor_elements(tensor) > 2 * self.document.len() {
            return Err(InferenceError::new(
                InferenceErrorKind::Corrupt,
                format!(
                    "the model is damaged: the tensor `{}` claims more values than the file holds",
                    tensor_name(tensor)
                ),
            ));
        }
        Ok(())
    }

    fn damaged(&self, within: &[u8], offset: usize) -> InferenceError {
        let field = within.get(offset..).unwrap_or_default();
        InferenceError::new(
            InferenceErrorKind::Corrupt,
            format!(
                "the model is damaged or cut short: byte `{}` of `{}` begins a field that cannot be read",
                self.document.place(field),
                self.document.len()
            ),
        )
    }
}

/// The name of a `TensorProto`, field 8.
pub(super) fn tensor_name(tensor: &[u8]) -> String {
    let mut fields = Fields::of(tensor).flatten();
    let name = fields.find(|field| field.number == 8);
    name.and_then(|field| field.text()).unwrap_or_default()
}

/// The product of the sizes in a `TensorProto`, field 1; the largest number for impossible sizes.
pub(super) fn tensor_elements(tensor: &[u8]) -> u64 {
    Fields::of(tensor)
        .flatten()
        .filter(|field| field.number == 1)
        .flat_map(|field| integers(&field))
        .map(|size| u64::try_from(size).unwrap_or(u64::MAX))
        .fold(1, u64::saturating_mul)
}
