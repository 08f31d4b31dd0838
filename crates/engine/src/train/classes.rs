//! What is done about classes of different sizes: weights in the loss, or balanced epochs.

use ferrotype_core::config::schema::{ClassWeighting, ClassWeights, Sampling};
use ferrotype_vision::loader::{SampleSource, training_order};
use ferrotype_vision::random;

use super::TrainRequest;
use crate::error::{EngineError, EngineErrorKind};

/// The weight of each class in the loss; none when all are the same.
///
/// # Errors
/// Weights are given for another number of classes, or all are zero.
pub(super) fn class_weights(
    weights: &ClassWeights,
    labels: &[u32],
    classes: usize,
) -> Result<Option<Vec<f64>>, EngineError> {
    match weights {
        ClassWeights::Rule(ClassWeighting::None) => Ok(None),
        ClassWeights::Rule(ClassWeighting::Balanced) => Ok(Some(balanced(labels, classes))),
        ClassWeights::Given(weights) if weights.len() != classes => Err(EngineError::new(
            EngineErrorKind::Config,
            format!(
                "`train.class_weights` has {} weights, the network {classes} outputs",
                weights.len()
            ),
        )
        .with_hint("give one weight for each class or label, in their order, or `balanced`")),
        ClassWeights::Given(weights) if weights.iter().all(|weight| *weight <= 0.0) => {
            Err(EngineError::new(
                EngineErrorKind::Config,
                "`train.class_weights` are all zero: there is nothing to learn",
            ))
        }
        ClassWeights::Given(weights) => Ok(Some(weights.clone())),
    }
}

/// Whether the images may have several labels, or none.
///
/// # Errors
/// Only some of them may, a label is no output of the network, or the settings mean one class an
/// image.
pub(super) fn check_label_sets(
    request: &TrainRequest<'_>,
    classes: usize,
) -> Result<bool, EngineError> {
    let error = |message: String| EngineError::new(EngineErrorKind::Config, message);
    let is_multi_label = !request.train.is_empty() && request.train.label_set(0).is_some();
    let sources = [&*request.train, &*request.validation];
    let places = sources.map(|source| (0..source.len()).map(move |index| source.label_set(index)));
    for set in places.into_iter().flatten() {
        if set.is_some() != is_multi_label {
            return Err(error(
                "some images have one class, and others several labels".into(),
            ));
        }
        if let Some(label) = set.into_iter().flatten().find(|l| **l as usize >= classes) {
            return Err(error(format!(
                "label `{label}` is out of range: the network has {classes} outputs"
            )));
        }
    }
    if is_multi_label && request.config.sampling == Sampling::Balanced {
        return Err(error(
            "`train.sampling=balanced` draws every class as often, but an image of this dataset may have several labels".into(),
        )
        .with_hint("`train.class_weights=balanced` makes rare labels count more in the loss"));
    }
    Ok(is_multi_label)
}

/// The weight of each label's positive targets in the loss (PyTorch's `pos_weight`); none when all
/// are the same.
///
/// # Errors
/// As [`class_weights`].
pub(super) fn positive_weights(
    weights: &ClassWeights,
    source: &dyn SampleSource,
    classes: usize,
) -> Result<Option<Vec<f64>>, EngineError> {
    match weights {
        ClassWeights::Rule(ClassWeighting::Balanced) => Ok(Some(negatives_per_positive(
            (0..source.len()).filter_map(|index| source.label_set(index)),
            classes,
        ))),
        others => class_weights(others, &[], classes),
    }
}

/// `images without the label / images with it`, so that both sides count alike, as PyTorch's
/// documentation of `BCEWithLogitsLoss` advises; 1 for a label that no image or every image has.
fn negatives_per_positive<'a>(
    label_sets: impl Iterator<Item = &'a [u32]>,
    classes: usize,
) -> Vec<f64> {
    let mut positives = vec![0_usize; classes];
    let mut images = 0;
    for labels in label_sets {
        images += 1;
        for &label in labels {
            if let Some(count) = positives.get_mut(label as usize) {
                *count += 1;
            }
        }
    }
    let weight = |positives: &usize| match (*positives, images - positives) {
        (0, _) | (_, 0) => 1.0,
        (positives, negatives) => negatives as f64 / positives as f64,
    };
    positives.iter().map(weight).collect()
}

/// `images / (classes · images of the class)` over the classes that have images, as scikit-learn's
/// `compute_class_weight("balanced")`; 1 for the others. The mean over the images is 1.
fn balanced(labels: &[u32], classes: usize) -> Vec<f64> {
    let mut counts = vec![0_usize; classes];
    for label in labels {
        if let Some(count) = counts.get_mut(*label as usize) {
            *count += 1;
        }
    }
    let present = counts.iter().filter(|count| **count > 0).count();
    let weight = |count: &usize| match count {
        0 => 1.0,
        count => labels.len() as f64 / (present * count) as f64,
    };
    counts.iter().map(weight).collect()
}

/// The labels of all samples.
pub(super) fn labels(source: &dyn SampleSource) -> Vec<u32> {
    (0..source.len()).map(|index| source.label(index)).collect()
}

/// The order of an epoch's samples: as many as there are.
pub(super) fn epoch_order(sampling: Sampling, labels: &[u32], seed: u64, epoch: u64) -> Vec<usize> {
    match sampling {
        Sampling::Shuffle => training_order(labels.len(), seed, epoch),
        Sampling::Balanced => balanced_order(labels, seed, epoch),
    }
}

/// Every class as often as any other (but for a rest, which is drawn), in random order. A class's
/// images each come as often as any other of it, but for a rest, which is drawn as well.
fn balanced_order(labels: &[u32], seed: u64, epoch: u64) -> Vec<usize> {
    let classes = labels.iter().max().map_or(0, |label| *label as usize + 1);
    let mut images = vec![Vec::new(); classes];
    for (index, label) in labels.iter().enumerate() {
        images[*label as usize].push(index);
    }
    images.retain(|images| !images.is_empty());
    let mut rng = random::stream(seed, "balanced", &[epoch]);
    let (quota, rest) = (
        labels.len() / images.len().max(1),
        labels.len() % images.len().max(1),
    );
    let mut ranks: Vec<usize> = (0..images.len()).collect();
    random::shuffle(&mut ranks, &mut rng);
    let mut order = Vec::with_capacity(labels.len());
    for (mut images, rank) in images.into_iter().zip(ranks) {
        let quota = quota + usize::from(rank < rest);
        random::shuffle(&mut images, &mut rng);
        order.extend(images.iter().cycle().take(quota));
    }
    random::shuffle(&mut order, &mut rng);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 60, 30 and 9 images, and none of class 3.
    fn uneven() -> Vec<u32> {
        [[0_u32].repeat(60), [1].repeat(30), [4].repeat(9)].concat()
    }

    #[test]
    fn a_balanced_epoch_has_every_class_and_each_of_its_images_as_often() {
        let labels = uneven();
        let order = balanced_order(&labels, 1, 0);
        assert_eq!(order.len(), 99);
        let of = |class: u32| {
            order
                .iter()
                .filter(|index| labels[**index] == class)
                .count()
        };
        assert_eq!([0, 1, 4].map(of), [33, 33, 33]);
        for index in 90..99 {
            let times = order.iter().filter(|found| **found == index).count();
            assert!((3..=4).contains(&times), "{index}: {times}");
        }
        let mut large: Vec<usize> = order.iter().copied().filter(|index| *index < 60).collect();
        large.sort_unstable();
        large.dedup();
        assert_eq!(large.len(), 33, "none of a large class comes twice");
    }

    #[test]
    fn a_balanced_epoch_is_keyed_by_seed_and_epoch() {
        let labels = uneven();
        assert_eq!(balanced_order(&labels, 1, 5), balanced_order(&labels, 1, 5));
        assert_ne!(balanced_order(&labels, 1, 5), balanced_order(&labels, 1, 6));
        assert_ne!(balanced_order(&labels, 1, 5), balanced_order(&labels, 2, 5));
        assert!(balanced_order(&[], 1, 0).is_empty());
    }

    #[test]
    fn balanced_weights_are_scikit_learns() {
        // compute_class_weight("balanced", classes=[0, 1, 2], y=[0]*60 + [1]*30 + [2]*9)
        let labels = [[0_u32].repeat(60), [1].repeat(30), [2].repeat(9)].concat();
        let weights = balanced(&labels, 3);
        for (weight, expected) in weights.iter().zip([0.55, 1.1, 3.666_666_666_666_666_5]) {
            assert!((weight - expected).abs() < 1e-12, "{weights:?}");
        }
        assert_eq!(balanced(&uneven(), 5)[3], 1.0);
    }

    #[test]
    fn a_labels_weight_is_its_negatives_to_each_positive() {
        let sets: [&[u32]; 5] = [&[0, 1], &[1], &[], &[1], &[1, 3]];
        let weights = negatives_per_positive(sets.into_iter(), 4);
        assert_eq!(weights, [4.0, 0.25, 1.0, 4.0]);
    }

    #[test]
    fn weights_for_another_number_of_classes_are_refused() {
        let error = class_weights(&ClassWeights::Given(vec![1.0, 2.0]), &[0, 1], 3).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`train.class_weights` has 2 weights, the network 3 outputs"
        );
        assert!(class_weights(&ClassWeights::Given(vec![0.0; 3]), &[0], 3).is_err());
    }
}
