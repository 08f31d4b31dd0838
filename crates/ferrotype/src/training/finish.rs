//! What follows when a training is done: the ONNX file, the scores on the test split, the registry.

use ferrotype_core::config::schema::TestTimeAugmentation;
use ferrotype_core::dataset::Split;
use ferrotype_inference::{Model, RuntimeChoice, embed_manifest};
use ferrotype_measure::TaskReport;
use ferrotype_store::ModelVersion;

use super::export::{ONNX_ARTIFACT, from_checkpoint};
use super::register::register_run;
use super::{Plan, Trained, TrainingJob, Worker};
use crate::evaluation::{self, Request, Subject};
use crate::output::text;

/// The media type of an ONNX file.
const ONNX_MEDIA_TYPE: &str = "application/onnx";

impl Worker<'_> {
    /// Exports the best weights, evaluates what was exported, and registers it if that was asked for.
    pub(super) fn finish(
        &self,
        plan: &Plan,
        order: &TrainingJob,
        trained: &mut Trained,
    ) -> anyhow::Result<()> {
        let mut onnx = from_checkpoint(self.store, self.run, plan)?;
        if plan.finds_thresholds() {
            onnx = self.with_best_thresholds(&onnx, plan)?;
        }
        let digest = self.store.blobs().put(&onnx)?;
        self.context.wait(self.store.add_artifact(
            self.run.id,
            ONNX_ARTIFACT,
            digest,
            onnx.len() as u64,
            ONNX_MEDIA_TYPE,
        ))?;
        self.log.line(format_args!(
            "exported {} of ONNX",
            text::bytes(onnx.len() as u64)
        ));
        let model = Model::load(&onnx, RuntimeChoice::Auto, 0)?;
        trained.report = self.test(plan, &model, trained.outcome.global_step)?;
        if let Some(name) = &order.register {
            trained.model = Some(self.register(name, order.alias.as_deref())?);
        }
        Ok(())
    }

    /// The ONNX file with the thresholds that have the best F1 on the validation split. A label
    /// that no validation image has keeps its own.
    fn with_best_thresholds(&self, onnx: &[u8], plan: &Plan) -> anyhow::Result<Vec<u8>> {
        let model = Model::load(onnx, RuntimeChoice::Auto, 0)?;
        let best = evaluation::best_thresholds(
            self.context,
            self.store,
            &model,
            &plan.dataset,
            TestTimeAugmentation::None,
        )?;
        let mut manifest = model.manifest().clone();
        let mut thresholds = manifest.label_thresholds();
        for (threshold, best) in thresholds.iter_mut().zip(best.iter().flatten()) {
            if let Some(best) = best {
                *threshold = best.threshold as f32;
            }
        }
        for (label, threshold) in manifest.classes.iter().zip(&thresholds) {
            self.log
                .line(format_args!("threshold of {label}: {threshold}"));
        }
        manifest.set_label_thresholds(thresholds);
        Ok(embed_manifest(onnx, &manifest)?)
    }

    /// Scores the exported model on the test split; none when the dataset has no test split.
    fn test(&self, plan: &Plan, model: &Model, step: u64) -> anyhow::Result<Option<TaskReport>> {
        let manifest = ferrotype_data::load_manifest(self.store, &plan.dataset)?;
        if manifest.entries_in(Split::Test).next().is_none() {
            self.context.printer().warning(format_args!(
                "`{}` has no test images; the model was not tested",
                plan.dataset.reference()
            ));
            return Ok(None);
        }
        let subject = Subject::Run(Box::new(self.run.clone()));
        let (_, report) = evaluation::evaluate(
            self.context,
            self.store,
            &subject,
            model,
            &plan.dataset,
            &Request {
                split: Split::Test,
                // As it will be served.
                views: TestTimeAugmentation::None,
                thresholds: None,
            },
        )?;
        let writer = self.store.writer()?;
        for (key, value) in metrics(&report) {
            writer.log_metric(self.run.id, key, step, value)?;
        }
        writer.flush()?;
        self.log.line(format_args!(
            "test: {}, {}",
            evaluation::in_short(&report),
            model.runtime_name()
        ));
        Ok(Some(report))
    }

    fn register(&self, name: &str, alias: Option<&str>) -> anyhow::Result<ModelVersion> {
        let version = register_run(self.context, self.store, self.run, name)?;
        if let Some(alias) = alias {
            let pointed = self.store.set_alias(&version.name, alias, version.version);
            self.context.wait(pointed)?;
        }
        self.log
            .line(format_args!("registered {}", version.reference()));
        Ok(version)
    }
}

/// The test scores that are logged with the run.
fn metrics(report: &TaskReport) -> Vec<(&'static str, f64)> {
    match report {
        TaskReport::Classification(report) => {
            let mut metrics = vec![
                ("test/loss", report.scores.loss),
                ("test/accuracy", report.scores.accuracy),
                ("test/f1", report.scores.macro_f1),
            ];
            metrics.extend(report.scores.auroc.map(|auroc| ("test/auroc", auroc)));
            metrics
        }
        TaskReport::MultiLabel(report) => {
            let scores = &report.label_scores;
            let mut metrics = vec![
                ("test/loss", scores.loss),
                ("test/accuracy", scores.exact_match),
                ("test/f1", scores.macro_f1),
            ];
            metrics.extend(scores.auroc.map(|auroc| ("test/auroc", auroc)));
            let precision = scores.mean_average_precision;
            metrics.extend(precision.map(|precision| ("test/map", precision)));
            metrics
        }
    }
}
