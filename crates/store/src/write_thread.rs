//! The thread on which transactions run.
//!
//! A transaction holds the database's only write lock between its statements. Run as part of the
//! caller's task, it would go on holding it while that task is not polled: when the runtime's
//! thread is blocked for a moment, or the request that the task serves was given up. Here a
//! transaction that has begun goes on to its end, whatever becomes of the caller, and those of
//! one process take turns instead of polling for the lock.

use std::sync::mpsc::{self, Receiver, Sender};

use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};
use tokio::sync::oneshot;

use crate::database::{self, ConnectOptions, Connection};
use crate::error::{StoreError, StoreErrorKind};

type Task = Box<dyn FnOnce(&mut Backend) + Send>;

/// A handle to the thread, which ends when the handle is dropped and its tasks are done.
pub(crate) struct WriteThread {
    tasks: Sender<Task>,
}

/// What the thread owns.
struct Backend {
    runtime: Runtime,
    connect_options: ConnectOptions,
    connection: Option<Connection>,
}

impl WriteThread {
    pub(crate) fn start(connect_options: ConnectOptions) -> Result<Self, StoreError> {
        let no_thread = |error: std::io::Error| {
            StoreError::new(
                StoreErrorKind::Io,
                format!("the store's writing thread cannot start: {error}"),
            )
        };
        let runtime = RuntimeBuilder::new_current_thread()
            .enable_all()
            .build()
            .map_err(no_thread)?;
        let backend = Backend {
            runtime,
            connect_options,
            connection: None,
        };
        let (tasks, receiver) = mpsc::channel();
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || backend.run(&receiver))
            .map_err(no_thread)?;
        Ok(Self { tasks })
    }

    /// Runs `act` in a transaction that is committed when it answers `Ok`.
    pub(crate) async fn transact<T, Act>(&self, act: Act) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Act: AsyncFnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let task: Task = Box::new(move |backend| {
            let _ = answer.send(backend.transact(act));
        });
        self.tasks.send(task).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// Waits for what was begun and closes the connection. A later transaction opens it again.
    pub(crate) async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        let task: Task = Box::new(move |backend| {
            backend.close();
            let _ = answer.send(());
        });
        if self.tasks.send(task).is_ok() {
            let _ = answered.await; // none comes if the thread has ended, which is as good
        }
    }
}

impl Backend {
    fn run(mut self, tasks: &Receiver<Task>) {
        while let Ok(task) = tasks.recv() {
            task(&mut self);
        }
        self.close();
    }

    fn transact<T>(
        &mut self,
        act: impl AsyncFnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Self {
            runtime,
            connect_options,
            connection,
        } = self;
        runtime.block_on(async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => connect_options.connect().await?,
            };
            let mut transaction = database::begin_write_on(&mut open).await?;
            let outcome = act(&mut transaction).await;
            match outcome {
                Ok(_) => transaction.commit().await?,
                Err(_) => transaction.rollback().await?,
            }
            *connection = Some(open); // not kept when the database failed
            outcome
        })
    }

    fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = self.runtime.block_on(connection.close()); // all is committed
        }
    }
}

fn ended() -> StoreError {
    StoreError::new(StoreErrorKind::Io, "the store's writing thread has ended")
}
