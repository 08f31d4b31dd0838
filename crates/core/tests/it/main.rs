//! The configuration against Hydra and OmegaConf, against its users, and against malformed input.
#![expect(
    clippy::unwrap_used,
    reason = "the functions that tests share are test code too"
)]

mod composition;
mod golden;
mod robustness;
