//! How fast training goes, and how long it will still take.

use std::time::{Duration, Instant};

/// Share of the newest step in the running mean of step times.
const NEWEST: f64 = 0.1;

/// Measures steps and validations as they are done.
#[derive(Debug)]
pub(super) struct Pace {
    last: Instant,
    /// Running mean, loading included.
    seconds_per_step: Option<f64>,
    seconds_per_image: Option<f64>,
    validation: Option<Duration>,
}

impl Pace {
    pub(super) fn start() -> Self {
        Self {
            last: Instant::now(),
            seconds_per_step: None,
            seconds_per_image: None,
            validation: None,
        }
    }

    /// What follows is not part of a step's time.
    pub(super) fn reset(&mut self) {
        self.last = Instant::now();
    }

    /// A step of `images` images is done.
    pub(super) fn step(&mut self, images: usize) {
        let now = Instant::now();
        let seconds = now.duration_since(self.last).as_secs_f64();
        self.last = now;
        blend(&mut self.seconds_per_step, seconds);
        blend(&mut self.seconds_per_image, seconds / images.max(1) as f64);
    }

    /// A validation is done.
    pub(super) fn validated(&mut self, duration: Duration) {
        self.validation = Some(duration);
        self.reset();
    }

    pub(super) fn images_per_second(&self) -> f64 {
        self.seconds_per_image
            .filter(|seconds| *seconds > 0.0)
            .map_or(0.0, f64::recip)
    }

    /// The time that so many steps and validations will take.
    pub(super) fn remaining(&self, steps: u64, validations: u64) -> Duration {
        let steps = self.seconds_per_step.unwrap_or(0.0) * steps as f64;
        let validations = self.validation.unwrap_or_default().as_secs_f64() * validations as f64;
        Duration::try_from_secs_f64(steps + validations).unwrap_or_default()
    }
}

fn blend(mean: &mut Option<f64>, newest: f64) {
    *mean = Some(mean.map_or(newest, |mean| mean + NEWEST * (newest - mean)));
}
