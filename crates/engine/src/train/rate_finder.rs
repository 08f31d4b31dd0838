//! Which learning rate suits: an exponential range test.

use std::sync::Arc;

use ferrotype_vision::loader::{Batch, Batches, Loader};

use super::memory;
use super::recipe::{Recipe, new_executor, targets};
use super::{Control, TrainRequest};
use crate::error::{EngineError, EngineErrorKind};
use crate::executor::{Executor, StepOptions};
use crate::schedule::PlateauState;

/// Points at the start of the curve that no suggestion is taken from: the smoothing has not
/// settled yet.
const UNSETTLED: usize = 5;

/// Points to either side that a slope is taken over.
const REACH: usize = 2;

/// How a range test is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateFinderOptions {
    /// The first learning rate.
    pub lowest: f64,
    /// The last learning rate, if the loss lasts that long.
    pub highest: f64,
    /// Steps from the first to the last.
    pub steps: usize,
    /// Share of the old value in the smoothed loss, 0 to below 1.
    pub smoothing: f64,
    /// The test ends when the smoothed loss is so many times its best.
    pub stop_factor: f64,
}

impl Default for RateFinderOptions {
    /// As fastai's `lr_find`: from 1e-7 to 10 in 100 steps.
    fn default() -> Self {
        Self {
            lowest: 1e-7,
            highest: 10.0,
            steps: 100,
            smoothing: 0.9,
            stop_factor: 4.0,
        }
    }
}

/// One step of a range test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatePoint {
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Loss of the step's batches, before the update.
    pub loss: f64,
    /// Running mean of the losses, corrected for its start.
    pub smoothed_loss: f64,
}

/// The loss over the learning rate.
#[derive(Debug, Clone, PartialEq)]
pub struct RateCurve {
    /// In the order of the learning rates.
    pub points: Vec<RatePoint>,
    /// Where the smoothed loss falls most steeply over the logarithm of the rate; none when it
    /// never falls, or the test was stopped early.
    pub suggestion: Option<f64>,
}

/// Trains a copy of the network for a while with a learning rate that grows exponentially
/// (Smith 2017, "Cyclical Learning Rates", arXiv:1506.01186). Nothing of the request is changed or
/// written; the schedule, the moving average and the checkpoints are left out, all else is as
/// [`super::train`] would have it. `on_point` follows the steps and may stop.
///
/// # Errors
/// As [`super::train`]; a loss that is not finite ends the test and is no error.
pub fn find_learning_rate(
    mut request: TrainRequest<'_>,
    options: &RateFinderOptions,
    on_point: &mut dyn FnMut(usize, &RatePoint) -> Control,
) -> Result<RateCurve, EngineError> {
    check(options)?;
    let recipe = Recipe::new(&request)?;
    memory::check(&request, &recipe)?;
    let mut executor = new_executor(&mut request, &recipe.device)?;
    executor.set_fits(&recipe.fits.in_epoch(0))?;
    let mut test = RangeTest {
        batches: None,
        request,
        recipe,
        executor,
        epoch: 0,
    };
    let mut curve = Smoothing::new(options);
    for step in 0..options.steps {
        let rate = rate_of(options, step);
        let Some(loss) = test.step(step as u64, rate)? else {
            break;
        };
        let point = curve.add(rate, loss);
        let stops = on_point(step, &point) == Control::Stop;
        if stops || point.smoothed_loss > options.stop_factor * curve.best {
            break;
        }
    }
    Ok(RateCurve {
        suggestion: steepest(&curve.points),
        points: curve.points,
    })
}

fn check(options: &RateFinderOptions) -> Result<(), EngineError> {
    let RateFinderOptions {
        lowest,
        highest,
        steps,
        smoothing,
        ..
    } = *options;
    let is_range = lowest > 0.0 && highest > lowest && highest.is_finite();
    if is_range && steps >= 2 && (0.0..1.0).contains(&smoothing) {
        return Ok(());
    }
    Err(EngineError::new(
        EngineErrorKind::Config,
        format!(
            "a range test from `{lowest}` to `{highest}` in `{steps}` steps makes no sense, expected a growing range over 0 and 2 steps or more"
        ),
    ))
}

/// The learning rate of a step: `lowest · (highest / lowest)^(step / last step)`.
fn rate_of(options: &RateFinderOptions, step: usize) -> f64 {
    let done = step as f64 / (options.steps - 1) as f64;
    options.lowest * (options.highest / options.lowest).powf(done)
}

struct RangeTest<'a> {
    request: TrainRequest<'a>,
    recipe: Recipe<'a>,
    executor: Box<dyn Executor>,
    /// What is left of the epoch's batches; none before the first.
    batches: Option<Batches>,
    epoch: u64,
}

impl RangeTest<'_> {
    /// One update; none when the loss or a gradient is not finite.
    fn step(&mut self, step: u64, learning_rate: f64) -> Result<Option<f64>, EngineError> {
        let count = self.recipe.config.accumulate.max(1);
        let mut sum = 0.0;
        for number in 0..count {
            let batch = self.next_batch()?;
            let options = StepOptions {
                batch: step * u64::from(count) + u64::from(number),
                share: 1.0 / f64::from(count),
                updates: number + 1 == count,
                learning_rate,
                momentum: None,
                average_decay: None,
                ..self.recipe.step_options(step, &PlateauState::default())
            };
            match self
                .executor
                .train_step(&batch.images, &targets(&batch), &options)
            {
                Ok(output) => sum += output.loss,
                Err(error) if error.kind() == EngineErrorKind::NotFinite => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(sum / f64::from(count)))
    }
}

impl RangeTest<'_> {
    /// The next batch of training, over as many epochs as it takes.
    fn next_batch(&mut self) -> Result<Batch, EngineError> {
        loop {
            if let Some(batch) = self.batches.as_mut().and_then(Iterator::next) {
                return Ok(batch?);
            }
            self.batches = Some(Loader::epoch(
                Arc::clone(&self.request.train),
                &self.recipe.train_loader,
                self.recipe.order(self.epoch),
                self.epoch,
                0,
            ));
            self.epoch += 1;
        }
    }
}

/// The curve as it grows.
struct Smoothing {
    share: f64,
    mean: f64,
    best: f64,
    points: Vec<RatePoint>,
}

impl Smoothing {
    fn new(options: &RateFinderOptions) -> Self {
        Self {
            share: options.smoothing,
            mean: 0.0,
            best: f64::INFINITY,
            points: Vec::with_capacity(options.steps),
        }
    }

    fn add(&mut self, learning_rate: f64, loss: f64) -> RatePoint {
        self.mean = self.share * self.mean + (1.0 - self.share) * loss;
        let count = i32::try_from(self.points.len() + 1).unwrap_or(i32::MAX);
        let smoothed_loss = self.mean / (1.0 - self.share.powi(count));
        self.best = self.best.min(smoothed_loss);
        let point = RatePoint {
            learning_rate,
            loss,
            smoothed_loss,
        };
        self.points.push(point);
        point
    }
}

/// The rate where the smoothed loss falls most steeply, before it is lowest. The rates are evenly
/// spaced on a logarithmic scale, so differences are slopes.
fn steepest(points: &[RatePoint]) -> Option<f64> {
    let loss = |index: usize| points[index].smoothed_loss;
    let lowest = (0..points.len()).min_by(|a, b| loss(*a).total_cmp(&loss(*b)))?;
    let last = lowest.min(points.len().saturating_sub(REACH + 1));
    let slope = |index: &usize| loss(index + REACH) - loss(index - REACH);
    (UNSETTLED.max(REACH)..=last)
        .min_by(|a, b| slope(a).total_cmp(&slope(b)))
        .filter(|index| slope(index) < 0.0)
        .map(|index| points[index].learning_rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(losses: impl IntoIterator<Item = f64>) -> Vec<RatePoint> {
        let options = RateFinderOptions::default();
        let mut curve = Smoothing::new(&options);
        for (step, loss) in losses.into_iter().enumerate() {
            curve.add(rate_of(&options, step), loss);
        }
        curve.points
    }

    #[test]
    fn the_rates_grow_by_the_same_factor_from_end_to_end() {
        let options = RateFinderOptions::default();
        assert_eq!(rate_of(&options, 0), 1e-7);
        assert!((rate_of(&options, 99) - 10.0).abs() < 1e-9);
        let factor = rate_of(&options, 1) / rate_of(&options, 0);
        assert!((rate_of(&options, 51) / rate_of(&options, 50) - factor).abs() < 1e-9);
    }

    #[test]
    fn the_suggestion_is_where_the_loss_falls_most_steeply() {
        // Flat, a fall around step 60, up again from step 80.
        let losses = (0..90).map(|step| {
            let x = f64::from(step);
            let fall = 2.0 / (1.0 + ((x - 60.0) / 3.0).exp());
            0.3 + fall + if step > 80 { (x - 80.0) * 0.5 } else { 0.0 }
        });
        let points = curve(losses);
        let suggestion = steepest(&points).unwrap();
        let (low, high) = (points[58].learning_rate, points[72].learning_rate);
        assert!((low..high).contains(&suggestion), "{suggestion}");
    }

    #[test]
    fn a_loss_that_never_falls_suggests_nothing() {
        assert_eq!(
            steepest(&curve((0..50).map(|step| 1.0 + f64::from(step)))),
            None
        );
        assert_eq!(steepest(&[]), None);
        assert_eq!(steepest(&curve([1.0])), None);
    }

    #[test]
    fn the_smoothed_loss_starts_at_the_first() {
        assert!((curve([3.0])[0].smoothed_loss - 3.0).abs() < 1e-12);
        assert!((curve([3.0, 3.0])[1].smoothed_loss - 3.0).abs() < 1e-12);
    }
}
