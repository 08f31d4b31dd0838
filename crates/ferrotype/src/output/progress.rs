//! How far a long step is: a bar on a terminal, now and then a plain line elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Printer, Verbosity};

/// The time between two plain lines when standard error is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Shows how far a long step is. The bar goes away when this is dropped.
pub(crate) struct Progress {
    printer: Printer,
    label: String,
    bar: ProgressBar,
    /// When the last plain line was written; none when a bar is shown instead.
    plain_since: Option<Instant>,
}

impl Progress {
    pub(super) fn new(printer: Printer, label: &str, length: u64) -> Self {
        let on_terminal = console::user_attended_stderr();
        let target = if on_terminal && printer.verbosity() > Verbosity::Quiet {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = printer
            .bars
            .add(ProgressBar::with_draw_target(Some(length), target));
        bar.set_style(style());
        bar.set_prefix(label.to_string());
        Self {
            printer,
            label: label.to_string(),
            bar,
            plain_since: (!on_terminal).then(Instant::now),
        }
    }

    /// Tells how many items are done, out of how many, and what there is to say beside the bar.
    pub(crate) fn set(&mut self, position: u64, length: u64, message: impl Into<String>) {
        let message = message.into();
        if let Some(since) = self.plain_since
            && since.elapsed() >= PLAIN_INTERVAL
            && position < length
        {
            self.plain_since = Some(Instant::now());
            let separator = if message.is_empty() { "" } else { ": " };
            self.printer.status(format_args!(
                "{} {position}/{length}{separator}{message}",
                self.label
            ));
        }
        self.bar.set_length(length);
        self.bar.set_position(position);
        self.bar.set_message(message);
    }

    /// Changes what stands before the bar.
    pub(crate) fn label(&mut self, label: impl Into<String>) {
        self.label = label.into();
        self.bar.set_prefix(self.label.clone());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.printer.bars.remove(&self.bar);
    }
}

fn style() -> ProgressStyle {
    // The template is a constant of ours: were it wrong, a bare bar would do.
    ProgressStyle::with_template("{prefix:>11} [{bar:20}] {pos}/{len} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}
