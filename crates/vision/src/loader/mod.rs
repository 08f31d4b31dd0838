//! Batches of images, made on threads ahead of the step.
//!
//! The threads never decide anything: which samples a batch holds follows from the order, and how
//! a sample is augmented from (seed, epoch, sample). So any number of threads gives the same
//! batches, and an epoch can be entered at any batch.

mod batch;
mod source;
#[cfg(test)]
mod tests;
mod workspace;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

pub use batch::Batch;
use batch::Pool;
use crossbeam_channel::{Receiver, Sender};
pub use source::{CachedSource, SampleError, SampleErrorKind, SampleSource};
pub use workspace::Workspace;

use crate::RgbImage;
use crate::augment::Augment;
use crate::mix::{self, BatchKey, Mix};
use crate::random;
use crate::transform::Transform;

/// How batches are made.
#[derive(Debug, Clone)]
pub struct LoaderOptions {
    /// From image to input.
    pub transform: Transform,
    /// How images are loaded that are augmented, where that is not at the input size: larger for
    /// an augmentation that cuts out of them. What it leaves larger is resized.
    pub source_transform: Option<Transform>,
    /// Random changes to training images; none for evaluation.
    pub augment: Option<Augment>,
    /// Mixing of a batch's images; none for evaluation.
    pub mix: Option<Mix>,
    /// Classes that the labels count, for the shares of mixed batches.
    pub classes: usize,
    /// Images in one batch; the last may have fewer. 0 counts as 1.
    pub batch_size: usize,
    /// Threads; 0 means as many as the machine has.
    pub workers: usize,
    /// Seed of the augmentation.
    pub seed: u64,
    /// The most batches that are ready or being made while a step runs. 0 counts as 1.
    pub prefetch: usize,
}

impl LoaderOptions {
    /// Images one by one, as they are: neither augmented nor mixed, of one class.
    pub const fn new(transform: Transform) -> Self {
        Self {
            transform,
            source_transform: None,
            augment: None,
            mix: None,
            classes: 1,
            batch_size: 1,
            workers: 0,
            seed: 0,
            prefetch: 1,
        }
    }
}

/// Makes batches.
#[derive(Debug, Clone, Copy)]
pub struct Loader;

impl Loader {
    /// The batches of one epoch over the samples in `order`, beginning with batch `first_batch`.
    ///
    /// The iterator owns its threads; dropping it stops them after the image they are at.
    /// A batch with a sample that cannot be loaded is an error, and the next one follows.
    pub fn epoch(
        source: Arc<dyn SampleSource>,
        options: &LoaderOptions,
        order: Vec<usize>,
        epoch: u64,
        first_batch: usize,
    ) -> Batches {
        let batch_size = options.batch_size.max(1);
        let batches = first_batch..order.len().div_ceil(batch_size);
        let (ask, asked) = crossbeam_channel::unbounded();
        let (deliver, delivered) = crossbeam_channel::unbounded();
        let stopped = Arc::new(AtomicBool::new(false));
        let plan = Arc::new(Plan {
            source,
            fit: options.transform.stretching(),
            options: options.clone(),
            batch_size,
            repeats: repeats(&order),
            order,
            epoch,
            pool: Pool::default(),
            stopped: Arc::clone(&stopped),
        });
        let threads = (0..worker_count(options.workers).min(batches.len()))
            .filter_map(|number| {
                let (plan, asked, deliver) = (plan.clone(), asked.clone(), deliver.clone());
                thread::Builder::new()
                    .name(format!("loader-{number}"))
                    .spawn(move || plan.work(&asked, &deliver))
                    .ok()
            })
            .collect();
        let mut epoch = Batches {
            next: batches.start,
            to_ask: batches,
            ask: Some(ask),
            delivered,
            early: BTreeMap::new(),
            stopped,
            threads,
            plan,
        };
        for _ in 0..options.prefetch.max(1) {
            epoch.ask_for_one();
        }
        epoch
    }
}

/// Threads to start for a setting of that many.
fn worker_count(setting: usize) -> usize {
    if setting > 0 {
        return setting;
    }
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// The order of an epoch's training samples: shuffled, keyed by seed and epoch.
pub fn training_order(len: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order = plain_order(len);
    random::shuffle(&mut order, &mut random::stream(seed, "order", &[epoch]));
    order
}

/// The samples in their own order, for evaluation.
pub fn plain_order(len: usize) -> Vec<usize> {
    (0..len).collect()
}

/// How many times a sample was there before, by position, for those that an order repeats.
fn repeats(order: &[usize]) -> HashMap<usize, u64> {
    let mut times = vec![0; order.iter().max().map_or(0, |last| last + 1)];
    let mut repeats = HashMap::new();
    for (position, &index) in order.iter().enumerate() {
        if times[index] > 0 {
            repeats.insert(position, times[index]);
        }
        times[index] += 1;
    }
    repeats
}

/// The number of a batch within its epoch, and the batch or why there is none.
type Made = (usize, Result<Batch, SampleError>);

/// The batches of one epoch, in order. As many are asked for at a time as `prefetch` says, and one
/// more whenever one is handed out, so that memory stays bounded however slow the step is.
pub struct Batches {
    /// The batch to hand out next.
    next: usize,
    /// The batches that no thread was asked for yet.
    to_ask: Range<usize>,
    /// Dropped to let the threads end.
    ask: Option<Sender<usize>>,
    delivered: Receiver<Made>,
    /// Batches that were ready before their turn.
    early: BTreeMap<usize, Result<Batch, SampleError>>,
    stopped: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    plan: Arc<Plan>,
}

impl Batches {
    fn ask_for_one(&mut self) {
        if let (Some(ask), Some(number)) = (&self.ask, self.to_ask.next()) {
            // Fails only when no thread is left, and then `take` makes the batch itself.
            let _ = ask.send(number);
        }
    }

    /// Takes a batch back whose step is done, so that a coming one is made in its memory.
    pub fn recycle(&self, batch: Batch) {
        self.plan.pool.put(batch.images);
    }

    /// The batch of this number, waiting for it if need be.
    fn take(&mut self, number: usize) -> Result<Batch, SampleError> {
        loop {
            if let Some(batch) = self.early.remove(&number) {
                return batch;
            }
            if self.threads.is_empty() {
                return self.plan.make_fenced(number, &mut Hands::default());
            }
            match self.delivered.recv() {
                Ok((made, batch)) => drop(self.early.insert(made, batch)),
                Err(_) => return self.plan.make_fenced(number, &mut Hands::default()),
            }
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, SampleError>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.next;
        if number >= self.to_ask.end {
            return None;
        }
        let batch = self.take(number);
        self.next += 1;
        self.ask_for_one();
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.to_ask.end.saturating_sub(self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches {}

impl Drop for Batches {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.ask = None;
        for thread in self.threads.drain(..) {
            // A panic was already told as an error of its batch.
            let _ = thread.join();
        }
    }
}

/// What the threads of one epoch share.
struct Plan {
    source: Arc<dyn SampleSource>,
    options: LoaderOptions,
    /// Brings what an augmentation has left of an image to the input size.
    fit: Transform,
    batch_size: usize,
    order: Vec<usize>,
    /// So that a sample that comes again in an epoch is augmented anew.
    repeats: HashMap<usize, u64>,
    epoch: u64,
    pool: Pool,
    stopped: Arc<AtomicBool>,
}

/// What a thread makes its images with.
#[derive(Default)]
struct Hands {
    workspace: Workspace,
    loaded: RgbImage,
    resized: RgbImage,
}

impl Plan {
    /// Makes the batches that are asked for until nobody asks any more.
    fn work(&self, asked: &Receiver<usize>, deliver: &Sender<Made>) {
        let mut hands = Hands::default();
        for number in asked {
            if self.is_stopped() {
                return;
            }
            let made = self.make_fenced(number, &mut hands);
            if deliver.send((number, made)).is_err() {
                return;
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// The samples of one batch.
    fn indices(&self, number: usize) -> &[usize] {
        self.order
            .chunks(self.batch_size)
            .nth(number)
            .unwrap_or(&[])
    }

    /// One batch; a panic of the source is an error, so that nobody waits for it for ever.
    fn make_fenced(&self, number: usize, hands: &mut Hands) -> Result<Batch, SampleError> {
        let mut loading = None;
        let made = catch_unwind(AssertUnwindSafe(|| self.make(number, hands, &mut loading)));
        made.unwrap_or_else(|_| {
            *hands = Hands::default();
            let name = loading.map_or_else(|| "?".into(), |index| format!("number {index}"));
            Err(SampleError::panic(name))
        })
    }

    /// One batch. `loading` tells which sample it is at.
    fn make(
        &self,
        number: usize,
        hands: &mut Hands,
        loading: &mut Option<usize>,
    ) -> Result<Batch, SampleError> {
        let transform = &self.options.transform;
        let indices = self.indices(number);
        let mut images = self.pool.take(indices.len() * transform.input_len());
        let inputs = images.chunks_exact_mut(transform.input_len());
        let positions = number * self.batch_size..;
        for ((position, &index), input) in positions.zip(indices).zip(inputs) {
            if self.is_stopped() {
                break;
            }
            *loading = Some(index);
            self.make_input(position, index, hands, input)?;
        }
        let mut batch = Batch {
            images,
            labels: indices.iter().map(|&i| self.source.label(i)).collect(),
            independent: self.independent(indices),
            shares: None,
            indices: indices.to_vec(),
            height: transform.height(),
            width: transform.width(),
        };
        if let Some(mix) = &self.options.mix {
            self.mix(mix, number, &mut batch);
        }
        Ok(batch)
    }

    fn make_input(
        &self,
        position: usize,
        index: usize,
        hands: &mut Hands,
        input: &mut [f32],
    ) -> Result<(), SampleError> {
        let transform = &self.options.transform;
        let Hands {
            workspace,
            loaded,
            resized,
        } = hands;
        let Some(augment) = &self.options.augment else {
            self.source
                .load_resized(index, transform, workspace, loaded)?;
            transform.normalize_into(loaded, input);
            return Ok(());
        };
        let source_transform = self.options.source_transform.as_ref().unwrap_or(transform);
        self.source
            .load_resized(index, source_transform, workspace, loaded)?;
        let key = [
            self.epoch,
            index as u64,
            self.repeats.get(&position).copied().unwrap_or_default(),
        ];
        // The first time has the key of an epoch without repeats.
        let key = if key[2] == 0 { &key[..2] } else { &key };
        let mut rng = random::stream(self.options.seed, "augment", key);
        augment.apply(loaded, &mut rng);
        if (loaded.width, loaded.height) == (transform.width(), transform.height()) {
            transform.normalize_into(loaded, input);
        } else {
            workspace.resize(loaded, &self.fit, resized);
            transform.normalize_into(resized, input);
        }
        Ok(())
    }

    /// The targets of samples that may have several labels.
    fn independent(&self, indices: &[usize]) -> Option<Vec<f32>> {
        let sets: Option<Vec<&[u32]>> = indices.iter().map(|&i| self.source.label_set(i)).collect();
        let sets = sets.filter(|sets| !sets.is_empty())?;
        Some(mix::multi_hot(&sets, self.options.classes))
    }

    /// Mixes a batch's images, and gives it shares, whether the draw mixes it or not.
    fn mix(&self, mix: &Mix, number: usize, batch: &mut Batch) {
        let independent = batch.independent.take();
        let is_independent = independent.is_some();
        let mut targets =
            independent.unwrap_or_else(|| mix::one_hot(&batch.labels, self.options.classes));
        let key = BatchKey {
            seed: self.options.seed,
            epoch: self.epoch,
            batch: number as u64,
        };
        let size = [batch.height as usize, batch.width as usize];
        mix.apply(
            &mut batch.images,
            size,
            &mut targets,
            batch.labels.len(),
            key,
        );
        if is_independent {
            batch.independent = Some(targets);
        } else {
            batch.shares = Some(targets);
        }
    }
}
