//! A query to one network, timed.

use std::time::{Duration, Instant};

use ferrotype_inference::Network;

/// Queries before the first that counts, and the time after which there are no more of them.
const WARM_UP: (u32, Duration) = (3, Duration::from_millis(300));

/// Asks one network with batches of one size.
pub(super) struct Querier<'a> {
    network: &'a dyn Network,
    /// Images of a query.
    pub(super) batch: usize,
    batches: &'a [Vec<f32>],
    next: usize,
    /// What the last query took.
    last: Duration,
    /// Why it can be asked no more.
    pub(super) problem: Option<String>,
}

impl<'a> Querier<'a> {
    pub(super) fn new(network: &'a dyn Network, batch: usize, batches: &'a [Vec<f32>]) -> Self {
        Self {
            network,
            batch,
            batches,
            next: 0,
            last: Duration::ZERO,
            problem: None,
        }
    }

    /// Asks the next batch; answers with what it took, or none once the network has failed.
    pub(super) fn ask(&mut self) -> Option<Duration> {
        if self.problem.is_some() {
            return None;
        }
        let input = &self.batches[self.next % self.batches.len()];
        self.next += 1;
        let started = Instant::now();
        let outcome = self.network.run(input, self.batch);
        self.last = started.elapsed();
        match outcome {
            Ok(_) => Some(self.last),
            Err(error) => {
                self.problem = Some(format!("it fails on a batch of {}: {error}", self.batch));
                None
            }
        }
    }

    /// Asks a few times before anything counts: memory is taken, threads are started.
    pub(super) fn warm_up(&mut self, is_stopped: &dyn Fn() -> bool) {
        let (queries, time) = WARM_UP;
        let started = Instant::now();
        for _ in 0..queries {
            if self.ask().is_none() || started.elapsed() >= time || is_stopped() {
                return;
            }
        }
    }

    /// At the beginning of a turn: brings the network's weights back into the caches, where another
    /// runtime's are, by a query that does not count. A long query does not need it.
    pub(super) fn come_back(&mut self, turn: Duration) {
        if self.last < turn / 10 {
            self.ask();
        }
    }
}
