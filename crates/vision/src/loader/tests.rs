use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use ferrotype_core::config::augment::{AugmentConfig, Brightness, CropPadding, HorizontalFlip};
use ferrotype_core::manifest::{Preprocessing, ResizeFilter, ResizeMode};

use super::*;
use crate::RgbImage;
use crate::synth::{self, Drift};

/// Painted tiles; counts how often each is loaded.
struct Tiles {
    loads: Vec<AtomicUsize>,
    broken: Option<usize>,
    panics: Option<usize>,
    /// Wait longer for some samples than for others, so that batches get ready out of order.
    uneven: bool,
    threads: Mutex<BTreeSet<String>>,
}

impl Tiles {
    fn new(len: usize) -> Self {
        Self {
            loads: (0..len).map(|_| AtomicUsize::new(0)).collect(),
            broken: None,
            panics: None,
            uneven: false,
            threads: Mutex::default(),
        }
    }

    fn loaded(&self) -> Vec<usize> {
        self.loads
            .iter()
            .map(|n| n.load(Ordering::SeqCst))
            .collect()
    }
}

impl SampleSource for Tiles {
    fn len(&self) -> usize {
        self.loads.len()
    }

    fn label(&self, index: usize) -> u32 {
        (index % synth::CLASSES.len()) as u32
    }

    fn name(&self, index: usize) -> String {
        format!("tiles/{index}.png")
    }

    fn load(&self, index: usize) -> Result<RgbImage, SampleError> {
        self.loads[index].fetch_add(1, Ordering::SeqCst);
        if let Some(name) = thread::current().name() {
            self.threads.lock().unwrap().insert(name.into());
        }
        if self.uneven {
            thread::sleep(Duration::from_millis((index * 7 % 5) as u64));
        }
        if self.broken == Some(index) {
            return Err(SampleError::decode(self.name(index), "not an image"));
        }
        assert_ne!(self.panics, Some(index), "as the test asked");
        let class = self.label(index) as usize;
        Ok(synth::paint(class, 1, index as u64, 24, &Drift::NONE))
    }
}

fn options(workers: usize) -> LoaderOptions {
    let transform = Transform::new(&Preprocessing {
        width: 16,
        height: 16,
        resize: ResizeMode::Stretch,
        filter: ResizeFilter::Bilinear,
        mean: [0.5; 3],
        std: [0.25; 3],
    });
    let augment = Augment::new(AugmentConfig(vec![
        HorizontalFlip { p: 0.5 }.into(),
        CropPadding {
            padding: 2,
            ..CropPadding::default()
        }
        .into(),
        Brightness { limit: 0.2, p: 1.0 }.into(),
    ]));
    LoaderOptions {
        transform: transform.unwrap(),
        source_transform: None,
        augment: Some(augment.unwrap()),
        mix: None,
        classes: 6,
        batch_size: 4,
        workers,
        seed: 9,
        prefetch: 3,
    }
}

fn all(source: Tiles, options: &LoaderOptions, first_batch: usize) -> Vec<Batch> {
    let order = training_order(source.len(), options.seed, 2);
    Loader::epoch(Arc::new(source), options, order, 2, first_batch)
        .map(Result::unwrap)
        .collect()
}

#[test]
fn any_number_of_threads_gives_the_same_batches() {
    let expected = all(Tiles::new(30), &options(1), 0);
    assert_eq!(expected.len(), 8);
    assert_eq!(expected[7].labels.len(), 2);
    for workers in [2, 5, 0] {
        let mut source = Tiles::new(30);
        source.uneven = true;
        assert_eq!(all(source, &options(workers), 0), expected, "{workers}");
    }
}

#[test]
fn batches_made_in_recycled_memory_are_the_same() {
    let options = options(2);
    let expected = all(Tiles::new(30), &options, 0);
    let order = training_order(30, options.seed, 2);
    let mut batches = Loader::epoch(Arc::new(Tiles::new(30)), &options, order, 2, 0);
    for expected in &expected {
        let batch = batches.next().unwrap().unwrap();
        assert_eq!(batch, *expected);
        batches.recycle(batch);
    }
}

#[test]
fn mixed_batches_come_with_shares_and_the_same_on_any_number_of_threads() {
    let mut mixed = options(1);
    mixed.mix = Some(Mix::new(0.4, 1.0, 1.0).unwrap());
    let expected = all(Tiles::new(30), &mixed, 0);
    let plain = all(Tiles::new(30), &options(1), 0);
    for (mixed, plain) in expected.iter().zip(&plain) {
        assert_eq!(mixed.labels, plain.labels);
        let shares = mixed.shares.as_ref().unwrap();
        assert_eq!(shares.len(), mixed.labels.len() * 6);
        for row in shares.chunks(6) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
        }
    }
    assert!(
        expected
            .iter()
            .zip(&plain)
            .any(|(m, p)| m.images != p.images)
    );
    mixed.workers = 3;
    assert_eq!(all(Tiles::new(30), &mixed, 0), expected);
    assert_eq!(all(Tiles::new(30), &mixed, 5), expected[5..]);
}

#[test]
fn images_loaded_larger_for_an_augmentation_end_at_the_input_size() {
    let mut options = options(1);
    let preprocessing = Preprocessing {
        width: 20,
        height: 20,
        ..options.transform.preprocessing().clone()
    };
    options.source_transform = Some(Transform::new(&preprocessing).unwrap());
    let batches = all(Tiles::new(8), &options, 0);
    assert_eq!(batches[0].images.len(), 4 * 3 * 16 * 16);
    assert_ne!(batches, all(Tiles::new(8), &self::options(1), 0));
}

#[test]
fn an_epoch_can_be_entered_at_any_batch() {
    let whole = all(Tiles::new(30), &options(2), 0);
    for first in [1, 5, 7, 8, 100] {
        let rest = all(Tiles::new(30), &options(2), first);
        assert_eq!(rest, whole[first.min(whole.len())..], "from batch {first}");
    }
}

#[test]
fn each_sample_comes_once_with_its_label() {
    let batches = all(Tiles::new(30), &options(2), 0);
    let mut indices = Vec::new();
    for batch in &batches {
        assert_eq!(batch.images.len(), batch.indices.len() * 3 * 16 * 16);
        for (&index, &label) in batch.indices.iter().zip(&batch.labels) {
            assert_eq!(label as usize, index % 6);
            indices.push(index);
        }
    }
    indices.sort_unstable();
    assert_eq!(indices, plain_order(30));
}

#[test]
fn augmentation_differs_between_epochs_and_evaluation_has_none() {
    let source: Arc<dyn SampleSource> = Arc::new(Tiles::new(4));
    let mut options = options(1);
    let images = |epoch, options: &LoaderOptions| {
        let mut batches = Loader::epoch(source.clone(), options, plain_order(4), epoch, 0);
        batches.next().unwrap().unwrap().images
    };
    assert_eq!(images(0, &options), images(0, &options));
    assert_ne!(images(0, &options), images(1, &options));
    options.augment = None;
    let mut batches = Loader::epoch(source.clone(), &options, plain_order(4), 0, 0);
    let plain = batches.next().unwrap().unwrap().images;
    let served: Vec<f32> = (0..4)
        .flat_map(|index| options.transform.apply(&source.load(index).unwrap()))
        .collect();
    assert_eq!(plain, served);
}

#[test]
fn a_sample_that_cannot_be_loaded_is_named_and_the_next_batch_follows() {
    let mut source = Tiles::new(12);
    source.broken = Some(6);
    let batches: Vec<_> =
        Loader::epoch(Arc::new(source), &options(2), plain_order(12), 0, 0).collect();
    let error = batches[1].as_ref().unwrap_err();
    assert_eq!(error.kind, SampleErrorKind::Decode);
    assert_eq!(error.name, "tiles/6.png");
    assert!(batches[0].is_ok() && batches[2].is_ok());
}

#[test]
fn a_panicking_source_is_an_error_and_nobody_waits_for_ever() {
    let mut source = Tiles::new(12);
    source.panics = Some(9);
    let results: Vec<bool> = Loader::epoch(Arc::new(source), &options(1), plain_order(12), 0, 0)
        .map(|batch| batch.is_ok())
        .collect();
    assert_eq!(results, [true, true, false]);
}

#[test]
fn no_more_is_loaded_than_was_asked_ahead() {
    let source = Arc::new(Tiles::new(400));
    let mut batches = Loader::epoch(source.clone(), &options(2), plain_order(400), 0, 0);
    batches.next().unwrap().unwrap();
    thread::sleep(Duration::from_millis(50));
    let loaded: usize = source.loaded().iter().sum();
    assert!(loaded <= 4 * (1 + 3), "{loaded} samples");
}

#[test]
fn dropping_the_batches_stops_the_threads() {
    let source = Arc::new(Tiles::new(400));
    let mut batches = Loader::epoch(source.clone(), &options(3), plain_order(400), 0, 0);
    batches.next().unwrap().unwrap();
    drop(batches);
    assert_eq!(
        Arc::strong_count(&source),
        1,
        "a thread still holds the source"
    );
}

#[test]
fn loading_happens_on_other_threads() {
    let source = Arc::new(Tiles::new(40));
    let batches = Loader::epoch(source.clone(), &options(2), plain_order(40), 0, 0);
    assert_eq!(batches.count(), 10);
    let threads = source.threads.lock().unwrap();
    assert!(
        threads.iter().all(|name| name.starts_with("loader-")),
        "{threads:?}"
    );
}

#[test]
fn a_cache_loads_each_sample_once_and_gives_the_same_pixels() {
    let plain = all(Tiles::new(30), &options(2), 0);
    let source = Arc::new(Tiles::new(30));
    let options = options(2);
    let cached: Arc<dyn SampleSource> = Arc::new(CachedSource::new(
        source.clone(),
        options.transform.clone(),
        1 << 30,
    ));
    for _ in 0..2 {
        let order = training_order(30, options.seed, 2);
        let batches: Vec<Batch> = Loader::epoch(cached.clone(), &options, order, 2, 0)
            .map(Result::unwrap)
            .collect();
        assert_eq!(batches, plain);
    }
    assert_eq!(source.loaded(), vec![1; 30]);
}

#[test]
fn a_cache_keeps_to_its_budget() {
    let source = Arc::new(Tiles::new(10));
    let one_image = 3 * 16 * 16;
    let transform = options(1).transform;
    let cached = CachedSource::new(source.clone(), transform, one_image * 4 + 1);
    for _ in 0..3 {
        for index in 0..10 {
            cached.load(index).unwrap();
        }
    }
    assert_eq!(source.loaded(), [1, 1, 1, 1, 3, 3, 3, 3, 3, 3]);
}

#[test]
fn an_empty_source_has_no_batches() {
    let mut batches = Loader::epoch(Arc::new(Tiles::new(0)), &options(2), vec![], 0, 0);
    assert_eq!(batches.len(), 0);
    assert!(batches.next().is_none());
}
