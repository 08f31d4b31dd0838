//! The measurements of one command, one after the other: for each number of threads all runtimes are
//! loaded, then each scenario is measured on all of them in turns.

mod server;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use ferrotype_inference::{load_network, runtimes};
use ferrotype_kernels::instructions::InstructionSet;
use ferrotype_kernels::peak;
use ferrotype_measure::Latencies;

use super::closed::{self, ClosedLoop, Finished};
use super::lane::Lane;
use super::layers;
use super::memory::Probe;
use super::report::{ClosedReport, Machine, Peak, Report};
use super::{Inputs, Scenario, Settings, Subject, TURNS};
use crate::context::Context;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{Printer, Progress, text};

/// What all measurements share.
struct Session<'a> {
    subject: &'a Subject,
    settings: &'a Settings,
    inputs: &'a Inputs,
    printer: &'a Printer,
    interrupt: Interrupt,
    progress: Progress,
    turns_done: u64,
    turns: u64,
    peaks: Vec<Peak>,
}

/// Measures what the settings say. `images` says what the inputs are.
///
/// # Errors
/// No runtime can be used, or the user interrupts.
pub(crate) fn measure(
    context: &Context,
    subject: &Subject,
    settings: &Settings,
    inputs: &Inputs,
    images: String,
    probe: &Probe<'_>,
) -> anyhow::Result<Report> {
    let turns = u64::from(TURNS + 1) * (settings.threads.len() * stages(settings)) as u64;
    let mut session = Session {
        subject,
        settings,
        inputs,
        printer: context.printer(),
        interrupt: context.interrupt().clone(),
        progress: context.printer().progress("Measuring", turns),
        turns_done: 0,
        turns,
        peaks: Vec::new(),
    };
    // So that no network's time to load has ONNX Runtime's library in it.
    runtimes();
    let mut reports = Vec::new();
    let mut flops_per_image = None;
    for threads in &settings.threads {
        let mut lanes = session.lanes(*threads, probe)?;
        flops_per_image = flops_per_image.or(session.flops_per_image(&lanes));
        session.measure(&mut lanes, *threads)?;
        reports.extend(lanes.into_iter().map(|lane| lane.report));
    }
    let mut report = Report {
        model: subject.title.clone(),
        image_shape: subject.image_shape,
        images,
        seconds: settings.duration.as_secs_f64(),
        scenarios: settings.scenarios.clone(),
        machine: Machine {
            cores: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            instructions: InstructionSet::in_use().to_string(),
            peaks: std::mem::take(&mut session.peaks),
        },
        flops_per_image,
        runtimes: reports,
    };
    report.relate_to_peak();
    Ok(report)
}

/// Stages for each number of threads, with a search of rates counted once.
fn stages(settings: &Settings) -> usize {
    settings.scenarios.len() + usize::from(settings.has_layers)
}

impl Session<'_> {
    /// Every runtime with so many threads, loaded where that goes.
    fn lanes(&self, threads: NonZeroUsize, probe: &Probe<'_>) -> anyhow::Result<Vec<Lane>> {
        let mut lanes = Vec::new();
        let mut first_error = None;
        for choice in &self.settings.runtimes {
            self.check_interrupt()?;
            let mut lane = Lane::new(*choice, threads);
            let options = self.subject.options(threads);
            let started = Instant::now();
            match load_network(&self.subject.onnx, *choice, &options) {
                Ok(loaded) => {
                    lane.keep(loaded, started.elapsed().as_secs_f64() * 1e3);
                    let threads_told = text::plural(threads.get() as u64, "thread");
                    let told = format!("{} on {threads_told}", lane.report.title());
                    self.printer.step("Loaded", told);
                    let largest = self.settings.largest_batch();
                    lane.report.memory = probe.measure(*choice, threads, largest);
                }
                Err(error) => {
                    lane.report.problem = Some(error.to_string());
                    first_error = first_error.or(Some(error));
                }
            }
            lanes.push(lane);
        }
        match (first_error, lanes.len()) {
            (Some(error), 1) => Err(error.into()),
            (Some(error), _) if lanes.iter().all(|lane| lane.loaded.is_none()) => {
                let what = format!("no runtime can run {}", self.subject.title);
                Err(anyhow::Error::from(error).context(what))
            }
            _ => Ok(lanes),
        }
    }

    /// Operations of an image, if one of the runtimes counts them.
    fn flops_per_image(&self, lanes: &[Lane]) -> Option<u64> {
        let batch = self.subject.fixed_batch.unwrap_or(1);
        let input = self.inputs.batches(batch).into_iter().next()?;
        lanes.iter().find_map(|lane| {
            let steps = lane.loaded.as_ref()?.network.profile(&input, batch)?;
            let flops: u64 = steps.iter().map(|step| step.flops).sum();
            Some(flops / batch as u64)
        })
    }

    fn measure(&mut self, lanes: &mut [Lane], threads: NonZeroUsize) -> anyhow::Result<()> {
        let settings = self.settings;
        self.measure_peak(threads);
        for scenario in settings.scenarios.clone() {
            match scenario {
                Scenario::SingleStream => {
                    let batches = &settings.single_stream_batches;
                    self.closed(lanes, batches, threads, scenario)?;
                }
                Scenario::Offline => {
                    let batches = &settings.offline_batches;
                    self.closed(lanes, batches, threads, scenario)?;
                }
                Scenario::Server => self.server(lanes, threads)?,
            }
        }
        if settings.has_layers {
            self.layers(lanes, threads)?;
        }
        Ok(())
    }

    /// Asks all runtimes again and again with batches of each size; keeps what a scenario tells.
    fn closed(
        &mut self,
        lanes: &mut [Lane],
        batches: &[usize],
        threads: NonZeroUsize,
        scenario: Scenario,
    ) -> anyhow::Result<()> {
        let inputs: Vec<_> = batches
            .iter()
            .map(|batch| self.inputs.batches(*batch))
            .collect();
        let mut loops = Vec::new();
        for (place, lane) in lanes.iter().enumerate() {
            for (batch, inputs) in batches.iter().zip(&inputs) {
                let querier = lane.querier(*batch, inputs);
                loops.extend(querier.map(|querier| ClosedLoop::new(place, querier)));
            }
        }
        let duration = self.settings.duration;
        let label = match scenario {
            Scenario::Offline => "offline",
            _ => "single-stream",
        };
        self.in_turns(threads, label, |is_stopped, after_turn| {
            closed::measure(&mut loops, duration, is_stopped, after_turn);
        })?;
        let results: Vec<Finished> = loops.into_iter().map(ClosedLoop::finish).collect();
        for result in results {
            let lane = &mut lanes[result.place];
            match (
                result.problem,
                report_of(result.batch, &result.latencies, result.elapsed),
            ) {
                (Some(problem), _) => lane.fail(problem),
                (None, None) => {}
                (None, Some(report)) if scenario == Scenario::Offline => {
                    lane.report.offline.push(report);
                }
                (None, Some(report)) => {
                    if result.batch == self.settings.server_batch {
                        lane.services_ms = Some(result.latencies.milliseconds().to_vec());
                    }
                    lane.report.single_stream.push(report);
                }
            }
        }
        Ok(())
    }

    /// Measures the layers where the runtime tells of them.
    fn layers(&mut self, lanes: &mut [Lane], threads: NonZeroUsize) -> anyhow::Result<()> {
        for batch in &self.settings.single_stream_batches {
            let inputs = self.inputs.batches(*batch);
            for lane in &mut *lanes {
                let Some(loaded) = lane
                    .loaded
                    .as_ref()
                    .filter(|_| lane.report.problem.is_none())
                else {
                    continue;
                };
                let is_stopped = || self.interrupt.is_requested();
                let duration = self.settings.duration;
                let network = &*loaded.network;
                let report = layers::measure(network, *batch, &inputs, duration, &is_stopped);
                lane.report.layers.extend(report);
                self.check_interrupt()?;
            }
        }
        self.measure_peak(threads);
        self.turns_done += u64::from(TURNS);
        Ok(())
    }

    /// Does a measurement in turns; after each the machine's peak is measured too, and the progress told.
    fn in_turns(
        &mut self,
        threads: NonZeroUsize,
        label: &str,
        measure: impl FnOnce(&dyn Fn() -> bool, &mut dyn FnMut()),
    ) -> anyhow::Result<()> {
        let interrupt = self.interrupt.clone();
        let message = format!("{label}, threads: {threads}");
        measure(&|| interrupt.is_requested(), &mut || {
            self.measure_peak(threads);
            self.turns_done = (self.turns_done + 1).min(self.turns);
            self.progress
                .set(self.turns_done, self.turns, message.clone());
        });
        self.check_interrupt()
    }

    /// The highest that was ever seen counts.
    fn measure_peak(&mut self, threads: NonZeroUsize) {
        if self.interrupt.is_requested() {
            return;
        }
        let started = Instant::now();
        let gflops_per_second = peak::gflops_per_second(threads, || started.elapsed());
        let threads = threads.get();
        match self.peaks.iter_mut().find(|peak| peak.threads == threads) {
            Some(peak) => peak.gflops_per_second = peak.gflops_per_second.max(gflops_per_second),
            None => self.peaks.push(Peak {
                threads,
                gflops_per_second,
            }),
        }
    }

    fn check_interrupt(&self) -> anyhow::Result<()> {
        match self.interrupt.is_requested() {
            true => Err(Failure::new("the measurement was interrupted").into()),
            false => Ok(()),
        }
    }
}

fn report_of(batch: usize, latencies: &Latencies, elapsed: Duration) -> Option<ClosedReport> {
    let latency = latencies.finish()?;
    Some(ClosedReport {
        batch,
        images_per_second: (latencies.count() * batch) as f64 / elapsed.as_secs_f64(),
        gflops_per_second: None,
        share_of_peak: None,
        latency,
    })
}
