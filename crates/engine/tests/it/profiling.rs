//! What a training tells of its time.

use std::time::Duration;

use ferrotype_core::config::schema::TrainConfig;
use ferrotype_engine::executor::Phase;
use ferrotype_engine::train::{
    Control, MemoryDemand, Profile, ProfileOptions, Section, SectionKind, StepProgress,
    TrainObserver, ValidationOutputs, Verdict, train,
};

use crate::support::{config, request, small_graph};

struct Profiling {
    options: Option<ProfileOptions>,
    stop_at_step: u64,
    /// What it was told, in order.
    told: Vec<Profile>,
}

impl TrainObserver for Profiling {
    fn wants_profile(&self) -> Option<ProfileOptions> {
        self.options
    }

    fn on_step(&mut self, progress: &StepProgress) -> Control {
        match progress.global_step == self.stop_at_step {
            true => Control::Stop,
            false => Control::Continue,
        }
    }

    fn on_validation(&mut self, _epoch: u32, _outputs: &ValidationOutputs<'_>) -> Verdict {
        Verdict {
            monitored: 0.5,
            stop: false,
        }
    }

    fn on_profile(&mut self, profile: &Profile) {
        self.told.push(profile.clone());
    }
}

/// What a training of this configuration tells; 6 steps and 2 batches of validation are an epoch.
fn told(config: &TrainConfig, options: Option<(u64, u64)>, stop_at_step: u64) -> Vec<Profile> {
    let folder = tempfile::tempdir().unwrap();
    let mut observer = Profiling {
        options: options.map(|(warm_up, steps)| ProfileOptions { warm_up, steps }),
        stop_at_step,
        told: Vec::new(),
    };
    train(request(config, folder.path(), false), &mut observer).unwrap();
    observer.told
}

fn kinds(profile: &Profile) -> Vec<SectionKind> {
    profile
        .sections
        .iter()
        .map(|section| section.kind)
        .collect()
}

fn count(section: &Section, phase: Phase) -> usize {
    let spans = section.spans.iter();
    spans.filter(|span| span.phase == phase).count()
}

#[test]
fn the_steps_after_the_warm_up_are_told_and_then_the_validation() {
    use SectionKind::{Checkpoint, Step, Validation};
    let told = told(&config(4), Some((2, 3)), u64::MAX);
    assert_eq!(told.len(), 2);
    assert_eq!(kinds(&told[0]), [Step(3), Step(4), Step(5)]);
    assert_eq!(
        kinds(&told[1]),
        [Step(3), Step(4), Step(5), Validation(1), Checkpoint]
    );
    let [step, validation] = [0, 3].map(|index| &told[1].sections[index]);
    assert_eq!((step.images, validation.images), (8, 12));
    assert_eq!(count(step, Phase::Load), 1);
    assert_eq!(count(step, Phase::Update), 1);
    assert_eq!(count(validation, Phase::Load), 2);
    assert_eq!(count(validation, Phase::Backward), 0);
    assert!(count(validation, Phase::Forward) >= 2);
    let update = step.spans.iter().find(|span| span.phase == Phase::Update);
    assert!(update.unwrap().bytes > 0);
}

#[test]
fn spans_follow_each_other_within_their_section() {
    let config = TrainConfig {
        accumulate: 2,
        ..config(3)
    };
    let told = told(&config, Some((1, 5)), u64::MAX);
    let mut end = Duration::ZERO;
    for section in &told.last().unwrap().sections {
        assert!(section.start >= end, "{:?}", section.kind);
        end = section.start;
        for span in &section.spans {
            assert!(span.start >= end, "{} in {:?}", span.name, section.kind);
            end = span.start + span.duration;
        }
        assert!(
            section.start + section.duration >= end,
            "{:?}",
            section.kind
        );
        end = section.start + section.duration;
    }
    let first = &told[0].sections[0];
    assert_eq!(count(first, Phase::Load), 2, "a batch each");
}

#[test]
fn a_short_run_tells_what_there_is() {
    // 6 steps: a third of them to warm up, where 10 are wished for.
    let told = told(&config(1), Some((10, 30)), u64::MAX);
    assert_eq!(told.len(), 1);
    assert_eq!(
        kinds(&told[0])[..2],
        [SectionKind::Step(3), SectionKind::Step(4)]
    );
    assert_eq!(told[0].sections.len(), 6);
}

#[test]
fn an_interrupted_run_tells_what_there_is() {
    let told = told(&config(2), Some((1, 30)), 4);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].sections.len(), 3);
}

#[test]
fn nothing_is_told_unasked() {
    assert_eq!(told(&config(1), None, u64::MAX), []);
}

#[test]
fn frozen_layers_and_inference_take_less_memory() {
    let graph = small_graph();
    let config = config(2);
    let whole = MemoryDemand::of_training(&graph, &config, 2).unwrap();
    let frozen = TrainConfig {
        freeze: Some(ferrotype_core::config::schema::Freeze::Stages(1)),
        ..config
    };
    let frozen = MemoryDemand::of_training(&graph, &frozen, 2).unwrap();
    assert!(frozen.gradients < whole.gradients);
    assert!(frozen.optimizer < whole.optimizer);
    let answering = MemoryDemand::of_inference(&graph, 8).unwrap();
    assert_eq!(answering.weights, whole.weights);
    assert!(answering.total() < whole.total());
    assert!(answering.activations < whole.activations);
}
