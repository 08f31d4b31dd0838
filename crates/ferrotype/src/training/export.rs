//! The ONNX file of a run.

use std::path::PathBuf;

use ferrotype_engine::{checkpoint, onnx_export};
use ferrotype_store::{Run, Store};

use super::Plan;
use crate::context::Context;
use crate::failure::Failure;

/// Name of the artifact that holds a finished run's ONNX file.
pub(crate) const ONNX_ARTIFACT: &str = "model.onnx";

/// The ONNX file of a run: its artifact if it is finished, else made from its best checkpoint.
pub(crate) fn onnx_of(context: &Context, store: &Store, run: &Run) -> anyhow::Result<Vec<u8>> {
    let artifacts = context.wait(store.artifacts(run.id))?;
    match artifacts
        .iter()
        .find(|artifact| artifact.name == ONNX_ARTIFACT)
    {
        Some(artifact) => Ok(store.blobs().get(&artifact.digest)?),
        None => from_checkpoint(store, run, &Plan::of_run(context, store, run)?),
    }
}

/// Exports the best checkpoint of a run, or the newest while no epoch is done.
pub(super) fn from_checkpoint(store: &Store, run: &Run, plan: &Plan) -> anyhow::Result<Vec<u8>> {
    let path = checkpoint_path(store, run).ok_or_else(|| {
        Failure::new(format!("run `{}` has no checkpoint yet", run.name)).hint(format!(
            "`ferrotype train --resume {}` goes on with it",
            run.name
        ))
    })?;
    let checkpoint = checkpoint::load_for(&path, &plan.graph)?;
    Ok(onnx_export::export(
        &checkpoint.graph,
        &checkpoint.state,
        &plan.manifest(run),
    )?)
}

fn checkpoint_path(store: &Store, run: &Run) -> Option<PathBuf> {
    let folder = store.run_directory(run.id);
    [checkpoint::BEST, checkpoint::LAST]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| path.is_file())
}
