//! A store in a temporary folder with a clock that the test sets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ferrotype_core::manifest::{
    MANIFEST_VERSION, ModelManifest, OutputKind, Preprocessing, ResizeFilter, ResizeMode, Task,
};
use ferrotype_core::name::Reference;
use ferrotype_core::time::{Clock, Timestamp};
use ferrotype_store::{
    DatasetVersion, Digest, NewDatasetVersion, NewModelVersion, NewPrediction, NewRun, Run, Store,
    StoreOptions, SystemClock,
};
use tempfile::TempDir;

/// Starts at a fixed moment and moves when told to.
pub(crate) struct ManualClock(AtomicI64);

impl ManualClock {
    pub(crate) fn advance(&self, milliseconds: i64) {
        self.0.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) folder: TempDir,
}

pub(crate) async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock(AtomicI64::new(1_700_000_000_000)));
    let options = StoreOptions::in_folder(folder.path().join(".ferrotype"));
    let store = Store::open(options, clock.clone()).await.unwrap();
    Fixture {
        store,
        clock,
        folder,
    }
}

/// Opens the store at `root` with the machine's clock.
pub(crate) async fn open(root: &Path) -> Store {
    let options = StoreOptions::in_folder(root);
    Store::open(options, Arc::new(SystemClock)).await.unwrap()
}

pub(crate) async fn new_run(store: &Store) -> Run {
    store.create_run(NewRun::default()).await.unwrap()
}

pub(crate) fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// A dataset version whose manifest lists `images`, all of them put as blobs.
pub(crate) async fn new_dataset(store: &Store, name: &str, images: &[&[u8]]) -> DatasetVersion {
    let mut manifest = String::from("{\"format\":1}\n");
    for image in images {
        let digest = store.blobs().put(image).unwrap();
        manifest.push_str(&format!("{{\"path\":\"a.png\",\"digest\":\"{digest}\"}}\n"));
    }
    let new = NewDatasetVersion {
        name: name.into(),
        classes: vec!["cat".into(), "dog".into()],
        digest: Digest::of(manifest.as_bytes()),
        manifest_digest: store.blobs().put(manifest.as_bytes()).unwrap(),
        image_count: images.len() as u64,
        byte_count: 7,
        source: "/photos".into(),
        report_json: "{}".into(),
    };
    store.create_dataset_version(new).await.unwrap().0
}

pub(crate) fn manifest() -> ModelManifest {
    ModelManifest {
        manifest_version: MANIFEST_VERSION,
        task: Task::Classification,
        classes: vec!["cat".into(), "dog".into()],
        preprocessing: Preprocessing {
            width: 48,
            height: 48,
            resize: ResizeMode::Stretch,
            filter: ResizeFilter::Bilinear,
            mean: [0.1, 0.2, 0.3],
            std: [0.7, 0.8, 0.9],
        },
        output: OutputKind::Logits,
        threshold: None,
        thresholds: None,
        input_name: "input".into(),
        output_name: "logits".into(),
        embedding_name: None,
        architecture: None,
        dataset_version: None,
        dataset_digest: None,
        run: None,
    }
}

/// A model version about to be kept, its file put as a blob.
pub(crate) fn new_model(store: &Store, name: &str, onnx: &[u8]) -> NewModelVersion {
    NewModelVersion {
        name: name.into(),
        onnx: store.blobs().put(onnx).unwrap(),
        manifest: manifest(),
        run: None,
        metrics_json: "{}".into(),
        source: "test".into(),
    }
}

/// A prediction made now.
pub(crate) fn new_prediction(store: &Store, class: &str) -> NewPrediction {
    let random = [3; 10];
    NewPrediction {
        id: store.new_prediction_id().unwrap(),
        created_at: store.clock().now(),
        model_version: ferrotype_core::id::ModelVersionId::new(Timestamp::from_millis(1), &random),
        model_name: "land".into(),
        version: 1,
        input_digest: Digest::of(class.as_bytes()),
        input_bytes: 123,
        input_format: "jpeg".into(),
        width: 640,
        height: 480,
        class: class.into(),
        confidence: 0.75,
        probabilities_json: "{\"cat\":0.75,\"dog\":0.25}".into(),
        latency_ms: 4.5,
        decode_ms: 2.0,
        preprocess_ms: 1.0,
        inference_ms: 1.5,
    }
}
