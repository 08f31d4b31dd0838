//! Initial values, as PyTorch's and torchvision's networks have them.

use ferrotype_core::graph::{TensorRole, TensorSpec};
use ferrotype_vision::random;

/// The initial values of a tensor, from a stream of its own: keyed by the seed and its name, so
/// that a layer added elsewhere changes nothing here.
///
/// - convolution: normal with variance `2 / fan_out`, bias zero (He et al. 2015,
///   arXiv:1502.01852, mode `fan_out`, as torchvision's ResNet and VGG)
/// - linear: uniform within `±1/√fan_in`, the bias too (PyTorch's default)
/// - normalisation: weight one, bias zero; running mean zero, running variance one
pub(crate) fn initial_values(spec: &TensorSpec, fan_in: usize, seed: u64) -> Vec<f32> {
    let count = spec.element_count();
    let mut rng = random::stream(seed, &format!("init/{}", spec.name), &[]);
    let is_convolution = spec.shape.len() == 4;
    match spec.role {
        TensorRole::Weight if is_convolution => {
            let fan_out = spec.shape[0] * spec.shape[2] * spec.shape[3];
            let deviation = (2.0 / fan_out.max(1) as f64).sqrt();
            (0..count)
                .map(|_| (deviation * random::normal(&mut rng)) as f32)
                .collect()
        }
        TensorRole::Weight | TensorRole::Bias if fan_in > 0 => {
            let bound = 1.0 / (fan_in as f64).sqrt();
            (0..count)
                .map(|_| random::uniform(&mut rng, -bound, bound) as f32)
                .collect()
        }
        TensorRole::NormWeight | TensorRole::RunningVar => vec![1.0; count],
        _ => vec![0.0; count],
    }
}
