//! Layers put together in the order they are named, with branches.

use crate::graph::{Graph, IMAGE, Initialization, Layer, NORM_EPSILON, NORM_MOMENTUM, Op, Size};

/// A network in the making: each layer reads the one above it unless it is told otherwise.
pub(super) struct Network {
    layers: Vec<Layer>,
    /// The layer that the next one reads.
    end: String,
    initialization: Initialization,
}

impl Network {
    /// A network without layers.
    pub(super) fn new(initialization: Initialization) -> Self {
        Self {
            layers: Vec::new(),
            end: IMAGE.to_string(),
            initialization,
        }
    }

    /// Adds a layer below the end.
    pub(super) fn add(&mut self, name: impl Into<String>, op: impl Into<Op>) -> &mut Self {
        let above = self.layers.last().map_or(IMAGE, |layer| &layer.name);
        let inputs = match above == self.end {
            true => Vec::new(),
            false => vec![self.end.clone()],
        };
        self.push(name.into(), op.into(), inputs)
    }

    /// Adds a layer that reads the layer `first` and the end.
    pub(super) fn join(&mut self, name: impl Into<String>, op: Op, first: &str) -> &mut Self {
        let inputs = vec![first.to_string(), self.end.clone()];
        self.push(name.into(), op, inputs)
    }

    fn push(&mut self, name: String, op: Op, inputs: Vec<String>) -> &mut Self {
        self.end.clone_from(&name);
        self.layers.push(Layer { name, op, inputs });
        self
    }

    /// The layer that the next one would read.
    pub(super) fn end(&self) -> String {
        self.end.clone()
    }

    /// Goes on below another layer, for a second branch.
    pub(super) fn branch_from(&mut self, layer: &str) -> &mut Self {
        self.end = layer.to_string();
        self
    }

    /// Adds a dropout that the reference has not, if there is anything to drop.
    pub(super) fn add_dropout(&mut self, name: &str, probability: f64) -> &mut Self {
        if probability == 0.0 {
            return self;
        }
        self.add(name, dropout(probability))
    }

    /// Adds the end's residual branch to the layer `skip`, dropped whole with `probability`.
    pub(super) fn add_residual(&mut self, block: &str, skip: &str, probability: f64) -> &mut Self {
        self.add_stochastic_depth(format!("{block}.stochastic_depth"), probability)
            .join(format!("{block}.add"), Op::Add {}, skip)
    }

    /// Adds a stochastic depth, if there is anything to drop.
    pub(super) fn add_stochastic_depth(&mut self, name: String, probability: f64) -> &mut Self {
        if probability == 0.0 {
            return self;
        }
        self.add(name, Op::StochasticDepth { probability })
    }

    /// The graph for images of shape `input`.
    pub(super) fn into_graph(self, name: &str, input: [usize; 3]) -> Graph {
        Graph {
            name: name.to_string(),
            input,
            layers: self.layers,
            embedding: None,
            initialization: self.initialization,
        }
    }
}

/// A convolution, without a bias unless it is given one.
#[derive(Clone, Copy)]
pub(super) struct Convolution {
    out_channels: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    groups: usize,
    bias: bool,
}

impl Convolution {
    /// One that keeps the image's size: padded by half an odd kernel.
    pub(super) const fn same(out_channels: usize, kernel: usize) -> Self {
        Self {
            out_channels,
            kernel,
            stride: 1,
            padding: kernel / 2,
            groups: 1,
            bias: false,
        }
    }

    /// One that cuts the image into squares of `side` pixels, with a bias.
    pub(super) const fn patches(out_channels: usize, side: usize) -> Self {
        Self {
            padding: 0,
            bias: true,
            ..Self::same(out_channels, side).stride(side)
        }
    }

    /// One for each of `channels` channels by itself, that keeps the image's size.
    pub(super) const fn depthwise(channels: usize, kernel: usize) -> Self {
        Self {
            groups: channels,
            ..Self::same(channels, kernel)
        }
    }

    pub(super) const fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    pub(super) const fn padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    pub(super) const fn biased(self) -> Self {
        Self { bias: true, ..self }
    }
}

impl From<Convolution> for Op {
    fn from(convolution: Convolution) -> Self {
        Self::Conv2d {
            out_channels: convolution.out_channels,
            kernel: Size::square(convolution.kernel),
            stride: Size::square(convolution.stride),
            padding: Size::square(convolution.padding),
            dilation: Size::square(1),
            groups: convolution.groups,
            bias: convolution.bias,
        }
    }
}

pub(super) const fn batch_norm() -> Op {
    Op::BatchNorm2d {
        epsilon: NORM_EPSILON,
        momentum: NORM_MOMENTUM,
    }
}

/// timm's layer normalisation in vision transformers and ConvNeXt.
pub(super) const fn layer_norm() -> Op {
    Op::LayerNorm { epsilon: 1e-6 }
}

pub(super) const fn max_pool(kernel: usize, stride: usize, padding: usize) -> Op {
    Op::MaxPool2d {
        kernel: Size::square(kernel),
        stride: Some(Size::square(stride)),
        padding: Size::square(padding),
    }
}

/// Max pooling 2×2.
pub(super) const fn halving() -> Op {
    Op::MaxPool2d {
        kernel: Size::square(2),
        stride: None,
        padding: Size::square(0),
    }
}

pub(super) const fn adaptive_pool(side: usize) -> Op {
    Op::AdaptiveAvgPool2d {
        output: Size::square(side),
    }
}

pub(super) const fn linear(out_features: usize) -> Op {
    Op::Linear {
        out_features,
        bias: true,
    }
}

pub(super) const fn dropout(probability: f64) -> Op {
    Op::Dropout { probability }
}

/// A convolution, its batch norm and an activation, as torchvision's `Conv2dNormActivation` names
/// them: `.0`, `.1`, `.2`.
pub(super) struct ConvolutionNormActivation {
    pub(super) norm: Op,
    pub(super) activation: Op,
}

impl ConvolutionNormActivation {
    /// Adds all three.
    pub(super) fn add(&self, network: &mut Network, name: &str, convolution: Convolution) {
        self.add_linear(network, name, convolution);
        network.add(format!("{name}.2"), self.activation.clone());
    }

    /// Adds them without the activation, as at the end of a linear bottleneck.
    pub(super) fn add_linear(&self, network: &mut Network, name: &str, convolution: Convolution) {
        network
            .add(format!("{name}.0"), convolution)
            .add(format!("{name}.1"), self.norm.clone());
    }
}

/// The activations of a squeeze-and-excitation block.
pub(super) struct SqueezeExcitation {
    pub(super) activation: Op,
    pub(super) gate: Op,
}

impl SqueezeExcitation {
    /// Scales the channels of the end by what a small network makes of their means (Hu et al. 2018,
    /// arXiv:1709.01507), with the names of torchvision's `SqueezeExcitation`.
    pub(super) fn add(
        &self,
        network: &mut Network,
        name: &str,
        channels: usize,
        squeezed_channels: usize,
    ) {
        let features = network.end();
        network
            .add(format!("{name}.avgpool"), Op::GlobalAvgPool {})
            .add(
                format!("{name}.fc1"),
                Convolution::same(squeezed_channels, 1).biased(),
            )
            .add(format!("{name}.activation"), self.activation.clone())
            .add(
                format!("{name}.fc2"),
                Convolution::same(channels, 1).biased(),
            )
            .add(format!("{name}.scale_activation"), self.gate.clone())
            .join(format!("{name}.scale"), Op::Multiply {}, &features);
    }
}

/// The multiple of 8 that is nearest to `channels` and not much below (torchvision's
/// `_make_divisible`).
pub(super) const fn nearest_multiple_of_eight(channels: usize) -> usize {
    let rounded = (channels + 4) / 8 * 8;
    let rounded = if rounded < 8 { 8 } else { rounded };
    match rounded * 10 < channels * 9 {
        true => rounded + 8,
        false => rounded,
    }
}

/// Probabilities of dropping each of `count` residual branches, growing in equal steps from zero
/// to `last` (Huang et al. 2016, arXiv:1603.09382, section 3, with timm's end points).
pub(super) fn growing_to(last: f64, count: usize) -> impl Iterator<Item = f64> {
    (0..count).map(move |index| last * index as f64 / count.saturating_sub(1).max(1) as f64)
}
