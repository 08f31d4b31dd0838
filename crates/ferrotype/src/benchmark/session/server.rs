//! The scenario `server` for all runtimes: at the rate that was given, or at the highest that each can
//! take within the bound.

use std::num::NonZeroUsize;

use super::Session;
use crate::benchmark::closed::{self, ClosedLoop, Finished};
use crate::benchmark::lane::Lane;
use crate::benchmark::queue;
use crate::benchmark::report::ServerReport;
use crate::benchmark::server::{self, Stream};

/// A rate that was sought is measured so often at most, each time at [`SLOWER`] of the one before.
const TRIES: usize = 3;

/// See [`TRIES`].
const SLOWER: f64 = 0.9;

impl Session<'_> {
    /// Lets queries come by chance to every runtime.
    pub(super) fn server(
        &mut self,
        lanes: &mut [Lane],
        threads: NonZeroUsize,
    ) -> anyhow::Result<()> {
        let inputs = self.inputs.batches(self.settings.server_batch);
        if let Some(rate) = self.settings.rate_per_second {
            let mut rates = vec![Some(rate); lanes.len()];
            return self.streams(lanes, &inputs, &mut rates, threads);
        }
        self.learn_services(lanes, &inputs)?;
        let mut rates = self.sought_rates(lanes);
        for _ in 0..TRIES {
            self.streams(lanes, &inputs, &mut rates, threads)?;
        }
        Ok(())
    }

    /// Lets queries come at each runtime's rate; leaves a lower rate where the bound was missed, and
    /// none where it was met.
    fn streams(
        &mut self,
        lanes: &mut [Lane],
        inputs: &[Vec<f32>],
        rates: &mut [Option<f64>],
        threads: NonZeroUsize,
    ) -> anyhow::Result<()> {
        let (batch, duration) = (self.settings.server_batch, self.settings.duration);
        let mut streams = Vec::new();
        let mut places = Vec::new();
        for (place, lane) in lanes.iter().enumerate() {
            if let (Some(rate), Some(querier)) = (rates[place], lane.querier(batch, inputs)) {
                streams.push(Stream::new(querier, rate, duration));
                places.push(place);
            }
        }
        if streams.is_empty() {
            return Ok(());
        }
        self.in_turns(threads, "server", |is_stopped, after_turn| {
            server::measure(&mut streams, duration, is_stopped, after_turn);
        })?;
        let results: Vec<_> = streams
            .into_iter()
            .map(|stream| (self.server_report(&stream), stream.querier.problem))
            .collect();
        for (place, (report, problem)) in places.into_iter().zip(results) {
            let is_missed = report.as_ref().is_some_and(|report| !report.is_bound_met);
            rates[place] = rates[place].filter(|_| is_missed).map(|rate| rate * SLOWER);
            match problem {
                Some(problem) => lanes[place].fail(problem),
                None => lanes[place].report.server = report,
            }
        }
        Ok(())
    }

    fn server_report(&self, stream: &Stream<'_>) -> Option<ServerReport> {
        let latency = stream.all_latencies().finish()?;
        let latency_bound_ms = self.latency_bound_ms();
        Some(ServerReport {
            batch: stream.querier.batch,
            rate_per_second: stream.rate_per_second,
            is_rate_sought: self.settings.rate_per_second.is_none(),
            unanswered: stream.unanswered(),
            busy_share: stream.busy_share(),
            latency_bound_ms,
            is_bound_met: stream.unanswered() == 0 && latency.p99_ms <= latency_bound_ms,
            latency,
        })
    }

    fn latency_bound_ms(&self) -> f64 {
        self.settings.latency_bound.as_secs_f64() * 1e3
    }

    /// Measures how long queries take alone, where no other scenario has told.
    fn learn_services(&self, lanes: &mut [Lane], inputs: &[Vec<f32>]) -> anyhow::Result<()> {
        let mut loops = Vec::new();
        for (place, lane) in lanes.iter().enumerate() {
            if lane.services_ms.is_none()
                && let Some(querier) = lane.querier(self.settings.server_batch, inputs)
            {
                loops.push(ClosedLoop::new(place, querier));
            }
        }
        let is_stopped = || self.interrupt.is_requested();
        // Enough to know a query's time; the rate that follows is measured afterwards.
        let duration = self.settings.duration / 2;
        closed::measure(&mut loops, duration, &is_stopped, &mut || ());
        self.check_interrupt()?;
        let results: Vec<Finished> = loops.into_iter().map(ClosedLoop::finish).collect();
        for result in results {
            let lane = &mut lanes[result.place];
            match result.problem {
                Some(problem) => lane.fail(problem),
                None => lane.services_ms = Some(result.latencies.milliseconds().to_vec()),
            }
        }
        Ok(())
    }

    /// The rate at which each runtime should meet the bound, from how long its queries take alone.
    fn sought_rates(&self, lanes: &mut [Lane]) -> Vec<Option<f64>> {
        let bound_ms = self.latency_bound_ms();
        let rate = |lane: &mut Lane| {
            let services_ms = lane.services_ms.as_deref()?;
            let rate = queue::highest_rate_per_second(services_ms, bound_ms);
            if rate.is_none() {
                let longest = services_ms.iter().copied().fold(0.0, f64::max);
                lane.report.server_problem = Some(format!(
                    "a query alone takes up to {longest:.2} ms, which leaves no time to wait below {bound_ms} ms"
                ));
            }
            rate
        };
        lanes.iter_mut().map(rate).collect()
    }
}
