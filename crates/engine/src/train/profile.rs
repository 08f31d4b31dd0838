//! Where the time of a training goes: a few steps, a validation and the checkpoints between them,
//! as spans.

use std::time::{Duration, Instant};

use crate::executor::{Executor, Phase, Span};

/// Which steps are profiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileOptions {
    /// Steps that are left out at first: caches are cold, memory is not yet at hand. At most a
    /// third of the steps that there are.
    pub warm_up: u64,
    /// Steps that are profiled, and batches of the validation.
    pub steps: u64,
}

/// What was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// In the order of time. They do not overlap.
    pub sections: Vec<Section>,
}

/// A stretch of a training that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What was done.
    pub kind: SectionKind,
    /// Since recording began.
    pub start: Duration,
    /// How long it took.
    pub duration: Duration,
    /// Images that went through.
    pub images: usize,
    /// What it consists of, within its time, in order and without overlaps.
    pub spans: Vec<Span>,
}

/// What a section is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SectionKind {
    /// A training step, by its number over all epochs, counted from 1.
    Step(u64),
    /// The validation after an epoch, counted from 1. Only its first batches have spans.
    Validation(u32),
    /// Writing checkpoints.
    Checkpoint,
}

/// Records what the options ask for. Off, it costs a comparison a step.
#[derive(Debug, Default)]
pub(super) struct Profiler {
    options: Option<ProfileOptions>,
    /// Steps begun in this session.
    steps: u64,
    origin: Option<Instant>,
    open: Option<Open>,
    is_validated: bool,
    profile: Profile,
    /// Sections that were handed over already.
    told: usize,
}

/// A section under way.
#[derive(Debug)]
struct Open {
    kind: SectionKind,
    start: Duration,
    /// Batches that spans may still be kept of.
    batches_left: u64,
    waits: Vec<Span>,
}

impl Profiler {
    /// A profiler of a session that has `steps_left` steps to do.
    pub(super) fn new(options: Option<ProfileOptions>, steps_left: u64) -> Self {
        let shortened = |options: ProfileOptions| ProfileOptions {
            warm_up: options.warm_up.min(steps_left / 3),
            ..options
        };
        Self {
            options: options.map(shortened),
            ..Self::default()
        }
    }

    /// Begins a section, if it is to be recorded.
    pub(super) fn begin(&mut self, kind: SectionKind, executor: &mut dyn Executor) {
        let Some(options) = self.options else { return };
        if let SectionKind::Step(_) = kind {
            self.steps += 1;
        }
        let is_in_window =
            self.steps > options.warm_up && self.steps <= options.warm_up + options.steps;
        let follows_validation = || {
            let last = self.profile.sections.last();
            last.is_some_and(|last| matches!(last.kind, SectionKind::Validation(_)))
        };
        let is_wanted = match kind {
            SectionKind::Step(_) => is_in_window,
            SectionKind::Validation(_) => {
                is_in_window || (self.steps > options.warm_up && !self.is_validated)
            }
            SectionKind::Checkpoint => follows_validation(),
        };
        if !is_wanted {
            return;
        }
        let origin = *self.origin.get_or_insert_with(Instant::now);
        executor.set_recording(Some(origin));
        self.open = Some(Open {
            kind,
            start: origin.elapsed(),
            batches_left: match kind {
                SectionKind::Validation(_) => options.steps,
                _ => u64::MAX,
            },
            waits: Vec::new(),
        });
    }

    /// A batch has come that was waited for since `asked`.
    pub(super) fn waited(&mut self, asked: Instant, executor: &mut dyn Executor) {
        let (Some(open), Some(origin)) = (&mut self.open, self.origin) else {
            return;
        };
        if open.batches_left == 0 {
            executor.set_recording(None);
            return;
        }
        open.batches_left -= 1;
        let start = asked - origin;
        open.waits.push(Span {
            layer: None,
            name: "wait for images".to_string(),
            phase: Phase::Load,
            start,
            duration: origin.elapsed() - start,
            flops: 0,
            bytes: 0,
        });
    }

    /// Ends the section under way.
    pub(super) fn end(&mut self, images: usize, executor: &mut dyn Executor) {
        let (Some(open), Some(origin)) = (self.open.take(), self.origin) else {
            return;
        };
        executor.set_recording(None);
        let mut spans = executor.take_spans();
        spans.extend(open.waits);
        spans.sort_by_key(|span| span.start);
        self.is_validated |= matches!(open.kind, SectionKind::Validation(_));
        self.profile.sections.push(Section {
            kind: open.kind,
            start: open.start,
            duration: origin.elapsed() - open.start,
            images,
            spans,
        });
    }

    /// Whether all steps that were to be recorded are.
    pub(super) fn is_window_over(&self) -> bool {
        self.options
            .is_some_and(|options| self.steps >= options.warm_up + options.steps)
    }

    /// What was recorded, when there is more than was handed over before.
    pub(super) fn news(&mut self) -> Option<&Profile> {
        let count = self.profile.sections.len();
        if count <= self.told {
            return None;
        }
        self.told = count;
        Some(&self.profile)
    }
}
