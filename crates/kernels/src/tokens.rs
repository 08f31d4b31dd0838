//! Rows of tokens: `[batch, tokens, channels]`.

use rayon::prelude::*;

/// Writes `token` before the tokens of each image: `input` is `[batch, tokens, channels]`,
/// `output` `[batch, tokens + 1, channels]`.
///
/// # Panics
/// The lengths do not fit each other.
pub fn prepend(token: &[f32], input: &[f32], tokens: usize, output: &mut [f32]) {
    let channels = token.len();
    assert_images(input.len(), tokens, output.len(), channels);
    output
        .par_chunks_mut((tokens + 1) * channels)
        .zip(input.par_chunks(tokens * channels))
        .for_each(|(output, input)| {
            let (first, rest) = output.split_at_mut(channels);
            first.copy_from_slice(token);
            rest.copy_from_slice(input);
        });
}

/// The gradient by the input of [`prepend`], given that by the output.
///
/// # Panics
/// The lengths do not fit each other.
pub fn prepend_backward(
    output_gradient: &[f32],
    channels: usize,
    tokens: usize,
    input_gradient: &mut [f32],
) {
    assert_images(
        input_gradient.len(),
        tokens,
        output_gradient.len(),
        channels,
    );
    output_gradient
        .par_chunks((tokens + 1) * channels)
        .zip(input_gradient.par_chunks_mut(tokens * channels))
        .for_each(|(gradient, target)| target.copy_from_slice(&gradient[channels..]));
}

/// The gradient by the token of [`prepend`], given that by the output.
pub fn prepend_backward_token(output_gradient: &[f32], channels: usize, tokens: usize) -> Vec<f32> {
    let mut by_token = vec![0.0; channels];
    for gradient in output_gradient.chunks_exact((tokens + 1) * channels) {
        for (sum, value) in by_token.iter_mut().zip(gradient) {
            *sum += value;
        }
    }
    by_token
}

fn assert_images(input: usize, tokens: usize, output: usize, channels: usize) {
    assert_eq!(input % (tokens * channels), 0, "not whole images");
    let images = input / (tokens * channels);
    assert_eq!(output, images * (tokens + 1) * channels, "lengths differ");
}

/// Copies token number `index` of each image of `tokens` tokens to `output`
/// (`[batch, channels]`).
///
/// # Panics
/// The lengths do not fit each other.
pub fn select(input: &[f32], channels: usize, tokens: usize, index: usize, output: &mut [f32]) {
    assert_eq!(input.len(), output.len() * tokens, "lengths differ");
    let images = input.chunks_exact(tokens * channels);
    for (output, image) in output.chunks_exact_mut(channels).zip(images) {
        output.copy_from_slice(&image[index * channels..][..channels]);
    }
}

/// The gradient by the input of [`select`]: zero but for the token that was selected.
///
/// # Panics
/// The lengths do not fit each other.
pub fn select_backward(
    output_gradient: &[f32],
    channels: usize,
    tokens: usize,
    index: usize,
    input_gradient: &mut [f32],
) {
    assert_eq!(
        input_gradient.len(),
        output_gradient.len() * tokens,
        "lengths differ"
    );
    input_gradient.fill(0.0);
    let images = input_gradient.chunks_exact_mut(tokens * channels);
    for (gradient, image) in output_gradient.chunks_exact(channels).zip(images) {
        image[index * channels..][..channels].copy_from_slice(gradient);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_before_those_of_each_image_and_can_be_selected() {
        let mut output = [0.0; 12];
        let input = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        prepend(&[9.0, 10.0], &input, 2, &mut output);
        assert_eq!(
            output,
            [9.0, 10.0, 1.0, 2.0, 3.0, 4.0, 9.0, 10.0, 5.0, 6.0, 7.0, 8.0]
        );
        let mut selected = [0.0; 4];
        select(&output, 2, 3, 1, &mut selected);
        assert_eq!(selected, [1.0, 2.0, 5.0, 6.0]);
        let mut back = [0.0; 8];
        prepend_backward(&output, 2, 2, &mut back);
        assert_eq!(back, input);
        assert_eq!(prepend_backward_token(&output, 2, 2), [18.0, 20.0]);
        let mut spread = [7.0; 12];
        select_backward(&selected, 2, 3, 1, &mut spread);
        assert_eq!(
            spread,
            [0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 5.0, 6.0, 0.0, 0.0]
        );
    }
}
