//! The CPU executor against Burn's (with the feature `burn`).

use ferrotype_core::graph::{Graph, zoo};
use ferrotype_engine::executor::{BurnExecutor, CpuExecutor, Executor, StepOptions, Targets};

use crate::support::{adamw, pattern, small_graph};

#[test]
fn burn_takes_the_same_course() {
    let baseline = zoo::build(
        "baseline",
        [3, 16, 16],
        3,
        &zoo::ZooOptions::with_dropout(0.3),
    )
    .unwrap();
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../golden/mixed.json")).unwrap();
    let mixed = Graph::from_value(golden["graph"].clone()).unwrap();
    for graph in [baseline, small_graph(), mixed] {
        let images = pattern(4 * graph.input.iter().product::<usize>(), 3);
        let mut executors: [Box<dyn Executor>; 2] = [
            Box::new(CpuExecutor::new(&graph, &adamw(), 5).unwrap()),
            Box::new(BurnExecutor::new(&graph, &adamw(), 5).unwrap()),
        ];
        for step in 0..4 {
            let options = StepOptions {
                dropout_seed: 1,
                gradient_clip: Some(1.0),
                ..StepOptions::new(step, 1e-3)
            };
            let [ours, burns] = executors.each_mut().map(|executor| {
                let output =
                    executor.train_step(&images, &Targets::Classes(&[0, 1, 2, 0]), &options);
                output.unwrap()
            });
            let what = format!("{}, step {step}: {ours:?} {burns:?}", graph.name);
            assert!((ours.loss - burns.loss).abs() < 1e-3, "{what}");
            let norms = ours.gradient_norm.unwrap() / burns.gradient_norm.unwrap();
            assert!((norms - 1.0).abs() < 1e-3, "{what}");
        }
        let [ours, burns] = executors
            .each_mut()
            .map(|executor| executor.evaluate(&images, 4).unwrap());
        for (ours, burns) in ours.iter().zip(&burns) {
            assert!(
                (ours - burns).abs() < 2e-3,
                "{}: {ours} {burns}",
                graph.name
            );
        }
    }
}
