//! The built-in architectures.

use super::{Graph, GraphError, GraphErrorKind, Layer, NORM_EPSILON, NORM_MOMENTUM, Op, Size};

/// The names of the built-in architectures.
pub const NAMES: [&str; 1] = ["baseline"];

/// What can be chosen about a built-in architecture; what is absent is as the architecture's
/// reference has it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ZooOptions {
    /// Probability of zeroing a feature in the dropout layers.
    pub dropout: Option<f64>,
    /// Probability of dropping an image's last residual branch; those above it have less, in
    /// proportion to their place.
    pub stochastic_depth: Option<f64>,
}

impl ZooOptions {
    /// The reference's, but for the probability of zeroing a feature.
    pub fn with_dropout(dropout: f64) -> Self {
        Self {
            dropout: Some(dropout),
            ..Self::default()
        }
    }
}

/// The default probability of zeroing a feature in the built-in architectures' dropout layers.
const DEFAULT_DROPOUT: f64 = 0.2;

/// Builds the architecture `name` for images of shape `input` (`[channels, height, width]`).
///
/// # Errors
/// No architecture has that name, or it does not fit the input.
pub fn build(
    name: &str,
    input: [usize; 3],
    classes: usize,
    options: &ZooOptions,
) -> Result<Graph, GraphError> {
    let graph = match name {
        "baseline" => baseline(input, classes, options.dropout.unwrap_or(DEFAULT_DROPOUT)),
        _ => return Err(unknown(name)),
    };
    graph.check(classes)?;
    Ok(graph)
}

fn unknown(name: &str) -> GraphError {
    let error = GraphError::graph(
        GraphErrorKind::UnknownArchitecture,
        format!(
            "no architecture is named `{name}`; built in: `{}`",
            NAMES.join("`, `")
        ),
    );
    match super::error::nearest(name, NAMES) {
        Some(nearest) => error.with_hint(format!("did you mean `{nearest}`?")),
        None => error.with_hint("write your own as `model.layers`, a list of layers"),
    }
}

/// Three blocks of convolution 3×3, batch norm, ReLU and max pooling with 32, 64 and 128
/// channels; global average pooling; linear (128), ReLU, dropout, linear (classes).
fn baseline(input: [usize; 3], classes: usize, dropout: f64) -> Graph {
    let mut layers = Vec::new();
    for (block, channels) in (1..).zip([32, 64, 128]) {
        layers.extend([
            // Batch norm follows and has a shift of its own.
            named(format!("conv{block}"), convolution3x3(channels, false)),
            named(format!("bn{block}"), batch_norm()),
            named(format!("relu{block}"), Op::Relu {}),
            named(format!("pool{block}"), halving()),
        ]);
    }
    layers.extend([
        named("avgpool", Op::GlobalAvgPool {}),
        named("flatten", Op::Flatten {}),
        named("fc1", linear(128)),
        named("relu4", Op::Relu {}),
        named(
            "dropout",
            Op::Dropout {
                probability: dropout,
            },
        ),
        named("fc2", linear(classes)),
    ]);
    Graph {
        name: "baseline".to_string(),
        input,
        layers,
        embedding: None,
    }
}

fn named(name: impl Into<String>, op: Op) -> Layer {
    Layer {
        name: name.into(),
        op,
        inputs: Vec::new(),
    }
}

fn convolution3x3(out_channels: usize, bias: bool) -> Op {
    Op::Conv2d {
        out_channels,
        kernel: Size::square(3),
        stride: Size::square(1),
        padding: Size::square(1),
        dilation: Size::square(1),
        groups: 1,
        bias,
    }
}

fn batch_norm() -> Op {
    Op::BatchNorm2d {
        epsilon: NORM_EPSILON,
        momentum: NORM_MOMENTUM,
    }
}

fn halving() -> Op {
    Op::MaxPool2d {
        kernel: Size::square(2),
        stride: None,
        padding: Size::square(0),
    }
}

fn linear(out_features: usize) -> Op {
    Op::Linear {
        out_features,
        bias: true,
    }
}
