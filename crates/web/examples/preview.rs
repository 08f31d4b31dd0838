//! Serves the pages on a store filled with samples, to look at while working on them:
//! `cargo run -p ferrotype-web --example preview`, then open the address it prints.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/it/sample.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod sample;

use std::net::TcpListener;
use std::sync::Arc;

use ferrotype_store::{RunStatus, SystemClock};
use ferrotype_web::ServeOptions;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let sample = sample::fill(folder.path()).await;
    let store = sample.store.clone();
    let going = sample::add_run(&store, &sample.dataset, "going", RunStatus::Running).await;
    let _lock = store.lock_run(going).unwrap();
    let listener = TcpListener::bind("127.0.0.1:8123").unwrap();
    println!("http://{}/", listener.local_addr().unwrap());
    let mut options = ServeOptions::new(listener, store, Arc::new(SystemClock));
    options.model = Some("colours@production".parse().unwrap());
    ferrotype_web::serve(options).await.unwrap();
}
