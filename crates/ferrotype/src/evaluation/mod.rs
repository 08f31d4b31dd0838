//! Evaluation of an ONNX model on a split of a dataset version: by the code that serves.

pub(crate) mod page;
mod subject;
pub(crate) mod terminal;

use anyhow::Context as _;
use ferrotype_core::config::schema::TestTimeAugmentation;
use ferrotype_core::dataset::Split;
use ferrotype_core::manifest::Task;
use ferrotype_core::thresholds::Thresholds;
use ferrotype_data::{StoreSource, load_report};
use ferrotype_inference::Model;
use ferrotype_measure::{
    BestThreshold, Classification, EvaluationReport, LabelMistake, Mistake, MultiLabel,
    MultiLabelEvaluation, TaskReport,
};
use ferrotype_store::{DatasetVersion, Evaluation, NewEvaluation, Store};
use ferrotype_vision::RgbImage;
use ferrotype_vision::loader::{SampleError, SampleSource, Workspace};
use ferrotype_vision::views::View;
use rayon::prelude::*;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::text;
pub(crate) use subject::Subject;

/// Images that are decoded together before the network runs on them.
const BATCH: usize = 64;

/// Mistakes that are kept with an evaluation.
const MISTAKES_KEPT: usize = 50;

/// What is evaluated on, and how.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The images.
    pub(crate) split: Split,
    /// The views of each whose probabilities are averaged.
    pub(crate) views: TestTimeAugmentation,
    /// The probabilities above which labels count, in place of the model's own.
    pub(crate) thresholds: Option<Thresholds>,
}

/// Runs the model on every image of a split, and keeps the result in the store.
pub(crate) fn evaluate(
    context: &Context,
    store: &Store,
    subject: &Subject,
    model: &Model,
    dataset: &DatasetVersion,
    request: &Request,
) -> anyhow::Result<(Evaluation, TaskReport)> {
    let split = request.split;
    check_task(model, dataset)?;
    let source = StoreSource::open(store, dataset, split)?;
    if source.is_empty() {
        return Err(Failure::new(format!(
            "the split `{split}` of `{}` is empty",
            dataset.reference()
        ))
        .hint("`--split` takes `train`, `val` or `test`")
        .into());
    }
    let judge = judged(context, model, &source, dataset, request)?;
    let best = match split {
        Split::Val => judge.best_thresholds(),
        _ => best_thresholds(context, store, model, dataset, request.views)?,
    };
    let report = judge.finish(best);
    let evaluation = context.wait(store.add_evaluation(NewEvaluation {
        run: subject.run(),
        model_version: subject.model_version(),
        dataset_version: Some(dataset.id),
        split,
        report_json: serde_json::to_string(&report)?,
    }))?;
    Ok((evaluation, report))
}

/// For each label the threshold with the best F1 on the validation split: on others it would be
/// found on what it is measured with. None where the model answers with one class, or there are no
/// validation images.
pub(crate) fn best_thresholds(
    context: &Context,
    store: &Store,
    model: &Model,
    dataset: &DatasetVersion,
    views: TestTimeAugmentation,
) -> anyhow::Result<Option<Vec<Option<BestThreshold>>>> {
    if !model.manifest().task.is_multi_label() {
        return Ok(None);
    }
    let source = StoreSource::open(store, dataset, Split::Val)?;
    if source.is_empty() {
        return Ok(None);
    }
    let request = Request {
        split: Split::Val,
        views,
        thresholds: None,
    };
    Ok(judged(context, model, &source, dataset, &request)?.best_thresholds())
}

/// Runs the model on every image of a source.
fn judged(
    context: &Context,
    model: &Model,
    source: &StoreSource,
    dataset: &DatasetVersion,
    request: &Request,
) -> anyhow::Result<Judge> {
    let total = source.len() as u64;
    let mut progress = context.printer().progress("Evaluating", total);
    let mut judge = Judge::new(model, &dataset.classes, request)?;
    score(model, source, request.views, &mut judge, |done| {
        progress.set(done, total, "");
    })?;
    Ok(judge)
}

/// For each label of a model the probability above which it counts: what is given, or the model's
/// own. Of a model that answers with one class there are none to give.
pub(crate) fn label_thresholds(
    model: &Model,
    given: Option<&Thresholds>,
) -> anyhow::Result<Vec<f32>> {
    let manifest = model.manifest();
    let Some(given) = given else {
        return Ok(manifest.label_thresholds());
    };
    let thresholds = given.of_labels(manifest.task, &manifest.classes);
    Ok(thresholds.map_err(|error| Failure::usage(format!("`--threshold`: {error}")))?)
}

/// Refuses a model that answers something else than the dataset asks.
fn check_task(model: &Model, dataset: &DatasetVersion) -> anyhow::Result<()> {
    let asked = load_report(dataset)?.task();
    let answers = model.manifest().task;
    if asked == answers {
        return Ok(());
    }
    let in_words = |task: Task| match task {
        Task::MultiLabel => "any number of labels",
        _ => "one class",
    };
    Err(Failure::new(format!(
        "the model answers with {} an image, the images of `{}` have {}",
        in_words(answers),
        dataset.reference(),
        in_words(asked)
    ))
    .hint("evaluate it on a dataset of its own kind: `--dataset NAME`")
    .into())
}

/// Runs the model on every image of the source, and hands the answers to the judge.
fn score(
    model: &Model,
    source: &StoreSource,
    views: TestTimeAugmentation,
    judge: &mut Judge,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<()> {
    let views = View::of(views);
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
        let answers = mean_answers(model, &images, &views)?;
        for (&index, probabilities) in indices.iter().zip(&answers) {
            judge.add(source, index, probabilities)?;
        }
        judge.forget_lesser_mistakes();
        progress(indices.last().map_or(0, |&index| index as u64 + 1));
    }
    Ok(())
}

/// The mean over the views of each image's probabilities.
fn mean_answers(
    model: &Model,
    images: &[RgbImage],
    views: &[View],
) -> anyhow::Result<Vec<Vec<f32>>> {
    let mut sums: Vec<Vec<f64>> = vec![vec![0.0; model.manifest().classes.len()]; images.len()];
    for view in views {
        let predictions = if view.is_identity() {
            model.predict_batch(images)?
        } else {
            let seen: Vec<RgbImage> = images
                .par_iter()
                .map(|image| view.of_image(image))
                .collect();
            model.predict_batch(&seen)?
        };
        for (sums, prediction) in sums.iter_mut().zip(predictions) {
            for (sum, probability) in sums.iter_mut().zip(prediction.probabilities) {
                *sum += f64::from(probability);
            }
        }
    }
    let count = views.len() as f64;
    let mean = |sums: Vec<f64>| sums.into_iter().map(|sum| (sum / count) as f32).collect();
    Ok(sums.into_iter().map(mean).collect())
}

/// Scores answers, and keeps the worst mistakes.
struct Judge {
    /// Class names in the model's order.
    classes: Vec<String>,
    /// For each class of the dataset, its index among the model's.
    own_index: Vec<u32>,
    views: TestTimeAugmentation,
    scores: Scores,
}

enum Scores {
    Classification {
        scores: Box<Classification>,
        mistakes: Vec<Mistake>,
    },
    MultiLabel {
        scores: MultiLabel,
        thresholds: Vec<f32>,
        mistakes: Vec<LabelMistake>,
    },
}

impl Judge {
    fn new(model: &Model, dataset_classes: &[String], request: &Request) -> anyhow::Result<Self> {
        let manifest = model.manifest();
        let classes = manifest.classes.clone();
        let thresholds = label_thresholds(model, request.thresholds.as_ref())?;
        let scores = match manifest.task {
            Task::MultiLabel => Scores::MultiLabel {
                scores: MultiLabel::with_thresholds(thresholds.clone()),
                thresholds,
                mistakes: Vec::new(),
            },
            _ => Scores::Classification {
                scores: Box::new(Classification::new(classes.len())),
                mistakes: Vec::new(),
            },
        };
        Ok(Self {
            own_index: match_classes(dataset_classes, &classes)?,
            classes,
            views: request.views,
            scores,
        })
    }

    fn add(
        &mut self,
        source: &StoreSource,
        index: usize,
        probabilities: &[f32],
    ) -> anyhow::Result<()> {
        match &mut self.scores {
            Scores::Classification { scores, mistakes } => {
                let label = self.own_index[source.label(index) as usize];
                scores.update(probabilities, label)?;
                mistakes.extend(mistake(source, index, label, probabilities));
            }
            Scores::MultiLabel {
                scores,
                thresholds,
                mistakes,
            } => {
                let labels: Vec<u32> = source
                    .label_set(index)
                    .context("an image of the dataset has no labels")?
                    .iter()
                    .map(|label| self.own_index[*label as usize])
                    .collect();
                scores.update(probabilities, &labels)?;
                mistakes.extend(label_mistake(
                    source,
                    index,
                    &labels,
                    probabilities,
                    thresholds,
                ));
            }
        }
        Ok(())
    }

    fn forget_lesser_mistakes(&mut self) {
        match &mut self.scores {
            Scores::Classification { mistakes, .. } => keep_worst(mistakes),
            Scores::MultiLabel { mistakes, .. } => {
                mistakes.sort_by(|a, b| {
                    b.distance()
                        .total_cmp(&a.distance())
                        .then_with(|| a.path.cmp(&b.path))
                });
                mistakes.truncate(MISTAKES_KEPT);
            }
        }
    }

    /// For each label the threshold with the best F1 on what was judged.
    fn best_thresholds(&self) -> Option<Vec<Option<BestThreshold>>> {
        match &self.scores {
            Scores::Classification { .. } => None,
            Scores::MultiLabel { scores, .. } => Some(scores.best_thresholds()),
        }
    }

    /// The report, with thresholds that validation suggests.
    fn finish(self, best: Option<Vec<Option<BestThreshold>>>) -> TaskReport {
        match self.scores {
            Scores::Classification { scores, mistakes } => {
                TaskReport::Classification(EvaluationReport {
                    classes: self.classes,
                    scores: scores.finish(),
                    mistakes,
                    views: self.views,
                })
            }
            Scores::MultiLabel {
                scores, mistakes, ..
            } => {
                let mut label_scores = scores.finish();
                for (label, best) in label_scores.per_label.iter_mut().zip(best.iter().flatten()) {
                    label.best = *best;
                }
                TaskReport::MultiLabel(MultiLabelEvaluation {
                    classes: self.classes,
                    label_scores,
                    mistakes,
                    views: self.views,
                })
            }
        }
    }
}

/// The scores that matter most, in one line.
pub(crate) fn in_short(report: &TaskReport) -> String {
    match report {
        TaskReport::Classification(report) => format!(
            "accuracy {}, macro F1 {}",
            text::percent(report.scores.accuracy),
            text::percent(report.scores.macro_f1)
        ),
        TaskReport::MultiLabel(report) => format!(
            "macro AUROC {}, macro F1 {}, exact match {}",
            text::three_digits(report.label_scores.auroc),
            text::percent(report.label_scores.macro_f1),
            text::percent(report.label_scores.exact_match)
        ),
    }
}

/// How views are told of; none when there is the image alone.
pub(crate) fn views_in_words(views: TestTimeAugmentation) -> Option<String> {
    let count = View::of(views).len();
    (count > 1).then(|| format!("mean of {count} views of each image"))
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

/// What to keep of labels that were answered wrong: the one that is furthest off.
fn label_mistake(
    source: &StoreSource,
    index: usize,
    labels: &[u32],
    probabilities: &[f32],
    thresholds: &[f32],
) -> Option<LabelMistake> {
    let entry = source.entry(index)?;
    (0..)
        .zip(probabilities.iter().zip(thresholds))
        .filter(|(label, (probability, threshold))| {
            (probability > threshold) != labels.contains(label)
        })
        .map(|(label, (&probability, _))| LabelMistake {
            path: entry.path.clone(),
            digest: entry.digest.clone(),
            label,
            has_label: labels.contains(&label),
            probability,
        })
        .max_by(|a, b| a.distance().total_cmp(&b.distance()))
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
