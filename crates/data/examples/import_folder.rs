//! Imports a folder into a store of its own, twice, and prints times and the report.
//!
//! ```text
//! cargo run --profile ci -p ferrotype-data --example import_folder -- ../shared/data/cifake
//! ```
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Instant;

use ferrotype_data::{ImportRequest, Stage, import_folder};
use ferrotype_store::{Store, StoreOptions, SystemClock};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    for path in paths {
        let folder = tempfile::tempdir()?;
        let options = StoreOptions::in_folder(folder.path().join("store"));
        let store = Store::open(options, Arc::new(SystemClock)).await?;
        let request = ImportRequest::new(&path, "example");
        for round in ["first", "again"] {
            let start = Instant::now();
            let mut stages: Vec<(Stage, f64)> = Vec::new();
            let outcome = import_folder(&request, &store, &mut |progress| {
                if stages
                    .last()
                    .is_none_or(|(stage, _)| *stage != progress.stage)
                {
                    stages.push((progress.stage, start.elapsed().as_secs_f64()));
                }
            })
            .await?;
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "{path} {round}: {} images in {seconds:.2} s, created: {}, stages began at {stages:.2?}",
                outcome.report.images, outcome.created
            );
            if round == "again" {
                println!("{}", serde_json::to_string_pretty(&outcome.report)?);
            }
        }
    }
    Ok(())
}
