//! Convolution by its definition, in f64: what the tests hold the fast ones against.

use super::Convolution;

impl Convolution {
    /// Calls `visit` with every output, the input and the weight that meet in it (as indices).
    fn for_each_product(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let (inputs, outputs) = (self.group_inputs(), self.group_outputs());
        for image in 0..self.batch {
            for (y, x) in pairs(self.output) {
                for (tap, (tap_y, tap_x)) in pairs(self.kernel).enumerate() {
                    let at = |axis: usize, point: usize, tap: usize| {
                        (point * self.stride[axis] + tap * self.dilation[axis])
                            .checked_sub(self.padding[axis])
                            .filter(|position| *position < self.input[axis])
                    };
                    let (Some(in_y), Some(in_x)) = (at(0, y, tap_y), at(1, x, tap_x)) else {
                        continue;
                    };
                    let out_pixel = (image * self.output[0] + y) * self.output[1] + x;
                    let in_pixel = (image * self.input[0] + in_y) * self.input[1] + in_x;
                    for output in 0..self.out_channels {
                        for input in 0..inputs {
                            let channel = output / outputs * inputs + input;
                            visit(
                                out_pixel * self.out_channels + output,
                                in_pixel * self.in_channels + channel,
                                (output * inputs + input) * self.taps() + tap,
                            );
                        }
                    }
                }
            }
        }
    }

    pub(super) fn reference_forward(&self, input: &[f32], weight: &[f32]) -> Vec<f64> {
        let mut output = vec![0.0; self.rows() * self.out_channels];
        self.for_each_product(|out, at, tap| {
            output[out] += f64::from(input[at]) * f64::from(weight[tap]);
        });
        output
    }

    pub(super) fn reference_by_input(&self, weight: &[f32], gradient: &[f32]) -> Vec<f64> {
        let mut target = vec![0.0; self.in_len()];
        self.for_each_product(|out, at, tap| {
            target[at] += f64::from(gradient[out]) * f64::from(weight[tap]);
        });
        target
    }

    pub(super) fn reference_by_weight(&self, input: &[f32], gradient: &[f32]) -> Vec<f64> {
        let mut target = vec![0.0; self.out_channels * self.patch_len()];
        self.for_each_product(|out, at, tap| {
            target[tap] += f64::from(gradient[out]) * f64::from(input[at]);
        });
        target
    }
}

fn pairs(size: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
    (0..size[0]).flat_map(move |y| (0..size[1]).map(move |x| (y, x)))
}
