//! What can be wrong with a configuration.

use super::origin::Origin;

/// The kind of a [`ConfigError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// The text is not well-formed YAML, or not a well-formed override.
    Syntax,
    /// The text passes a limit on size, depth or expansion.
    TooLarge,
    /// A feature of Hydra or YAML that is not supported here.
    Unsupported,
    /// A configuration file, group or option does not exist.
    NotFound,
    /// The defaults lists or overrides contradict each other.
    Composition,
    /// A key that the configuration does not have.
    UnknownKey,
    /// An interpolation that cannot be resolved.
    Interpolation,
    /// A mandatory value is not set.
    Missing,
    /// A value of the wrong type.
    WrongType,
    /// A value outside of its range.
    OutOfRange,
    /// A configuration file could not be read.
    Unreadable,
}

/// An error in the configuration: what, where, and what to do next.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}{}", .origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default())]
pub struct ConfigError {
    kind: ConfigErrorKind,
    message: String,
    origin: Option<Origin>,
    hint: Option<String>,
}

impl ConfigError {
    /// An error of a kind, not yet placed.
    pub fn new(kind: ConfigErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            origin: None,
            hint: None,
        }
    }

    /// Something of Hydra, OmegaConf or YAML that is not read here.
    pub(crate) fn unsupported(what: impl std::fmt::Display) -> Self {
        Self::new(
            ConfigErrorKind::Unsupported,
            format!("{what} is not supported"),
        )
    }

    /// Places the error, unless something nearer to the cause has placed it already.
    #[must_use]
    pub fn at(mut self, origin: &Origin) -> Self {
        if self.origin.is_none() && *origin != Origin::Program {
            self.origin = Some(origin.clone());
        }
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The kind.
    pub const fn kind(&self) -> ConfigErrorKind {
        self.kind
    }

    /// The message without its place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where the cause was written, if it was written anywhere.
    pub const fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}
