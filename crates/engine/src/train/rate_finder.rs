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

/// Share of the points, to either side, that a slope is taken over: in a test of the baseline with
/// ten seeds the suggestions then lie within a factor of 4, over two points within one of 70.
const REACH: f64 = 1.0 / 8.0;

/// A fall is one when it is so many standard deviations of the loss from step to step: over pure
/// noise the smoothed loss falls by 0.8 in the median of 100 steps, and by this much in one test of
/// a hundred.
const CLEAR_FALL: f64 = 1.8;

/// And when it is this share of the loss that it falls from.
const LEAST_FALL: f64 = 0.01;

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

/// Why a range test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RangeEnd {
    /// It came to its highest rate.
    Complete,
    /// The smoothed loss rose to [`RateFinderOptions::stop_factor`] times its best.
    Diverged,
    /// The loss or a gradient was not finite any more.
    NotFinite,
    /// Whoever followed it stopped it.
    Stopped,
}

/// Why a curve suggests no learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoDescent {
    /// It has too few points to tell a fall from noise.
    TooShort,
    /// Its loss falls no further than it goes up and down anyway.
    Flat,
}

/// The loss over the learning rate.
#[derive(Debug, Clone, PartialEq)]
pub struct RateCurve {
    /// In the order of the learning rates.
    pub points: Vec<RatePoint>,
    /// Where the smoothed loss falls most steeply over the logarithm of the rate.
    pub suggestion: Result<f64, NoDescent>,
    /// Why there are no more points.
    pub end: RangeEnd,
    /// The rate of the last step, which has no point when its loss was not finite.
    pub end_rate: f64,
}

impl RateCurve {
    /// With fewer points nothing is suggested: the smoothed loss still follows single batches.
    pub const LEAST_POINTS: usize = 20;
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
    let (mut end, mut end_rate) = (RangeEnd::Complete, options.lowest);
    for step in 0..options.steps {
        end_rate = rate_of(options, step);
        let Some(loss) = test.step(step as u64, end_rate)? else {
            end = RangeEnd::NotFinite;
            break;
        };
        let point = curve.add(end_rate, loss);
        if on_point(step, &point) == Control::Stop {
            end = RangeEnd::Stopped;
            break;
        }
        if point.smoothed_loss > options.stop_factor * curve.best {
            end = RangeEnd::Diverged;
            break;
        }
    }
    Ok(RateCurve {
        suggestion: steepest(&curve.points),
        points: curve.points,
        end,
        end_rate,
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

/// The rate where the smoothed loss falls most steeply. The rates are evenly spaced on a
/// logarithmic scale, so differences are slopes.
fn steepest(points: &[RatePoint]) -> Result<f64, NoDescent> {
    if points.len() < RateCurve::LEAST_POINTS {
        return Err(NoDescent::TooShort);
    }
    let [highest, lowest] = clear_fall(points).ok_or(NoDescent::Flat)?;
    let reach = (points.len() as f64 * REACH) as usize;
    let loss = |index: usize| points[index].smoothed_loss;
    let slope = |index: &usize| {
        let [before, after] = [index.saturating_sub(reach), index + reach];
        loss(after.min(lowest)) - loss(before.max(highest))
    };
    (highest..=lowest)
        .min_by(|a, b| slope(a).total_cmp(&slope(b)))
        .filter(|index| slope(index) < 0.0)
        .map(|index| points[index].learning_rate)
        .ok_or(NoDescent::Flat)
}

/// From which point to which the smoothed loss falls to its lowest, if it does so by more than it
/// goes up and down anyway.
fn clear_fall(points: &[RatePoint]) -> Option<[usize; 2]> {
    let by_loss = |a: &usize, b: &usize| {
        let [a, b] = [a, b].map(|index| points[*index].smoothed_loss);
        a.total_cmp(&b)
    };
    let lowest = (UNSETTLED..points.len()).min_by(by_loss)?;
    let highest = (UNSETTLED..=lowest).max_by(by_loss)?;
    let from = points[highest].smoothed_loss;
    let fall = from - points[lowest].smoothed_loss;
    // What comes after the fall is another noise: the rates are too high there.
    let until = points.len().min(RateCurve::LEAST_POINTS.max(lowest + 1));
    let is_clear = fall > CLEAR_FALL * noise(&points[..until]) && fall > LEAST_FALL * from.abs();
    is_clear.then_some([highest, lowest])
}

/// Standard deviation of the losses from step to step, by the median of their differences, which
/// neither a fall nor an explosion moves much.
fn noise(points: &[RatePoint]) -> f64 {
    /// Median of the absolute difference of two normal numbers of deviation 1.
    const MEDIAN: f64 = 0.6745 * std::f64::consts::SQRT_2;
    let mut differences: Vec<f64> = points
        .windows(2)
        .map(|pair| (pair[1].loss - pair[0].loss).abs())
        .collect();
    differences.sort_by(f64::total_cmp);
    differences
        .get(differences.len() / 2)
        .map_or(0.0, |median| median / MEDIAN)
}

#[cfg(test)]
mod tests {
    use ferrotype_vision::random;

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
        let rising = curve((0..50).map(|step| 1.0 + f64::from(step)));
        assert_eq!(steepest(&rising), Err(NoDescent::Flat));
        let constant = curve([0.7; 100]);
        assert_eq!(steepest(&constant), Err(NoDescent::Flat));
        let hardly_falling = curve((0..100).map(|step| 0.7 - 5e-5 * f64::from(step)));
        assert_eq!(steepest(&hardly_falling), Err(NoDescent::Flat));
    }

    #[test]
    fn a_curve_of_a_few_points_suggests_nothing() {
        assert_eq!(steepest(&[]), Err(NoDescent::TooShort));
        assert_eq!(steepest(&curve([1.0])), Err(NoDescent::TooShort));
        let falling = curve((0..10).map(|step| 3.0 - 0.2 * f64::from(step)));
        assert_eq!(steepest(&falling), Err(NoDescent::TooShort));
    }

    #[test]
    fn noise_is_told_from_a_fall() {
        let mut wrong = 0;
        for seed in 0..50 {
            let mut rng = random::stream(seed, "noise", &[]);
            // Even noise of deviation 0.1.
            let mut noisy = || random::uniform(&mut rng, -0.1 * 3_f64.sqrt(), 0.1 * 3_f64.sqrt());
            let flat = curve((0..100).map(|_| 1.0 + noisy()));
            wrong += usize::from(steepest(&flat).is_ok());
            // A fall of fifteen deviations around step 60.
            let falls = (0..100).map(|step| {
                let fall = 1.5 / (1.0 + ((f64::from(step) - 60.0) / 4.0).exp());
                1.0 + fall + noisy()
            });
            let falling = curve(falls);
            let rate = steepest(&falling).unwrap();
            let (low, high) = (falling[45].learning_rate, falling[85].learning_rate);
            assert!((low..high).contains(&rate), "{rate}");
        }
        assert!(wrong <= 2, "{wrong} of 50");
    }

    #[test]
    fn the_smoothed_loss_starts_at_the_first() {
        assert!((curve([3.0])[0].smoothed_loss - 3.0).abs() < 1e-12);
        assert!((curve([3.0, 3.0])[1].smoothed_loss - 3.0).abs() < 1e-12);
    }
}
