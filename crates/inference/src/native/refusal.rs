//! Why a network is not run by the native executor.

use crate::error::{InferenceError, InferenceErrorKind};

/// A network, or one of its nodes, that the native executor does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The node's operator; empty where it is the network as a whole.
    pub(crate) operator: String,
    /// The node's name.
    pub(crate) node: String,
    pub(crate) reason: String,
    /// Whether other runtimes may run it: what is wrong is not the network.
    pub(crate) is_unsupported: bool,
    /// The error of reading the model, where that is what went wrong.
    unreadable: Option<Box<InferenceError>>,
}

impl From<InferenceError> for Refusal {
    fn from(error: InferenceError) -> Self {
        Self {
            unreadable: Some(Box::new(error.clone())),
            ..Self::malformed(error.to_string())
        }
    }
}

impl Refusal {
    /// Something that this executor does not have.
    pub(crate) fn unsupported(reason: impl Into<String>) -> Self {
        Self {
            operator: String::new(),
            node: String::new(),
            reason: reason.into(),
            is_unsupported: true,
            unreadable: None,
        }
    }

    /// Something that contradicts the standard.
    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        Self {
            is_unsupported: false,
            ..Self::unsupported(reason)
        }
    }

    /// The same, blamed on a node.
    pub(crate) fn at(mut self, operator: &str, node: &str) -> Self {
        self.operator = operator.into();
        self.node = node.into();
        self
    }

    /// The refusal in words, as one line.
    pub(crate) fn text(&self) -> String {
        match (&self.operator[..], &self.node[..]) {
            ("", _) => self.reason.clone(),
            (operator, "") => format!("operator `{operator}`: {}", self.reason),
            (operator, node) => format!("operator `{operator}` of `{node}`: {}", self.reason),
        }
    }

    /// As an error of loading.
    pub(crate) fn into_error(self) -> InferenceError {
        if let Some(error) = self.unreadable {
            return *error;
        }
        let kind = match self.is_unsupported {
            true => InferenceErrorKind::UnsupportedOperator,
            false => InferenceErrorKind::Failed,
        };
        let message = format!("the native runtime cannot run the model: {}", self.text());
        let node = (!self.node.is_empty()).then_some(self.node);
        InferenceError::new(kind, message).at_node(node)
    }
}
