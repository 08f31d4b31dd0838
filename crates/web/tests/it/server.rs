//! A server on a free port, in this process.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use ferrotype_store::{Store, SystemClock};
use ferrotype_testkit::http::{self, Answer};
use ferrotype_web::{ServeOptions, WebError};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::sample::{self, Sample};

/// A running server; it stops when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) store: Store,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), WebError>>>,
    runtime: Arc<tokio::runtime::Runtime>,
    _folder: Option<TempDir>,
}

fn runtime() -> Arc<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    Arc::new(runtime)
}

impl Server {
    /// A server with the sample store, `colours@production` as its model.
    pub(crate) fn with_sample() -> (Self, Sample) {
        Self::with_sample_and(|options| options)
    }

    /// The same with other options.
    pub(crate) fn with_sample_and(
        change: impl FnOnce(ServeOptions) -> ServeOptions,
    ) -> (Self, Sample) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = runtime();
        let sample = runtime.block_on(sample::fill(folder.path()));
        let store = sample.store.clone();
        let with_model = |mut options: ServeOptions| {
            options.model = Some("colours@production".parse().unwrap());
            change(options)
        };
        let server = Self::start(runtime, store, Some(folder), with_model).unwrap();
        (server, sample)
    }

    /// A server with an empty store in `folder`, or in a temporary one.
    pub(crate) fn with_empty_store(change: impl FnOnce(ServeOptions) -> ServeOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = runtime();
        let store = runtime.block_on(sample::empty_store(folder.path()));
        Self::start(runtime, store, Some(folder), change).unwrap()
    }

    /// Starts a server on a store that `fill` makes; the error if it does not start.
    pub(crate) fn try_start<F: Future<Output = Store>>(
        folder: &Path,
        fill: impl FnOnce(std::path::PathBuf) -> F,
        change: impl FnOnce(ServeOptions) -> ServeOptions,
    ) -> Result<Self, WebError> {
        let runtime = runtime();
        let store = runtime.block_on(fill(folder.to_path_buf()));
        Self::start(runtime, store, None, change)
    }

    fn start(
        runtime: Arc<tokio::runtime::Runtime>,
        store: Store,
        folder: Option<TempDir>,
        change: impl FnOnce(ServeOptions) -> ServeOptions,
    ) -> Result<Self, WebError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = mpsc::channel();
        let mut options = change(ServeOptions::new(
            listener,
            store.clone(),
            Arc::new(SystemClock),
        ))
        .with_shutdown(async {
            let _ = stopped.await;
        });
        options.on_ready = Some(Box::new(move |_| ready.send(()).unwrap()));
        let server_runtime = Arc::clone(&runtime);
        let thread =
            std::thread::spawn(move || server_runtime.block_on(ferrotype_web::serve(options)));
        if is_ready.recv().is_err() {
            // It ended before it was ready.
            return Err(thread.join().unwrap().unwrap_err());
        }
        Ok(Self {
            address,
            store,
            stop: Some(stop),
            thread: Some(thread),
            runtime,
            _folder: folder,
        })
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// `GET path`.
    pub(crate) fn get(&self, path: &str) -> Answer {
        http::get(&self.url(path))
    }

    /// Runs a future of the store.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Tells the server to stop, without waiting.
    pub(crate) fn tell_to_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Waits until the server has stopped.
    pub(crate) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tell_to_stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
