//! `ferrotype evaluate`: how good a run's or model's ONNX file is on a split.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ferrotype_core::config::schema::TestTimeAugmentation;
use ferrotype_core::dataset::Split;
use ferrotype_core::name::Reference;
use ferrotype_core::thresholds::Thresholds;
use ferrotype_inference::{Model, RuntimeChoice};
use ferrotype_measure::TaskReport;
use ferrotype_store::{Evaluation, Store, check_target, write_file_atomically};
use serde::Serialize;

use crate::context::Context;
use crate::evaluation::page::{self, PageSubject};
use crate::evaluation::{self, Request, Subject, terminal, views_in_words};
use crate::failure::Failure;
use crate::output::text;

/// The arguments of `ferrotype evaluate`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A run (its best weights), or a model as `name@production`
    #[arg(value_name = "RUN|MODEL")]
    subject: String,
    /// The part of the dataset: train, val or test
    #[arg(long, default_value_t = Split::Test)]
    split: Split,
    /// The dataset version [default: the one it was trained on]
    #[arg(long, value_name = "NAME[@vN]")]
    dataset: Option<Reference>,
    /// Average the probabilities of several views of each image. Serving does not
    #[arg(long, value_enum, default_value_t = Views::None)]
    views: Views,
    /// Of labels: the probability above which one counts, or one for each label with commas between [default: the model's]
    #[arg(long, value_name = "PROBABILITY")]
    threshold: Option<Thresholds>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Also write a page with diagrams and pictures, one file that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// What runs the network: auto, native, rten or onnxruntime
    #[arg(long, default_value_t = RuntimeChoice::Auto)]
    runtime: RuntimeChoice,
}

/// [`TestTimeAugmentation`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Views {
    /// The image alone, as it will be served
    None,
    /// 2: the image and its mirror image
    Flip,
    /// 4: mirrored in no, either and both directions
    Flips,
    /// 8: those, and turned by a quarter
    Dihedral,
}

impl Views {
    fn setting(self) -> TestTimeAugmentation {
        match self {
            Self::None => TestTimeAugmentation::None,
            Self::Flip => TestTimeAugmentation::Flip,
            Self::Flips => TestTimeAugmentation::Flips,
            Self::Dihedral => TestTimeAugmentation::Dihedral,
        }
    }
}

/// An evaluation as `--json` prints it.
#[derive(Serialize)]
struct Printed<'a> {
    subject: &'a str,
    dataset: Option<&'a str>,
    split: Split,
    runtime: &'a str,
    evaluation: ferrotype_core::id::EvaluationId,
    #[serde(flatten)]
    report: &'a TaskReport,
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    if let Some(path) = &arguments.html {
        check_target(path)?;
    }
    let store = context.existing_store()?;
    let subject = Subject::find(context, &store, &arguments.subject)?;
    let reference = match arguments.dataset {
        Some(reference) => reference,
        None => subject
            .dataset()
            .ok_or_else(|| no_dataset(&subject))?
            .parse()?,
    };
    let dataset = context.wait(store.dataset_version(&reference))?;
    let model = subject.load(context, &store, arguments.runtime)?;
    let request = Request {
        split: arguments.split,
        views: arguments.views.setting(),
        thresholds: arguments.threshold.clone(),
    };
    let (evaluation, report) =
        evaluation::evaluate(context, &store, &subject, &model, &dataset, &request)?;
    if let Some(path) = arguments.html {
        let about = page_subject(&subject, &evaluation, &model, &report);
        let page = page::render(&about, &report, |digest| picture(&store, digest))?;
        write_file_atomically(&path, page.as_bytes())?;
        context.printer().step("Wrote", path.display());
    }
    if arguments.json {
        return context.printer().json(&Printed {
            subject: &subject.title(),
            dataset: evaluation.dataset.as_deref(),
            split: evaluation.split,
            runtime: model.runtime_name(),
            evaluation: evaluation.id,
            report: &report,
        });
    }
    let printer = context.printer();
    printer.status(format_args!(
        "{} on `{}`, split {}, by {}{}\n",
        subject.title(),
        dataset.reference(),
        arguments.split,
        model.runtime_name(),
        views_in_words(report.views()).map_or_else(String::new, |views| format!(", {views}"))
    ));
    terminal::print(printer, &report);
    Ok(())
}

fn no_dataset(subject: &Subject) -> Failure {
    Failure::usage(format!(
        "{} does not say what it was trained on",
        subject.title()
    ))
    .hint("name the dataset: `--dataset NAME`")
}

fn page_subject(
    subject: &Subject,
    evaluation: &Evaluation,
    model: &Model,
    report: &TaskReport,
) -> PageSubject {
    PageSubject {
        title: subject.title(),
        dataset: evaluation.dataset.clone().unwrap_or_default(),
        split: evaluation.split.to_string(),
        when: text::minute(evaluation.created_at),
        runtime: model.runtime_name().to_string(),
        views: views_in_words(report.views()),
    }
}

/// An image of the dataset; none when its blob is gone.
fn picture(store: &Store, digest: &str) -> Option<Vec<u8>> {
    store.blobs().get(&digest.parse().ok()?).ok()
}
