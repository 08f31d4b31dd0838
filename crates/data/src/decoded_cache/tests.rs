use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use ferrotype_core::manifest::{ResizeFilter, ResizeMode};
use tempfile::TempDir;

use super::*;

const SIDE: u32 = 5;

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

fn image(number: u8) -> RgbImage {
    RgbImage::filled(SIDE, SIDE, [number, number.wrapping_mul(7), 255 - number])
}

/// A folder of caches and how often somebody was told of trouble.
struct Fixture {
    folder: TempDir,
    troubles: Arc<AtomicUsize>,
}

impl Fixture {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            troubles: Arc::default(),
        }
    }

    fn open_of(&self, dataset: u8, side: u32, limit_bytes: u64) -> DecodedCache {
        let request = CacheRequest {
            folder: self.folder.path(),
            dataset: Digest::from([dataset; 32]),
            name: "land@v1",
            images: 8,
            transform: &transform(side),
            limit_bytes,
        };
        let troubles = Arc::clone(&self.troubles);
        let count = move |_: &io::Error| {
            troubles.fetch_add(1, Ordering::SeqCst);
        };
        DecodedCache::open(&request, Box::new(count)).unwrap()
    }

    fn open(&self) -> DecodedCache {
        self.open_of(1, SIDE, 1 << 30)
    }
}

fn read(cache: &DecodedCache, number: usize) -> Option<RgbImage> {
    let mut found = RgbImage::filled(2, 2, [9; 3]);
    cache.read(number, &mut found).then_some(found)
}

#[test]
fn what_one_process_writes_another_reads() {
    let fixture = Fixture::new();
    let (one, other) = (fixture.open(), fixture.open());
    assert_eq!(read(&other, 3), None);
    one.write(3, &image(3));
    assert_eq!(read(&other, 3), Some(image(3)));
    assert_eq!(read(&other, 2), None);
    assert_eq!(read(&other, 8), None);
    drop((one, other));
    assert_eq!(read(&fixture.open(), 3), Some(image(3)));
}

#[test]
fn another_version_or_size_has_a_cache_of_its_own() {
    let fixture = Fixture::new();
    fixture.open().write(0, &image(1));
    assert_eq!(read(&fixture.open_of(2, SIDE, 1 << 30), 0), None);
    assert_eq!(read(&fixture.open_of(1, SIDE + 1, 1 << 30), 0), None);
    assert_eq!(list(fixture.folder.path()).unwrap().len(), 3);
}

#[test]
fn an_image_of_another_size_is_not_kept() {
    let fixture = Fixture::new();
    let cache = fixture.open();
    cache.write(0, &RgbImage::filled(SIDE, SIDE + 1, [1; 3]));
    assert_eq!(read(&cache, 0), None);
}

/// A process may be killed, and a machine may lose power, at any moment: whatever a cache's bytes
/// are then, no wrong pixel comes out of it, and it is filled again.
#[test]
fn no_damage_anywhere_gives_wrong_pixels() {
    let fixture = Fixture::new();
    let cache = fixture.open();
    let path = cache.path().to_path_buf();
    (0..8).for_each(|number| cache.write(number, &image(number as u8)));
    drop(cache);
    let whole = fs::read(&path).unwrap();
    let check = |what: &str| {
        let cache = fixture.open();
        for number in 0..8 {
            if let Some(found) = read(&cache, number) {
                assert_eq!(found, image(number as u8), "{what}, image {number}");
            }
            cache.write(number, &image(number as u8));
            assert_eq!(read(&cache, number), Some(image(number as u8)), "{what}");
        }
    };
    // Every byte of the header and checksums, and some of the pixels.
    let places = (0..700).chain(4096..4096 + 130).chain(8192..whole.len());
    for at in places.filter(|at| at % 3 == 0) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, damaged).unwrap();
        check(&format!("byte {at} changed"));
    }
    for length in (0..whole.len()).step_by(211) {
        fs::write(&path, &whole[..length]).unwrap();
        check(&format!("cut to {length} bytes"));
        // Written to the end, but the pages never reached the disk.
        let mut holes = whole[..length].to_vec();
        holes.resize(whole.len(), 0);
        fs::write(&path, holes).unwrap();
        check(&format!("zeros from byte {length} on"));
    }
}

#[test]
fn an_image_that_vanishes_under_a_reader_is_loaded_anew() {
    let fixture = Fixture::new();
    let cache = fixture.open();
    cache.write(7, &image(7));
    assert_eq!(read(&cache, 7), Some(image(7)));
    File::options()
        .write(true)
        .open(cache.path())
        .unwrap()
        .set_len(5000)
        .unwrap();
    assert_eq!(read(&cache, 7), None);
}

#[test]
fn caches_used_longest_ago_go_first_and_one_in_use_stays() {
    let fixture = Fixture::new();
    let long_ago = |cache: DecodedCache, hours: u64| {
        (0..8).for_each(|number| cache.write(number, &image(1)));
        let time = SystemTime::now() - std::time::Duration::from_secs(3600 * hours);
        cache.file.set_modified(time).unwrap();
        cache
    };
    let in_use = long_ago(fixture.open_of(1, SIDE, 1 << 30), 3);
    drop(long_ago(fixture.open_of(2, SIDE, 1 << 30), 2));
    drop(long_ago(fixture.open_of(3, SIDE, 1 << 30), 1));
    let taken: u64 = list(fixture.folder.path())
        .unwrap()
        .iter()
        .map(|cache| cache.bytes)
        .sum();
    // Room for three: one has to go, and the oldest is in use.
    drop(fixture.open_of(4, SIDE, taken));
    assert!(in_use.path().exists());
    assert_eq!(read(&fixture.open_of(2, SIDE, 1 << 30), 0), None);
    assert!(read(&fixture.open_of(3, SIDE, 1 << 30), 0).is_some());
}

#[test]
fn a_limit_too_small_for_all_images_keeps_the_first_ones() {
    let fixture = Fixture::new();
    let image_bytes = u64::from(SIDE * SIDE * 3);
    let cache = fixture.open_of(1, SIDE, 8192 + 3 * image_bytes);
    for number in 0..8 {
        cache.write(number, &image(number as u8));
    }
    let kept: Vec<usize> = (0..8).filter(|n| read(&cache, *n).is_some()).collect();
    assert_eq!(kept, [0, 1, 2]);
    assert_eq!(fixture.troubles.load(Ordering::SeqCst), 0);
}

#[test]
fn a_disk_that_takes_no_more_is_told_once_and_reading_goes_on() {
    let fixture = Fixture::new();
    let mut cache = fixture.open();
    cache.write(0, &image(0));
    // A descriptor that refuses to be written, as a full disk does.
    cache.file = File::open(cache.path()).unwrap();
    cache.write(1, &image(1));
    cache.write(2, &image(2));
    assert_eq!(fixture.troubles.load(Ordering::SeqCst), 1);
    assert_eq!(read(&cache, 0), Some(image(0)));
    assert_eq!(read(&cache, 1), None);
}

#[test]
fn clearing_leaves_what_is_in_use() {
    let fixture = Fixture::new();
    let in_use = fixture.open();
    drop(fixture.open_of(2, SIDE, 1 << 30));
    let cleared = clear(fixture.folder.path()).unwrap();
    assert_eq!((cleared.deleted, cleared.in_use), (1, 1));
    drop(in_use);
    assert_eq!(clear(fixture.folder.path()).unwrap().deleted, 1);
    assert!(list(fixture.folder.path()).unwrap().is_empty());
    let nowhere = fixture.folder.path().join("nowhere");
    assert_eq!(clear(&nowhere).unwrap(), ClearedCaches::default());
}

#[test]
fn a_label_says_what_is_kept() {
    let fixture = Fixture::new();
    let _cache = fixture.open();
    let caches = list(fixture.folder.path()).unwrap();
    assert_eq!(caches[0].label, "land@v1 at 5×5, stretch, bilinear");
}
