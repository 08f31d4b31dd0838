//! Counters and timings for Prometheus.

use std::fmt::Write as _;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds of the timing buckets in seconds: 1 ms to 10 s.
const BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The content type of the Prometheus text format.
pub(crate) const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The content type of OpenMetrics.
pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) method: String,
    /// The route, such as `/api/v1/runs/{id}`, never the path as asked.
    pub(crate) route: String,
    pub(crate) status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RouteLabel {
    pub(crate) route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ModelLabels {
    pub(crate) model: String,
    pub(crate) version: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabel {
    pub(crate) kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StageLabel {
    pub(crate) stage: &'static str,
}

/// What is counted. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) request_seconds: Family<RouteLabel, Histogram>,
    pub(crate) predictions: Family<ModelLabels, Counter>,
    pub(crate) prediction_errors: Family<KindLabel, Counter>,
    pub(crate) stage_seconds: Family<StageLabel, Histogram>,
    pub(crate) waiting: Gauge,
    pub(crate) running: Gauge,
    pub(crate) log_dropped: Gauge,
    resident_bytes: Gauge,
    start_seconds: Gauge,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Metrics {
    /// Counters at zero, for a program that started at `start_ms` (Unix milliseconds).
    pub(crate) fn new(start_ms: i64) -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(histogram),
            predictions: Family::default(),
            prediction_errors: Family::default(),
            stage_seconds: Family::new_with_constructor(histogram),
            waiting: Gauge::default(),
            running: Gauge::default(),
            log_dropped: Gauge::default(),
            resident_bytes: Gauge::default(),
            start_seconds: Gauge::default(),
        };
        metrics.start_seconds.set(start_ms / 1000);
        metrics.registry = Arc::new(metrics.register());
        metrics
    }

    fn register(&self) -> Registry {
        let mut registry = Registry::default();
        let own = registry.sub_registry_with_prefix("ferrotype");
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        own.register("build", "The program", Info::new(version));
        own.register("http_requests", "Answered requests", self.requests.clone());
        own.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        own.register("predictions", "Answered pictures", self.predictions.clone());
        own.register(
            "prediction_errors",
            "Pictures without an answer, by kind of error",
            self.prediction_errors.clone(),
        );
        own.register_with_unit(
            "prediction_stage_duration",
            "Time a picture spends in a stage",
            Unit::Seconds,
            self.stage_seconds.clone(),
        );
        own.register(
            "requests_in_line",
            "Prediction requests in the line, those being worked on included",
            self.waiting.clone(),
        );
        own.register(
            "workers_busy",
            "Workers that decode or run a network",
            self.running.clone(),
        );
        own.register(
            "predictions_not_logged",
            "Predictions that were answered and not logged since the start",
            self.log_dropped.clone(),
        );
        registry.register(
            "process_resident_memory_bytes",
            "Resident memory",
            self.resident_bytes.clone(),
        );
        registry.register(
            "process_start_time_seconds",
            "Start of the process since the Unix epoch",
            self.start_seconds.clone(),
        );
        registry
    }

    /// Everything in the OpenMetrics text format.
    pub(crate) fn open_metrics(&self) -> Result<String, std::fmt::Error> {
        if let Some(bytes) = resident_bytes() {
            self.resident_bytes.set(bytes);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Everything in the Prometheus text format 0.0.4.
    pub(crate) fn prometheus_text(&self) -> Result<String, std::fmt::Error> {
        Ok(to_prometheus(&self.open_metrics()?))
    }
}

/// From OpenMetrics to the older text format: there the head of a counter carries the suffix
/// `_total` too and that of an info metric `_info`, which is a gauge; units and the final
/// `# EOF` do not exist.
fn to_prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help: Option<(&str, &str)> = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            if let Some((_, about)) = help.take_if(|(helped, _)| *helped == name) {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "# HELP {name}{suffix} {about}");
            }
            let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Resident memory of this process, where the system tells it (Linux).
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: i64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_written_in_both_formats() {
        let metrics = Metrics::new(1_700_000_000_000);
        let labels = RequestLabels {
            method: "GET".into(),
            route: "/models".into(),
            status: 200,
        };
        metrics.requests.get_or_create(&labels).inc();
        let open = metrics.open_metrics().unwrap();
        assert!(open.contains("# TYPE ferrotype_http_requests counter"));
        assert!(open.ends_with("# EOF\n"));
        let plain = metrics.prometheus_text().unwrap();
        assert!(plain.contains("# TYPE ferrotype_http_requests_total counter"));
        assert!(plain.contains(
            "ferrotype_http_requests_total{method=\"GET\",route=\"/models\",status=\"200\"} 1\n"
        ));
        assert!(plain.contains("# TYPE ferrotype_build_info gauge"));
        assert!(plain.contains("process_start_time_seconds 1700000000\n"));
        assert!(!plain.contains("# EOF") && !plain.contains("# UNIT"));
    }

    #[test]
    fn every_help_line_stands_before_its_type() {
        let plain = Metrics::new(0).prometheus_text().unwrap();
        let heads: Vec<&str> = plain.lines().filter(|l| l.starts_with("# ")).collect();
        for pair in heads.chunks(2) {
            let name = |line: &str| line.split(' ').nth(2).map(str::to_string);
            assert!(pair[0].starts_with("# HELP ") && pair[1].starts_with("# TYPE "));
            assert_eq!(name(pair[0]), name(pair[1]));
        }
    }
}
