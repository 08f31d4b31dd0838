//! What every request passes before a handler sees it, and every answer before it leaves.

pub(crate) mod access;
pub(crate) mod body;
pub(crate) mod headers;
pub(crate) mod host;
