//! Resizing, against Pillow's.

use ferrotype_core::manifest::{Preprocessing, ResizeFilter, ResizeMode};
use ferrotype_vision::decode::{DecodeLimits, decode};
use ferrotype_vision::transform::Transform;

use crate::{difference, golden, image, rows, size};

#[test]
fn both_modes_and_filters_resize_as_pillow_does() {
    for row in rows("resize.tsv") {
        let [filter, mode, source, target, pixels] = row.as_slice() else {
            panic!("{row:?}");
        };
        let expected = image(size(target), pixels);
        let transform = Transform::new(&Preprocessing {
            width: expected.width,
            height: expected.height,
            resize: match mode.as_str() {
                "stretch" => ResizeMode::Stretch,
                _ => ResizeMode::CenterCrop,
            },
            filter: match filter.as_str() {
                "bilinear" => ResizeFilter::Bilinear,
                _ => ResizeFilter::Bicubic,
            },
            mean: [0.0; 3],
            std: [1.0; 3],
        })
        .unwrap();
        let bytes = std::fs::read(golden(&format!("scene_{source}.png"))).unwrap();
        let scene = decode(&bytes, &DecodeLimits::default()).unwrap().image;
        let resized = transform.resize(&scene);
        let (mean, largest) = difference(&resized.pixels, &expected.pixels);
        // Both round twice, once after each direction, but not in the same order.
        let most = if filter == "bilinear" { 1 } else { 3 };
        assert!(
            mean <= 0.25 && largest <= most,
            "{filter} {mode} {source} to {target}: mean {mean}, largest {largest}"
        );
    }
}
