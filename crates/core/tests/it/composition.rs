//! Composition as its users meet it.
