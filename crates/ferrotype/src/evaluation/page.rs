//! The evaluation as one HTML file that needs nothing beside it: styles, the diagram and the
//! pictures are inside.

use anyhow::Context as _;
use base64::Engine as _;
use ferrotype_measure::{
    CalibrationBin, EvaluationReport, LabelMistake, Mistake, MultiLabelEvaluation, TaskReport,
};
use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;

use crate::output::text;

const TEMPLATE: &str = include_str!("page.html");

/// Mistakes shown on the page.
const MISTAKES_SHOWN: usize = 24;

/// Side of a mistake's picture in pixels: twice the width it is shown at, for dense screens.
const PICTURE_SIDE: u32 = 304;

/// JPEG quality of the pictures.
const PICTURE_QUALITY: u8 = 85;

/// What the page is about.
#[derive(Serialize)]
pub(crate) struct PageSubject {
    /// The run's or model's name.
    pub(crate) title: String,
    /// The dataset version.
    pub(crate) dataset: String,
    /// The split.
    pub(crate) split: String,
    /// When it was evaluated.
    pub(crate) when: String,
    /// The runtime that answered.
    pub(crate) runtime: String,
    /// The views that were averaged, in words.
    pub(crate) views: Option<String>,
}

/// Renders the page. `picture` answers with the bytes of an image by the digest of its blob;
/// a picture that cannot be had is left out.
pub(crate) fn render(
    subject: &PageSubject,
    report: &TaskReport,
    picture: impl Fn(&str) -> Option<Vec<u8>>,
) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    environment
        .add_template("evaluation.html", TEMPLATE)
        .context("the page's template is wrong")?;
    let values = match report {
        TaskReport::Classification(report) => class_page(subject, report, picture),
        TaskReport::MultiLabel(report) => label_page(subject, report, picture),
    };
    let template = environment.get_template("evaluation.html")?;
    Ok(template.render(Serde(&values))?)
}

/// The page of a model that answers with any number of labels: without a confusion matrix, which
/// has no meaning there.
fn label_page<'a>(
    subject: &'a PageSubject,
    report: &'a MultiLabelEvaluation,
    picture: impl Fn(&str) -> Option<Vec<u8>>,
) -> Page<'a> {
    let mistakes = report.mistakes.iter().take(MISTAKES_SHOWN);
    Page {
        version: env!("CARGO_PKG_VERSION"),
        subject,
        count: text::count(report.label_scores.count),
        class_names: &report.classes,
        tiles: label_tiles(report),
        is_multi_label: true,
        threshold: Some(report.label_scores.threshold.map_or_else(
            || "a threshold of its own".into(),
            |threshold| threshold.to_string(),
        )),
        has_best: report
            .label_scores
            .per_label
            .iter()
            .any(|label| label.best.is_some()),
        confusion: Vec::new(),
        classes: labels(report),
        diagram: None,
        calibration_error: String::new(),
        mistakes: mistakes
            .map(|mistake| MistakeCard::of_label(mistake, &report.classes, &picture))
            .collect(),
    }
}

fn label_tiles(report: &MultiLabelEvaluation) -> Vec<Tile> {
    let scores = &report.label_scores;
    let tile = |name, value| Tile { name, value };
    vec![
        tile("macro AUROC", text::three_digits(scores.auroc)),
        tile("mAP", text::three_digits(scores.mean_average_precision)),
        tile("macro F1", text::percent(scores.macro_f1)),
        tile("micro F1", text::percent(scores.micro_f1)),
        tile("exact match", text::percent(scores.exact_match)),
        tile("binary cross-entropy", format!("{:.3}", scores.loss)),
    ]
}

fn labels(report: &MultiLabelEvaluation) -> Vec<ClassRow<'_>> {
    let scores = report.label_scores.per_label.iter().zip(&report.classes);
    scores
        .map(|(scores, name)| {
            let rates = [scores.precision, scores.recall, scores.f1];
            ClassRow {
                average_precision: Some(text::three_digits(scores.average_precision)),
                threshold: scores.threshold.map(|threshold| threshold.to_string()),
                best: scores
                    .best
                    .map(|best| [best.threshold.to_string(), text::percent(best.f1)]),
                ..ClassRow::new(name, rates, scores.auroc, scores.support)
            }
        })
        .collect()
}

/// The page of a model that answers with one class.
fn class_page<'a>(
    subject: &'a PageSubject,
    report: &'a EvaluationReport,
    picture: impl Fn(&str) -> Option<Vec<u8>>,
) -> Page<'a> {
    let scores = &report.scores;
    let mistakes: Vec<MistakeCard<'_>> = report
        .mistakes
        .iter()
        .take(MISTAKES_SHOWN)
        .map(|mistake| MistakeCard::new(mistake, &report.classes, &picture))
        .collect();
    Page {
        version: env!("CARGO_PKG_VERSION"),
        subject,
        count: text::count(scores.count),
        class_names: &report.classes,
        tiles: tiles(report),
        is_multi_label: false,
        threshold: None,
        has_best: false,
        confusion: confusion(report),
        classes: classes(report),
        diagram: Some(Diagram::new(&scores.calibration_bins)),
        calibration_error: format!("{:.3}", scores.expected_calibration_error),
        mistakes,
    }
}

/// Everything that the template shows.
#[derive(Serialize)]
struct Page<'a> {
    version: &'static str,
    #[serde(flatten)]
    subject: &'a PageSubject,
    count: String,
    class_names: &'a [String],
    tiles: Vec<Tile>,
    /// Whether an image may have several labels.
    is_multi_label: bool,
    /// The probability above which a label counts, in words.
    threshold: Option<String>,
    /// Whether the labels have thresholds that validation suggests.
    has_best: bool,
    confusion: Vec<ConfusionRow<'a>>,
    classes: Vec<ClassRow<'a>>,
    diagram: Option<Diagram>,
    calibration_error: String,
    mistakes: Vec<MistakeCard<'a>>,
}

/// A score with its name.
#[derive(Serialize)]
struct Tile {
    name: &'static str,
    value: String,
}

fn tiles(report: &EvaluationReport) -> Vec<Tile> {
    let scores = &report.scores;
    let share = |value: f64| text::percent(value);
    let mut tiles = vec![
        Tile {
            name: "accuracy",
            value: share(scores.accuracy),
        },
        Tile {
            name: "macro F1",
            value: share(scores.macro_f1),
        },
        Tile {
            name: "macro precision",
            value: share(scores.macro_precision),
        },
        Tile {
            name: "macro recall",
            value: share(scores.macro_recall),
        },
    ];
    if let Some(auroc) = scores.auroc {
        tiles.push(Tile {
            name: "AUROC",
            value: format!("{auroc:.3}"),
        });
    }
    tiles.push(Tile {
        name: "cross-entropy",
        value: format!("{:.3}", scores.loss),
    });
    tiles.push(Tile {
        name: "calibration error",
        value: format!("{:.3}", scores.expected_calibration_error),
    });
    tiles
}

/// A row of the confusion matrix: one true class.
#[derive(Serialize)]
struct ConfusionRow<'a> {
    class: &'a str,
    cells: Vec<ConfusionCell<'a>>,
}

/// How often the row's class was predicted as this one.
#[derive(Serialize)]
struct ConfusionCell<'a> {
    class: &'a str,
    count: u64,
    kind: &'static str,
    /// Whether the colour is so strong that text on it must be white.
    strong: bool,
    /// Opacity of the colour: the share of the row's images.
    share: String,
}

fn confusion(report: &EvaluationReport) -> Vec<ConfusionRow<'_>> {
    let rows = report.scores.confusion.iter().zip(&report.classes);
    rows.enumerate()
        .map(|(truth, (counts, class))| {
            let total: u64 = counts.iter().sum();
            let cells = counts.iter().zip(&report.classes).enumerate();
            ConfusionRow {
                class,
                cells: cells
                    .map(|(predicted, (&count, class))| ConfusionCell {
                        class,
                        count,
                        kind: match (count, truth == predicted) {
                            (0, _) => "zero",
                            (_, true) => "right",
                            (_, false) => "wrong",
                        },
                        strong: 2 * count > total,
                        share: format!("{:.2}", count as f64 / total.max(1) as f64),
                    })
                    .collect(),
            }
        })
        .collect()
}

/// A class's scores as text.
#[derive(Serialize)]
struct ClassRow<'a> {
    name: &'a str,
    precision: String,
    recall: String,
    f1: String,
    f1_width: String,
    auroc: String,
    /// Of a label.
    average_precision: Option<String>,
    /// Of a label: the probability above which it counts.
    threshold: Option<String>,
    /// Of a label: the threshold that validation suggests, and the F1 there.
    best: Option<[String; 2]>,
    support: String,
}

impl<'a> ClassRow<'a> {
    /// The row of a class; `rates` are precision, recall and F1.
    fn new(name: &'a str, rates: [f64; 3], auroc: Option<f64>, support: u64) -> Self {
        let [precision, recall, f1] = rates.map(text::percent);
        Self {
            name,
            precision,
            recall,
            f1,
            f1_width: format!("{:.1}", rates[2] * 100.0),
            auroc: text::three_digits(auroc),
            average_precision: None,
            threshold: None,
            best: None,
            support: text::count(support),
        }
    }
}

fn classes(report: &EvaluationReport) -> Vec<ClassRow<'_>> {
    let scores = report.scores.per_class.iter().zip(&report.classes);
    scores
        .map(|(scores, name)| {
            let rates = [scores.precision, scores.recall, scores.f1];
            ClassRow::new(name, rates, scores.auroc, scores.support)
        })
        .collect()
}

/// A mistake with its picture as a data URI.
#[derive(Serialize)]
struct MistakeCard<'a> {
    label: &'a str,
    predicted: &'a str,
    confidence: String,
    path: &'a str,
    picture: Option<String>,
}

impl<'a> MistakeCard<'a> {
    fn of_label(
        mistake: &'a LabelMistake,
        classes: &'a [String],
        picture: &impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Self {
        let predicted = match mistake.has_label {
            true => "missing",
            false => "not there",
        };
        Self {
            label: class_name(classes, mistake.label),
            predicted,
            confidence: unbroken_percent(mistake.probability),
            path: &mistake.path,
            picture: picture(&mistake.digest).and_then(|bytes| data_uri(&bytes)),
        }
    }

    fn new(
        mistake: &'a Mistake,
        classes: &'a [String],
        picture: &impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Self {
        Self {
            label: class_name(classes, mistake.label),
            predicted: class_name(classes, mistake.predicted),
            confidence: unbroken_percent(mistake.confidence),
            path: &mistake.path,
            picture: picture(&mistake.digest).and_then(|bytes| data_uri(&bytes)),
        }
    }
}

fn class_name(classes: &[String], index: u32) -> &str {
    classes.get(index as usize).map_or("?", String::as_str)
}

/// A percentage whose number and sign stay on one line.
fn unbroken_percent(share: f32) -> String {
    text::percent(f64::from(share)).replace(' ', "\u{a0}")
}

/// An image file as a small JPEG inside a `data:` URI; none when it cannot be decoded.
fn data_uri(bytes: &[u8]) -> Option<String> {
    use ferrotype_vision::{decode, encode, thumbnail};
    let image = decode::decode(bytes, &decode::DecodeLimits::default())
        .ok()?
        .image;
    let small = thumbnail(&image, PICTURE_SIDE);
    let jpeg = encode::jpeg(&small, PICTURE_QUALITY).ok()?;
    let text = base64::engine::general_purpose::STANDARD.encode(jpeg);
    Some(format!("data:image/jpeg;base64,{text}"))
}

/// The reliability diagram in the coordinates of its SVG.
#[derive(Serialize)]
struct Diagram {
    grid: Vec<GridLine>,
    bins: Vec<DiagramBin>,
}

/// A grid line with its label, which stands on both axes.
#[derive(Serialize)]
struct GridLine {
    x: f64,
    y: f64,
    label: String,
}

/// A bar of accuracy, and the gap between it and the mean confidence.
#[derive(Serialize)]
struct DiagramBin {
    x: f64,
    width: f64,
    y: f64,
    height: f64,
    gap_y: f64,
    gap_height: f64,
    label: String,
}

/// The plot's area: left, top, width, height.
const PLOT: (f64, f64, f64, f64) = (56.0, 10.0, 270.0, 200.0);

impl Diagram {
    fn new(bins: &[CalibrationBin]) -> Self {
        let (left, top, width, height) = PLOT;
        let x = |share: f64| round(left + share * width);
        let y = |share: f64| round(top + (1.0 - share) * height);
        let grid = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| GridLine {
            x: x(share),
            y: y(share),
            label: format!("{:.0} %", share * 100.0),
        });
        let bins = bins.iter().filter(|bin| bin.count > 0).map(|bin| {
            let (low, high) = (
                bin.accuracy.min(bin.mean_confidence),
                bin.accuracy.max(bin.mean_confidence),
            );
            DiagramBin {
                x: x(bin.lower) + 0.5,
                width: round((bin.upper - bin.lower) * width - 1.0),
                y: y(bin.accuracy),
                height: round(bin.accuracy * height),
                gap_y: y(high),
                gap_height: round((high - low) * height),
                label: format!(
                    "confidence {:.0} to {:.0} %: {} right of {}",
                    bin.lower * 100.0,
                    bin.upper * 100.0,
                    text::percent(bin.accuracy),
                    text::plural(bin.count, "image")
                ),
            }
        });
        Self {
            grid: grid.into(),
            bins: bins.collect(),
        }
    }
}

/// One digit after the point: a tenth of a pixel.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrotype_core::config::schema::TestTimeAugmentation;
    use ferrotype_measure::{Classification, MultiLabel, MultiLabelReport};

    fn report() -> TaskReport {
        let mut scores = Classification::new(2);
        for (probabilities, label) in [([0.9, 0.1], 0), ([0.2, 0.8], 1), ([0.7, 0.3], 1)] {
            scores.update(&probabilities, label).unwrap();
        }
        TaskReport::Classification(EvaluationReport {
            views: TestTimeAugmentation::None,
            classes: vec!["<b>cat".into(), "dog".into()],
            scores: scores.finish(),
            mistakes: vec![Mistake {
                path: "dog/7.png".into(),
                digest: "d".into(),
                label: 1,
                predicted: 0,
                confidence: 0.7,
                label_probability: 0.3,
            }],
        })
    }

    fn label_report() -> TaskReport {
        let mut scores = MultiLabel::new(2, 0.5);
        for (probabilities, labels) in [([0.9, 0.1], &[0][..]), ([0.2, 0.8], &[])] {
            scores.update(&probabilities, labels).unwrap();
        }
        TaskReport::MultiLabel(MultiLabelEvaluation {
            classes: vec!["mass".into(), "nodule".into()],
            label_scores: with_best(scores),
            mistakes: vec![LabelMistake {
                path: "7.png".into(),
                digest: "d".into(),
                label: 1,
                has_label: false,
                probability: 0.8,
            }],
            views: TestTimeAugmentation::Flip,
        })
    }

    /// The scores, as if they were of the validation split.
    fn with_best(scores: MultiLabel) -> MultiLabelReport {
        let mut report = scores.finish();
        for (label, best) in report.per_label.iter_mut().zip(scores.best_thresholds()) {
            label.best = best;
        }
        report
    }

    #[test]
    fn labels_have_a_table_and_no_confusion_matrix() {
        let page = render(&subject(), &label_report(), |_| None).unwrap();
        for text in [
            "macro AUROC",
            "mAP",
            "exact match",
            "above 0.5",
            "nodule",
            "best threshold",
            "<td>0.55</td><td>100.0 %</td>",
        ] {
            assert!(page.contains(text), "{text}");
        }
        assert!(!page.contains("Confusion matrix") && !page.contains("Reliability"));
    }

    fn subject() -> PageSubject {
        PageSubject {
            title: "Run tiny".into(),
            dataset: "pets@v1".into(),
            split: "test".into(),
            when: String::new(),
            runtime: "rten".into(),
            views: None,
        }
    }

    #[test]
    fn the_page_holds_scores_and_pictures_and_no_address() {
        let picture = ferrotype_testkit::images::png(20, 10, [1, 2, 3]);
        let page = render(&subject(), &report(), |_| Some(picture.clone())).unwrap();
        assert!(page.contains("66.7 %"));
        assert!(page.contains("data:image/jpeg;base64,"));
        assert!(!page.contains("http://") && !page.contains("https://"));
    }

    #[test]
    fn names_are_escaped() {
        let page = render(&subject(), &report(), |_| None).unwrap();
        assert!(page.contains("&lt;b&gt;cat"));
        assert!(!page.contains("<b>cat"));
        assert!(page.contains("picture not kept"));
    }

    #[test]
    fn the_gap_of_a_bin_lies_between_accuracy_and_confidence() {
        let bin = CalibrationBin {
            lower: 0.8,
            upper: 1.0,
            count: 4,
            mean_confidence: 0.9,
            accuracy: 0.5,
        };
        let diagram = Diagram::new(&[bin]);
        let bar = &diagram.bins[0];
        assert_eq!((bar.y, bar.height), (110.0, 100.0));
        assert_eq!((bar.gap_y, bar.gap_height), (30.0, 80.0));
    }
}
