//! Writes a trained network as ONNX.
//!
//! | layer | ONNX (opset 17) |
//! |---|---|
//! | `conv2d` | `Conv`, with the `batch_norm2d` below it folded in |
//! | `batch_norm2d` elsewhere | `BatchNormalization` |
//! | `layer_norm` | `LayerNormalization` |
//! | `relu`, `sigmoid`, `hard_swish`, `hard_sigmoid` | `Relu`, `Sigmoid`, `HardSwish`, `HardSigmoid` |
//! | `relu6` | `Clip` |
//! | `silu` | `Sigmoid`, `Mul` |
//! | `gelu` | `Div`, `Erf`, `Add`, `Mul`, `Mul` |
//! | `max_pool2d`, `avg_pool2d`, `global_avg_pool` | `MaxPool`, `AveragePool`, `GlobalAveragePool` |
//! | `adaptive_avg_pool2d` | `GlobalAveragePool` to one pixel, `AveragePool` where the sizes divide, nothing where they are equal, else two `MatMul` with constants |
//! | `flatten` | `Flatten` |
//! | `linear` | `Gemm` of a row, `MatMul` and `Add` of pixels |
//! | `add`, `multiply`, `concat` | `Add`, `Mul`, `Concat` |
//! | `layer_scale`, `position_embedding` | `Mul`, `Add` |
//! | `class_token` | `Concat`, with the token by `Shape` and `Expand` for each image |
//! | `attention` | `Reshape`, `Transpose`, `Split`, `MatMul`, `Softmax`, `MatMul` and back |
//! | `select_token` | `Reshape`, `Gather` |
//! | `dropout`, `stochastic_depth` | nothing |
//!
//! Values are `[batch, channels, height, width]`, but below matrix products and normalisations over
//! the channels `[batch, height, width, channels]`; a `Transpose` stands only where the two meet.

mod activations;
mod build;
mod fold;
mod nodes;
mod pooling;
mod tokens;
mod value;

use ferrotype_core::graph::Graph;
use ferrotype_core::manifest::ModelManifest;
use prost::Message;

use crate::error::{EngineError, EngineErrorKind};
use crate::parameters::check_fits;
use crate::state::State;

/// The ONNX operator set of exported files.
pub const OPSET: i64 = 17;

/// The file format version that goes with [`OPSET`].
pub const IR_VERSION: i64 = 8;

/// Name of the input, `[batch, channels, height, width]`.
pub const INPUT: &str = "input";

/// Name of the output with the logits, `[batch, classes]`.
pub const LOGITS: &str = "logits";

/// Name of the output with the embedding, `[batch, features]`.
pub const EMBEDDING: &str = "embedding";

/// The network as an ONNX file's bytes: batch norm folded into convolutions, any batch size,
/// outputs [`LOGITS`] and [`EMBEDDING`], the manifest and the layer graph in its metadata. The
/// same network gives the same bytes.
///
/// The manifest's tensor names are set to those of the file; a graph without a linear layer and
/// without a named embedding has no embedding output.
///
/// # Errors
/// A tensor is missing or has another shape, or the manifest does not fit the graph.
pub fn export(
    graph: &Graph,
    state: &State,
    manifest: &ModelManifest,
) -> Result<Vec<u8>, EngineError> {
    check_manifest(graph, manifest)?;
    graph.check(manifest.classes.len())?;
    check_fits(&graph.tensors()?, state)?;
    let model = build::model(graph, state, manifest)?;
    Ok(model.encode_to_vec())
}

fn check_manifest(graph: &Graph, manifest: &ModelManifest) -> Result<(), EngineError> {
    let misfit = |message: String| EngineError::new(EngineErrorKind::Export, message);
    manifest
        .check()
        .map_err(|reason| misfit(format!("the manifest cannot be used: {reason}")))?;
    let [_, height, width] = graph.input;
    let expected = (manifest.preprocessing.height, manifest.preprocessing.width);
    let fits = |side: usize, expected: u32| u32::try_from(side).is_ok_and(|side| side == expected);
    if !fits(height, expected.0) || !fits(width, expected.1) {
        return Err(misfit(format!(
            "the network takes images of {width}×{height} pixels, but the manifest says {}×{}",
            expected.1, expected.0
        )));
    }
    Ok(())
}
