//! Configuration: composition in Hydra's manner, and the typed result.

mod error;
mod node;
mod origin;
pub mod schema;
pub mod yaml;

pub use error::{ConfigError, ConfigErrorKind};
pub use node::{Map, Node, Value};
pub use origin::Origin;
pub use schema::Config;
