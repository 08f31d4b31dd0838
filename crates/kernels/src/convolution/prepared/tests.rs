//! Held against sums in f64 as the definition gives them.

use std::num::NonZeroUsize;

use super::*;

/// Numbers between −1 and 1 without a pattern.
fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(12_345);
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}

struct Case {
    geometry: Geometry,
    channels: [usize; 2],
    kernel: [usize; 2],
    groups: usize,
}

fn case(input: [usize; 2], channels: [usize; 2], kernel: usize, groups: usize) -> Case {
    let padding = kernel / 2;
    Case {
        geometry: Geometry {
            batch: 2,
            input,
            output: input.map(|side| side + 2 * padding - kernel + 1),
            stride: [1, 1],
            dilation: [1, 1],
            padding: [padding, padding],
        },
        channels,
        kernel: [kernel, kernel],
        groups,
    }
}

impl Case {
    fn strided(mut self, stride: [usize; 2]) -> Self {
        let shape = &mut self.geometry;
        shape.stride = stride;
        shape.output = [0, 1].map(|axis| {
            let padded = shape.input[axis] + 2 * shape.padding[axis];
            (padded - self.kernel[axis]) / stride[axis] + 1
        });
        self
    }

    /// The definition, before what follows.
    fn expected(&self, input: &[f32], stride: usize, weight: &[f32], bias: &[f32]) -> Vec<f64> {
        let shape = &self.geometry;
        let [ins, outs] = self.channels;
        let inputs = ins / self.groups;
        let mut expected = Vec::new();
        for image in 0..shape.batch {
            for pixel in 0..shape.out_pixels() {
                let (y, x) = (pixel / shape.output[1], pixel % shape.output[1]);
                for (out, bias) in bias.iter().enumerate().take(outs) {
                    let group = out / (outs / self.groups);
                    let mut sum = f64::from(*bias);
                    for tap in 0..self.kernel[0] * self.kernel[1] {
                        let (ty, tx) = (tap / self.kernel[1], tap % self.kernel[1]);
                        let at = |axis: usize, point: usize, tap: usize| {
                            (point * shape.stride[axis] + tap * shape.dilation[axis])
                                .checked_sub(shape.padding[axis])
                                .filter(|at| *at < shape.input[axis])
                        };
                        let (Some(iy), Some(ix)) = (at(0, y, ty), at(1, x, tx)) else {
                            continue;
                        };
                        let start = ((image * shape.input[0] + iy) * shape.input[1] + ix) * stride;
                        for channel in 0..inputs {
                            let value = input[start + group * inputs + channel];
                            let place = (out * inputs + channel) * self.kernel[0] * self.kernel[1];
                            sum += f64::from(value) * f64::from(weight[place + tap]);
                        }
                    }
                    expected.push(sum);
                }
            }
        }
        expected
    }

    fn check(&self, method: Method) {
        let shape = &self.geometry;
        let [ins, outs] = self.channels;
        let weight = numbers(
            outs * ins / self.groups * self.kernel[0] * self.kernel[1],
            1,
        );
        let bias = numbers(outs, 2);
        let weights = Weights {
            values: &weight,
            bias: Some(&bias),
            in_channels: ins,
            out_channels: outs,
            kernel: self.kernel,
            groups: self.groups,
        };
        let prepared = Prepared::new(&weights, method);
        let pixels = shape.batch * shape.out_pixels();
        for (gap, threads) in [(0, 1), (0, 3), (5, 2)] {
            let team = Team::new(NonZeroUsize::new(threads).unwrap());
            let input = numbers(shape.batch * shape.in_pixels() * (ins + gap), 3);
            let shortcut = numbers(pixels * (outs + gap), 4);
            let sums = self.expected(&input, ins + gap, &weight, &bias);
            for (order, function) in [
                (None, Function::Identity),
                (None, Function::Silu),
                (Some(Order::AddThenApply), Function::RELU),
                (Some(Order::ApplyThenAdd), Function::HardSwish),
            ] {
                let view = |values, channels: usize| View {
                    values,
                    pixel_stride: channels + gap,
                };
                let mut output = vec![7.0; pixels * (outs + gap)];
                prepared.run(
                    &team,
                    shape,
                    Images::Pixels(view(&input, ins)),
                    Following {
                        function,
                        shortcut: order.map(|order| (view(&shortcut, outs), order)),
                    },
                    ViewMut {
                        values: &mut output,
                        pixel_stride: outs + gap,
                    },
                );
                let scale = sums.iter().fold(1.0_f64, |most, sum| most.max(sum.abs()));
                for pixel in 0..pixels {
                    for channel in 0..outs {
                        let sum = sums[pixel * outs + channel];
                        let place = pixel * (outs + gap) + channel;
                        let other = f64::from(shortcut[place]);
                        let apply = |x: f64| f64::from(function.value(x as f32));
                        let expected = match order {
                            None => apply(sum),
                            Some(Order::AddThenApply) => apply(sum + other),
                            Some(Order::ApplyThenAdd) => apply(sum) + other,
                        };
                        let error = (f64::from(output[place]) - expected).abs();
                        assert!(
                            error <= 2e-5 * scale,
                            "{method:?} {shape:?} {function:?} {order:?} pixel {pixel} channel {channel}: {} {expected}",
                            output[place]
                        );
                    }
                    let gap_of = &output[pixel * (outs + gap) + outs..][..gap];
                    assert!(gap_of.iter().all(|x| *x == 7.0), "written between pixels");
                }
            }
        }
    }
}

#[test]
fn direct_sums_are_those_of_the_definition() {
    case([9, 7], [5, 9], 1, 1).check(Method::Direct);
    case([9, 7], [16, 40], 3, 1).check(Method::Direct);
    case([11, 13], [3, 32], 7, 1)
        .strided([2, 2])
        .check(Method::Direct);
    case([8, 9], [12, 18], 3, 3).check(Method::Direct);
    case([8, 9], [12, 18], 1, 1)
        .strided([2, 2])
        .check(Method::Direct);
    case([20, 30], [16, 80], 3, 1).check(Method::Direct);
    case([3, 2], [64, 160], 3, 1).check(Method::Direct);
}

#[test]
fn planes_give_the_sums_of_pixels() {
    for (channels, kernel) in [(1, 3), (3, 7), (3, 1), (4, 5)] {
        let case = case([11, 13], [channels, 40], kernel, 1).strided([2, 1]);
        let shape = &case.geometry;
        let weight = numbers(40 * channels * kernel * kernel, 1);
        let weights = Weights {
            values: &weight,
            bias: None,
            in_channels: channels,
            out_channels: 40,
            kernel: case.kernel,
            groups: 1,
        };
        let prepared = Prepared::new(&weights, Method::Direct);
        assert!(prepared.takes_planes());
        let planes = numbers(shape.batch * channels * shape.in_pixels(), 2);
        let mut pixels = vec![0.0; planes.len()];
        let images = planes.chunks_exact(channels * shape.in_pixels());
        for (image, pixels) in images.zip(pixels.chunks_exact_mut(channels * shape.in_pixels())) {
            for (index, value) in pixels.iter_mut().enumerate() {
                *value = image[index % channels * shape.in_pixels() + index / channels];
            }
        }
        let team = Team::new(NonZeroUsize::new(2).unwrap());
        let run = |input| {
            let mut output = vec![0.0; shape.batch * shape.out_pixels() * 40];
            let view = ViewMut {
                values: &mut output,
                pixel_stride: 40,
            };
            prepared.run(&team, shape, input, Following::default(), view);
            output
        };
        let view = View {
            values: &pixels,
            pixel_stride: channels,
        };
        assert_eq!(run(Images::Planes(&planes)), run(Images::Pixels(view)));
    }
}

#[test]
fn dilated_and_lopsided_windows_are_those_of_the_definition() {
    for (method, channels, groups) in [
        (Method::Direct, [6, 8], 1),
        (Method::Depthwise, [19, 19], 19),
    ] {
        let mut case = case([10, 9], channels, 3, groups);
        case.geometry.dilation = [2, 3];
        case.geometry.padding = [0, 4];
        case.geometry.output = [7, 8];
        case.check(method);
        case.kernel = [2, 5];
        case.geometry.dilation = [1, 1];
        case.geometry.padding = [1, 0];
        case.geometry.output = [11, 7];
        case.check(method);
    }
}

#[test]
fn depthwise_sums_are_those_of_the_definition() {
    for kernel in [3, 5, 7] {
        case([9, 23], [40, 40], kernel, 40).check(Method::Depthwise);
        case([9, 23], [19, 19], kernel, 19)
            .strided([2, 2])
            .check(Method::Depthwise);
    }
    case([2, 1], [16, 16], 5, 16).check(Method::Depthwise);
}

#[test]
fn winograd_is_the_definition() {
    case([9, 7], [16, 48], 3, 1).check(Method::Winograd);
    case([30, 21], [32, 64], 3, 1).check(Method::Winograd);
    case([1, 2], [16, 16], 3, 1).check(Method::Winograd);
    // Few tiles and many outputs: threads share the panels.
    case([5, 6], [32, 176], 3, 1).check(Method::Winograd);
    let mut unpadded = case([8, 11], [16, 16], 3, 1);
    unpadded.geometry.padding = [0, 0];
    unpadded.geometry.output = [6, 9];
    unpadded.check(Method::Winograd);
}
