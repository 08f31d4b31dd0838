//! Serves the pages to look at while working on them, on a store filled with samples or on the
//! project folder that is given:
//! `cargo run -p ferrotype-web --example preview [PROJECT]`, then open the address it prints.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/it/sample.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod sample;

use std::net::TcpListener;
use std::sync::Arc;

use ferrotype_store::{Store, SystemClock};
use ferrotype_web::ServeOptions;

#[tokio::main]
async fn main() {
    if let Some(project) = std::env::args_os().nth(1) {
        let store = sample::empty_store(project.as_ref()).await;
        return serve(store).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let sample = sample::fill(folder.path()).await;
    let (_run, _lock) = sample::start_run(&sample.store, &sample.dataset, "going", 1.0).await;
    serve(sample.store.clone()).await;
}

async fn serve(store: Store) {
    let listener = TcpListener::bind("127.0.0.1:8123").unwrap();
    println!("http://{}/", listener.local_addr().unwrap());
    let options = ServeOptions::new(listener, store, Arc::new(SystemClock));
    ferrotype_web::serve(options).await.unwrap();
}
