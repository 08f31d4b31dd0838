//! Pictures in, answers out.

pub(crate) mod models;
pub(crate) mod pool;
pub(crate) mod predict;
pub(crate) mod upload;
