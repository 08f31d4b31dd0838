//! The tests of the whole product: what the workspace promises about itself, and scenarios
//! against the built binary and a real server.

mod invariants;
