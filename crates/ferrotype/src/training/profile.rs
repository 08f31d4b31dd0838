//! The profile of a training: asked for with its job, kept with its run.

use anyhow::Context as _;
use ferrotype_engine::train::{Profile, ProfileOptions};
use ferrotype_store::{Run, write_file_atomically};

use super::Plan;
use super::observer::Observer;
use crate::profile::{self, Subject, Summary, trace};

/// Steps before the first that is measured.
const WARM_UP: u64 = 10;

/// What is to be profiled, and how far it is.
pub(super) struct Profiling {
    steps: u64,
    subject: Subject,
    /// What was kept; none before.
    pub(super) summary: Option<Summary>,
}

impl Profiling {
    pub(super) fn new(steps: u64, run: &Run, plan: &Plan) -> Self {
        Self {
            steps,
            subject: Subject {
                run: run.name.clone(),
                model: plan.config.model.name.clone(),
                image_size: plan.config.data.image_size,
                batch_size: plan.config.train.batch_size,
                threads: rayon::current_num_threads(),
            },
            summary: None,
        }
    }

    pub(super) fn options(&self) -> ProfileOptions {
        ProfileOptions {
            warm_up: WARM_UP,
            steps: self.steps,
        }
    }
}

impl Observer<'_> {
    /// Keeps a profile with the run. A training does not fail for want of it.
    pub(super) fn keep_profile(&mut self, profile: &Profile) {
        let Some(profiling) = &self.profiling else {
            return;
        };
        match self.try_keep_profile(profile, &profiling.subject) {
            Ok(Some(summary)) => {
                if profiling.summary.is_none() {
                    self.tell_profile(&summary);
                }
                if let Some(profiling) = &mut self.profiling {
                    profiling.summary = Some(summary);
                }
            }
            Ok(None) => {}
            Err(error) => {
                let message = format!("the profile cannot be kept: {error:#}");
                self.context.printer().warning(&message);
                self.log.line(message);
            }
        }
    }

    fn try_keep_profile(
        &self,
        profile: &Profile,
        subject: &Subject,
    ) -> anyhow::Result<Option<Summary>> {
        let Some(summary) = Summary::new(profile, subject.clone()) else {
            return Ok(None);
        };
        let events = serde_json::to_vec(&trace(profile, subject))?;
        let path = self
            .store
            .run_directory(self.run)
            .join(profile::TRACE_ARTIFACT);
        write_file_atomically(&path, &events)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        let totals = serde_json::to_vec_pretty(&summary)?;
        for (name, bytes) in [
            (profile::SUMMARY_ARTIFACT, totals),
            (profile::TRACE_ARTIFACT, events),
        ] {
            let digest = self.store.blobs().put(&bytes)?;
            self.context.wait(self.store.add_artifact(
                self.run,
                name,
                digest,
                bytes.len() as u64,
                profile::MEDIA_TYPE,
            ))?;
        }
        Ok(Some(summary))
    }

    fn tell_profile(&self, summary: &Summary) {
        let path = self
            .store
            .run_directory(self.run)
            .join(profile::TRACE_ARTIFACT);
        let line = profile::headline(summary);
        self.log.line(format_args!("profiled {line}"));
        let printer = self.context.printer();
        printer.step("Profiled", line);
        printer.step(
            "",
            format!("{} opens in {}", path.display(), profile::VIEWER),
        );
    }
}
