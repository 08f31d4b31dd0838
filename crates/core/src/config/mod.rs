//! Configuration: composition in Hydra's manner, and the typed result.

pub mod schema;

pub use schema::Config;
