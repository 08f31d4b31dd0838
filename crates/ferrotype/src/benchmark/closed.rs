//! The scenarios in which the next query waits for the last one's answer: `single-stream` and
//! `offline`.

use std::time::{Duration, Instant};

use ferrotype_measure::Latencies;

use super::TURNS;
use super::query::Querier;

/// A network that is asked again and again.
pub(super) struct ClosedLoop<'a> {
    /// Whose network it is.
    place: usize,
    querier: Querier<'a>,
    latencies: Latencies,
    elapsed: Duration,
}

/// What came of it.
pub(super) struct Finished {
    /// Whose network it is.
    pub(super) place: usize,
    /// Images of a query.
    pub(super) batch: usize,
    /// What the queries took.
    pub(super) latencies: Latencies,
    /// The time in which they were answered, with what lies between them.
    pub(super) elapsed: Duration,
    /// Why the network can be asked no more.
    pub(super) problem: Option<String>,
}

impl<'a> ClosedLoop<'a> {
    pub(super) fn new(place: usize, querier: Querier<'a>) -> Self {
        Self {
            place,
            querier,
            latencies: Latencies::new(),
            elapsed: Duration::ZERO,
        }
    }

    pub(super) fn finish(self) -> Finished {
        Finished {
            place: self.place,
            batch: self.querier.batch,
            latencies: self.latencies,
            elapsed: self.elapsed,
            problem: self.querier.problem,
        }
    }

    /// Asks for the length of a turn, once at least.
    fn take_turn(&mut self, turn: Duration, is_stopped: &dyn Fn() -> bool) {
        self.querier.come_back(turn);
        let started = Instant::now();
        while let Some(latency) = self.querier.ask() {
            self.latencies.update(latency);
            if started.elapsed() >= turn || is_stopped() {
                break;
            }
        }
        self.elapsed += started.elapsed();
    }
}

/// Asks all networks in turns, each for `duration` altogether; calls `after_turn` after everybody's turn.
pub(super) fn measure(
    loops: &mut [ClosedLoop<'_>],
    duration: Duration,
    is_stopped: &dyn Fn() -> bool,
    after_turn: &mut dyn FnMut(),
) {
    for one in &mut *loops {
        one.querier.warm_up(is_stopped);
    }
    for _ in 0..TURNS {
        for one in &mut *loops {
            // One whose queries are longer than a turn is done earlier.
            if one.elapsed < duration && !is_stopped() {
                one.take_turn(duration / TURNS, is_stopped);
            }
        }
        after_turn();
    }
}
