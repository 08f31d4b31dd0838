//! The JSON interface: thin handlers over [`crate::views`] and [`crate::serving`].

pub(crate) mod blobs;
pub(crate) mod datasets;
pub(crate) mod health;
pub(crate) mod jobs;
pub(crate) mod models;
pub(crate) mod openapi;
pub(crate) mod predict;
pub(crate) mod predictions;
pub(crate) mod query;
pub(crate) mod runs;
