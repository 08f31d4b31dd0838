//! Evaluation of an ONNX model on a split of a dataset version: by the code that serves.

pub(crate) mod page;
mod subject;
pub(crate) mod terminal;

use anyhow::Context as _;
use ferrotype_core::dataset::Split;
use ferrotype_data::StoreSource;
use ferrotype_inference::Model;
use ferrotype_measure::{Classification, EvaluationReport, Mistake};
use ferrotype_store::{DatasetVersion, Evaluation, NewEvaluation, Store};
use ferrotype_vision::RgbImage;
use ferrotype_vision::loader::{SampleError, SampleSource, Workspace};
use rayon::prelude::*;

use crate::context::Context;
use crate::failure::Failure;
pub(crate) use subject::Subject;

/// Images that are decoded together before the network runs on them.
const BATCH: usize = 64;

/// Mistakes that are kept with an evaluation.
const MISTAKES_KEPT: usize = 50;

/// Runs the model on every image of a split, and keeps the result in the store.
pub(crate) fn evaluate(
    context: &Context,
    store: &Store,
    subject: &Subject,
    model: &Model,
    dataset: &DatasetVersion,
    split: Split,
) -> anyhow::Result<(Evaluation, EvaluationReport)> {
    let source = StoreSource::open(store, dataset, split)?;
    if source.is_empty() {
        return Err(Failure::new(format!(
            "the split `{split}` of `{}` is empty",
            dataset.reference()
        ))
        .hint("`--split` takes `train`, `val` or `test`")
        .into());
    }
    let total = source.len() as u64;
    let mut progress = context.printer().progress("Evaluating", total);
    let report = score(model, &dataset.classes, &source, |done| {
        progress.set(done, total, "");
    })?;
    drop(progress);
    let evaluation = context.wait(store.add_evaluation(NewEvaluation {
        run: subject.run(),
        model_version: subject.model_version(),
        dataset_version: Some(dataset.id),
        split,
        report_json: serde_json::to_string(&report)?,
    }))?;
    Ok((evaluation, report))
}

/// Scores the model on every image of the source, whose labels count in `classes`.
fn score(
    model: &Model,
    classes: &[String],
    source: &StoreSource,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<EvaluationReport> {
    let names = &model.manifest().classes;
    let labels = match_classes(classes, names)?;
    let mut scores = Classification::new(names.len());
    let mut mistakes = Vec::new();
    let order: Vec<usize> = (0..source.len()).collect();
    for indices in order.chunks(BATCH) {
        let images = indices
            .par_iter()
            .map_init(Workspace::default, |workspace, &index| {
                let mut image = RgbImage::default();
                source.load_resized(index, model.transform(), workspace, &mut image)?;
                Ok(image)
            })
            .collect::<Result<Vec<RgbImage>, SampleError>>()
            .context("an image of the dataset cannot be used")?;
        let predictions = model.predict_batch(&images)?;
        for (&index, prediction) in indices.iter().zip(&predictions) {
            let label = labels[source.label(index) as usize];
            scores.update(&prediction.probabilities, label)?;
            mistakes.extend(mistake(source, index, label, &prediction.probabilities));
        }
        keep_worst(&mut mistakes);
        progress(indices.last().map_or(0, |&index| index as u64 + 1));
    }
    Ok(EvaluationReport {
        classes: names.clone(),
        scores: scores.finish(),
        mistakes,
    })
}

/// For each class of the dataset, its index among the model's classes.
fn match_classes(dataset: &[String], model: &[String]) -> anyhow::Result<Vec<u32>> {
    dataset
        .iter()
        .map(|class| {
            let index = model.iter().position(|name| name == class);
            index
                .and_then(|index| u32::try_from(index).ok())
                .ok_or_else(|| {
                    Failure::new(format!(
                        "the model does not know the dataset's class `{class}`"
                    ))
                    .hint(format!("its classes are `{}`", model.join("`, `")))
                    .into()
                })
        })
        .collect()
}

/// What to keep of a prediction when it is wrong.
fn mistake(
    source: &StoreSource,
    index: usize,
    label: u32,
    probabilities: &[f32],
) -> Option<Mistake> {
    let (predicted, confidence) = probabilities
        .iter()
        .copied()
        .enumerate()
        .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    if predicted == label as usize {
        return None;
    }
    let entry = source.entry(index)?;
    Some(Mistake {
        path: entry.path.clone(),
        digest: entry.digest.clone(),
        label,
        predicted: u32::try_from(predicted).ok()?,
        confidence,
        label_probability: probabilities.get(label as usize).copied()?,
    })
}

/// Leaves the most confident mistakes, the most confident first.
fn keep_worst(mistakes: &mut Vec<Mistake>) {
    mistakes.sort_by(|a, b| {
        b.confidence
            .total_cmp(&a.confidence)
            .then_with(|| a.path.cmp(&b.path))
    });
    mistakes.truncate(MISTAKES_KEPT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_matched_by_name_not_by_place() {
        let names = |text: &str| text.split(' ').map(str::to_string).collect::<Vec<_>>();
        assert_eq!(
            match_classes(&names("cat dog"), &names("dog bird cat")).unwrap(),
            [2, 0]
        );
        let error = match_classes(&names("cat cow"), &names("dog cat")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the model does not know the dataset's class `cow`"
        );
    }
}
