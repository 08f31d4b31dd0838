//! From a network's numbers to probabilities.

/// The softmax of logits, summed in `f64` and shifted by the largest so that nothing overflows.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |largest, logit| {
        largest.max((*logit).into())
    });
    let exponentials: Vec<f64> = logits
        .iter()
        .map(|logit| (f64::from(*logit) - largest).exp())
        .collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials
        .iter()
        .map(|exponential| (exponential / sum) as f32)
        .collect()
}

/// The sigmoid of each logit, in `f64`: where each class is there or not by itself.
pub fn sigmoid(logits: &[f32]) -> Vec<f32> {
    logits
        .iter()
        .map(|logit| (1.0 / (1.0 + (-f64::from(*logit)).exp())) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_and_keep_the_order() {
        let probabilities = softmax(&[1.0, 2.0, 3.0]);
        assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        // From SciPy: softmax([1, 2, 3]).
        let expected = [0.09003057, 0.24472847, 0.66524096];
        for (probability, expected) in probabilities.iter().zip(expected) {
            assert!((probability - expected).abs() < 1e-7);
        }
    }

    #[test]
    fn a_sigmoid_looks_at_one_logit_alone() {
        // From SciPy: expit([0, 2, -1]).
        let expected = [0.5, 0.880_797, 0.268_941_43];
        for (probability, expected) in sigmoid(&[0.0, 2.0, -1.0]).iter().zip(expected) {
            assert!((probability - expected).abs() < 1e-7);
        }
        assert_eq!(sigmoid(&[3e38, -3e38]), [1.0, 0.0]);
    }

    #[test]
    fn huge_logits_do_not_overflow() {
        assert_eq!(softmax(&[1e30, -1e30]), vec![1.0, 0.0]);
        assert_eq!(softmax(&[-3e38, -3e38]), vec![0.5, 0.5]);
    }
}
