//! Configuration: composition in Hydra's manner, and the typed result.
//!
//! [`compose()`] reads the primary configuration (`ferrotype.yaml`) and the groups (`configs/`)
//! from a [`ConfigSource`], over configurations that are built in; merges them in the order of
//! their defaults lists ([`defaults`](self)); applies the overrides of the command line; replaces
//! interpolations; and checks every key and value against the types in [`schema`]. Every value
//! keeps its [`Origin`] on the way.

mod apply;
pub mod augment;
mod builtin;
mod check;
mod compose;
mod cursor;
mod defaults;
mod error;
mod interpolation;
mod merge;
mod multirun;
mod node;
mod origin;
pub mod overrides;
mod relations;
mod rules;
pub mod schema;
mod source;
mod text;
mod token;
pub mod yaml;

pub use compose::{Composed, compose, compose_untyped};
pub use error::{ConfigError, ConfigErrorKind};
pub use multirun::compose_multirun;
pub use node::{Map, Node, Value};
pub use origin::Origin;
pub use schema::Config;
pub use source::{ConfigSource, MemorySource, NoSource, SourceFile};
