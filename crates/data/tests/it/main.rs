//! Imports of whole folders into a real store.

#![allow(clippy::unwrap_used)]

mod decoded_cache;
mod folders;
mod given_splits;
mod labels;
mod nasty;
mod real;
mod source;
mod support;
mod synthetic;
mod versions;
