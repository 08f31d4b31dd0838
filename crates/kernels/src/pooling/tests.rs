use super::*;
use crate::activation::Activation;

const POOLING: Pooling = Pooling {
    input: [3, 3],
    output: [2, 2],
    channels: 1,
    kernel: [2, 2],
    stride: [2, 2],
    padding: [1, 1],
};
const INPUT: [f32; 9] = [1.0, -2.0, 3.0, 4.0, 5.0, -6.0, 7.0, 8.0, 9.0];

#[test]
fn padding_never_wins_a_maximum() {
    let (mut output, mut taps) = ([0.0; 4], [0; 4]);
    let input = INPUT.map(|x| x - 100.0);
    max_forward(&POOLING, None, &input, &mut output, &mut taps);
    assert_eq!(output, [-99.0, -97.0, -93.0, -91.0]);
    assert_eq!(taps, [3, 3, 3, 3]);
    let gradient = [1.0, 2.0, 3.0, 4.0];
    let expected = [1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 3.0, 0.0, 4.0];
    let mut target = [9.0; 9];
    max_backward(&POOLING, &taps, &gradient, &mut target);
    assert_eq!(target, expected);
    let mut target = [9.0; 9];
    max_backward_by_search(&POOLING, &input, &output, &gradient, &mut target);
    assert_eq!(target, expected);
}

#[test]
fn what_a_rectifier_cuts_passes_no_gradient() {
    let (mut output, mut taps) = ([0.0; 4], [0; 4]);
    let input = [-1.0, -2.0, 3.0, 4.0, 5.0, -6.0, 7.0, 8.0, 9.0];
    max_forward(
        &POOLING,
        Some(Activation::Relu6),
        &input,
        &mut output,
        &mut taps,
    );
    assert_eq!(output, [0.0, 3.0, 6.0, 6.0]);
    let mut target = [9.0; 9];
    max_backward(&POOLING, &taps, &[1.0, 2.0, 3.0, 4.0], &mut target);
    assert_eq!(target, [0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn overlapping_windows_add_up_in_the_pixel_that_won_both() {
    let pooling = Pooling {
        input: [3, 3],
        output: [2, 2],
        channels: 2,
        kernel: [2, 2],
        stride: [1, 1],
        padding: [0, 0],
    };
    // The middle wins everything in the first channel, nothing in the second.
    let input: Vec<f32> = (0..9)
        .flat_map(|pixel| if pixel == 4 { [1.0, -1.0] } else { [0.0, 0.0] })
        .collect();
    let (mut output, mut taps) = ([0.0; 8], [0; 8]);
    max_forward(&pooling, None, &input, &mut output, &mut taps);
    let mut target = [9.0; 18];
    max_backward(&pooling, &taps, &[1.0; 8], &mut target);
    assert_eq!(target[8], 4.0);
    assert_eq!(target[9], 0.0);
    assert_eq!(target.iter().sum::<f32>(), 8.0);
}

#[test]
fn padding_counts_as_zeros_in_a_mean() {
    let mut output = [0.0; 4];
    average_forward(&POOLING, &INPUT, &mut output);
    assert_eq!(output, [0.25, 0.25, 2.75, 4.0]);
    let mut gradient = [9.0; 9];
    average_backward(&POOLING, &[4.0, 8.0, 12.0, 16.0], &mut gradient);
    assert_eq!(gradient, [1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 3.0, 4.0, 4.0]);
}

#[test]
fn a_nan_survives_a_maximum() {
    let mut input = INPUT;
    input[4] = f32::NAN;
    for rectifier in [None, Some(Activation::Relu), Some(Activation::Relu6)] {
        let (mut output, mut taps) = ([0.0; 4], [0; 4]);
        max_forward(&POOLING, rectifier, &input, &mut output, &mut taps);
        assert!(output[3].is_nan());
    }
}

#[test]
fn the_global_mean_is_over_each_image() {
    let input = [1.0, 10.0, 3.0, 30.0, 5.0, 50.0, 7.0, 70.0];
    let mut output = [0.0; 4];
    global_average_forward(&input, 2, 2, &mut output);
    assert_eq!(output, [2.0, 20.0, 6.0, 60.0]);
    let mut gradient = [1.0; 8];
    add_global_average_backward(&output, 2, 2, &mut gradient);
    assert_eq!(gradient, [2.0, 11.0, 2.0, 11.0, 4.0, 31.0, 4.0, 31.0]);
}

#[test]
fn a_grid_may_be_coarser_or_finer_than_its_image() {
    let grid = |input, output| Grid {
        input: [1, input],
        output: [1, output],
        channels: 1,
    };
    let mut output = [0.0; 2];
    grid_average_forward(&grid(3, 2), &[1.0, 2.0, 4.0], &mut output);
    assert_eq!(output, [1.5, 3.0]);
    let mut gradient = [0.0; 3];
    grid_average_backward(&grid(3, 2), &[2.0, 4.0], &mut gradient);
    assert_eq!(gradient, [1.0, 3.0, 2.0]);
    let mut output = [0.0; 3];
    grid_average_forward(&grid(2, 3), &[2.0, 4.0], &mut output);
    assert_eq!(output, [2.0, 3.0, 4.0]);
    let mut gradient = [0.0; 2];
    grid_average_backward(&grid(2, 3), &[1.0, 2.0, 3.0], &mut gradient);
    assert_eq!(gradient, [2.0, 4.0]);
}
