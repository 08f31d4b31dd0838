//! A split read through the cache of decoded images.

use std::fs;
use std::sync::Arc;

use ferrotype_core::dataset::Split;
use ferrotype_core::manifest::{Preprocessing, ResizeFilter, ResizeMode};
use ferrotype_data::StoreSource;
use ferrotype_data::decoded_cache::{CacheRequest, DecodedCache, DecodedSource};
use ferrotype_vision::RgbImage;
use ferrotype_vision::loader::{SampleSource, Workspace};
use ferrotype_vision::transform::Transform;

use crate::support::Fixture;

fn transform(side: u32) -> Transform {
    Transform::new(&Preprocessing {
        width: side,
        height: side,
        resize: ResizeMode::Stretch,
        filter: ResizeFilter::Bilinear,
        mean: [0.5; 3],
        std: [0.25; 3],
    })
    .unwrap()
}

fn load(source: &dyn SampleSource, index: usize, transform: &Transform) -> RgbImage {
    let mut image = RgbImage::default();
    source
        .load_resized(index, transform, &mut Workspace::default(), &mut image)
        .unwrap();
    image
}

#[test]
fn the_second_epoch_needs_no_file_and_gives_the_same_pixels() {
    let fixture = Fixture::new();
    fixture.paint("", 6);
    let version = fixture.import().unwrap().version;
    let transform = transform(20);
    let open = |split| {
        let request = CacheRequest {
            folder: &fixture.store.decoded_cache_folder(),
            dataset: version.digest,
            name: "set@v1",
            images: 12,
            transform: &transform,
            limit_bytes: 1 << 30,
        };
        let cache = DecodedCache::open(&request, Box::new(|error| panic!("{error}"))).unwrap();
        let source = StoreSource::open(&fixture.store, &version, split).unwrap();
        DecodedSource::new(source, Arc::new(cache))
    };
    let plain = StoreSource::open(&fixture.store, &version, Split::Train).unwrap();
    let expected: Vec<RgbImage> = (0..plain.len())
        .map(|index| transform.resize(&plain.load(index).unwrap()))
        .collect();
    let first = open(Split::Train);
    for (index, expected) in expected.iter().enumerate() {
        assert_eq!(load(&first, index, &transform), *expected);
    }
    // Only the cache is left, as another process finds it.
    for index in 0..plain.len() {
        let digest = plain.entry(index).unwrap().digest.parse().unwrap();
        fs::remove_file(fixture.store.blobs().path(&digest)).unwrap();
    }
    let second = open(Split::Train);
    for (index, expected) in expected.iter().enumerate() {
        assert_eq!(load(&second, index, &transform), *expected);
        assert_eq!(second.name(index), plain.name(index));
    }
    // The other split has its own places in the same file.
    let validation = open(Split::Val);
    assert!(load(&validation, 0, &transform) != expected[0]);
}

#[test]
fn another_size_than_the_caches_is_loaded_from_the_file() {
    let fixture = Fixture::new();
    fixture.paint("", 5);
    let version = fixture.import().unwrap().version;
    let request = CacheRequest {
        folder: &fixture.store.decoded_cache_folder(),
        dataset: version.digest,
        name: "set@v1",
        images: 10,
        transform: &transform(20),
        limit_bytes: 1 << 30,
    };
    let cache = DecodedCache::open(&request, Box::new(|_| {})).unwrap();
    let plain = StoreSource::open(&fixture.store, &version, Split::Train).unwrap();
    let source = DecodedSource::new(plain.clone(), Arc::new(cache));
    let other = transform(9);
    assert_eq!(load(&source, 0, &other), load(&plain, 0, &other));
}

#[test]
fn a_damaged_file_is_found_when_it_is_first_read() {
    let fixture = Fixture::new();
    fixture.paint("", 5);
    let version = fixture.import().unwrap().version;
    let source = StoreSource::open(&fixture.store, &version, Split::Train).unwrap();
    let digest = source.entry(0).unwrap().digest.parse().unwrap();
    let path = fixture.store.blobs().path(&digest);
    let other = source.entry(1).unwrap().digest.parse().unwrap();
    fs::copy(fixture.store.blobs().path(&other), path).unwrap();
    let mut image = RgbImage::default();
    let loaded = source.load_resized(0, &transform(9), &mut Workspace::default(), &mut image);
    let error = loaded.unwrap_err();
    assert!(error.to_string().contains(&source.name(0)), "{error}");
}
