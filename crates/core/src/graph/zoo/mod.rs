//! The built-in architectures, with the names and shapes of torchvision's and timm's tensors, so
//! that weights trained there load by name.

mod alexnet;
mod convnext;
mod efficientnet;
mod mobilenet_v2;
mod mobilenet_v3;
mod network;
mod plain;
mod resnet;
#[cfg(test)]
mod tests;
mod vgg;
mod vit;

use self::network::Network;
use self::resnet::Block;
use self::vgg::Norm;
use super::{Graph, GraphError, GraphErrorKind};

/// What can be chosen about a built-in architecture; what is absent is as the architecture's
/// reference has it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ZooOptions {
    /// Probability of zeroing a feature in the dropout layers of the head. Above zero, an
    /// architecture that has none gets one before its last layer.
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

/// A built-in architecture.
struct Architecture {
    name: &'static str,
    /// The fewest pixels that an image may have on a side.
    least_side: usize,
    branches: Branches,
    layers: fn(usize, &ZooOptions) -> Network,
}

/// Whether there is anything for stochastic depth to drop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Branches {
    None,
    Residual,
}

const fn architecture(
    name: &'static str,
    least_side: usize,
    branches: Branches,
    layers: fn(usize, &ZooOptions) -> Network,
) -> Architecture {
    Architecture {
        name,
        least_side,
        branches,
        layers,
    }
}

/// How many architectures there are.
const COUNT: usize = 15;

const ARCHITECTURES: [Architecture; COUNT] = [
    architecture("baseline", 8, Branches::None, plain::baseline),
    architecture("cnn6", 64, Branches::None, plain::cnn6),
    architecture("alexnet", 63, Branches::None, alexnet::alexnet),
    architecture("vgg11", 32, Branches::None, |classes, options| {
        vgg::vgg(&vgg::A, Norm::Without, classes, options)
    }),
    architecture("vgg11_bn", 32, Branches::None, |classes, options| {
        vgg::vgg(&vgg::A, Norm::Batch, classes, options)
    }),
    architecture("vgg16", 32, Branches::None, |classes, options| {
        vgg::vgg(&vgg::D, Norm::Without, classes, options)
    }),
    architecture("vgg16_bn", 32, Branches::None, |classes, options| {
        vgg::vgg(&vgg::D, Norm::Batch, classes, options)
    }),
    architecture("resnet18", 1, Branches::Residual, |classes, options| {
        resnet::resnet(Block::Basic, [2, 2, 2, 2], classes, options)
    }),
    architecture("resnet34", 1, Branches::Residual, |classes, options| {
        resnet::resnet(Block::Basic, [3, 4, 6, 3], classes, options)
    }),
    architecture("resnet50", 1, Branches::Residual, |classes, options| {
        resnet::resnet(Block::Bottleneck, [3, 4, 6, 3], classes, options)
    }),
    architecture(
        "mobilenet_v2",
        1,
        Branches::Residual,
        mobilenet_v2::mobilenet_v2,
    ),
    architecture(
        "mobilenet_v3_small",
        1,
        Branches::Residual,
        mobilenet_v3::mobilenet_v3_small,
    ),
    architecture(
        "efficientnet_b0",
        1,
        Branches::Residual,
        efficientnet::efficientnet_b0,
    ),
    architecture(
        "convnext_tiny",
        32,
        Branches::Residual,
        convnext::convnext_tiny,
    ),
    architecture("vit_tiny", 16, Branches::Residual, vit::vit_tiny),
];

/// The names of the built-in architectures.
pub const NAMES: [&str; COUNT] = {
    let mut names = [""; COUNT];
    let mut index = 0;
    while index < COUNT {
        names[index] = ARCHITECTURES[index].name;
        index += 1;
    }
    names
};

/// Builds the architecture `name` for images of shape `input` (`[channels, height, width]`).
///
/// # Errors
/// No architecture has that name, an option does not suit it, or the images are too small for it.
pub fn build(
    name: &str,
    input: [usize; 3],
    classes: usize,
    options: &ZooOptions,
) -> Result<Graph, GraphError> {
    let architecture = ARCHITECTURES
        .iter()
        .find(|architecture| architecture.name == name)
        .ok_or_else(|| unknown(name))?;
    architecture.check_side(input)?;
    architecture.check_stochastic_depth(options)?;
    let graph = (architecture.layers)(classes, options).into_graph(name, input);
    graph.check(classes)?;
    Ok(graph)
}

impl Architecture {
    fn check_side(&self, [_, height, width]: [usize; 3]) -> Result<(), GraphError> {
        let (name, least) = (self.name, self.least_side);
        if height.min(width) >= least {
            return Ok(());
        }
        Err(GraphError::graph(
            GraphErrorKind::ShapeMismatch,
            format!(
                "`{name}` takes images of {least}×{least} pixels or more, got {height}×{width}"
            ),
        )
        .with_hint(format!("`data.image_size={least}` or larger")))
    }

    fn check_stochastic_depth(&self, options: &ZooOptions) -> Result<(), GraphError> {
        let probability = options.stochastic_depth.unwrap_or(0.0);
        let invalid = |message| Err(GraphError::graph(GraphErrorKind::InvalidValue, message));
        if !(0.0..=0.999).contains(&probability) {
            return invalid(format!(
                "the stochastic depth is {probability}, expected 0 to 0.999"
            ));
        }
        if probability > 0.0 && self.branches == Branches::None {
            return invalid(format!(
                "`{}` has no residual branches: stochastic depth has nothing to drop",
                self.name
            ));
        }
        Ok(())
    }
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
