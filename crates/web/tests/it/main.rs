//! The server as a client sees it, over real sockets.

#![allow(clippy::unwrap_used)]

mod api;
mod assets;
mod bad_input;
mod browser;
mod headers;
mod lifecycle;
mod pages;
mod predict;
mod sample;
mod server;
