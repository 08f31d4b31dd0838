//! A profile as a trace in Chrome's Trace Event Format, which <https://ui.perfetto.dev> and
//! `chrome://tracing` open: the JSON object form, with complete events (`X`) that nest within their
//! thread, counters (`C`) and the names of process and thread (`M`).
//!
//! Sources: "Trace Event Format" (<https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>),
//! and on overlaps <https://perfetto.dev/docs/faq>: events of a thread must nest perfectly.

use std::time::Duration;

use ferrotype_engine::executor::{Phase, Span};
use ferrotype_engine::train::{Profile, Section, SectionKind};
use serde_json::{Value, json};

use super::Subject;
use super::summary::phase_name;

/// The one process of the trace.
const PROCESS: u32 = 1;

/// The thread that trains. What it waits for from other threads is its own time.
const THREAD: u32 = 1;

/// The whole trace.
pub(crate) fn trace(profile: &Profile, subject: &Subject) -> Value {
    let mut events = vec![
        name_event("process_name", &format!("ferrotype train {}", subject.run)),
        name_event("thread_name", "training"),
    ];
    for section in &profile.sections {
        add_section(section, &mut events);
    }
    json!({
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "program": concat!("ferrotype ", env!("CARGO_PKG_VERSION")),
            "run": subject.run,
            "model": subject.model,
            "image_size": subject.image_size,
            "batch_size": subject.batch_size,
            "threads": subject.threads,
        },
    })
}

fn name_event(kind: &str, name: &str) -> Value {
    json!({"name": kind, "ph": "M", "ts": 0, "pid": PROCESS, "tid": THREAD, "args": {"name": name}})
}

fn add_section(section: &Section, events: &mut Vec<Value>) {
    let (name, category) = match section.kind {
        SectionKind::Step(step) => (format!("step {step}"), "step"),
        SectionKind::Validation(epoch) => (format!("validation of epoch {epoch}"), "validation"),
        _ => ("checkpoint".to_string(), "checkpoint"),
    };
    let span = (section.start, section.duration);
    events.push(complete(
        &name,
        category,
        span,
        json!({"images": section.images}),
    ));
    if let SectionKind::Step(_) = section.kind {
        let speed = section.images as f64 / section.duration.as_secs_f64().max(1e-9);
        events.push(json!({
            "name": "images/s",
            "ph": "C",
            "ts": microseconds(section.start),
            "pid": PROCESS,
            "tid": THREAD,
            "args": {"images/s": speed.round()},
        }));
    }
    for pass in section.spans.chunk_by(|a, b| a.phase == b.phase) {
        add_pass(pass, events);
    }
}

/// Spans of one phase in a row: the layers of a pass lie within an event of their own.
fn add_pass(pass: &[Span], events: &mut Vec<Value>) {
    let (Some(first), Some(last)) = (pass.first(), pass.last()) else {
        return;
    };
    let phase = phase_name(first.phase);
    if matches!(first.phase, Phase::Forward | Phase::Backward) {
        let duration = last.start + last.duration - first.start;
        events.push(complete(phase, "pass", (first.start, duration), json!({})));
    }
    for span in pass {
        let seconds = span.duration.as_secs_f64().max(1e-9);
        let mut arguments = serde_json::Map::new();
        if span.flops > 0 {
            let speed = span.flops as f64 / seconds / 1e9;
            arguments.insert("GFLOP/s".into(), json!((speed * 10.0).round() / 10.0));
            arguments.insert("FLOPs".into(), json!(span.flops));
        }
        if span.bytes > 0 {
            let speed = span.bytes as f64 / seconds / 1e9;
            arguments.insert("GB/s".into(), json!((speed * 10.0).round() / 10.0));
            arguments.insert("bytes".into(), json!(span.bytes));
        }
        let time = (span.start, span.duration);
        events.push(complete(&span.name, phase, time, Value::Object(arguments)));
    }
}

fn complete(
    name: &str,
    category: &str,
    (start, duration): (Duration, Duration),
    arguments: Value,
) -> Value {
    json!({
        "name": name,
        "cat": category,
        "ph": "X",
        "ts": microseconds(start),
        "dur": microseconds(duration),
        "pid": PROCESS,
        "tid": THREAD,
        "args": arguments,
    })
}

/// To the nanosecond.
fn microseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::super::summary::tests::{profile, subject};
    use super::*;

    #[test]
    fn layers_lie_in_passes_and_passes_in_steps() {
        let trace = trace(&profile(), &subject());
        let events = trace["traceEvents"].as_array().unwrap();
        let lines: Vec<String> = events
            .iter()
            .take(8)
            .map(|event| {
                format!(
                    "{} {} {} {} {}",
                    event["ph"], event["cat"], event["name"], event["ts"], event["dur"]
                )
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        "M" null "process_name" 0 null
        "M" null "thread_name" 0 null
        "X" "step" "step 11" 0.0 10000.0
        "C" null "images/s" 0.0 null
        "X" "waiting for images" "wait for images" 100.0 1000.0
        "X" "pass" "forward" 1200.0 3100.0
        "X" "forward" "image" 1200.0 100.0
        "X" "forward" "conv1" 1300.0 2000.0
        "#);
    }
}
