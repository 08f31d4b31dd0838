//! What every command is given: the printer, the project, the async runtime, the store.

use std::cell::OnceCell;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use ferrotype_core::time::{Clock, Timestamp};
use ferrotype_store::{Store, StoreOptions, SystemClock};

use crate::failure::Failure;
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
    store: OnceCell<Store>,
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
            store: OnceCell::new(),
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

    /// The project's store; opened, and made if there is none, when first asked for.
    pub(crate) fn store(&self) -> anyhow::Result<Store> {
        if let Some(store) = self.store.get() {
            return Ok(store.clone());
        }
        let options = StoreOptions::in_folder(self.project.store_folder());
        let store = self.wait(Store::open(options, self.clock()))?;
        Ok(self.store.get_or_init(|| store).clone())
    }

    /// The project's store for a command that only looks: none is made where there is no project.
    pub(crate) fn existing_store(&self) -> anyhow::Result<Store> {
        if self.project.store_folder().is_dir() {
            return self.store();
        }
        Err(Failure::new(format!(
            "there is no project in `{}` or above it",
            self.project.root().display()
        ))
        .hint("go into the project's folder or name it by `--project PATH`")
        .hint("`ferrotype data import PATH --name NAME` begins one here")
        .into())
    }

    /// From the first call on, Ctrl-C and SIGTERM no longer end the program but are told here.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        self.interrupt
            .get_or_init(|| Interrupt::listen(self.runtime.handle(), &self.printer))
    }
}
