//! Where a configured value came from.

use std::fmt;
use std::sync::Arc;

/// Where a value was written: what `config show --origin` prints, and what an error points at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A line in a file of the project.
    File {
        /// Path as the user knows it, such as `configs/model/small.yaml`.
        name: Arc<str>,
        /// Line, from 1.
        line: u32,
        /// Column in characters, from 1.
        column: u32,
    },
    /// A line in a configuration that is part of the program.
    BuiltIn {
        /// Group and option, such as `train/default`.
        name: Arc<str>,
        /// Line, from 1.
        line: u32,
        /// Column in characters, from 1.
        column: u32,
    },
    /// An override given on the command line.
    CommandLine {
        /// The override as typed.
        text: Arc<str>,
    },
    /// An environment variable, read by `${oc.env:NAME}`.
    Environment {
        /// Name of the variable.
        variable: Arc<str>,
        /// Where it is asked for.
        at: Box<Origin>,
    },
    /// A value made by the program itself.
    Program,
}

impl Origin {
    /// Line in its file, from 1, if it comes from one.
    pub const fn line(&self) -> Option<u32> {
        match self {
            Self::File { line, .. } | Self::BuiltIn { line, .. } => Some(*line),
            _ => None,
        }
    }

    /// Column in its file in characters, from 1, if it comes from one.
    pub const fn column(&self) -> Option<u32> {
        match self {
            Self::File { column, .. } | Self::BuiltIn { column, .. } => Some(*column),
            _ => None,
        }
    }

    /// Who set the value, where that is a recipe, a file or the environment: the user did not type
    /// it for this command, and a message about it should say where it is from.
    pub fn setter(&self) -> Option<String> {
        match self {
            Self::BuiltIn { name, .. } => {
                let recipe = name.strip_prefix("recipe/")?;
                Some(format!("the recipe `{recipe}`"))
            }
            Self::File { name, line, .. } => Some(format!("`{name}`, line {line}")),
            Self::Environment { variable, .. } => {
                Some(format!("the environment variable `{variable}`"))
            }
            Self::CommandLine { .. } | Self::Program => None,
        }
    }

    /// The same file or built-in configuration, at another place.
    #[must_use]
    pub fn at(&self, line: u32, column: u32) -> Self {
        match self {
            Self::File { name, .. } => Self::File {
                name: Arc::clone(name),
                line,
                column,
            },
            Self::BuiltIn { name, .. } => Self::BuiltIn {
                name: Arc::clone(name),
                line,
                column,
            },
            other => other.clone(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line, .. } => write!(f, "{name}:{line}"),
            Self::BuiltIn { name, .. } => write!(f, "built in ({name})"),
            Self::CommandLine { text } => write!(f, "command line: {text}"),
            Self::Environment { variable, .. } => write!(f, "environment variable {variable}"),
            Self::Program => write!(f, "the program"),
        }
    }
}
