//! Files made to break a decoder: cut short at every byte, changed at every byte, huge, or lying.

use ferrotype_vision::decode::{DecodeErrorKind, DecodeLimits, decode, decode_into, probe};
use ferrotype_vision::synth::{Drift, paint};
use ferrotype_vision::{RgbImage, encode};

use crate::{difference, golden};

fn kind_of(bytes: &[u8]) -> DecodeErrorKind {
    decode(bytes, &DecodeLimits::default()).unwrap_err().kind
}

fn tile() -> RgbImage {
    paint(1, 3, 0, 40, &Drift::NONE)
}

/// A PNG that says it has this size and holds no pixels to speak of.
fn png_of_size(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&crc32(&header).to_be_bytes());
    bytes.extend_from_slice(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    bytes
}

/// CRC-32 as PNG uses it (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn a_huge_image_in_few_bytes_is_refused_by_its_header() {
    let bytes = png_of_size(20_000, 20_000);
    let error = decode(&bytes, &DecodeLimits::default()).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::TooManyPixels);
    assert_eq!(
        error.to_string(),
        "the image has 20000×20000 pixels, more than the limit of `64000000`"
    );
    assert_eq!(probe(&bytes).unwrap().width, 20_000);
    assert_eq!(
        kind_of(&png_of_size(u32::MAX, u32::MAX)),
        DecodeErrorKind::TooManyPixels
    );
    assert_eq!(kind_of(&png_of_size(0, 5)), DecodeErrorKind::Corrupt);
}

#[test]
fn a_gif_whose_frame_is_larger_than_its_screen_is_refused() {
    let mut bytes = std::fs::read(golden("decode/palette.gif")).unwrap();
    let frame = bytes
        .windows(5)
        .position(|b| b == [0x2C, 0, 0, 0, 0])
        .unwrap();
    bytes[frame + 5..frame + 9].fill(0xFF);
    assert_eq!(kind_of(&bytes), DecodeErrorKind::TooManyPixels);
}

#[test]
fn the_limit_holds_for_every_format() {
    let limits = DecodeLimits { max_pixels: 279 };
    for file in std::fs::read_dir(golden("decode")).unwrap() {
        let path = file.unwrap().path();
        let error = decode(&std::fs::read(&path).unwrap(), &limits).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::TooManyPixels, "{path:?}");
    }
}

#[test]
fn a_jpeg_cut_short_is_truncated_wherever_it_is_cut() {
    for file in [
        "rgb_420.jpg",
        "progressive.jpg",
        "restart.jpg",
        "gray.jpg",
        "orientation_6.jpg",
    ] {
        let bytes = std::fs::read(golden("decode").join(file)).unwrap();
        for length in 3..bytes.len() {
            let error = decode(&bytes[..length], &DecodeLimits::default()).unwrap_err();
            assert_eq!(
                error.kind,
                DecodeErrorKind::Truncated,
                "{file}, {length} of {} bytes: {error}",
                bytes.len()
            );
        }
    }
}

#[test]
fn a_lossless_file_cut_short_never_gives_other_pixels() {
    for file in [
        "rgb.png",
        "palette.gif",
        "rgb.bmp",
        "rgb_lzw.tif",
        "lossless.webp",
    ] {
        let bytes = std::fs::read(golden("decode").join(file)).unwrap();
        let whole = decode(&bytes, &DecodeLimits::default()).unwrap();
        for length in 0..bytes.len() {
            if let Ok(decoded) = decode(&bytes[..length], &DecodeLimits::default()) {
                assert_eq!(decoded.image, whole.image, "{file}, {length} bytes");
            }
        }
    }
}

#[test]
fn no_changed_byte_makes_a_decoder_panic() {
    for file in std::fs::read_dir(golden("decode")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for at in 0..bytes.len() {
            for change in [0x01, 0x80, 0xFF] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                // Either answer is right; returning at all is what is tested.
                let limits = DecodeLimits {
                    max_pixels: 1 << 20,
                };
                let _ = (probe(&changed), decode(&changed, &limits));
            }
        }
    }
}

#[test]
fn nothing_of_an_image_before_shows_through_in_reused_memory() {
    let limits = DecodeLimits {
        max_pixels: 1 << 20,
    };
    for file in std::fs::read_dir(golden("decode")).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(7) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x41;
            let Ok(expected) = decode(&changed, &limits) else {
                continue;
            };
            let mut image = RgbImage::filled(100, 100, [0xA5; 3]);
            let probe = decode_into(&changed, &limits, &mut image).unwrap();
            assert_eq!(image, expected.image, "{path:?}, byte {at}");
            assert_eq!(probe, expected.probe, "{path:?}, byte {at}");
        }
    }
}

#[test]
fn a_wrong_name_does_not_matter_but_the_bytes_do() {
    let png = encode::png(&tile()).unwrap();
    let jpeg = encode::jpeg(&tile(), 90).unwrap();
    assert_eq!(probe(&png).unwrap().format, "png");
    assert_eq!(probe(&jpeg).unwrap().format, "jpeg");
    assert_eq!(kind_of(&png[1..]), DecodeErrorKind::NotAnImage);
}

#[test]
fn stray_bytes_between_jpeg_headers_are_passed_over() {
    let jpeg = encode::jpeg(&tile(), 90).unwrap();
    let first_segment = 4 + usize::from(jpeg[5]);
    let mut stray = jpeg[..first_segment].to_vec();
    stray.extend_from_slice(&[0x12; 40]);
    stray.extend_from_slice(&jpeg[first_segment..]);
    let limits = DecodeLimits::default();
    let strayed = decode(&stray, &limits).unwrap().image;
    let clean = decode(&jpeg, &limits).unwrap().image;
    // With libjpeg-turbo it decodes only the clean one; the two differ by rounding.
    let (_, largest) = difference(&strayed.pixels, &clean.pixels);
    let most = if cfg!(feature = "turbojpeg") { 6 } else { 0 };
    assert!(largest <= most, "largest difference {largest}");
}

#[test]
fn an_encoder_is_given_only_whole_images() {
    let broken = RgbImage {
        width: 5,
        height: 5,
        pixels: vec![0; 7],
    };
    assert!(encode::png(&broken).is_err());
    assert!(encode::jpeg(&broken, 90).is_err());
    let wide = RgbImage::filled(70_000, 1, [1, 2, 3]);
    assert!(encode::jpeg(&wide, 90).is_err());
}

#[test]
fn an_encoded_png_decodes_to_the_same_image() {
    let image = tile();
    let decoded = decode(&encode::png(&image).unwrap(), &DecodeLimits::default()).unwrap();
    assert_eq!(decoded.image, image);
}
