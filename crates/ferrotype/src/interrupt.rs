//! Ctrl-C and SIGTERM: the first asks the command to save and stop, the second ends it at once.

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::output::Printer;

/// What a shell reports for a program that a Ctrl-C ended.
const ABORTED: i32 = 130;

/// Whether the user has asked to stop.
#[derive(Clone)]
pub(crate) struct Interrupt {
    requested: watch::Receiver<bool>,
}

impl Interrupt {
    /// Starts to listen for both signals on the runtime.
    pub(crate) fn listen(runtime: &Handle, printer: &Printer) -> Self {
        let (sender, requested) = watch::channel(false);
        let printer = printer.clone();
        let _runtime = runtime.enter();
        // Registered here rather than in the task: a signal right after this line must not end the program.
        match Signals::register() {
            Ok(mut signals) => {
                runtime.spawn(async move {
                    signals.next().await;
                    let _ = sender.send(true);
                    printer.status("Stopping … (once more stops at once)");
                    signals.next().await;
                    printer.warning("stopped at once; what was not saved yet is lost");
                    std::process::exit(ABORTED);
                });
            }
            Err(error) => printer.warning(format!(
                "cannot listen for Ctrl-C, it will end the program without saving: {error}"
            )),
        }
        Self { requested }
    }

    /// Whether the first signal has come.
    pub(crate) fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// Ends when the first signal has come.
    pub(crate) async fn requested(mut self) {
        if self
            .requested
            .wait_for(|requested| *requested)
            .await
            .is_err()
        {
            // Nobody listens: no signal will ever come.
            std::future::pending::<()>().await;
        }
    }
}

/// The signals that ask a program to stop.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn register() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn register() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
