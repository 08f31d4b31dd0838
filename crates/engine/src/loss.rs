//! Cross-entropy of a softmax, with its gradient.

/// The loss of a batch and what the backward pass starts from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CrossEntropy {
    /// Mean over the batch of `−ln softmax(logits)[label]`.
    pub(crate) loss: f64,
    /// Gradient of the mean loss by the logits, `[n, classes]`: `(softmax − one-hot) / n`.
    pub(crate) gradient: Vec<f32>,
    /// Rows whose largest logit is at the label; the first wins a tie.
    pub(crate) correct: usize,
}

/// The mean cross-entropy of `logits` (`[n, classes]`) against `labels` (`[n]`, each below
/// `classes`), computed in f64 with the largest logit subtracted.
pub(crate) fn cross_entropy(logits: &[f32], labels: &[u32], classes: usize) -> CrossEntropy {
    let count = labels.len() as f64;
    let mut result = CrossEntropy {
        loss: 0.0,
        gradient: Vec::with_capacity(logits.len()),
        correct: 0,
    };
    for (row, label) in logits.chunks_exact(classes).zip(labels) {
        let label = *label as usize;
        let (winner, largest) = largest(row);
        let sum: f64 = row.iter().map(|x| (f64::from(*x) - largest).exp()).sum();
        result.loss += sum.ln() + largest - f64::from(row[label]);
        result.correct += usize::from(winner == label);
        result
            .gradient
            .extend(row.iter().enumerate().map(|(class, x)| {
                let probability = (f64::from(*x) - largest).exp() / sum;
                let target = f64::from(u8::from(class == label));
                ((probability - target) / count) as f32
            }));
    }
    result.loss /= count;
    result
}

fn largest(row: &[f32]) -> (usize, f64) {
    let start = (0, f64::NEG_INFINITY);
    row.iter().enumerate().fold(start, |best, (index, value)| {
        let value = f64::from(*value);
        if value > best.1 { (index, value) } else { best }
    })
}
