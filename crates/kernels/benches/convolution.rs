//! Speed of convolutions as networks have them, forward and backward.
//!
//! `cargo bench -p ferrotype-kernels --bench convolution -- [part of a name]`

#![allow(clippy::print_stdout, reason = "a bench reports")]

use std::time::{Duration, Instant};

use ferrotype_kernels::convolution::{self, Convolution};

/// Name, batch, side, input and output channels, kernel, stride, groups.
const SHAPES: [(&str, [usize; 7]); 14] = [
    ("small_cnn.1", [64, 64, 3, 32, 3, 1, 1]),
    ("small_cnn.2", [64, 32, 32, 64, 3, 1, 1]),
    ("small_cnn.3", [64, 16, 64, 128, 3, 1, 1]),
    ("resnet18.stem", [32, 64, 3, 64, 7, 2, 1]),
    ("resnet18.layer1", [32, 16, 64, 64, 3, 1, 1]),
    ("resnet18.layer2.0", [32, 16, 64, 128, 3, 2, 1]),
    ("resnet18.layer2", [32, 8, 128, 128, 3, 1, 1]),
    ("resnet18.layer3", [32, 4, 256, 256, 3, 1, 1]),
    ("resnet18.layer4", [32, 2, 512, 512, 3, 1, 1]),
    ("vgg16.1.2", [16, 64, 64, 64, 3, 1, 1]),
    ("vgg16.3", [16, 16, 256, 256, 3, 1, 1]),
    ("mobilenet.expand", [32, 24, 24, 144, 1, 1, 1]),
    ("mobilenet.project", [32, 12, 192, 32, 1, 1, 1]),
    ("mobilenet.depthwise", [32, 24, 144, 144, 3, 1, 144]),
];

fn main() {
    let wanted = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let threads = rayon::current_num_threads();
    println!("{threads} threads; GFLOP/s (ms)");
    for (name, [batch, side, inputs, outputs, kernel, stride, groups]) in SHAPES {
        if wanted
            .as_ref()
            .is_some_and(|wanted| !name.contains(wanted.as_str()))
        {
            continue;
        }
        let output = (side + 2 * (kernel / 2) - kernel) / stride + 1;
        let shape = Convolution {
            batch,
            input: [side; 2],
            output: [output; 2],
            in_channels: inputs,
            out_channels: outputs,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            dilation: [1; 2],
            groups,
        };
        measure(name, &shape);
    }
}

fn measure(name: &str, shape: &Convolution) {
    let numbers = |len: usize| -> Vec<f32> {
        (0..len)
            .map(|index| (index * 7919 % 1000) as f32 / 500.0 - 1.0)
            .collect()
    };
    let weight_len =
        shape.out_channels * shape.in_channels / shape.groups * shape.kernel[0] * shape.kernel[1];
    let input = numbers(shape.batch * shape.input[0] * shape.input[1] * shape.in_channels);
    let weight = numbers(weight_len);
    let mut output = numbers(shape.batch * shape.output[0] * shape.output[1] * shape.out_channels);
    let mut gradient = numbers(input.len());
    let pixels = shape.batch * shape.output[0] * shape.output[1];
    let operations = 2.0 * (pixels * weight_len) as f64;
    let forward =
        best(|| convolution::forward(shape, input.as_slice().into(), &weight, None, &mut output));
    let by_input = best(|| convolution::backward_input(shape, &weight, &output, &mut gradient));
    let mut weight_gradient = numbers(weight_len);
    let by_weight = best(|| {
        convolution::backward_weight(
            shape,
            input.as_slice().into(),
            &output,
            &mut weight_gradient,
        )
    });
    let speed = |time: Duration| {
        format!(
            "{:>4.0} ({:>6.2})",
            operations / time.as_secs_f64() / 1e9,
            time.as_secs_f64() * 1e3
        )
    };
    println!(
        "{name:20} forward {}  by input {}  by weight {}",
        speed(forward),
        speed(by_input),
        speed(by_weight)
    );
}

/// The shortest of several times.
fn best(mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    let mut best = Duration::MAX;
    let mut rounds = 0;
    while rounds < 5 || (start.elapsed() < Duration::from_millis(60) && rounds < 200) {
        let begin = Instant::now();
        work();
        best = best.min(begin.elapsed());
        rounds += 1;
    }
    best
}
