//! What can be wrong with a layer graph.

use std::fmt;

/// What is wrong with a layer graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraphErrorKind {
    /// No built-in architecture has this name.
    UnknownArchitecture,
    /// A layer, or the list of layers, is not written as it should be.
    Malformed,
    /// No operation has this name.
    UnknownOperation,
    /// A layer's name is taken, reserved or has characters that are not allowed.
    InvalidName,
    /// A layer reads a layer that is not above it.
    UnknownInput,
    /// A layer reads too many or too few layers.
    WrongInputCount,
    /// A hyper-parameter is out of its range.
    InvalidValue,
    /// A layer cannot take the shape it gets.
    ShapeMismatch,
    /// No layer reads the output of this one.
    UnusedLayer,
    /// The last layer does not give one row of logits per image.
    WrongOutput,
    /// The graph is over a limit on layers, parameters or activations.
    TooLarge,
}

/// A layer graph that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct GraphError {
    kind: GraphErrorKind,
    layer: Option<String>,
    message: String,
    hint: Option<String>,
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.layer {
            Some(layer) => write!(f, "layer `{layer}`: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl GraphError {
    /// An error about the graph as a whole.
    pub(crate) fn graph(kind: GraphErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            layer: None,
            message: message.into(),
            hint: None,
        }
    }

    /// An error about one layer.
    pub(crate) fn layer(kind: GraphErrorKind, layer: &str, message: impl Into<String>) -> Self {
        Self {
            layer: Some(layer.to_string()),
            ..Self::graph(kind, message)
        }
    }

    /// Adds what to do next.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What is wrong.
    pub fn kind(&self) -> GraphErrorKind {
        self.kind
    }

    /// The layer it is about.
    pub fn layer_name(&self) -> Option<&str> {
        self.layer.as_deref()
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// The member of `known` most like `text`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(text, name), name))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
