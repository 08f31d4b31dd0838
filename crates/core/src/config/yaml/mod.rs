//! YAML in and out, as OmegaConf reads it: YAML 1.1 scalars as in PyYAML, numbers such as `1e-3`
//! are numbers, and a key may not be given twice.

mod emit;
mod parse;
mod scalar;

pub use emit::to_yaml;
pub(crate) use emit::{float_text, inline};
pub use parse::parse;
pub(crate) use parse::parse_at;
pub(crate) use scalar::{fits, resolve};
