use super::*;
use crate::activation::Activation;
use crate::normalization::Source;

/// Output size of a window over an axis.
fn output_len(
    input: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
) -> usize {
    (input + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1
}

/// Numbers between -1 and 1 that follow no pattern of the shape.
fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

struct Case {
    batch: usize,
    input: [usize; 2],
    channels: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
}

/// A square 3×3 convolution with padding, to be changed.
const PLAIN: Case = Case {
    batch: 2,
    input: [9, 10],
    channels: [5, 40],
    kernel: [3, 3],
    stride: [1, 1],
    padding: [1, 1],
    dilation: [1, 1],
    groups: 1,
};

const CASES: [Case; 20] = [
    PLAIN,
    Case {
        channels: [3, 16],
        input: [23, 18],
        ..PLAIN
    },
    Case {
        channels: [36, 70],
        input: [12, 13],
        ..PLAIN
    },
    // Small images, many of them: point by point.
    Case {
        batch: 13,
        input: [4, 4],
        channels: [34, 33],
        ..PLAIN
    },
    Case {
        batch: 9,
        input: [2, 3],
        channels: [8, 64],
        stride: [2, 2],
        ..PLAIN
    },
    Case {
        batch: 5,
        input: [1, 1],
        ..PLAIN
    },
    // Strides, also such that some pixels lie under no window.
    Case {
        stride: [2, 2],
        ..PLAIN
    },
    Case {
        stride: [2, 3],
        padding: [0, 2],
        kernel: [2, 5],
        ..PLAIN
    },
    Case {
        stride: [4, 3],
        kernel: [2, 2],
        padding: [0, 0],
        ..PLAIN
    },
    Case {
        kernel: [7, 7],
        stride: [2, 2],
        padding: [3, 3],
        channels: [3, 64],
        input: [20, 20],
        ..PLAIN
    },
    // One tap.
    Case {
        kernel: [1, 1],
        padding: [0, 0],
        channels: [17, 96],
        ..PLAIN
    },
    Case {
        kernel: [1, 1],
        padding: [0, 0],
        stride: [2, 2],
        channels: [64, 32],
        ..PLAIN
    },
    Case {
        dilation: [2, 3],
        padding: [2, 1],
        ..PLAIN
    },
    Case {
        groups: 2,
        channels: [6, 80],
        stride: [2, 1],
        ..PLAIN
    },
    Case {
        groups: 20,
        channels: [20, 20],
        ..PLAIN
    },
    Case {
        groups: 18,
        channels: [18, 18],
        stride: [2, 2],
        kernel: [5, 5],
        padding: [2, 2],
        ..PLAIN
    },
    Case {
        batch: 3,
        input: [5, 5],
        kernel: [1, 1],
        padding: [0, 0],
        channels: [130, 40],
        ..PLAIN
    },
    // Enough tiles for Winograd's transforms, with sums over pieces and over positions.
    Case {
        batch: 3,
        input: [17, 18],
        channels: [32, 48],
        ..PLAIN
    },
    Case {
        batch: 4,
        input: [13, 12],
        channels: [160, 144],
        ..PLAIN
    },
    Case {
        batch: 2,
        input: [19, 21],
        channels: [48, 16],
        padding: [0, 2],
        ..PLAIN
    },
];

impl Case {
    fn shape(&self) -> Convolution {
        let output = [0, 1].map(|axis| {
            output_len(
                self.input[axis],
                self.kernel[axis],
                self.stride[axis],
                self.padding[axis],
                self.dilation[axis],
            )
        });
        Convolution {
            batch: self.batch,
            input: self.input,
            output,
            in_channels: self.channels[0],
            out_channels: self.channels[1],
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: self.groups,
        }
    }
}

fn assert_close(what: &str, shape: &Convolution, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let largest = expected
        .iter()
        .fold(1.0_f64, |most, value| most.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(*found) - expected).abs();
        assert!(
            difference <= 2e-5 * largest,
            "{what} of {shape:?}: {found} at {index}, expected {expected}"
        );
    }
}

#[test]
fn every_pass_is_that_of_the_definition() {
    for case in CASES {
        let shape = case.shape();
        let input = numbers(shape.in_len(), 1);
        let weight = numbers(shape.out_channels * shape.patch_len(), 2);
        let bias = numbers(shape.out_channels, 3);
        let gradient = numbers(shape.rows() * shape.out_channels, 4);
        let mut output = vec![f32::NAN; gradient.len()];
        forward(
            &shape,
            input.as_slice().into(),
            &weight,
            Some(&bias),
            &mut output,
        );
        let mut expected = shape.reference_forward(&input, &weight);
        for (row, bias) in expected
            .chunks_mut(shape.out_channels)
            .zip(std::iter::repeat(&bias))
        {
            row.iter_mut()
                .zip(bias)
                .for_each(|(sum, bias)| *sum += f64::from(*bias));
        }
        assert_close("forward", &shape, &output, &expected);
        let mut by_input = vec![f32::NAN; input.len()];
        backward_input(&shape, &weight, &gradient, &mut by_input);
        let expected = shape.reference_by_input(&weight, &gradient);
        assert_close("gradient by input", &shape, &by_input, &expected);
        let mut by_weight = vec![f32::NAN; weight.len()];
        backward_weight(&shape, input.as_slice().into(), &gradient, &mut by_weight);
        let expected = shape.reference_by_weight(&input, &gradient);
        assert_close("gradient by weight", &shape, &by_weight, &expected);
    }
}

#[test]
fn one_thread_gives_the_bits_of_many() {
    for case in CASES {
        let shape = case.shape();
        let input = numbers(shape.in_len(), 1);
        let weight = numbers(shape.out_channels * shape.patch_len(), 2);
        let gradient = numbers(shape.rows() * shape.out_channels, 4);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let mut output = vec![0.0; gradient.len()];
                forward(&shape, input.as_slice().into(), &weight, None, &mut output);
                let mut by_input = vec![0.0; input.len()];
                backward_input(&shape, &weight, &gradient, &mut by_input);
                let mut by_weight = vec![0.0; weight.len()];
                backward_weight(&shape, input.as_slice().into(), &gradient, &mut by_weight);
                (output, by_input, by_weight)
            })
        };
        assert_eq!(run(1), run(3));
    }
}

#[test]
fn an_input_that_is_normalised_on_the_way_gives_what_one_normalised_before_gives() {
    let pointwise = |batch, side, channels| Case {
        batch,
        input: [side, side + 1],
        channels,
        kernel: [1, 1],
        padding: [0, 0],
        ..PLAIN
    };
    let more = [
        // Few pixels for the weights' gradient, many, and groups.
        pointwise(3, 7, [20, 70]),
        pointwise(4, 40, [24, 40]),
        Case {
            groups: 2,
            ..pointwise(3, 9, [34, 66])
        },
    ];
    for case in CASES.iter().chain(&more) {
        let shape = case.shape();
        if !shape.normalizes_input() {
            continue;
        }
        let values = numbers(shape.in_len(), 1);
        let weight = numbers(shape.out_channels * shape.patch_len(), 2);
        let gradient = numbers(shape.rows() * shape.out_channels, 3);
        let [mean, scale, bias] = [4, 5, 6].map(|seed| numbers(shape.in_channels, seed));
        let normalization = Normalization {
            mean: &mean,
            inverse_deviation: &vec![1.5; shape.in_channels],
            weight: &scale,
            bias: &bias,
            activation: Some(Activation::Relu6),
            source: Source::Batch,
        };
        let mut before = vec![0.0; values.len()];
        crate::normalization::forward(&normalization, &values, None, &mut before);
        let passes = |input: Input<'_>| {
            let mut output = vec![f32::NAN; gradient.len()];
            forward(&shape, input, &weight, None, &mut output);
            let mut by_weight = vec![f32::NAN; weight.len()];
            backward_weight(&shape, input, &gradient, &mut by_weight);
            (output, by_weight)
        };
        let on_the_way = Input {
            values: &values,
            normalization: Some(normalization),
        };
        let expected = passes(before.as_slice().into());
        assert_eq!(passes(on_the_way), expected, "{shape:?}");
    }
}

#[test]
fn the_workspace_counts_weights_in_panels_and_their_transforms() {
    let direct = Case {
        channels: [64, 64],
        stride: [2, 2],
        ..PLAIN
    };
    assert_eq!(direct.shape().workspace_len(), 9 * 64 * 64);
    let by_winograd = Case {
        batch: 16,
        input: [16, 16],
        channels: [512, 512],
        ..PLAIN
    };
    let len = by_winograd.shape().workspace_len();
    let weights = (9 + 36) * 512 * 512;
    let pixels = 36 * 256 * 1024;
    assert!(
        (weights + pixels..weights + pixels + 36 * 64).contains(&len),
        "{len} of {weights} and {pixels}"
    );
}

#[test]
fn the_output_is_measured_as_it_is_written() {
    for case in CASES {
        let shape = case.shape();
        let input = numbers(shape.in_len(), 1);
        let weight = numbers(shape.out_channels * shape.patch_len(), 2);
        let mut output = vec![f32::NAN; shape.rows() * shape.out_channels];
        let input = input.as_slice().into();
        let found = forward_and_measure(&shape, input, &weight, None, &mut output);
        let expected = statistics(&output, shape.out_channels);
        let pairs = [
            (&found.mean, &expected.mean),
            (&found.variance, &expected.variance),
        ];
        for (found, expected) in pairs.into_iter().flat_map(|(f, e)| f.iter().zip(e)) {
            let difference = (found - expected).abs();
            assert!(difference < 1e-5 * (1.0 + expected.abs()), "{shape:?}");
        }
    }
}

#[test]
fn the_cases_cover_every_way_of_computing() {
    let ways = CASES.map(|case| {
        let correlation = case.shape().correlation();
        [winograd::pays(&correlation), correlation.is_mostly_edge()]
    });
    for way in [[true, false], [false, true], [false, false]] {
        assert!(ways.contains(&way), "{way:?}");
    }
}
