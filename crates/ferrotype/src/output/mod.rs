//! Everything the user sees in a terminal: results on standard output, the rest on standard error.

mod progress;
mod table;
pub(crate) mod text;

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use console::Style;
use indicatif::MultiProgress;
use serde::Serialize;

pub(crate) use progress::Progress;
pub(crate) use table::Table;

/// How much is said beside the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Results, warnings and errors only.
    Quiet,
    /// What happens, step by step.
    Normal,
    /// The log from level `info`.
    Verbose,
    /// The log from level `debug`.
    Debug,
}

/// Width of the verb column of [`Printer::step`].
const VERB_WIDTH: usize = 11;

/// Below this many columns a table is written unfolded.
const NARROWEST_FOLDED_TABLE: u16 = 20;

/// Writes to the terminal. Cheap to clone; all clones share one screen.
#[derive(Clone)]
pub(crate) struct Printer {
    verbosity: Verbosity,
    bars: MultiProgress,
    stdout_closed: Arc<AtomicBool>,
}

impl Printer {
    /// A printer on the process's standard output and standard error. `NO_COLOR` turns colours off
    /// (<https://no-color.org>).
    pub(crate) fn new(verbosity: Verbosity) -> Self {
        if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
            console::set_colors_enabled(false);
            console::set_colors_enabled_stderr(false);
        }
        Self {
            verbosity,
            bars: MultiProgress::new(),
            stdout_closed: Arc::new(AtomicBool::new(false)),
        }
    }

    /// How much is said.
    pub(crate) fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Whether standard error shows colours.
    pub(crate) fn colours_on_stderr(&self) -> bool {
        console::colors_enabled_stderr()
    }

    /// A result, on standard output. A reader that has gone away (`| head`) is not an error.
    pub(crate) fn result(&self, text: impl Display) {
        if self.stdout_closed.load(Ordering::Relaxed) {
            return;
        }
        let written = self
            .bars
            .suspend(|| writeln!(io::stdout().lock(), "{text}"));
        if written.is_err() {
            self.stdout_closed.store(true, Ordering::Relaxed);
        }
    }

    /// A result as indented JSON, on standard output.
    pub(crate) fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        self.result(serde_json::to_string_pretty(value)?);
        Ok(())
    }

    /// A table, on standard output.
    pub(crate) fn table(&self, table: &Table) {
        self.result(table.render(folds_to_terminal()));
    }

    /// Something that has been done: a verb and its object, on standard error.
    pub(crate) fn step(&self, verb: &str, text: impl Display) {
        let verb = format!("{verb:>VERB_WIDTH$}");
        let style = Style::new().for_stderr().green().bold();
        self.status(format_args!("{} {text}", style.apply_to(verb)));
    }

    /// What happens, on standard error.
    pub(crate) fn status(&self, text: impl Display) {
        if self.verbosity > Verbosity::Quiet {
            self.to_stderr(format_args!("{text}\n"));
        }
    }

    /// Something the user should know although the command goes on.
    pub(crate) fn warning(&self, text: impl Display) {
        let style = Style::new().for_stderr().yellow().bold();
        self.to_stderr(format_args!("{} {text}\n", style.apply_to("warning:")));
    }

    /// Why the command failed: the message, its causes, and what to do next.
    pub(crate) fn error(&self, message: &str, causes: &[String], hints: &[String]) {
        let red = Style::new().for_stderr().red().bold();
        let cyan = Style::new().for_stderr().cyan().bold();
        let mut text = format!("{} {message}\n", red.apply_to("error:"));
        for cause in causes {
            text.push_str(&format!("  caused by: {cause}\n"));
        }
        for hint in hints {
            text.push_str(&format!("{} {hint}\n", cyan.apply_to("hint:")));
        }
        self.to_stderr(text);
    }

    /// Shows how far a long step is; see [`Progress`].
    pub(crate) fn progress(&self, label: &str, length: u64) -> Progress {
        Progress::new(self.clone(), label, length)
    }

    /// A writer of log lines that leaves the progress bars whole.
    pub(crate) fn log_writer(&self) -> LogWriter {
        LogWriter(self.clone())
    }

    fn to_stderr(&self, text: impl Display) {
        // Nowhere to tell of a closed standard error.
        let _ = self.bars.suspend(|| write!(io::stderr().lock(), "{text}"));
    }
}

/// Whether tables are folded to a terminal's width. One that does not know its width says 0.
fn folds_to_terminal() -> bool {
    let columns = console::Term::stdout()
        .size_checked()
        .map(|(_, columns)| columns);
    columns.is_some_and(|columns| columns >= NARROWEST_FOLDED_TABLE)
}

/// Writes log lines to standard error, between the progress bars.
pub(crate) struct LogWriter(Printer);

impl Write for LogWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.bars.suspend(|| io::stderr().lock().write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
