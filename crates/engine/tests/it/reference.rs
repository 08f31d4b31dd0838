//! A slow forward pass in f64, written from the definitions: what the gradients are checked
//! against, by finite differences.

use std::collections::BTreeMap;

use ferrotype_core::graph::{Graph, Op, Size, adaptive_window};

/// `[batch, channels, height, width]`; rows have height and width 1.
#[derive(Clone)]
pub(crate) struct Map {
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) values: Vec<f64>,
}

impl Map {
    fn zeros(batch: usize, channels: usize, height: usize, width: usize) -> Self {
        let values = vec![0.0; batch * channels * height * width];
        Self {
            batch,
            channels,
            height,
            width,
            values,
        }
    }

    fn index(&self, n: usize, c: usize, y: usize, x: usize) -> usize {
        ((n * self.channels + c) * self.height + y) * self.width + x
    }

    fn at(&self, n: usize, c: usize, y: usize, x: usize) -> f64 {
        self.values[self.index(n, c, y, x)]
    }

    fn map(mut self, function: impl Fn(f64) -> f64) -> Self {
        self.values
            .iter_mut()
            .for_each(|value| *value = function(*value));
        self
    }

    fn fill(mut self, value: impl Fn(usize, usize, usize, usize) -> f64) -> Self {
        for n in 0..self.batch {
            for c in 0..self.channels {
                for y in 0..self.height {
                    for x in 0..self.width {
                        let index = self.index(n, c, y, x);
                        self.values[index] = value(n, c, y, x);
                    }
                }
            }
        }
        self
    }
}

pub(crate) type Tensors = BTreeMap<String, Vec<f64>>;

/// The logits `[batch, classes]`, with batch statistics if `training`; dropout does nothing.
pub(crate) fn logits(graph: &Graph, tensors: &Tensors, image: &Map, training: bool) -> Map {
    let mut outputs: BTreeMap<&str, Map> = BTreeMap::from([("input", image.clone())]);
    for (index, layer) in graph.layers.iter().enumerate() {
        let inputs: Vec<&Map> = graph
            .inputs_of(index)
            .iter()
            .map(|name| &outputs[name])
            .collect();
        // Tensors that go by their layer's name are asked for without a suffix.
        let tensor = |suffix: &str| match suffix {
            "" => tensors.get(&layer.name),
            _ => tensors.get(&format!("{}.{suffix}", layer.name)),
        };
        let output = compute(&layer.op, &inputs, &tensor, training);
        outputs.insert(&layer.name, output);
    }
    outputs.remove(graph.output_layer().unwrap()).unwrap()
}

/// Mean cross-entropy.
pub(crate) fn loss(logits: &Map, labels: &[u32]) -> f64 {
    let rows = logits.values.chunks_exact(logits.channels);
    let sum: f64 = rows
        .zip(labels)
        .map(|(row, label)| row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[*label as usize])
        .sum();
    sum / labels.len() as f64
}

fn compute<'a>(
    op: &Op,
    inputs: &[&Map],
    tensor: &dyn Fn(&str) -> Option<&'a Vec<f64>>,
    training: bool,
) -> Map {
    let input = inputs[0].clone();
    match op {
        Op::Conv2d {
            out_channels,
            kernel,
            stride,
            padding,
            dilation,
            groups,
            ..
        } => {
            let weight = tensor("weight").unwrap();
            let per_group = input.channels / groups;
            window(
                &input,
                *out_channels,
                [*kernel, *stride, *padding, *dilation],
                |n, o, taps| {
                    let group = o / (out_channels / groups);
                    let bias = tensor("bias").map_or(0.0, |bias| bias[o]);
                    taps.iter().fold(bias, |sum, &(tap, y, x)| {
                        (0..per_group).fold(sum, |sum, i| {
                            let w =
                                weight[(o * per_group + i) * kernel.height * kernel.width + tap];
                            sum + w * input.at(n, group * per_group + i, y, x)
                        })
                    })
                },
            )
        }
        Op::BatchNorm2d { epsilon, .. } => {
            let (gamma, beta) = (tensor("weight").unwrap(), tensor("bias").unwrap());
            let statistics: Vec<(f64, f64)> = (0..input.channels)
                .map(|c| match training {
                    true => moments(&input, c),
                    false => (
                        tensor("running_mean").unwrap()[c],
                        tensor("running_var").unwrap()[c],
                    ),
                })
                .collect();
            input.clone().fill(|n, c, y, x| {
                let (mean, variance) = statistics[c];
                (input.at(n, c, y, x) - mean) / (variance + epsilon).sqrt() * gamma[c] + beta[c]
            })
        }
        Op::Relu {} => input.map(|x| x.max(0.0)),
        Op::Silu {} => input.map(|x| x / (1.0 + (-x).exp())),
        Op::HardSwish {} => input.map(|x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0),
        Op::Sigmoid {} => input.map(|x| 1.0 / (1.0 + (-x).exp())),
        Op::MaxPool2d {
            kernel,
            stride,
            padding,
        } => {
            let sizes = [
                *kernel,
                stride.unwrap_or(*kernel),
                *padding,
                Size::square(1),
            ];
            window(&input, input.channels, sizes, |n, c, taps| {
                taps.iter()
                    .map(|&(_, y, x)| input.at(n, c, y, x))
                    .fold(f64::NEG_INFINITY, f64::max)
            })
        }
        Op::AvgPool2d {
            kernel,
            stride,
            padding,
        } => {
            let sizes = [
                *kernel,
                stride.unwrap_or(*kernel),
                *padding,
                Size::square(1),
            ];
            window(&input, input.channels, sizes, |n, c, taps| {
                let sum: f64 = taps.iter().map(|&(_, y, x)| input.at(n, c, y, x)).sum();
                sum / (kernel.height * kernel.width) as f64
            })
        }
        Op::GlobalAvgPool {} => {
            let pixels = (input.height * input.width) as f64;
            Map::zeros(input.batch, input.channels, 1, 1).fill(|n, c, _, _| {
                let start = input.index(n, c, 0, 0);
                input.values[start..start + pixels as usize]
                    .iter()
                    .sum::<f64>()
                    / pixels
            })
        }
        Op::Flatten {} => Map {
            channels: input.channels * input.height * input.width,
            height: 1,
            width: 1,
            ..input
        },
        Op::Linear { out_features, .. } => {
            let weight = tensor("weight").unwrap();
            let output = Map::zeros(input.batch, *out_features, input.height, input.width);
            output.fill(|n, o, y, x| {
                (0..input.channels).fold(tensor("bias").map_or(0.0, |bias| bias[o]), |sum, i| {
                    sum + weight[o * input.channels + i] * input.at(n, i, y, x)
                })
            })
        }
        Op::Dropout { .. } => input,
        Op::Relu6 {} => input.map(|x| x.clamp(0.0, 6.0)),
        Op::HardSigmoid {} => input.map(|x| (x + 3.0).clamp(0.0, 6.0) / 6.0),
        Op::Gelu {} => input.map(|x| 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))),
        Op::AdaptiveAvgPool2d { output } => adaptive_pooling(&input, *output),
        Op::LayerNorm { epsilon } => {
            let (gamma, beta) = (tensor("weight").unwrap(), tensor("bias").unwrap());
            input.clone().fill(|n, c, y, x| {
                let row = || (0..input.channels).map(|c| input.at(n, c, y, x));
                let mean = row().sum::<f64>() / input.channels as f64;
                let squares: f64 = row().map(|value| (value - mean).powi(2)).sum();
                let deviation = (squares / input.channels as f64 + epsilon).sqrt();
                (input.at(n, c, y, x) - mean) / deviation * gamma[c] + beta[c]
            })
        }
        Op::Multiply {} => {
            let factor = inputs[1];
            input.clone().fill(|n, c, y, x| {
                let (fy, fx) = (y.min(factor.height - 1), x.min(factor.width - 1));
                input.at(n, c, y, x) * factor.at(n, c, fy, fx)
            })
        }
        Op::LayerScale { .. } => {
            let gamma = tensor("gamma").unwrap();
            input
                .clone()
                .fill(|n, c, y, x| input.at(n, c, y, x) * gamma[c])
        }
        Op::ClassToken {} => {
            let token = tensor("").unwrap();
            let tokens = input.height * input.width;
            Map::zeros(input.batch, input.channels, tokens + 1, 1).fill(|n, c, t, _| match t {
                0 => token[c],
                _ => input.at(n, c, (t - 1) / input.width, (t - 1) % input.width),
            })
        }
        Op::PositionEmbedding {} => {
            let positions = tensor("").unwrap();
            input
                .clone()
                .fill(|n, c, t, _| input.at(n, c, t, 0) + positions[t * input.channels + c])
        }
        Op::SelectToken { index } => Map::zeros(input.batch, input.channels, 1, 1)
            .fill(|n, c, _, _| input.at(n, c, *index, 0)),
        Op::Attention { heads } => attend(&input, *heads),
        Op::Add {} => inputs[1..].iter().fold(input, |sum, other| {
            sum.clone()
                .fill(|n, c, y, x| sum.at(n, c, y, x) + other.at(n, c, y, x))
        }),
        Op::Concat {} => {
            let channels = inputs.iter().map(|map| map.channels).sum();
            Map::zeros(input.batch, channels, input.height, input.width).fill(|n, c, y, x| {
                let mut c = c;
                let mut maps = inputs.iter();
                loop {
                    let map = maps.next().unwrap();
                    if c < map.channels {
                        return map.at(n, c, y, x);
                    }
                    c -= map.channels;
                }
            })
        }
        op => panic!("no reference for {}", op.name()),
    }
}

/// `2/√π · Σ (−1)ⁿ x²ⁿ⁺¹ / (n! (2n + 1))`
fn erf(x: f64) -> f64 {
    let (mut power, mut sum) = (x, x);
    for n in 1..100 {
        power *= -x * x / f64::from(n);
        sum += power / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

fn adaptive_pooling(input: &Map, output: Size) -> Map {
    let pooled = Map::zeros(input.batch, input.channels, output.height, output.width);
    pooled.fill(|n, c, y, x| {
        let rows = adaptive_window(y, input.height, output.height);
        let columns = adaptive_window(x, input.width, output.width);
        let count = rows.len() * columns.len();
        let pixels = rows.flat_map(|y| columns.clone().map(move |x| (y, x)));
        pixels.map(|(y, x)| input.at(n, c, y, x)).sum::<f64>() / count as f64
    })
}

fn attend(input: &Map, heads: usize) -> Map {
    let (channels, tokens) = (input.channels / 3, input.height);
    let width = channels / heads;
    Map::zeros(input.batch, channels, tokens, 1).fill(|n, c, t, _| {
        let first = c / width * width;
        let part = |which: usize, c: usize, t: usize| input.at(n, which * channels + c, t, 0);
        let weights: Vec<f64> = (0..tokens)
            .map(|other| {
                let product: f64 = (first..first + width)
                    .map(|c| part(0, c, t) * part(1, c, other))
                    .sum();
                (product / (width as f64).sqrt()).exp()
            })
            .collect();
        let sum: f64 = weights.iter().sum();
        (0..tokens)
            .map(|other| weights[other] / sum * part(2, c, other))
            .sum()
    })
}

fn moments(map: &Map, channel: usize) -> (f64, f64) {
    let values: Vec<f64> = (0..map.batch)
        .flat_map(|n| {
            let start = map.index(n, channel, 0, 0);
            map.values[start..start + map.height * map.width].to_vec()
        })
        .collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / count)
}

/// Slides a window; `value` gets the image, the output channel, and tap, row and column of each
/// element inside the image.
fn window(
    input: &Map,
    channels: usize,
    [kernel, stride, padding, dilation]: [Size; 4],
    value: impl Fn(usize, usize, &[(usize, usize, usize)]) -> f64,
) -> Map {
    let out = |size: usize, kernel: usize, stride: usize, padding: usize, dilation: usize| {
        (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1
    };
    let height = out(
        input.height,
        kernel.height,
        stride.height,
        padding.height,
        dilation.height,
    );
    let width = out(
        input.width,
        kernel.width,
        stride.width,
        padding.width,
        dilation.width,
    );
    Map::zeros(input.batch, channels, height, width).fill(|n, c, out_y, out_x| {
        let mut taps = Vec::new();
        for ky in 0..kernel.height {
            for kx in 0..kernel.width {
                let y = (out_y * stride.height + ky * dilation.height).checked_sub(padding.height);
                let x = (out_x * stride.width + kx * dilation.width).checked_sub(padding.width);
                if let (Some(y), Some(x)) = (y, x)
                    && y < input.height
                    && x < input.width
                {
                    taps.push((ky * kernel.width + kx, y, x));
                }
            }
        }
        value(n, c, &taps)
    })
}
