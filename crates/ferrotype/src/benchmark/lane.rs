//! A runtime with a number of threads, and what was measured of it.

use std::num::NonZeroUsize;

use ferrotype_inference::{LoadedNetwork, RuntimeChoice};

use super::query::Querier;
use super::report::RuntimeReport;

/// The name of the native runtime, which has this program's version.
const NATIVE: &str = "native";

/// A runtime with a number of threads, and what was measured of it.
pub(super) struct Lane {
    /// The network; none where the runtime cannot load it.
    pub(super) loaded: Option<LoadedNetwork>,
    /// How long queries of the scenario `server` take alone, in milliseconds, once that is known.
    pub(super) services_ms: Option<Vec<f64>>,
    pub(super) report: RuntimeReport,
}

impl Lane {
    /// Nothing is loaded and measured yet.
    pub(super) fn new(choice: RuntimeChoice, threads: NonZeroUsize) -> Self {
        Self {
            loaded: None,
            services_ms: None,
            report: RuntimeReport {
                runtime: choice.to_string(),
                name: None,
                threads: threads.get(),
                problem: None,
                native_refusal: None,
                load_ms: None,
                memory: None,
                single_stream: Vec::new(),
                offline: Vec::new(),
                server: None,
                server_problem: None,
                layers: Vec::new(),
            },
        }
    }

    /// Keeps a network that took so long to load.
    pub(super) fn keep(&mut self, loaded: LoadedNetwork, load_ms: f64) {
        self.report.load_ms = Some(load_ms);
        self.report.name = Some(versioned(&loaded.runtime_name));
        self.report.native_refusal.clone_from(&loaded.refusal);
        self.loaded = Some(loaded);
    }

    /// Keeps why it cannot be used further; the first reason stays.
    pub(super) fn fail(&mut self, problem: String) {
        self.report.problem.get_or_insert(problem);
    }

    /// Asks the network, unless it cannot be used (any more).
    pub(super) fn querier<'a>(
        &'a self,
        batch: usize,
        inputs: &'a [Vec<f32>],
    ) -> Option<Querier<'a>> {
        let loaded = self.loaded.as_ref()?;
        let is_usable = self.report.problem.is_none();
        is_usable.then(|| Querier::new(&*loaded.network, batch, inputs))
    }
}

/// A runtime's name with its version; the native one has this program's.
fn versioned(runtime_name: &str) -> String {
    match runtime_name {
        NATIVE => format!("{NATIVE} {}", env!("CARGO_PKG_VERSION")),
        name => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_has_a_name_and_a_version() {
        let native = format!("native {}", env!("CARGO_PKG_VERSION"));
        assert_eq!(versioned("native"), native);
        assert_eq!(versioned("ONNX Runtime 1.32"), "ONNX Runtime 1.32");
    }
}
