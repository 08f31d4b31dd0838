//! Images per second from JPEG files to augmented, normalised batches: Ferrotype's side of
//! `bench/load`.
//!
//! ```sh
//! cargo bench -p ferrotype-vision --bench load -- DIR THREADS [SIDE]
//! ```
//!
//! For each line on standard input, loads every file below DIR once and prints images/s; so that a
//! driver can let several programs take turns. Without a driver: `echo | cargo bench …`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ferrotype_core::manifest::{Preprocessing, ResizeFilter, ResizeMode};
use ferrotype_vision::RgbImage;
use ferrotype_vision::augment::Augment;
use ferrotype_vision::decode::{DecodeLimits, decode};
use ferrotype_vision::loader::{
    Loader, LoaderOptions, SampleError, SampleSource, Workspace, training_order,
};
use ferrotype_vision::transform::Transform;

/// Images in a batch.
const BATCH: usize = 32;

/// The peers' `ColorJitter(0.2, 0.2, 0.2)` after a flip with probability one half.
const AUGMENT: &str =
    r#"{"horizontal_flip": 0.5, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2}"#;

/// Image files below a folder.
struct Files(Vec<PathBuf>);

impl Files {
    fn below(folder: &Path) -> Self {
        let mut files = Vec::new();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
                if path.is_dir() {
                    folders.push(path);
                } else if ["jpg", "jpeg", "png"].iter().any(|known| ending == *known) {
                    files.push(path);
                }
            }
        }
        files.sort();
        Self(files)
    }
}

impl SampleSource for Files {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn label(&self, _index: usize) -> u32 {
        0
    }

    fn name(&self, index: usize) -> String {
        self.0[index].display().to_string()
    }

    fn load(&self, index: usize) -> Result<RgbImage, SampleError> {
        let bytes = std::fs::read(&self.0[index]).unwrap();
        Ok(decode(&bytes, &DecodeLimits::default()).unwrap().image)
    }

    fn load_resized(
        &self,
        index: usize,
        transform: &Transform,
        workspace: &mut Workspace,
        image: &mut RgbImage,
    ) -> Result<(), SampleError> {
        let bytes = std::fs::read(&self.0[index]).unwrap();
        let limits = DecodeLimits::default();
        let decoded = workspace.decode(&bytes, &limits, transform, image);
        decoded
            .map(drop)
            .map_err(|error| SampleError::decode(self.name(index), error))
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let [folder, threads, rest @ ..] = arguments.as_slice() else {
        // `cargo test --benches` runs it without arguments.
        return;
    };
    let side = rest.first().map_or(224, |side| side.parse().unwrap());
    let source = Arc::new(Files::below(Path::new(folder)));
    let options = LoaderOptions {
        transform: Transform::new(&Preprocessing {
            width: side,
            height: side,
            resize: ResizeMode::Stretch,
            filter: ResizeFilter::Bilinear,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        })
        .unwrap(),
        source_transform: None,
        augment: Some(Augment::new(serde_json::from_str(AUGMENT).unwrap()).unwrap()),
        mix: None,
        classes: 1,
        batch_size: BATCH,
        workers: threads.parse().unwrap(),
        seed: 0,
        prefetch: 4,
    };
    for (epoch, _) in std::io::stdin().lock().lines().enumerate() {
        let order = training_order(source.len(), 0, epoch as u64);
        let started = Instant::now();
        let mut batches = Loader::epoch(source.clone(), &options, order, epoch as u64, 0);
        let mut sum = 0.0;
        while let Some(batch) = batches.next() {
            let batch = batch.unwrap();
            sum += batch.images[0];
            batches.recycle(batch);
        }
        assert!(sum.is_finite());
        println!(
            "{:.1}",
            source.len() as f64 / started.elapsed().as_secs_f64()
        );
    }
}
