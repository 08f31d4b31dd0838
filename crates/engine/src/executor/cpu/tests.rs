use ferrotype_core::graph::zoo::{self, ZooOptions};

use super::placement::least;
use super::*;

const SGD: OptimizerConfig = OptimizerConfig::Sgd {
    momentum: 0.9,
    weight_decay: 0.0,
    nesterov: false,
};

fn graph(name: &str, side: usize) -> Graph {
    zoo::build(name, [3, side, side], 2, &ZooOptions::default()).unwrap()
}

fn step(executor: &mut CpuExecutor, side: usize, batch: usize, step: u64) {
    let images = vec![0.5; batch * 3 * side * side];
    let labels: Vec<u32> = (0..batch as u32).map(|index| index % 2).collect();
    executor
        .train_step(
            &images,
            &Targets::Classes(&labels),
            &StepOptions::new(step, 0.01),
        )
        .unwrap();
}

#[test]
fn steps_and_evaluations_take_no_more_memory_than_the_first() {
    let mut executor = CpuExecutor::new(&graph("baseline", 8), &SGD, 1).unwrap();
    step(&mut executor, 8, 4, 0);
    let first = executor.memory.byte_count();
    for number in 1..4 {
        // The last batch of an epoch is smaller.
        step(&mut executor, 8, 3, number);
        step(&mut executor, 8, 4, number);
        executor.evaluate(&[0.5; 4 * 3 * 8 * 8], 4).unwrap();
        assert_eq!(executor.memory.byte_count(), first);
    }
}

#[test]
fn buffers_take_little_more_than_what_lives_at_one_time() {
    for (name, side) in [
        ("baseline", 64),
        ("resnet18", 64),
        ("mobilenet_v2", 64),
        ("vgg11", 64),
    ] {
        let graph = graph(name, side);
        let plan = Plan::new(&graph, &graph.tensors().unwrap()).unwrap();
        for mode in [Mode::Training, Mode::Evaluation] {
            let program = Program::new(&plan, 8, mode);
            let least = least(&program.schedule.floats);
            assert!(
                program.float_total as f64 <= 1.05 * least as f64,
                "{name}, {mode:?}: {} of {least}",
                program.float_total
            );
        }
    }
}

#[test]
fn a_normalised_image_is_never_written_when_it_is_pooled() {
    let graph = graph("baseline", 64);
    let plan = Plan::new(&graph, &graph.tensors().unwrap()).unwrap();
    let program = Program::new(&plan, 1, Mode::Training);
    // Image, convolutions, pooled outputs; at the widest point also the gradient of the second
    // convolution's input. The gradients of the convolutions lie where their outputs did.
    let side = |side: usize, channels: usize| side * side * channels;
    let kept = side(64, 3 + 32) + side(32, 32 + 64) + side(16, 64 + 128) + side(8, 128);
    assert!(
        program.float_total < kept + side(32, 32) + side(8, 128) + 2048,
        "{} floats, {kept} are kept",
        program.float_total
    );
}

#[test]
fn the_estimate_is_what_the_executor_holds() {
    for (name, side, batch) in [("baseline", 32, 8), ("resnet18", 32, 4)] {
        let graph = graph(name, side);
        let mut executor = CpuExecutor::new(&graph, &SGD, 1).unwrap();
        step(&mut executor, side, batch, 0);
        executor
            .evaluate(&vec![0.5; batch * 3 * side * side], batch)
            .unwrap();
        let floats = |tensors: &[Vec<f32>]| -> usize { tensors.iter().map(Vec::capacity).sum() };
        let state: usize = executor
            .state()
            .tensors
            .values()
            .map(|t| t.values.len())
            .sum();
        let held =
            executor.memory.byte_count() as usize + 4 * (state + floats(&executor.gradients));
        let estimate = CpuExecutor::memory_estimate(&graph, batch, &SGD).unwrap();
        let planned = estimate.total() - estimate.workspace;
        let ratio = planned as f64 / held as f64;
        assert!(
            (0.9..1.1).contains(&ratio),
            "{name}: {planned} planned, {held} held"
        );
    }
}

#[test]
fn every_pass_of_a_group_is_recorded_once_while_it_is_switched_on() {
    let mut executor = CpuExecutor::new(&graph("baseline", 16), &SGD, 1).unwrap();
    step(&mut executor, 16, 4, 0);
    assert!(executor.take_spans().is_empty());
    executor.set_recording(Some(std::time::Instant::now()));
    step(&mut executor, 16, 4, 1);
    let spans = executor.take_spans();
    let count = |phase: Phase| {
        let named = |span: &&Span| span.phase == phase && span.name == "bn2 + relu2 + pool2";
        spans.iter().filter(named).count()
    };
    assert_eq!((count(Phase::Forward), count(Phase::Backward)), (1, 1));
    assert_eq!(
        spans
            .iter()
            .filter(|span| span.phase == Phase::Update)
            .count(),
        1
    );
    let mut end = std::time::Duration::ZERO;
    for span in &spans {
        assert!(
            span.start >= end,
            "{} starts before the one before ends",
            span.name
        );
        end = span.start + span.duration;
    }
    executor.set_recording(None);
    step(&mut executor, 16, 4, 2);
    assert!(executor.take_spans().is_empty());
}

#[test]
fn nothing_is_computed_backwards_above_the_first_layer_that_is_fitted() {
    let graph = graph("baseline", 16);
    let mut executor = CpuExecutor::new(&graph, &SGD, 1).unwrap();
    let fits: Vec<Option<Fit>> = executor
        .fitting
        .specs()
        .iter()
        .map(|spec| spec.name.starts_with("fc").then_some(Fit::PLAIN))
        .collect();
    let whole = Program::new(&executor.plan, 4, Mode::Training).float_total;
    executor.set_fits(&fits).unwrap();
    executor.set_recording(Some(std::time::Instant::now()));
    let before = executor.state();
    step(&mut executor, 16, 4, 0);
    let spans = executor.take_spans();
    let backward: Vec<&str> = spans
        .iter()
        .filter(|span| span.phase == Phase::Backward)
        .map(|span| span.name.as_str())
        .collect();
    assert!(
        backward.iter().all(|name| !name.contains("conv")),
        "{backward:?}"
    );
    let frozen = Program::new(&executor.plan, 4, Mode::Training).float_total;
    assert!(
        2 * frozen < 3 * whole,
        "{frozen} floats, {whole} when all is fitted"
    );
    let after = executor.state();
    for (name, tensor) in &before.tensors {
        let is_same = after.get(name) == Some(tensor);
        assert_eq!(is_same, !name.contains("fc"), "{name}");
    }
}
