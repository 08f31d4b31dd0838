//! A slow forward pass in f64, written from the definitions: what the gradients are checked
//! against, by finite differences.

use std::collections::BTreeMap;

use ferrotype_core::graph::{Graph, Op, Size};

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
        let tensor = |suffix: &str| tensors.get(&format!("{}.{suffix}", layer.name));
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
            Map::zeros(input.batch, *out_features, 1, 1).fill(|n, o, _, _| {
                (0..input.channels).fold(tensor("bias").map_or(0.0, |bias| bias[o]), |sum, i| {
                    sum + weight[o * input.channels + i] * input.at(n, i, 0, 0)
                })
            })
        }
        Op::Dropout { .. } => input,
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
