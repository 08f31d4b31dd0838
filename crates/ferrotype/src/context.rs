//! What every command is given: the printer, the project, the async runtime, the store.

use std::cell::OnceCell;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use ferrotype_core::time::{Clock, Timestamp};

use crate::interrupt::Interrupt;
use crate::output::Printer;
use crate::project::Project;

/// What every command is given.
pub(crate) struct Context {
    printer: Printer,
    project: Project,
    runtime: tokio::runtime::Runtime,
    clock: Arc<dyn Clock>,
    interrupt: OnceCell<Interrupt>,
}

impl Context {
    /// Finds the project and starts the async runtime. The store is opened when first asked for.
    pub(crate) fn new(printer: Printer, project: Option<&Path>) -> anyhow::Result<Self> {
        let current = std::env::current_dir().context("cannot find the current folder")?;
        let project = Project::find(project, &current)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start the async runtime")?;
        Ok(Self {
            printer,
            project,
            runtime,
            clock: Arc::new(SystemClock),
            interrupt: OnceCell::new(),
        })
    }

    /// Where everything the user sees is written.
    pub(crate) fn printer(&self) -> &Printer {
        &self.printer
    }

    /// Where the project lies.
    pub(crate) fn project(&self) -> &Project {
        &self.project
    }

    /// The clock of the machine.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Runs a future to its end; commands are synchronous outside of this.
    pub(crate) fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// From the first call on, Ctrl-C and SIGTERM no longer end the program but are told here.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        self.interrupt
            .get_or_init(|| Interrupt::listen(self.runtime.handle(), &self.printer))
    }
}

/// The clock of the machine.
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let elapsed = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_millis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
    }
}
