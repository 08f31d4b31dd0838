//! Integration tests of the crate.

mod composition;
mod golden;
