//! Both JPEG decoders side by side: what one refuses the other refuses too, with the same words.

use crate::RgbImage;
use crate::encode;
use crate::synth::{self, Drift};

use super::super::sniff::Format;
use super::super::{DecodeLimits, Opened, jpeg, turbo};

/// What each of the two makes of a file: pixels, or none.
fn both(bytes: &[u8]) -> Option<(bool, bool)> {
    let Ok(Opened { header, read }) = jpeg::open(bytes) else {
        // Neither is asked.
        return None;
    };
    let limits = DecodeLimits {
        max_pixels: 1 << 20,
    };
    limits
        .check(Format::Jpeg, header.width, header.height)
        .ok()?;
    let mut image = RgbImage::default();
    let by_turbo = turbo::decode(&header, None, bytes, &mut image);
    let by_zune = read(&limits, &mut Vec::new()).is_ok();
    Some((by_turbo, by_zune))
}

fn files() -> Vec<(String, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/decode");
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "jpg"))
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    let tile = synth::paint(1, 3, 0, 48, &Drift::NONE);
    files.push(("painted".into(), encode::jpeg(&tile, 85).unwrap()));
    files
}

#[test]
fn turbo_decodes_nothing_that_is_refused_without_it() {
    let (mut compared, mut refused_by_both) = (0, 0);
    let mut differing = Vec::new();
    for (name, bytes) in files() {
        for at in 0..bytes.len() {
            for change in [0x01, 0x10, 0x80, 0xFF] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                match both(&changed) {
                    Some((true, false)) => differing.push(format!("{name} byte {at} ^ {change}")),
                    Some((false, false)) => refused_by_both += 1,
                    _ => {}
                }
                compared += 1;
            }
        }
    }
    assert!(refused_by_both > 0, "{compared} files were compared");
    assert!(
        differing.is_empty(),
        "{} of {compared}: {:?}",
        differing.len(),
        &differing[..differing.len().min(40)]
    );
}
