use super::*;

/// Numbers without pattern in −1 to 1.
fn pattern(count: usize, seed: usize) -> Vec<f32> {
    (0..count)
        .map(|index| ((index * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0)
        .collect()
}

fn assert_near(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1.0_f32, |m, x| m.max(x.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(
            difference < 1e-5 * scale,
            "{what}[{index}]: {found}, expected {expected}"
        );
    }
}

#[test]
fn a_weight_that_is_read_once_gives_what_a_product_gives() {
    if !streaming::is_available() {
        return;
    }
    // Whole groups and blocks, and neither.
    for (rows, inputs, outputs) in [
        (16, 2048, 64),
        (7, 1037, 39),
        (130, 517, 9),
        (1, 16, 1),
        (5, 3, 2),
    ] {
        let shape = Linear {
            rows,
            inputs,
            outputs,
        };
        let what = format!("{rows} rows, {inputs} to {outputs}");
        let (input, weight) = (pattern(rows * inputs, 1), pattern(inputs * outputs, 2));
        let gradient = pattern(rows * outputs, 3);

        let (mut found, mut expected) = (vec![9.0; rows * outputs], vec![9.0; rows * outputs]);
        streaming::forward(&shape, &input, &weight, &mut found);
        multiplied_forward(&shape, &input, &weight, &mut expected);
        assert_near(&what, &found, &expected);

        for mode in [Destination::Replace, Destination::Add] {
            let (mut found, mut expected) = (vec![9.0; rows * inputs], vec![9.0; rows * inputs]);
            streaming::backward_input(&shape, &weight, &gradient, &mut found, mode);
            multiplied_backward_input(&shape, &weight, &gradient, &mut expected, mode);
            assert_near(&what, &found, &expected);
        }

        let (mut found, mut expected) = (vec![9.0; weight.len()], vec![9.0; weight.len()]);
        streaming::backward_weight(&shape, &input, &gradient, &mut found);
        multiplied_backward_weight(&shape, &input, &gradient, &mut expected);
        assert_near(&what, &found, &expected);
    }
}

#[test]
fn large_weights_are_read_once_for_few_rows() {
    let shape = Linear {
        rows: 3,
        inputs: 1024,
        outputs: 1024,
    };
    assert_eq!(shape.is_streamed(), streaming::is_available());
    let many = Linear { rows: 129, ..shape };
    assert!(!many.is_streamed());
    let bias = pattern(1024, 4);
    let (input, mut output) = (vec![0.0; 3 * 1024], vec![9.0; 3 * 1024]);
    forward(
        &shape,
        &input,
        &vec![1.0; 1024 * 1024],
        Some(&bias),
        &mut output,
    );
    assert_eq!(output, bias.repeat(3));
}
