//! What the tests of all crates share: temporary projects with a runner for the built binary,
//! small images (good and nasty), a clock that is set by hand, HTTP requests, a server of files,
//! snapshot filters.
//!
//! A dev-dependency only. Everything panics with what it saw rather than return an error:
//! that is what a test wants.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

pub mod browser;
pub mod clock;
pub mod http;
pub mod hub;
pub mod images;
pub mod onnx;
pub mod program;
pub mod project;
pub mod snapshot;
