//! Decoding and running networks, off the threads that serve requests, a bounded number at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::error::{ApiError, ErrorKind};

/// How long a request waits for a worker before it is refused: by then most clients have gone.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A place in the line. Whoever holds one may use the workers.
#[derive(Debug)]
pub(crate) struct Admission {
    _permit: OwnedSemaphorePermit,
}

/// The workers, the line before them, and the memory that uploads may hold.
#[derive(Debug)]
pub(crate) struct Pool {
    line: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    upload_kilobytes: Arc<Semaphore>,
    line_length: usize,
    worker_count: usize,
    longest_wait: Duration,
    running: Arc<AtomicUsize>,
}

/// Memory set aside for an upload, given back when dropped.
#[derive(Debug)]
pub(crate) struct UploadBudget {
    _permit: OwnedSemaphorePermit,
}

/// Counts a running job, also when it panics.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn start(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// `workers` jobs run at once, `queue_length` more wait, the others are refused. All uploads
    /// together hold at most `upload_bytes`.
    pub(crate) fn new(workers: usize, queue_length: usize, upload_bytes: usize) -> Self {
        let workers = workers.clamp(1, 1 << 10);
        let line_length = workers + queue_length.min(1 << 20);
        let kilobytes = upload_bytes.div_ceil(1 << 10).clamp(1, 1 << 28);
        Self {
            line: Arc::new(Semaphore::new(line_length)),
            workers: Arc::new(Semaphore::new(workers)),
            upload_kilobytes: Arc::new(Semaphore::new(kilobytes)),
            line_length,
            worker_count: workers,
            longest_wait: LONGEST_WAIT,
            running: Arc::default(),
        }
    }

    /// Takes a place in the line, or refuses at once when it is full.
    pub(crate) fn admit(&self) -> Result<Admission, ApiError> {
        match Arc::clone(&self.line).try_acquire_owned() {
            Ok(permit) => Ok(Admission { _permit: permit }),
            Err(TryAcquireError::NoPermits) => Err(ApiError::overloaded(self.line_length)),
            Err(TryAcquireError::Closed) => Err(shutting_down()),
        }
    }

    /// Sets memory aside for an upload of up to `bytes`, or refuses at once.
    pub(crate) fn reserve_upload(&self, bytes: usize) -> Result<UploadBudget, ApiError> {
        let kilobytes = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        Arc::clone(&self.upload_kilobytes)
            .try_acquire_many_owned(kilobytes)
            .map(|permit| UploadBudget { _permit: permit })
            .map_err(|_| {
                ApiError::new(
                    ErrorKind::Overloaded,
                    "the uploads that are arriving already fill the memory set aside for them",
                )
                .with_hint("try again in a second")
            })
    }

    /// Runs `work` on a worker, as soon as one is free, or refuses after a while. A caller that goes away before that is
    /// never worked for; one that goes away later does not stop the work.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let free = Arc::clone(&self.workers).acquire_owned();
        let worker = tokio::time::timeout(self.longest_wait, free)
            .await
            .map_err(|_| waited_too_long())?
            .map_err(|_| shutting_down())?;
        let running = Running::start(&self.running);
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || {
            // Both live as long as the work, not as long as the caller.
            let _held = (worker, running);
            span.in_scope(work)
        })
        .await
        .map_err(ApiError::internal)
    }

    /// Jobs that can be worked on at once.
    pub(crate) fn worker_count(&self) -> usize {
        self.worker_count
    }

    /// Requests in the line, those being worked on included.
    pub(crate) fn in_line(&self) -> usize {
        self.line_length - self.line.available_permits()
    }

    /// Jobs being worked on.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

fn waited_too_long() -> ApiError {
    ApiError::new(
        ErrorKind::Overloaded,
        format!(
            "no worker came free within {} seconds",
            LONGEST_WAIT.as_secs()
        ),
    )
    .with_hint("try again in a second, or run more replicas")
}

fn shutting_down() -> ApiError {
    ApiError::new(ErrorKind::ShuttingDown, "the server is about to stop")
        .with_hint("try again in a few seconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_line_refuses_and_a_left_place_is_taken_again() {
        let pool = Pool::new(1, 1, 1 << 20);
        let first = pool.admit().unwrap();
        let _second = pool.admit().unwrap();
        assert_eq!(pool.in_line(), 2);
        assert_eq!(pool.admit().unwrap_err().kind(), ErrorKind::Overloaded);
        drop(first);
        assert!(pool.admit().is_ok());
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error_and_frees_its_worker() {
        let pool = Pool::new(1, 0, 1 << 20);
        let outcome = pool.run(|| panic!("a bug")).await;
        let outcome: Result<(), ApiError> = outcome;
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(pool.running(), 0);
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn work_that_waits_too_long_is_refused() {
        let mut pool = Pool::new(1, 10, 1 << 20);
        pool.longest_wait = Duration::from_millis(1);
        let pool = Arc::new(pool);
        let (finish, finished) = std::sync::mpsc::channel::<()>();
        let busy = Arc::clone(&pool);
        let first = tokio::spawn(async move { busy.run(move || finished.recv().is_ok()).await });
        while pool.running() == 0 {
            tokio::task::yield_now().await;
        }
        let second = pool.run(|| true).await;
        assert_eq!(second.unwrap_err().kind(), ErrorKind::Overloaded);
        finish.send(()).unwrap();
        assert!(first.await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn uploads_share_one_memory() {
        let pool = Pool::new(1, 0, 10_000);
        let first = pool.reserve_upload(9_000).unwrap();
        assert_eq!(
            pool.reserve_upload(9_000).unwrap_err().kind(),
            ErrorKind::Overloaded
        );
        drop(first);
        assert!(pool.reserve_upload(9_000).is_ok());
    }
}
