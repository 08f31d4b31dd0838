//! What the crates report through `tracing`, written to standard error between the progress bars.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::output::{LogWriter, Printer, Verbosity};

/// The environment variable that overrides the level, in `tracing`'s filter syntax.
const FILTER_VARIABLE: &str = "FERROTYPE_LOG";

/// Starts logging to standard error; called once.
pub(crate) fn start(printer: &Printer) {
    let default = match printer.verbosity() {
        Verbosity::Quiet => "error",
        Verbosity::Normal => "warn",
        Verbosity::Verbose => "info,sqlx=warn",
        Verbosity::Debug => "debug,sqlx=info,hyper=info",
    };
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    // A second subscriber can only mean that a test started one: then that one stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(printer.colours_on_stderr())
        .with_writer(Lines(printer.clone()))
        .with_target(printer.verbosity() == Verbosity::Debug)
        .try_init();
}

/// Makes a writer for each log line.
struct Lines(Printer);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = LogWriter;

    fn make_writer(&'a self) -> Self::Writer {
        self.0.log_writer()
    }
}
