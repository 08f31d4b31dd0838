//! A profile, added up by phase and by layer: the artifact `profile.json`.

use std::collections::BTreeMap;
use std::time::Duration;

use ferrotype_engine::executor::{Phase, Span};
use ferrotype_engine::train::{Profile, Section, SectionKind};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The form of the file that this program writes and reads.
pub(crate) const VERSION: u32 = 1;

/// Where the time of a few training steps went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// The form of this file.
    pub(crate) version: u32,
    /// What was trained.
    pub(crate) subject: Subject,
    /// The first step that was measured, counted from 1.
    pub(crate) first_step: u64,
    /// How many were.
    pub(crate) steps: u64,
    /// Images that went through them.
    pub(crate) images: u64,
    /// The median step.
    pub(crate) step_ms: f64,
    /// All steps together.
    pub(crate) steps_ms: f64,
    /// What the steps consist of, and what came between them.
    pub(crate) phases: Vec<PhaseCost>,
    /// Layers in the order of the forward pass; those computed in one pass are one.
    pub(crate) layers: Vec<LayerCost>,
}

/// What was trained, and on what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subject {
    /// Name of the run.
    pub(crate) run: String,
    /// Name of the architecture.
    pub(crate) model: String,
    /// Side of its input in pixels.
    pub(crate) image_size: u32,
    /// Images in a batch.
    pub(crate) batch_size: usize,
    /// Threads that computed.
    pub(crate) threads: usize,
}

/// What a phase cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PhaseCost {
    /// Its name.
    pub(crate) phase: String,
    /// Its part of the steps' time; none of what lies between steps.
    pub(crate) share: Option<f64>,
    /// What it cost.
    #[serde(flatten)]
    pub(crate) cost: Cost,
}

/// What a layer cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LayerCost {
    /// Its name; several when they were computed in one pass.
    pub(crate) layer: String,
    /// Forward and backward, as a part of the steps' time.
    pub(crate) share: f64,
    /// In the steps' forward passes.
    pub(crate) forward: Cost,
    /// In the steps' backward passes.
    pub(crate) backward: Cost,
    /// In the forward passes of the validation.
    pub(crate) validation: Cost,
}

impl LayerCost {
    /// Batches in a step that it was computed for: more than one where gradients are accumulated.
    pub(crate) fn calls_per_step(&self, steps: u64) -> f64 {
        self.forward.calls.max(self.backward.calls) as f64 / steps.max(1) as f64
    }

    /// Forward and backward together.
    pub(crate) fn training(&self) -> Cost {
        let mut sum = self.forward;
        sum.add(&self.backward);
        sum
    }
}

/// What something cost, all calls together.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// How often it was done.
    pub(crate) calls: u64,
    /// What it took.
    pub(crate) ms: f64,
    /// Floating-point operations, as many as a direct computation takes.
    pub(crate) flops: u64,
    /// Bytes of the buffers that were read and written.
    pub(crate) bytes: u64,
}

impl Cost {
    fn count(&mut self, span: &Span) {
        self.calls += 1;
        self.work(span);
    }

    fn work(&mut self, span: &Span) {
        self.ms += milliseconds(span.duration);
        self.flops += span.flops;
        self.bytes += span.bytes;
    }

    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.ms += other.ms;
        self.flops += other.flops;
        self.bytes += other.bytes;
    }

    /// What a call takes; none without one.
    pub(crate) fn ms_per_call(&self) -> Option<f64> {
        (self.calls > 0).then(|| self.ms / self.calls as f64)
    }

    /// Operations in a nanosecond; none where none were counted.
    pub(crate) fn gflops_per_second(&self) -> Option<f64> {
        per_nanosecond(self.flops, self.ms)
    }

    /// Bytes in a nanosecond; none where none were counted.
    pub(crate) fn gigabytes_per_second(&self) -> Option<f64> {
        per_nanosecond(self.bytes, self.ms)
    }
}

fn per_nanosecond(count: u64, ms: f64) -> Option<f64> {
    (count > 0 && ms > 0.0).then(|| count as f64 / (ms * 1e6))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The name of a phase of a step.
pub(super) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Load => "waiting for images",
        Phase::Forward => "forward",
        Phase::Loss => "loss",
        Phase::Backward => "backward",
        Phase::Update => "update",
        Phase::Validation => "validation",
        Phase::Checkpoint => "checkpoint",
        _ => "other",
    }
}

/// The phases of a step, as they follow each other.
const STEP_PHASES: [Phase; 5] = [
    Phase::Load,
    Phase::Forward,
    Phase::Loss,
    Phase::Backward,
    Phase::Update,
];

impl Summary {
    /// Reads the artifact.
    ///
    /// # Errors
    /// It is not one, or of another version of the program.
    pub(crate) fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(Failure::new(format!(
                "it has the version `{version}`, expected `{VERSION}`"
            ))
            .hint("another version of ferrotype made it")
            .into());
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Adds a profile up; none when it has no step.
    pub(crate) fn new(profile: &Profile, subject: Subject) -> Option<Self> {
        let steps: Vec<&Section> = sections(profile, |kind| matches!(kind, SectionKind::Step(_)));
        let SectionKind::Step(first_step) = steps.first()?.kind else {
            return None;
        };
        let mut times: Vec<f64> = steps
            .iter()
            .map(|step| milliseconds(step.duration))
            .collect();
        let steps_ms: f64 = times.iter().sum();
        times.sort_by(f64::total_cmp);
        Some(Self {
            version: VERSION,
            subject,
            first_step,
            steps: steps.len() as u64,
            images: steps.iter().map(|step| step.images as u64).sum(),
            step_ms: times[times.len() / 2],
            steps_ms,
            phases: phases(profile, &steps, steps_ms),
            layers: layers(profile, steps_ms),
        })
    }
}

fn sections(profile: &Profile, is_wanted: fn(SectionKind) -> bool) -> Vec<&Section> {
    let all = profile.sections.iter();
    all.filter(|section| is_wanted(section.kind)).collect()
}

fn phases(profile: &Profile, steps: &[&Section], steps_ms: f64) -> Vec<PhaseCost> {
    let mut costs: Vec<PhaseCost> = STEP_PHASES
        .into_iter()
        .map(|phase| {
            let mut cost = Cost::default();
            for step in steps {
                // A pass is one call, of however many layers.
                let passes = step.spans.chunk_by(|a, b| a.phase == b.phase);
                for pass in passes.filter(|pass| pass[0].phase == phase) {
                    cost.calls += 1;
                    pass.iter().for_each(|span| cost.work(span));
                }
            }
            PhaseCost {
                phase: phase_name(phase).to_string(),
                share: Some(cost.ms / steps_ms),
                cost,
            }
        })
        .collect();
    let told: f64 = costs.iter().map(|phase| phase.cost.ms).sum();
    let rest = Cost {
        calls: steps.len() as u64,
        ms: (steps_ms - told).max(0.0),
        ..Cost::default()
    };
    costs.push(PhaseCost {
        phase: "other".to_string(),
        share: Some(rest.ms / steps_ms),
        cost: rest,
    });
    let between = [
        (Phase::Validation, sections(profile, is_validation)),
        (Phase::Checkpoint, sections(profile, is_checkpoint)),
    ];
    for (phase, sections) in between {
        if !sections.is_empty() {
            costs.push(PhaseCost {
                phase: phase_name(phase).to_string(),
                share: None,
                cost: Cost {
                    calls: sections.len() as u64,
                    ms: sections.iter().map(|s| milliseconds(s.duration)).sum(),
                    ..Cost::default()
                },
            });
        }
    }
    costs
}

fn is_validation(kind: SectionKind) -> bool {
    matches!(kind, SectionKind::Validation(_))
}

fn is_checkpoint(kind: SectionKind) -> bool {
    kind == SectionKind::Checkpoint
}

/// The layers by their place in the network. What is computed in one pass goes by the place of its
/// first layer, and by the names of a training pass: a validation has no dropout and may have its
/// name in another pass's row.
fn layers(profile: &Profile, steps_ms: f64) -> Vec<LayerCost> {
    // The image comes before the first layer.
    let mut rows: BTreeMap<usize, (&str, [Cost; 3])> = BTreeMap::new();
    // Steps come before the validation that follows them.
    for section in &profile.sections {
        for span in &section.spans {
            let place = match (section.kind, span.phase) {
                (SectionKind::Step(_), Phase::Forward) => 0,
                (SectionKind::Step(_), Phase::Backward) => 1,
                (SectionKind::Validation(_), Phase::Forward) => 2,
                _ => continue,
            };
            let position = span.layer.map_or(0, |layer| layer + 1);
            let (_, costs) = rows
                .entry(position)
                .or_insert_with(|| (span.name.as_str(), Default::default()));
            costs[place].count(span);
        }
    }
    rows.into_values()
        .map(|(name, [forward, backward, validation])| LayerCost {
            layer: name.to_string(),
            share: (forward.ms + backward.ms) / steps_ms,
            forward,
            backward,
            validation,
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn span(layer: Option<usize>, name: &str, phase: Phase, [start, end]: [u64; 2]) -> Span {
        Span {
            layer,
            name: name.to_string(),
            phase,
            start: Duration::from_micros(start),
            duration: Duration::from_micros(end - start),
            flops: if layer.is_some() { 2_000_000 } else { 0 },
            bytes: 4_000,
        }
    }

    /// Two steps of 10 ms, a validation of 6 ms and a checkpoint.
    pub(crate) fn profile() -> Profile {
        let section = |kind, start: u64, end: u64, spans| Section {
            kind,
            start: Duration::from_micros(start),
            duration: Duration::from_micros(end - start),
            images: 8,
            spans,
        };
        let step = |number, at: u64| {
            let spans = vec![
                span(None, "wait for images", Phase::Load, [at + 100, at + 1100]),
                span(None, "image", Phase::Forward, [at + 1200, at + 1300]),
                span(Some(0), "conv1", Phase::Forward, [at + 1300, at + 3300]),
                span(Some(1), "fc", Phase::Forward, [at + 3300, at + 4300]),
                span(None, "loss", Phase::Loss, [at + 4300, at + 4400]),
                span(Some(1), "fc", Phase::Backward, [at + 4400, at + 6400]),
                span(Some(0), "conv1", Phase::Backward, [at + 6400, at + 8400]),
                span(None, "update", Phase::Update, [at + 8400, at + 9400]),
            ];
            section(SectionKind::Step(number), at, at + 10_000, spans)
        };
        let validated = vec![
            span(None, "wait for images", Phase::Load, [20_100, 21_000]),
            span(Some(0), "conv1", Phase::Forward, [21_000, 23_000]),
        ];
        Profile {
            sections: vec![
                step(11, 0),
                step(12, 10_000),
                section(SectionKind::Validation(1), 20_000, 26_000, validated),
                section(SectionKind::Checkpoint, 26_000, 27_000, Vec::new()),
            ],
        }
    }

    pub(crate) fn subject() -> Subject {
        Subject {
            run: "first".to_string(),
            model: "tiny".to_string(),
            image_size: 16,
            batch_size: 8,
            threads: 2,
        }
    }

    #[test]
    fn the_phases_of_a_step_add_up_to_its_time() {
        let summary = Summary::new(&profile(), subject()).unwrap();
        assert_eq!(
            (summary.first_step, summary.steps, summary.images),
            (11, 2, 16)
        );
        assert!((summary.step_ms - 10.0).abs() < 1e-9);
        let sum: f64 = summary.phases.iter().filter_map(|phase| phase.share).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        let phase = |name: &str| summary.phases.iter().find(|phase| phase.phase == name);
        let forward = phase("forward").unwrap();
        assert_eq!((forward.cost.calls, forward.cost.flops), (2, 8_000_000));
        assert!((forward.cost.ms - 6.2).abs() < 1e-9);
        let validation = phase("validation").unwrap();
        assert_eq!((validation.cost.calls, validation.share), (1, None));
        assert!((validation.cost.ms - 6.0).abs() < 1e-9);
    }

    #[test]
    fn a_layers_passes_are_told_apart() {
        let summary = Summary::new(&profile(), subject()).unwrap();
        let names: Vec<&str> = summary
            .layers
            .iter()
            .map(|row| row.layer.as_str())
            .collect();
        assert_eq!(names, ["image", "conv1", "fc"]);
        let conv = &summary.layers[1];
        let calls = [conv.forward, conv.backward, conv.validation].map(|cost| cost.calls);
        assert_eq!(calls, [2, 2, 1]);
        assert!((conv.share - 0.4).abs() < 1e-9);
        // 4 calls of 2 million operations in 8 ms.
        assert!((conv.training().gflops_per_second().unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_pass_that_only_validation_has_is_in_the_row_of_its_first_layer() {
        let mut profile = profile();
        let validation = profile.sections.iter_mut();
        let validation = validation.rev().find(|s| is_validation(s.kind)).unwrap();
        let spans = [
            span(Some(1), "fc + dropout", Phase::Forward, [23_000, 24_000]),
            span(Some(3), "last", Phase::Forward, [24_000, 25_000]),
        ];
        validation.spans.extend(spans);
        let summary = Summary::new(&profile, subject()).unwrap();
        let rows = summary.layers.iter();
        let rows = rows.map(|row| (row.layer.as_str(), row.validation.calls));
        let expected = [("image", 0), ("conv1", 1), ("fc", 1), ("last", 1)];
        assert!(rows.eq(expected));
    }

    #[test]
    fn a_profile_without_a_step_has_no_summary() {
        assert_eq!(Summary::new(&Profile::default(), subject()), None);
    }
}
