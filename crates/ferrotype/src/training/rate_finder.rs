//! A range test of learning rates on what a configuration would train.

use std::path::PathBuf;

use ferrotype_engine::train::{
    Control, RateCurve, RateFinderOptions, RatePoint, TrainRequest, find_learning_rate,
};
use ferrotype_store::Store;

use super::{Plan, Pretrained, memory};
use crate::context::Context;

/// Trains a copy that is thrown away: no run, no checkpoint, nothing in the store but decoded images
/// in their cache.
pub(crate) fn find_rate(
    context: &Context,
    store: &Store,
    plan: &Plan,
    options: &RateFinderOptions,
    on_point: &mut dyn FnMut(usize, &RatePoint) -> Control,
) -> anyhow::Result<RateCurve> {
    let sources = plan.sources(context, store)?;
    let pretrained = Pretrained::of(context, &plan.config.model, &plan.graph)?;
    let request = TrainRequest {
        graph: plan.graph.clone(),
        config: &plan.config.train,
        loader: plan.loader_options()?,
        train: sources.train,
        validation: sources.validation,
        // Nothing is written.
        checkpoint_directory: PathBuf::new(),
        initial_weights: pretrained.map(|pretrained| pretrained.fitted.state),
        available_memory: memory::available(),
        test_time_augmentation: plan.config.data.test_time_augmentation,
        resume: false,
    };
    Ok(find_learning_rate(request, options, on_point)?)
}
