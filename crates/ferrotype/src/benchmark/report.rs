//! What was measured, as `--json` prints it.

use ferrotype_measure::LatencyReport;
use serde::Serialize;

use super::Scenario;
use super::layers::per_nanosecond;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The model's reference, the run, or the file.
    pub(crate) model: String,
    /// Channels, height and width of an image.
    pub(crate) image_shape: [usize; 3],
    /// What the images are.
    pub(crate) images: String,
    /// The length of a measurement.
    pub(crate) seconds: f64,
    /// The scenarios.
    pub(crate) scenarios: Vec<Scenario>,
    /// The machine.
    pub(crate) machine: Machine,
    /// Floating-point operations of an image, where the native runtime has counted them.
    pub(crate) flops_per_image: Option<u64>,
    /// Each runtime with each number of threads.
    pub(crate) runtimes: Vec<RuntimeReport>,
}

impl Report {
    /// Adds the speeds that follow from an image's operations, and all speeds as a part of the
    /// machine's.
    pub(super) fn relate_to_peak(&mut self) {
        for runtime in &mut self.runtimes {
            let mut peaks = self.machine.peaks.iter();
            let peak = peaks.find(|peak| peak.threads == runtime.threads);
            let peak = peak.map(|peak| peak.gflops_per_second);
            let share = |speed: Option<f64>| Some(speed? / peak?);
            for closed in runtime.single_stream.iter_mut().chain(&mut runtime.offline) {
                let ms_per_image = 1e3 / closed.images_per_second;
                let flops = self.flops_per_image;
                closed.gflops_per_second =
                    flops.and_then(|flops| per_nanosecond(flops, ms_per_image));
                closed.share_of_peak = share(closed.gflops_per_second);
            }
            for layers in &mut runtime.layers {
                layers.share_of_peak = share(layers.gflops_per_second);
                for step in &mut layers.steps {
                    step.share_of_peak = share(step.gflops_per_second);
                }
            }
        }
    }
}

/// The machine as it was found.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// Threads that can run at once.
    pub(crate) cores: usize,
    /// The widest instructions in use: `avx512`, `avx2` or `scalar`.
    pub(crate) instructions: String,
    /// What multiply-adds in registers reach, for each number of threads that was measured.
    pub(crate) peaks: Vec<Peak>,
}

/// The measured peak of some threads.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Peak {
    pub(crate) threads: usize,
    pub(crate) gflops_per_second: f64,
}

/// A runtime with a number of threads.
#[derive(Debug, Serialize)]
pub(crate) struct RuntimeReport {
    /// The choice: `native`, `rten`, …
    pub(crate) runtime: String,
    /// Name and version; absent where it could not be loaded.
    pub(crate) name: Option<String>,
    /// Threads of a query.
    pub(crate) threads: usize,
    /// Why it cannot be used, or not further.
    pub(crate) problem: Option<String>,
    /// Why `auto` did not take the native runtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) native_refusal: Option<String>,
    /// Time to load the network.
    pub(crate) load_ms: Option<f64>,
    /// Memory of a process that does nothing else.
    pub(crate) memory: Option<Memory>,
    pub(crate) single_stream: Vec<ClosedReport>,
    pub(crate) offline: Vec<ClosedReport>,
    pub(crate) server: Option<ServerReport>,
    /// Why there is no rate for the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_problem: Option<String>,
    /// Each step of the network, for each number of images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) layers: Vec<LayersReport>,
}

impl RuntimeReport {
    /// What it is called: name and version, or the choice.
    pub(crate) fn title(&self) -> String {
        match &self.name {
            Some(name) if self.runtime == "auto" => format!("auto: {name}"),
            Some(name) => name.clone(),
            None => self.runtime.clone(),
        }
    }
}

/// Memory that loading and running a network takes, beyond what the program takes without.
#[derive(Debug, Clone, Copy, Serialize, serde::Deserialize)]
pub(crate) struct Memory {
    /// What stays.
    pub(crate) resident_bytes: u64,
    /// The most at any time, the file included.
    pub(crate) peak_bytes: u64,
}

/// Queries one after the other.
#[derive(Debug, Serialize)]
pub(crate) struct ClosedReport {
    /// Images of a query.
    pub(crate) batch: usize,
    pub(crate) images_per_second: f64,
    /// As many operations as a direct computation takes, over the time.
    pub(crate) gflops_per_second: Option<f64>,
    /// Those as a part of the machine's peak.
    pub(crate) share_of_peak: Option<f64>,
    /// How long a query takes.
    pub(crate) latency: LatencyReport,
}

/// Queries that come by chance.
#[derive(Debug, Serialize)]
pub(crate) struct ServerReport {
    /// Images of a query.
    pub(crate) batch: usize,
    /// Queries that come in a second on average.
    pub(crate) rate_per_second: f64,
    /// Whether the rate was sought rather than given.
    pub(crate) is_rate_sought: bool,
    /// Queries that were given up; their times are how long they had waited.
    pub(crate) unanswered: usize,
    /// The share of the time in which the network was at work.
    pub(crate) busy_share: f64,
    /// What 99 % of the queries may take.
    pub(crate) latency_bound_ms: f64,
    pub(crate) is_bound_met: bool,
    /// From when queries were due until they were answered.
    pub(crate) latency: LatencyReport,
}

/// The steps of a network with batches of one size.
#[derive(Debug, Serialize)]
pub(crate) struct LayersReport {
    /// Images of a run.
    pub(crate) batch: usize,
    /// Runs.
    pub(crate) runs: usize,
    /// The steps' medians added up.
    pub(crate) total_ms: f64,
    pub(crate) flops: u64,
    pub(crate) gflops_per_second: Option<f64>,
    pub(crate) share_of_peak: Option<f64>,
    /// The steps in their order.
    pub(crate) steps: Vec<LayerReport>,
}

/// A step: a layer, with what is computed along with it.
#[derive(Debug, Serialize)]
pub(crate) struct LayerReport {
    /// The operator and the node.
    pub(crate) name: String,
    /// How it is computed, and on what.
    pub(crate) method: String,
    /// The median of the runs.
    pub(crate) ms: f64,
    /// Its part of all steps.
    pub(crate) share: f64,
    pub(crate) flops: u64,
    pub(crate) bytes: u64,
    pub(crate) gflops_per_second: Option<f64>,
    pub(crate) share_of_peak: Option<f64>,
    pub(crate) gigabytes_per_second: Option<f64>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn latency(count: u64, p50_ms: f64) -> LatencyReport {
        LatencyReport {
            count,
            mean_ms: p50_ms + 0.5,
            p50_ms,
            p90_ms: p50_ms + 1.0,
            p99_ms: p50_ms + 2.0,
            max_ms: p50_ms + 3.0,
        }
    }

    fn closed(batch: usize, images_per_second: f64) -> ClosedReport {
        ClosedReport {
            batch,
            images_per_second,
            gflops_per_second: None,
            share_of_peak: None,
            latency: latency(150, 10.0),
        }
    }

    fn runtime(runtime: &str, name: Option<&str>) -> RuntimeReport {
        RuntimeReport {
            runtime: runtime.into(),
            name: name.map(str::to_string),
            threads: 2,
            problem: None,
            native_refusal: None,
            load_ms: None,
            memory: None,
            single_stream: Vec::new(),
            offline: Vec::new(),
            server: None,
            server_problem: None,
            layers: Vec::new(),
        }
    }

    fn layers() -> LayersReport {
        let layer = |name: &str, ms: f64, flops| LayerReport {
            name: name.into(),
            method: "Direct 3->64".into(),
            ms,
            share: ms / 10.0,
            flops,
            bytes: 6_000_000,
            gflops_per_second: per_nanosecond(flops, ms),
            share_of_peak: None,
            gigabytes_per_second: per_nanosecond(6_000_000, ms),
        };
        LayersReport {
            batch: 1,
            runs: 90,
            total_ms: 10.0,
            flops: 1_000_000_000,
            gflops_per_second: per_nanosecond(1_000_000_000, 10.0),
            share_of_peak: None,
            steps: vec![
                layer("Conv /conv1", 8.0, 1_000_000_000),
                layer("MaxPool /pool", 2.0, 0),
            ],
        }
    }

    /// Two runtimes that were measured, one of them too slow for the server, and one that was not
    /// found. An image takes a thousand million operations, the machine can do 200 in a second.
    pub(crate) fn example() -> Report {
        let mut native = runtime("native", Some("native 0.1.0"));
        native.load_ms = Some(12.4);
        native.memory = Some(Memory {
            resident_bytes: 50_000_000,
            peak_bytes: 90_000_000,
        });
        native.single_stream = vec![closed(1, 100.0)];
        native.offline = vec![closed(8, 120.0)];
        native.server = Some(ServerReport {
            batch: 1,
            rate_per_second: 80.25,
            is_rate_sought: true,
            unanswered: 0,
            busy_share: 0.8,
            latency_bound_ms: 100.0,
            is_bound_met: true,
            latency: latency(1200, 20.0),
        });
        native.layers = vec![layers()];
        let mut rten = runtime("auto", Some("rten 0.27.0"));
        rten.native_refusal = Some("operator `Sin`".into());
        rten.single_stream = vec![closed(1, 4.0)];
        rten.server_problem = Some("too slow".into());
        let mut missing = runtime("onnxruntime", None);
        missing.problem = Some("no library".into());
        let mut report = Report {
            model: "net.onnx".into(),
            image_shape: [3, 224, 224],
            images: "noise".into(),
            seconds: 1.5,
            scenarios: Vec::new(),
            machine: Machine {
                cores: 2,
                instructions: "avx512".into(),
                peaks: vec![Peak {
                    threads: 2,
                    gflops_per_second: 200.0,
                }],
            },
            flops_per_image: Some(1_000_000_000),
            runtimes: vec![native, rten, missing],
        };
        report.relate_to_peak();
        report
    }

    #[test]
    fn speeds_are_related_to_the_peak_of_as_many_threads() {
        let report = example();
        let native = &report.runtimes[0];
        let of = |closed: &ClosedReport| [closed.gflops_per_second, closed.share_of_peak];
        let near = |found: [Option<f64>; 2], expected: [f64; 2]| {
            let pairs = found.into_iter().zip(expected);
            pairs.fold(0.0_f64, |worst, (f, e)| worst.max((f.unwrap() - e).abs())) < 1e-9
        };
        // 100 and 120 images a second of a GFLOP each.
        assert!(near(of(&native.single_stream[0]), [100.0, 0.5]));
        assert!(near(of(&native.offline[0]), [120.0, 0.6]));
        let layers = &native.layers[0];
        let conv = &layers.steps[0];
        assert!(near(
            [conv.gflops_per_second, conv.share_of_peak],
            [125.0, 0.625]
        ));
        assert_eq!(layers.steps[1].share_of_peak, None);
        let mut other_threads = example();
        other_threads.runtimes[0].threads = 1;
        other_threads.relate_to_peak();
        assert_eq!(
            other_threads.runtimes[0].single_stream[0].share_of_peak,
            None
        );
    }
}
