//! Decoding for a transform, which may be scaled (feature `turbojpeg`), beside decoding in full.
//! All of this holds in every build.

use std::path::{Path, PathBuf};

use ferrotype_core::manifest::{Preprocessing, ResizeFilter, ResizeMode};
use ferrotype_vision::RgbImage;
use ferrotype_vision::decode::{DecodeLimits, decode};
use ferrotype_vision::loader::Workspace;
use ferrotype_vision::transform::Transform;

use crate::{difference, golden};

fn transform(side: u32, resize: ResizeMode, filter: ResizeFilter) -> Transform {
    Transform::new(&Preprocessing {
        width: side,
        height: side,
        resize,
        filter,
        mean: [0.5; 3],
        std: [0.25; 3],
    })
    .unwrap()
}

/// Photographs in the repository's own test data, and those of the developers' where they are.
fn photographs() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    for set in ["uc_merced", "raccoon_voc", "chest_xray", "bccd_voc"] {
        let mut folders = vec![shared.join(set)];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "jpg") {
                    found.push(path);
                }
            }
        }
        found.sort();
        files.extend(found.into_iter().step_by(7).take(8));
    }
    files.extend(
        std::fs::read_dir(golden("decode"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "jpg")),
    );
    files
}

#[test]
fn what_is_decoded_for_a_size_is_within_two_levels_of_the_full_image_at_that_size() {
    let limits = DecodeLimits::default();
    for path in photographs() {
        let bytes = std::fs::read(&path).unwrap();
        let full = decode(&bytes, &limits).unwrap();
        for side in [16, 32, 64, 96, 224] {
            for resize in [ResizeMode::Stretch, ResizeMode::CenterCrop] {
                let transform = transform(side, resize, ResizeFilter::Bilinear);
                let decoded = transform.decode(&bytes, &limits).unwrap();
                assert_eq!(decoded.probe, full.probe, "{path:?}");
                let expected = transform.resize(&full.image);
                let found = transform.resize(&decoded.image);
                let (mean, _) = difference(&found.pixels, &expected.pixels);
                assert!(mean <= 2.0, "{path:?} at {side}: mean difference {mean}");
            }
        }
    }
}

#[test]
fn training_and_serving_decode_to_the_same_bits() {
    let limits = DecodeLimits::default();
    let mut workspace = Workspace::default();
    let mut image = RgbImage::default();
    for path in photographs() {
        let bytes = std::fs::read(&path).unwrap();
        for filter in [ResizeFilter::Bilinear, ResizeFilter::Bicubic] {
            let transform = transform(48, ResizeMode::Stretch, filter);
            let served = transform.decode(&bytes, &limits).unwrap().image;
            let trained = workspace.decode(&bytes, &limits, &transform, &mut image);
            assert!(trained.is_ok(), "{path:?}");
            assert_eq!(image, transform.resize(&served), "{path:?}");
        }
    }
}
