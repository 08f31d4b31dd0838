//! Small files in every mode that is read, against Pillow's pixels.

use ferrotype_vision::decode::{DecodeLimits, decode, probe};

use crate::{difference, golden, image, rows, size};

/// Lossy formats may differ by what their standards leave open: mean and largest difference.
fn tolerance(file: &str) -> (f64, u8) {
    match file.rsplit_once('.').map(|(_, extension)| extension) {
        Some("jpg") => (0.75, 6),
        _ if file == "lossy.webp" => (1.0, 6),
        _ => (0.0, 0),
    }
}

#[test]
fn every_format_and_mode_decodes_to_pillows_pixels() {
    for row in rows("decode.tsv") {
        let [file, mode, stored, upright, pixels] = row.as_slice() else {
            panic!("{row:?}");
        };
        let bytes = std::fs::read(golden("decode").join(file)).unwrap();
        let decoded = decode(&bytes, &DecodeLimits::default())
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(decoded.probe.mode, *mode, "{file}");
        let stored_size = (decoded.probe.stored_width, decoded.probe.stored_height);
        assert_eq!(stored_size, size(stored), "{file}");
        let expected = image(size(upright), pixels);
        let upright_size = (decoded.image.width, decoded.image.height);
        assert_eq!(upright_size, (expected.width, expected.height), "{file}");
        let (mean, largest) = difference(&decoded.image.pixels, &expected.pixels);
        let (most_mean, most) = tolerance(file);
        assert!(
            mean <= most_mean && largest <= most,
            "{file}: mean difference {mean}, largest {largest}"
        );
    }
}

#[test]
fn a_probe_tells_what_decoding_tells() {
    for row in rows("decode.tsv") {
        let bytes = std::fs::read(golden("decode").join(&row[0])).unwrap();
        let decoded = decode(&bytes, &DecodeLimits::default()).unwrap();
        let probe = probe(&bytes).unwrap();
        assert_eq!(probe, decoded.probe, "{}", row[0]);
        assert_eq!(probe.width, decoded.image.width, "{}", row[0]);
        assert_eq!(probe.height, decoded.image.height, "{}", row[0]);
    }
}
