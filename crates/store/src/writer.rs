//! A synchronous handle that training threads log through.
//!
//! One thread owns a connection of its own and writes what has gathered, a few times a second,
//! in one transaction. Logging a value costs a push into a bounded queue; when the queue is full
//! it waits, and when the disk is full it says so instead of waiting for ever.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ferrotype_core::id::{JobId, RunId};
use ferrotype_core::time::Clock;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};

use crate::database::{self, ConnectOptions, Connection};
use crate::error::{StoreError, StoreErrorKind};
use crate::jobs;
use crate::metrics::{self, MetricPoint};
use crate::runs;
use crate::store::Store;

/// Values that may wait in the queue.
const QUEUE_LENGTH: usize = 8_192;

/// Points that may wait for a database that cannot be written at the moment.
const MOST_WAITING_POINTS: usize = 65_536;

/// How often gathered points are written, so that a page shows them within a second.
const WRITE_INTERVAL: Duration = Duration::from_millis(250);

/// How often a watched job gives a sign of life and looks whether it is to be cancelled.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Pause before a full queue is tried again.
const QUEUE_PAUSE: Duration = Duration::from_millis(2);

/// Logs metrics and job progress from any thread, in or out of an async runtime. Clones share one
/// thread, which writes what is left when the last of them is dropped.
#[derive(Clone)]
pub struct Writer {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Option<SyncSender<Command>>,
    thread: Option<JoinHandle<()>>,
    clock: Arc<dyn Clock>,
    failure: Arc<Mutex<Option<StoreError>>>,
    ending: Arc<AtomicBool>,
}

enum Command {
    Metric(RunId, String, MetricPoint),
    Progress(JobId, f64, String),
    Watch(JobId, Arc<AtomicBool>),
    Unwatch(JobId),
    Flush(SyncSender<Result<(), StoreError>>),
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

impl Store {
    /// A synchronous handle to log metrics and job progress through.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn writer(&self) -> Result<Writer, StoreError> {
        let (sender, receiver) = mpsc::sync_channel(QUEUE_LENGTH);
        let failure = Arc::new(Mutex::new(None));
        let ending = Arc::new(AtomicBool::new(false));
        let no_thread = |error: &std::io::Error| {
            StoreError::new(
                StoreErrorKind::Io,
                format!("the metric writer cannot start: {error}"),
            )
        };
        let runtime = RuntimeBuilder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| no_thread(&error))?;
        let backend = Backend {
            connect_options: database::flushing(self.connect_options().clone()),
            connection: None,
            clock: Arc::clone(self.clock()),
            points: HashMap::new(),
            point_count: 0,
            progress: HashMap::new(),
            watched: HashMap::new(),
            failure: Arc::clone(&failure),
            ending: Arc::clone(&ending),
        };
        let thread = std::thread::Builder::new()
            .name("metric-writer".into())
            .spawn(move || backend.run(&receiver, &runtime))
            .map_err(|error| no_thread(&error))?;
        Ok(Writer {
            shared: Arc::new(Shared {
                queue: Some(sender),
                thread: Some(thread),
                clock: Arc::clone(self.clock()),
                failure,
                ending,
            }),
        })
    }
}

impl Writer {
    /// Logs a value. Readers see it within about a second; [`Self::flush`] makes it durable. A
    /// value at a step that the metric has replaces it.
    ///
    /// # Errors
    /// When the store could not be written for so long that the queue is full.
    pub fn log_metric(
        &self,
        run: RunId,
        key: &str,
        step: u64,
        value: f64,
    ) -> Result<(), StoreError> {
        let time = self.shared.clock.now();
        let point = MetricPoint { step, time, value };
        self.submit(Command::Metric(run, key.to_string(), point))
    }

    /// Tells how far a job is (0 to 1), with a line for people.
    ///
    /// # Errors
    /// As [`Self::log_metric`].
    pub fn set_job_progress(
        &self,
        job: JobId,
        progress: f64,
        message: &str,
    ) -> Result<(), StoreError> {
        self.submit(Command::Progress(job, progress, message.to_string()))
    }

    /// Gives the job's sign of life every second until the returned watch is dropped, which also
    /// tells whether somebody asked for the job to be cancelled.
    ///
    /// # Errors
    /// As [`Self::log_metric`].
    pub fn watch_job(&self, job: JobId) -> Result<JobWatch, StoreError> {
        let cancelled = Arc::new(AtomicBool::new(false));
        self.submit(Command::Watch(job, Arc::clone(&cancelled)))?;
        Ok(JobWatch {
            job,
            cancelled,
            writer: self.clone(),
        })
    }

    /// Waits until everything logged before is on the disk.
    ///
    /// # Errors
    /// When it cannot be written (such as kind `Full`). It is kept and tried again.
    pub fn flush(&self) -> Result<(), StoreError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.submit(Command::Flush(sender))?;
        receiver.recv().map_err(|_| ended())?
    }

    fn submit(&self, mut command: Command) -> Result<(), StoreError> {
        let Some(queue) = &self.shared.queue else {
            return Err(ended());
        };
        loop {
            command = match queue.try_send(command) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(_)) => return Err(ended()),
                Err(TrySendError::Full(command)) => command,
            };
            let failure = lock(&self.shared.failure).clone();
            if let Some(error) = failure {
                return Err(error);
            }
            std::thread::sleep(QUEUE_PAUSE);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was told by the panic hook.
            let _ = thread.join();
        }
    }
}

/// A job that gives signs of life while this exists.
#[derive(Debug)]
pub struct JobWatch {
    job: JobId,
    cancelled: Arc<AtomicBool>,
    writer: Writer,
}

impl JobWatch {
    /// Whether somebody asked for the job to be cancelled (known within about a second).
    pub fn is_cancel_requested(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Drop for JobWatch {
    fn drop(&mut self) {
        let _ = self.writer.submit(Command::Unwatch(self.job));
    }
}

fn ended() -> StoreError {
    StoreError::new(StoreErrorKind::Io, "the metric writer has ended")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread owns.
struct Backend {
    connect_options: ConnectOptions,
    connection: Option<Connection>,
    clock: Arc<dyn Clock>,
    points: HashMap<(RunId, String), Vec<MetricPoint>>,
    point_count: usize,
    progress: HashMap<JobId, (f64, String)>,
    watched: HashMap<JobId, Arc<AtomicBool>>,
    failure: Arc<Mutex<Option<StoreError>>>,
    ending: Arc<AtomicBool>,
}

impl Backend {
    fn run(mut self, queue: &Receiver<Command>, runtime: &Runtime) {
        let mut next_write = Instant::now() + WRITE_INTERVAL;
        let mut next_heartbeat = Instant::now();
        loop {
            match self.next_command(queue, next_write) {
                Ok(Command::Flush(answer)) => {
                    let _ = answer.send(runtime.block_on(self.write()));
                }
                Ok(command) => self.take(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = Instant::now();
            if now >= next_heartbeat && !self.watched.is_empty() {
                runtime.block_on(self.give_heartbeats());
                next_heartbeat = now + HEARTBEAT_INTERVAL;
            }
            if now >= next_write {
                let _ = runtime.block_on(self.write()); // kept as the failure
                next_write = Instant::now() + WRITE_INTERVAL;
            }
        }
        runtime.block_on(self.end());
    }

    /// Waits for a command until the next write. While too many points wait for a database that
    /// cannot be written, none is taken: the queue fills up, and whoever logs is told why.
    fn next_command(
        &self,
        queue: &Receiver<Command>,
        next_write: Instant,
    ) -> Result<Command, RecvTimeoutError> {
        let wait = next_write.saturating_duration_since(Instant::now());
        if self.point_count < MOST_WAITING_POINTS || self.ending.load(Ordering::Relaxed) {
            return queue.recv_timeout(wait);
        }
        std::thread::sleep(wait);
        Err(RecvTimeoutError::Timeout)
    }

    async fn end(mut self) {
        if let Err(error) = self.write().await {
            tracing::error!(points = self.point_count, %error, "metrics were lost");
        }
        if let Some(connection) = self.connection.take() {
            let _ = connection.close().await; // all is committed
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Metric(run, key, point) => {
                self.points.entry((run, key)).or_default().push(point);
                self.point_count += 1;
            }
            Command::Progress(job, progress, message) => {
                self.progress.insert(job, (progress, message));
            }
            Command::Watch(job, cancelled) => {
                self.watched.insert(job, cancelled);
            }
            Command::Unwatch(job) => {
                self.watched.remove(&job);
            }
            Command::Flush(_) => {} // answered by `run`, which has the runtime
        }
    }

    /// Writes all that has gathered, or keeps it for the next time.
    async fn write(&mut self) -> Result<(), StoreError> {
        let outcome = if self.points.is_empty() && self.progress.is_empty() {
            Ok(())
        } else {
            self.write_transaction().await
        };
        match &outcome {
            Ok(()) => {
                self.points.clear();
                self.point_count = 0;
                self.progress.clear();
                *lock(&self.failure) = None;
            }
            Err(error) => {
                self.connection = None; // the next try starts afresh
                if lock(&self.failure).replace(error.clone()).is_none() {
                    tracing::warn!(%error, "metrics cannot be written; trying again");
                }
            }
        }
        outcome
    }

    async fn write_transaction(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let connection = connect(&mut self.connection, &self.connect_options).await?;
        let mut transaction = database::begin_write_on(connection).await?;
        for ((run, key), points) in &self.points {
            // Points of a run that was deleted meanwhile have nowhere to go; keeping them would
            // hold up those of all other runs.
            if runs::exists(&mut transaction, *run).await? {
                metrics::add_points(&mut transaction, *run, key, points.clone()).await?;
            }
        }
        for (job, (progress, message)) in &self.progress {
            jobs::write_progress(&mut transaction, *job, *progress, message, now).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// A missed heartbeat or an unread request is made up for a second later.
    async fn give_heartbeats(&mut self) {
        let now = self.clock.now();
        let Ok(connection) = connect(&mut self.connection, &self.connect_options).await else {
            return;
        };
        for (job, cancelled) in &self.watched {
            match jobs::write_heartbeat(connection, *job, now).await {
                Ok(true) => cancelled.store(true, Ordering::Relaxed),
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "no heartbeat for job {job}"),
            }
        }
    }
}

async fn connect<'c>(
    slot: &'c mut Option<Connection>,
    options: &ConnectOptions,
) -> Result<&'c mut Connection, StoreError> {
    let connection = match slot.take() {
        Some(connection) => connection,
        None => options.connect().await?,
    };
    Ok(slot.insert(connection))
}
