//! The tests of the whole product: what the workspace promises about itself, and scenarios
//! against the built binary and a real server.

// The functions beside the tests may do what the tests may.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod agreement;
mod benchmark;
mod command_line;
mod damage;
mod interruption;
mod invariants;
mod labels;
mod profiling;
mod project;
mod serving;
mod weights;
mod whole_way;
