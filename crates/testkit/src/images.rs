//! Small images, good and nasty.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, Rgb, RgbImage};

/// The formats that the service must read.
pub const FORMATS: [(&str, ImageFormat); 5] = [
    ("png", ImageFormat::Png),
    ("jpg", ImageFormat::Jpeg),
    ("webp", ImageFormat::WebP),
    ("bmp", ImageFormat::Bmp),
    ("gif", ImageFormat::Gif),
];

/// An image of one colour with a slight gradient, so that no two sizes look alike.
pub fn plain(width: u32, height: u32, colour: [u8; 3]) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let shade = ((x * 7 + y * 3) % 16) as u8;
        Rgb(colour.map(|channel| channel.saturating_add(shade)))
    })
}

/// An image as the bytes of a file.
pub fn encode(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A PNG of one colour.
pub fn png(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    encode(&plain(width, height, colour), ImageFormat::Png)
}

/// A JPEG of one colour, quality 90.
pub fn jpeg(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = Vec::new();
    plain(width, height, colour)
        .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 90))
        .unwrap();
    bytes
}

/// A JPEG whose EXIF block says how it must be turned (1 to 8, EXIF 2.32 section 4.6.4).
pub fn jpeg_with_orientation(width: u32, height: u32, orientation: u8) -> Vec<u8> {
    let plain = jpeg(width, height, [200, 40, 40]);
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).unwrap();
    let mut bytes = plain[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&plain[2..]);
    bytes
}

/// A JPEG that ends in the middle of its data.
pub fn truncated_jpeg() -> Vec<u8> {
    let whole = jpeg(64, 64, [30, 160, 70]);
    whole[..whole.len() / 2].to_vec()
}

/// A PNG with one byte of its compressed data changed.
pub fn corrupt_png() -> Vec<u8> {
    let mut bytes = png(64, 64, [10, 20, 200]);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    bytes
}

/// A PNG of about 2 kB whose header announces 20,000×20,000 pixels.
pub fn bomb_png() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    header.extend(20_000_u32.to_be_bytes());
    header.extend(20_000_u32.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    png_chunk(&mut bytes, b"IHDR", &header);
    png_chunk(&mut bytes, b"IDAT", &[0; 2_000]);
    png_chunk(&mut bytes, b"IEND", &[]);
    bytes
}

/// Text with the name of an image.
pub fn not_an_image() -> Vec<u8> {
    b"these are words, and no image whatever the name says\n".to_vec()
}

/// Every nasty file: its name and its bytes.
pub fn nasty() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty.jpg", Vec::new()),
        ("text.png", not_an_image()),
        ("truncated.jpg", truncated_jpeg()),
        ("corrupt.png", corrupt_png()),
        ("bomb.png", bomb_png()),
    ]
}

/// Colours that even a tiny network tells apart in a few steps, with the names of their classes.
pub const COLOUR_CLASSES: [(&str, [u8; 3]); 3] = [
    ("blue", [20, 40, 210]),
    ("green", [30, 190, 40]),
    ("red", [220, 30, 30]),
];

/// Writes an ImageFolder of `per_class` small PNGs for each of [`COLOUR_CLASSES`], all different.
pub fn colour_folder(path: &Path, per_class: usize, side: u32) -> PathBuf {
    for (class, colour) in COLOUR_CLASSES {
        let folder = path.join(class);
        std::fs::create_dir_all(&folder).unwrap();
        for index in 0..per_class {
            let image = speckled(side, colour, index as u32);
            let bytes = encode(&image, ImageFormat::Png);
            std::fs::write(folder.join(format!("{index:04}.png")), bytes).unwrap();
        }
    }
    path.to_path_buf()
}

/// Writes `count` small PNGs and a `labels.csv` that tells which of the labels `red`, `green` and
/// `blue` each has: any combination of them, none too.
pub fn labelled_folder(path: &Path, count: usize, side: u32) -> PathBuf {
    let folder = path.join("images");
    std::fs::create_dir_all(&folder).unwrap();
    let mut table = String::from("file,red,green,blue\n");
    for index in 0..count {
        let labels = [0, 1, 2].map(|bit| u8::from(index >> bit & 1 == 1));
        let colour = labels.map(|label| if label == 1 { 200 } else { 50 });
        let image = speckled(side, colour, index as u32);
        let file = format!("{index:04}.png");
        let bytes = encode(&image, ImageFormat::Png);
        std::fs::write(folder.join(&file), bytes).unwrap();
        let [red, green, blue] = labels;
        table.push_str(&format!("{file},{red},{green},{blue}\n"));
    }
    std::fs::write(path.join("labels.csv"), table).unwrap();
    path.to_path_buf()
}

/// A colour under noise that depends on `seed`, so that no two images are near duplicates.
fn speckled(side: u32, colour: [u8; 3], seed: u32) -> RgbImage {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    RgbImage::from_fn(side, side, |_, _| {
        // xorshift32 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        Rgb(colour.map(|channel| {
            channel
                .saturating_add((state % 90) as u8)
                .saturating_sub(45)
        }))
    })
}

/// One PNG chunk: length, kind, data, CRC-32 (PNG specification, section 5.3).
fn png_chunk(bytes: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    bytes.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
    let start = bytes.len();
    bytes.extend(kind);
    bytes.extend(data);
    let checksum = crc32(&bytes[start..]);
    bytes.extend(checksum.to_be_bytes());
}

/// CRC-32 as PNG uses it (polynomial 0xedb88320).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bomb_is_small_and_its_header_is_believed() {
        let bytes = bomb_png();
        assert!(bytes.len() < 2_100);
        let size = image::ImageReader::new(Cursor::new(&bytes))
            .with_guessed_format()
            .unwrap()
            .into_dimensions()
            .unwrap();
        assert_eq!(size, (20_000, 20_000));
    }

    #[test]
    fn the_other_nasty_files_cannot_be_decoded() {
        for (name, bytes) in nasty() {
            if name == "truncated.jpg" || name == "bomb.png" {
                continue; // Some decoders fill up a truncated JPEG; the bomb would be decoded for real.
            }
            assert!(image::load_from_memory(&bytes).is_err(), "{name}");
        }
    }
}
