//! Measures the store: values logged, blobs put and predictions logged, per second.
//!
//! ```text
//! cargo run --profile ci -p ferrotype-store --example throughput [FOLDER]
//! ```
#![expect(clippy::print_stdout, reason = "its purpose is to print figures")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use ferrotype_core::id::ModelVersionId;
use ferrotype_core::time::Timestamp;
use ferrotype_store::{
    Digest, NewPrediction, NewRun, PredictionLogOptions, Store, StoreOptions, SystemClock,
};

const METRIC_KEYS: [&str; 4] = ["train/loss", "train/accuracy", "val/loss", "val/accuracy"];
const STEPS: u64 = 50_000;
const BLOBS: u32 = 2_000;
const BLOB_BYTES: usize = 3_000;
const PREDICTIONS: usize = 20_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(
        || std::env::temp_dir().join(format!("ferrotype-throughput-{}", std::process::id())),
        PathBuf::from,
    );
    let options = StoreOptions::in_folder(&folder);
    let started = Instant::now();
    let store = Store::open(options, Arc::new(SystemClock)).await?;
    println!("open a new store         {:>12.1?}", started.elapsed());
    measure_metrics(&store).await?;
    measure_blobs(&store)?;
    measure_predictions(&store).await?;
    store.close().await;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn report(what: &str, count: usize, started: Instant) {
    let rate = count as f64 / started.elapsed().as_secs_f64();
    println!("{what:<24} {rate:>12.0} /s   ({count})");
}

async fn measure_metrics(store: &Store) -> Result<(), Box<dyn Error>> {
    let run = store.create_run(NewRun::default()).await?.id;
    let writer = store.writer()?;
    let count = STEPS as usize * METRIC_KEYS.len();
    let started = Instant::now();
    for step in 0..STEPS {
        for key in METRIC_KEYS {
            writer.log_metric(run, key, step, 1.0 / (step + 1) as f64)?;
        }
    }
    writer.flush()?;
    report("log_metric, flushed", count, started);
    let started = Instant::now();
    let points = store.metric_history(run, METRIC_KEYS[0]).await?.len();
    report("read a metric's points", points, started);
    Ok(())
}

fn measure_blobs(store: &Store) -> Result<(), Box<dyn Error>> {
    let content = |kind: u8, i: u32| {
        let mut bytes = vec![kind; BLOB_BYTES];
        bytes[..4].copy_from_slice(&i.to_le_bytes());
        bytes
    };
    let started = Instant::now();
    for i in 0..BLOBS {
        store.blobs().put(&content(1, i))?;
    }
    report("put a blob of 3 kB", BLOBS as usize, started);
    let started = Instant::now();
    let batch = store.blobs().batch();
    for i in 0..BLOBS {
        batch.put(&content(2, i))?;
    }
    batch.finish()?;
    report("put the same in a batch", BLOBS as usize, started);
    let digests: Vec<Digest> = (0..BLOBS).map(|i| Digest::of(&content(2, i))).collect();
    let started = Instant::now();
    for digest in &digests {
        store.blobs().get(digest)?;
    }
    report("get and verify a blob", digests.len(), started);
    Ok(())
}

async fn measure_predictions(store: &Store) -> Result<(), Box<dyn Error>> {
    let log = store.prediction_log(PredictionLogOptions {
        capacity: PREDICTIONS,
        ..PredictionLogOptions::default()
    })?;
    let started = Instant::now();
    for _ in 0..PREDICTIONS {
        log.log(prediction(store)?);
    }
    log.shutdown().await;
    report("log a prediction", log.written() as usize, started);
    Ok(())
}

fn prediction(store: &Store) -> Result<NewPrediction, Box<dyn Error>> {
    Ok(NewPrediction {
        id: store.new_prediction_id()?,
        created_at: store.clock().now(),
        model_version: ModelVersionId::new(Timestamp::from_millis(0), &[0; 10]),
        model_name: "land".into(),
        version: 1,
        input_digest: Digest::of(b"image"),
        input_bytes: 100_000,
        input_format: "jpeg".into(),
        width: 640,
        height: 480,
        class: "forest".into(),
        confidence: 0.9,
        probabilities_json: "{\"forest\":0.9,\"water\":0.1}".into(),
        latency_ms: 4.0,
        decode_ms: 2.0,
        preprocess_ms: 1.0,
        inference_ms: 1.0,
    })
}
