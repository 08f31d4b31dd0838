//! The scenario `server`: queries come by a Poisson process and wait for each other, one queue for one
//! network. A query's time runs from the moment it was due, not from the moment it could be sent, so
//! a slow answer delays nobody unseen (coordinated omission).

use std::time::{Duration, Instant};

use ferrotype_measure::Latencies;

use super::query::Querier;
use super::{TURNS, queue};

/// A stream that is not answered after so many times its length is given up.
const MOST_LENGTHS: u32 = 3;

/// So long before a query is due, the thread no longer sleeps: a sleep ends late by some 50 µs.
const AWAKE: Duration = Duration::from_micros(200);

/// The longest sleep: how late a Ctrl-C may be seen.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// Queries to one network, with a clock of its own that stands while others take their turns.
pub(super) struct Stream<'a> {
    pub(super) querier: Querier<'a>,
    pub(super) rate_per_second: f64,
    /// When queries are due, by the stream's clock.
    arrivals: Vec<Duration>,
    /// The first of them that is not answered yet.
    next: usize,
    now: Duration,
    /// From when they were due until they were answered.
    pub(super) latencies: Latencies,
    /// The time in which the network was at work.
    busy: Duration,
}

impl<'a> Stream<'a> {
    pub(super) fn new(querier: Querier<'a>, rate_per_second: f64, duration: Duration) -> Self {
        Self {
            querier,
            rate_per_second,
            arrivals: queue::arrivals(rate_per_second, duration),
            next: 0,
            now: Duration::ZERO,
            latencies: Latencies::new(),
            busy: Duration::ZERO,
        }
    }

    /// Queries that were given up.
    pub(super) fn unanswered(&self) -> usize {
        self.arrivals.len() - self.next
    }

    /// The share of the time in which the network was at work.
    pub(super) fn busy_share(&self) -> f64 {
        self.busy.as_secs_f64() / self.now.as_secs_f64().max(1e-9)
    }

    /// How long all queries took; of those that were given up, how long they have waited.
    pub(super) fn all_latencies(&self) -> Latencies {
        let mut latencies = self.latencies.clone();
        for arrival in &self.arrivals[self.next..] {
            latencies.update(self.now.saturating_sub(*arrival));
        }
        latencies
    }

    /// Answers queries until the stream's clock stands at `until`, or all are answered.
    fn take_turn(&mut self, until: Duration, is_stopped: &dyn Fn() -> bool) {
        if self.next == self.arrivals.len() || self.now >= until {
            return;
        }
        self.querier.come_back(until - self.now);
        let started = Instant::now();
        let origin = self.now;
        while let Some(&due) = self.arrivals.get(self.next) {
            if origin + started.elapsed() >= until {
                break;
            }
            if due >= until {
                // Nobody waits: the rest of the turn need not be waited for.
                self.now = until;
                return;
            }
            wait_until(started + due.saturating_sub(origin), is_stopped);
            if is_stopped() {
                break;
            }
            let Some(service) = self.querier.ask() else {
                break;
            };
            self.busy += service;
            let answered = origin + started.elapsed();
            self.latencies.update(answered.saturating_sub(due));
            self.next += 1;
        }
        self.now = origin + started.elapsed();
    }
}

/// Answers all streams in turns.
pub(super) fn measure(
    streams: &mut [Stream<'_>],
    duration: Duration,
    is_stopped: &dyn Fn() -> bool,
    after_turn: &mut dyn FnMut(),
) {
    for stream in &mut *streams {
        stream.querier.warm_up(is_stopped);
    }
    // The last turn is for what still waits then.
    let ends = (1..=TURNS).map(|turn| duration * turn / TURNS);
    for until in ends.chain([duration * MOST_LENGTHS]) {
        for stream in &mut *streams {
            if !is_stopped() {
                stream.take_turn(until, is_stopped);
            }
        }
        after_turn();
    }
}

fn wait_until(moment: Instant, is_stopped: &dyn Fn() -> bool) {
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() || is_stopped() {
            return;
        }
        match left > AWAKE {
            true => std::thread::sleep((left - AWAKE).min(LONGEST_SLEEP)),
            false => std::hint::spin_loop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrotype_inference::{InferenceError, Network, Outputs};

    /// A network that takes its time.
    struct Slow(Duration);

    impl Network for Slow {
        fn run(&self, _input: &[f32], _batch: usize) -> Result<Outputs, InferenceError> {
            std::thread::sleep(self.0);
            Ok(Outputs {
                answer: vec![0.0],
                embedding: None,
            })
        }
    }

    fn stream(network: &Slow, rate: f64, duration: Duration, batches: &[Vec<f32>]) -> [f64; 4] {
        let querier = Querier::new(network, 1, batches);
        let mut streams = [Stream::new(querier, rate, duration)];
        measure(&mut streams, duration, &|| false, &mut || ());
        let [stream] = streams;
        let report = stream.all_latencies().finish().unwrap();
        assert_eq!(report.count as usize, stream.arrivals.len());
        [
            report.count as f64,
            report.p50_ms,
            report.max_ms,
            stream.unanswered() as f64,
        ]
    }

    #[test]
    fn every_query_is_counted_from_when_it_was_due() {
        let batches = [vec![0.0]];
        let length = Duration::from_millis(200);
        // Twenty times what it can answer: most wait, and some are given up; all are counted.
        let [count, _, longest, unanswered] =
            stream(&Slow(Duration::from_millis(10)), 2000.0, length, &batches);
        assert!(count > 300.0 && unanswered > 0.0, "{count} {unanswered}");
        // The last to be given up has waited for twice the stream's length.
        assert!(longest > 400.0, "{longest}");
        // Where there is time for all, each still takes the network's time.
        let [_, median, ..] = stream(&Slow(Duration::from_millis(1)), 20.0, length, &batches);
        assert!(median >= 1.0, "{median}");
    }
}
