//! Real odd and broken files, when the collection is there.

use std::path::PathBuf;

use ferrotype_vision::decode::{DecodeErrorKind, DecodeLimits, decode};

use crate::{difference, hexadecimal, rows, size};

fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/nasty");
    folder.join("MANIFEST.tsv").is_file().then_some(folder)
}

#[test]
fn each_file_is_decoded_or_refused_as_its_manifest_says() {
    let Some(folder) = folder() else { return };
    let manifest = std::fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap();
    for line in manifest.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (kind, file, expected) = (fields[0], fields[1], fields[3]);
        let bytes = std::fs::read(folder.join(kind).join(file)).unwrap();
        match (expected, decode(&bytes, &DecodeLimits::default())) {
            ("decode", Ok(decoded)) => {
                let format = fields[5].to_ascii_lowercase();
                assert_eq!(decoded.probe.format, format, "{file}");
                assert_eq!(decoded.probe.mode, fields[6], "{file}");
                let stored = (decoded.probe.stored_width, decoded.probe.stored_height);
                assert_eq!(stored, size(fields[7]), "{file}");
                let upright = (decoded.image.width, decoded.image.height);
                assert_eq!(upright, size(fields[9]), "{file}");
            }
            ("decode", Err(error)) => panic!("{kind}/{file}: {error}"),
            ("reject", Ok(_)) => panic!("{kind}/{file} was decoded"),
            (_, Err(error)) => {
                assert!(
                    !error.to_string().is_empty() && error.hint().is_some(),
                    "{file}"
                );
            }
            (_, Ok(_)) => {}
        }
    }
}

#[test]
fn what_pillow_decodes_has_pillows_pixels() {
    let Some(folder) = folder() else { return };
    for row in rows("nasty.tsv") {
        let [file, upright, pixels] = row.as_slice() else {
            panic!("{row:?}");
        };
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let Ok(decoded) = decode(&bytes, &DecodeLimits::default()) else {
            // Pillow is more lenient with some; the test above says with which that is allowed.
            continue;
        };
        let image = decoded.image;
        assert_eq!((image.width, image.height), size(upright), "{file}");
        let sample: Vec<u8> = (0..8)
            .flat_map(|row| (0..8).map(move |column| (column, row)))
            .flat_map(|(column, row)| {
                image.pixel(
                    column * image.width / 8 + image.width / 16,
                    row * image.height / 8 + image.height / 16,
                )
            })
            .collect();
        let (mean, largest) = difference(&sample, &hexadecimal(pixels));
        let is_lossy = decoded.probe.format == "jpeg" || decoded.probe.format == "webp";
        let (most_mean, most) = if is_lossy { (1.0, 12) } else { (0.0, 0) };
        assert!(
            mean <= most_mean && largest <= most,
            "{file}: mean difference {mean}, largest {largest}"
        );
    }
}

#[test]
fn the_broken_ones_are_refused_for_the_right_reason() {
    let Some(folder) = folder() else { return };
    let cases = [
        (
            "jpeg_truncated/truncated_jpeg.jpg",
            DecodeErrorKind::Truncated,
        ),
        ("bmp/Bad_reallybig.bmp", DecodeErrorKind::TooManyPixels),
        (
            "lfs_pointer/agricultural00.tif",
            DecodeErrorKind::LfsPointer,
        ),
        ("gif_zero_size/zero_width.gif", DecodeErrorKind::Corrupt),
        ("png_corrupt/x_ihdr_missing.png", DecodeErrorKind::Corrupt),
    ];
    for (file, kind) in cases {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let error = decode(&bytes, &DecodeLimits::default()).unwrap_err();
        assert_eq!(error.kind, kind, "{file}: {error}");
    }
}
