//! What a run begins with instead of random weights.

use std::collections::BTreeMap;

use ferrotype_core::config::schema::ModelConfig;
use ferrotype_core::graph::Graph;
use ferrotype_engine::weights::{self, Fitted};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Printer, text};
use crate::weights_source::{self, Located};

/// The run's setting that keeps which file it began with.
const DIGEST_PARAM: &str = "model.weights.blake3";

/// Weights from elsewhere, brought to a network.
pub(crate) struct Pretrained {
    located: Located,
    format: &'static str,
    pub(crate) fitted: Fitted,
}

impl Pretrained {
    /// What `model.weights` names; none when it names nothing.
    ///
    /// # Errors
    /// There is no such file, it cannot be fetched or read, or it is of another network.
    pub(crate) fn of(
        context: &Context,
        model: &ModelConfig,
        graph: &Graph,
    ) -> anyhow::Result<Option<Self>> {
        let Some(named) = &model.weights else {
            return Ok(None);
        };
        let located = weights_source::locate(context, named)?;
        let tensors = weights::read(&located.path)?;
        let fitted = weights::fit(graph, &tensors)?;
        Ok(Some(Self {
            located,
            format: tensors.format().name(),
            fitted,
        }))
    }

    /// Keeps which file it was, to tell when a run would begin again with another.
    pub(super) fn note(&self, params: &mut BTreeMap<String, String>) {
        params.insert(DIGEST_PARAM.to_string(), self.located.digest.clone());
    }

    /// Refuses to begin a run again with other weights than it began with.
    pub(super) fn check_same(&self, params: &BTreeMap<String, String>) -> anyhow::Result<()> {
        match params.get(DIGEST_PARAM) {
            Some(digest) if *digest != self.located.digest => Err(Failure::new(format!(
                "the weights `{}` are not those that the run was made with: their BLAKE3 is `{}`, expected `{digest}`",
                self.located.title, self.located.digest
            ))
            .hint("put the file back, or start a new run")
            .into()),
            _ => Ok(()),
        }
    }

    /// What matched, in a few lines.
    pub(crate) fn show(&self, printer: &Printer) {
        printer.step("Weights", self.headline());
        for line in self.fitted.report.summary() {
            printer.step("", line);
        }
    }

    /// Everything that did not simply match, for the run's log.
    pub(super) fn log_lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("begins with the weights {}", self.headline()),
            format!("BLAKE3 of the weights: {}", self.located.digest),
        ];
        lines.extend(self.fitted.report.details());
        lines
    }

    fn headline(&self) -> String {
        let report = &self.fitted.report;
        format!(
            "{} ({}, {}): {} of {} tensors, {} of {} parameters",
            self.located.title,
            self.format,
            text::bytes(self.located.bytes),
            report.tensors,
            report.expected_tensors,
            text::count(report.parameters),
            text::count(report.expected_parameters),
        )
    }
}
