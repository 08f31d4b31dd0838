//! Logging predictions off the request's path.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::{StoreError, StoreErrorKind};
use crate::predictions::NewPrediction;
use crate::store::Store;

/// How predictions are gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PredictionLogOptions {
    /// Predictions that may wait; beyond it they are dropped and counted.
    pub capacity: usize,
    /// Predictions that are written in one transaction, at most.
    pub batch: usize,
    /// How long the first of a batch waits for others.
    pub interval: Duration,
}

impl Default for PredictionLogOptions {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            batch: 500,
            interval: Duration::from_millis(200),
        }
    }
}

/// Attempts to write a batch while the database is busy, before it is given up.
const ATTEMPTS: u32 = 3;

/// Takes predictions without ever making a request wait, and writes them in the background.
/// Clones feed the same log.
#[derive(Debug, Clone)]
pub struct PredictionLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Sender<NewPrediction>,
    end: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
}

impl Store {
    /// Starts a prediction log on the current async runtime.
    ///
    /// # Errors
    /// When there is no async runtime.
    pub fn prediction_log(
        &self,
        options: PredictionLogOptions,
    ) -> Result<PredictionLog, StoreError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| {
            StoreError::new(
                StoreErrorKind::Io,
                format!("the prediction log cannot start: {error}"),
            )
        })?;
        let (queue, receiver) = mpsc::channel(options.capacity.max(1));
        let (end, ended) = watch::channel(false);
        let counts = Arc::new(Counts::default());
        let task = Task {
            store: self.clone(),
            options,
            counts: Arc::clone(&counts),
        };
        let task = runtime.spawn(task.run(receiver, ended));
        Ok(PredictionLog {
            shared: Arc::new(Shared {
                queue,
                end,
                task: Mutex::new(Some(task)),
                counts,
            }),
        })
    }
}

impl PredictionLog {
    /// Takes a prediction. Never waits: when too many wait already, it is dropped and counted, and
    /// the answer is `false`.
    pub fn log(&self, prediction: NewPrediction) -> bool {
        let taken = self.shared.queue.try_send(prediction).is_ok();
        if !taken {
            self.shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Predictions that were written.
    pub fn written(&self) -> u64 {
        self.shared.counts.written.load(Ordering::Relaxed)
    }

    /// Predictions that were lost: too many waited, or the store could not be written.
    pub fn dropped(&self) -> u64 {
        self.shared.counts.dropped.load(Ordering::Relaxed)
    }

    /// Writes what waits and ends. What is logged afterwards is dropped.
    pub async fn shutdown(&self) {
        self.shared.end.send_replace(true);
        let task = self
            .shared
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            // A panic there was told by the panic hook.
            let _ = task.await;
        }
    }
}

struct Task {
    store: Store,
    options: PredictionLogOptions,
    counts: Arc<Counts>,
}

impl Task {
    async fn run(self, mut queue: Receiver<NewPrediction>, mut ended: watch::Receiver<bool>) {
        let batch_length = self.options.batch.max(1);
        let mut batch = Vec::with_capacity(batch_length);
        loop {
            tokio::select! {
                received = queue.recv_many(&mut batch, batch_length) => {
                    if received == 0 {
                        return; // all handles are gone, and the queue is empty
                    }
                }
                _ = ended.wait_for(|ended| *ended) => break,
            }
            let more = self.gather(&mut queue, &mut batch, batch_length);
            tokio::select! {
                () = more => {}
                _ = ended.wait_for(|ended| *ended) => {}
            }
            self.write(&mut batch).await;
        }
        queue.close();
        while queue.recv_many(&mut batch, batch_length).await > 0 {
            self.write(&mut batch).await;
        }
    }

    /// Waits for others until the batch is full or the interval is over.
    async fn gather(
        &self,
        queue: &mut Receiver<NewPrediction>,
        batch: &mut Vec<NewPrediction>,
        batch_length: usize,
    ) {
        let until = tokio::time::Instant::now() + self.options.interval;
        while batch.len() < batch_length {
            let room = batch_length - batch.len();
            match tokio::time::timeout_at(until, queue.recv_many(batch, room)).await {
                Ok(received) if received > 0 => {}
                _ => return,
            }
        }
    }

    async fn write(&self, batch: &mut Vec<NewPrediction>) {
        let count = batch.len() as u64;
        match self.write_patiently(batch).await {
            Ok(()) => self.counts.written.fetch_add(count, Ordering::Relaxed),
            Err(error) => {
                tracing::error!(predictions = count, %error, "predictions were not logged");
                self.counts.dropped.fetch_add(count, Ordering::Relaxed)
            }
        };
        batch.clear();
    }

    async fn write_patiently(&self, batch: &[NewPrediction]) -> Result<(), StoreError> {
        let mut attempt = 1;
        loop {
            match self.store.log_predictions(batch).await {
                Err(error) if error.kind() == StoreErrorKind::Locked && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }
}
