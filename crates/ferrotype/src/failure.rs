//! How a command fails: one message with its causes, `hint:` lines, an exit code.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use crate::output::Printer;

/// The exit code of a command that failed.
pub(crate) const FAILED: u8 = 1;

/// The exit code of a command that was called wrongly (clap uses the same).
pub(crate) const USAGE: u8 = 2;

/// An error that the binary itself finds, with what the user can do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hints: Vec<String>,
    exit_code: u8,
}

impl Failure {
    /// A failure with this message; the command ends with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hints: Vec::new(),
            exit_code: FAILED,
        }
    }

    /// The command was called wrongly: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit_code: USAGE,
            ..Self::new(message)
        }
    }

    /// What to do next.
    #[cfg(test)]
    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

/// Prints an error once, with its causes and hints, and answers with the exit code.
pub(crate) fn report(printer: &Printer, error: &anyhow::Error) -> ExitCode {
    let messages = messages(error);
    if let Some((first, causes)) = messages.split_first() {
        printer.error(first, causes, &hints(error));
    }
    ExitCode::from(exit_code(error))
}

/// The messages from the outermost error to the root cause, without those that an outer one
/// has quoted already.
fn messages(error: &anyhow::Error) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if !text.is_empty() && !messages.iter().any(|said| said.contains(&text)) {
            messages.push(text);
        }
    }
    messages
}

fn exit_code(error: &anyhow::Error) -> u8 {
    error
        .downcast_ref::<Failure>()
        .map_or(FAILED, |failure| failure.exit_code)
}

/// The hints of every error in the chain, outermost first.
fn hints(error: &anyhow::Error) -> Vec<String> {
    let mut hints: Vec<String> = Vec::new();
    for cause in error.chain() {
        for hint in hints_of(cause) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
    }
    hints
}

/// The hints of one error of the chain, if it is one of ours.
fn hints_of(error: &(dyn Error + 'static)) -> Vec<String> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.hints.clone();
    }
    let found = [
        hint_of(error, ferrotype_core::config::ConfigError::hint),
        hint_of(error, ferrotype_core::graph::GraphError::hint),
        hint_of(error, ferrotype_data::DataError::hint),
        hint_of(error, ferrotype_engine::EngineError::hint),
        hint_of(error, ferrotype_inference::InferenceError::hint),
        hint_of(error, ferrotype_measure::MeasureError::hint),
        hint_of(error, ferrotype_store::StoreError::hint),
        hint_of(error, ferrotype_vision::decode::DecodeError::hint),
        hint_of(error, ferrotype_vision::loader::SampleError::hint),
        hint_of(error, ferrotype_web::WebError::hint),
    ];
    found.into_iter().flatten().collect()
}

/// The hint of an error of type `E`.
fn hint_of<E: Error + 'static>(
    error: &(dyn Error + 'static),
    hint: fn(&E) -> Option<String>,
) -> Option<String> {
    error.downcast_ref::<E>().and_then(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_the_message_quotes_is_not_repeated() {
        let error = anyhow::anyhow!("no space left")
            .context("cannot save: no space left")
            .context("training stopped");
        assert_eq!(
            messages(&error),
            ["training stopped", "cannot save: no space left"]
        );
    }

    #[test]
    fn hints_are_collected_through_the_chain() {
        let error = anyhow::Error::from(Failure::new("port in use").hint("pass `--port`"))
            .context("cannot serve");
        assert_eq!(hints(&error), ["pass `--port`"]);
    }

    #[test]
    fn a_wrong_call_exits_with_two_and_anything_else_with_one() {
        assert_eq!(exit_code(&Failure::usage("x").into()), 2);
        assert_eq!(exit_code(&Failure::new("x").into()), 1);
        assert_eq!(exit_code(&anyhow::anyhow!("x")), 1);
    }
}
