//! Queries that come by chance and wait for each other: when they come, how long they wait, and which
//! rate they may come at.

use std::time::Duration;

use ferrotype_measure::latency::percentile;
use ferrotype_vision::random::{below, stream, unit};

use super::SEED;

/// Queries of a simulation: 200 of them are beyond the 99th percentile.
const SIMULATED: usize = 20_000;

/// Halvings of the interval of rates: to less than a thousandth of the capacity.
const HALVINGS: usize = 12;

/// Times between arrivals in units of their mean: of a Poisson process, so exponentially distributed.
fn intervals() -> impl Iterator<Item = f64> {
    let mut rng = stream(SEED, "bench-arrivals", &[]);
    // `unit` is below 1, so there is always a logarithm.
    std::iter::repeat_with(move || -(1.0 - unit(&mut rng)).ln())
}

/// When the queries of a Poisson process come within a time, counted from its start; one at least.
pub(super) fn arrivals(rate_per_second: f64, duration: Duration) -> Vec<Duration> {
    let mut seconds = 0.0;
    let mut arrivals: Vec<Duration> = intervals()
        .map(|interval| {
            seconds += interval / rate_per_second;
            seconds
        })
        .take_while(|seconds| *seconds < duration.as_secs_f64())
        .map(Duration::from_secs_f64)
        .collect();
    if arrivals.is_empty() {
        arrivals.push(Duration::ZERO);
    }
    arrivals
}

/// How long queries take that come at these moments and are answered one after the other in these
/// times, waiting included (Lindley's recursion).
fn latencies<'a>(
    arrivals: impl IntoIterator<Item = f64> + 'a,
    services: impl IntoIterator<Item = f64> + 'a,
) -> impl Iterator<Item = f64> + 'a {
    let mut is_free_at = 0.0_f64;
    arrivals
        .into_iter()
        .zip(services)
        .map(move |(arrival, service)| {
            is_free_at = is_free_at.max(arrival) + service;
            is_free_at - arrival
        })
}

/// The 99th percentile of how long simulated queries take at a rate, in milliseconds; a query's own
/// time is drawn from measured ones.
fn simulated_p99_ms(services_ms: &[f64], rate_per_second: f64) -> Option<f64> {
    let mut at_ms = 0.0;
    let arrivals = intervals().map(move |interval| {
        at_ms += interval * 1e3 / rate_per_second;
        at_ms
    });
    let mut rng = stream(SEED, "bench-services", &[]);
    let services = std::iter::repeat_with(move || {
        services_ms[below(&mut rng, services_ms.len() as u64) as usize]
    });
    let mut latencies: Vec<f64> = latencies(arrivals, services).take(SIMULATED).collect();
    latencies.sort_by(f64::total_cmp);
    percentile(&latencies, 99)
}

/// The highest rate at which 99 % of simulated queries are answered within a bound, by halving: as
/// the draws are the same at every rate, they wait the longer the higher it is. None where they
/// take longer even without waiting.
pub(super) fn highest_rate_per_second(services_ms: &[f64], bound_ms: f64) -> Option<f64> {
    let mean_ms = services_ms.iter().sum::<f64>() / services_ms.len() as f64;
    let is_met = |rate| simulated_p99_ms(services_ms, rate).is_some_and(|p99| p99 <= bound_ms);
    let mut sorted = services_ms.to_vec();
    sorted.sort_by(f64::total_cmp);
    if percentile(&sorted, 99)? > bound_ms {
        return None;
    }
    let capacity = 1e3 / mean_ms;
    let (mut low, mut high) = (0.0, capacity);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        match is_met(middle) {
            true => low = middle,
            false => high = middle,
        }
    }
    (low > 0.0).then_some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_come_at_the_rate_on_average_and_the_same_every_time() {
        let schedule = arrivals(50.0, Duration::from_secs(200));
        // 10,000 are expected, with a standard deviation of 100.
        assert!(
            (9_700..10_300).contains(&schedule.len()),
            "{}",
            schedule.len()
        );
        assert!(schedule.is_sorted());
        assert_eq!(schedule, arrivals(50.0, Duration::from_secs(200)));
        // At twice the rate the same queries come in half the time.
        let twice = arrivals(100.0, Duration::from_secs(100));
        assert_eq!(twice.len(), schedule.len());
        let halved = schedule[100].as_secs_f64() / 2.0;
        assert!((twice[100].as_secs_f64() - halved).abs() < 1e-6);
        assert_eq!(arrivals(1e-9, Duration::from_secs(1)), [Duration::ZERO]);
    }

    #[test]
    fn times_between_queries_are_exponentially_distributed() {
        let drawn: Vec<f64> = intervals().take(100_000).collect();
        let share_over = |bound: f64| {
            let over = drawn.iter().filter(|interval| **interval > bound).count();
            over as f64 / drawn.len() as f64
        };
        for bound in [0.1, 0.5, 1.0, 2.0, 4.0] {
            let difference = share_over(bound) - (-bound).exp();
            assert!(difference.abs() < 0.005, "{bound}: {difference}");
        }
    }

    #[test]
    fn a_query_waits_for_those_before_it() {
        let arrivals = [0.0, 1.0, 2.0, 20.0];
        let services = [5.0, 3.0, 1.0, 2.0];
        let expected = [5.0, 7.0, 7.0, 2.0];
        assert!(latencies(arrivals, services).eq(expected));
    }

    #[test]
    fn a_queue_waits_as_long_as_theory_says() {
        // Equal times, half of the capacity: M/D/1, whose mean wait is a half of a service's time
        // by Pollaczek and Khinchine.
        let arrivals = intervals().scan(0.0, |at, interval| {
            *at += interval * 2.0;
            Some(*at)
        });
        let services = std::iter::repeat(1.0);
        let count = 200_000;
        let sum: f64 = latencies(arrivals, services).take(count).sum();
        let mean = sum / count as f64;
        assert!((mean - 1.5).abs() < 0.02, "{mean}");
    }

    #[test]
    fn the_highest_rate_leaves_room_below_the_capacity() {
        let services = [10.0];
        let rate = |bound| highest_rate_per_second(&services, bound);
        // A query alone takes 10 ms: without room there is no rate, with more room a higher one.
        assert_eq!(rate(9.9), None);
        let (tight, wide) = (rate(20.0).unwrap(), rate(100.0).unwrap());
        assert!(
            0.0 < tight && tight < wide && wide < 100.0,
            "{tight} {wide}"
        );
        assert!(simulated_p99_ms(&services, tight).unwrap() <= 20.0);
        assert!(simulated_p99_ms(&services, tight + 0.1).unwrap() > 20.0);
    }
}
