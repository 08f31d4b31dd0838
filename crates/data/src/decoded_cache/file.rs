//! One cache file: a header, a checksum per image, then the images, all of one size.
//!
//! ```text
//! 0      magic, width, height, count, key, label, checksum of all these
//! 4096   count × 16 bytes: checksum of each image, zeros where there is none
//! …      count × (3 × width × height) bytes, from the next multiple of 4096 on
//! ```
//!
//! The file is made at its full length, without taking up space, and images are written to their
//! places in any order: first the pixels, then the checksum. Whatever a crash leaves between the
//! two does not match, and counts as absent; so does a place that never reached the disk. Two
//! processes that write the same place write the same bytes.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use super::CacheKey;

const MAGIC: &[u8; 16] = b"ferrotype-pixels";

/// Length of the header, and what the images are aligned to.
const PAGE_BYTES: u64 = 4096;

/// Bytes of an image's checksum: the first half of a BLAKE3.
pub(super) const CHECKSUM_BYTES: usize = 16;

/// The longest label that is kept, in bytes.
const MOST_LABEL_BYTES: usize = 255;

/// Where the header's parts lie.
const SIZES_AT: usize = MAGIC.len();
const KEY_AT: usize = SIZES_AT + 16;
const LABEL_AT: usize = KEY_AT + 32;
const END_AT: usize = LABEL_AT + 1 + MOST_LABEL_BYTES;

/// What a cache file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) count: u64,
}

impl Layout {
    /// Bytes of one image.
    pub(super) const fn image_bytes(self) -> u64 {
        3 * self.width as u64 * self.height as u64
    }

    const fn checksum_at(number: u64) -> u64 {
        PAGE_BYTES + number * CHECKSUM_BYTES as u64
    }

    /// Bytes before the first image.
    pub(super) const fn head_bytes(self) -> u64 {
        Self::checksum_at(self.count).next_multiple_of(PAGE_BYTES)
    }

    const fn image_at(self, number: u64) -> u64 {
        self.head_bytes() + number * self.image_bytes()
    }

    /// Bytes of the file when every image is there.
    pub(super) const fn file_bytes(self) -> u64 {
        self.image_at(self.count)
    }
}

/// The checksum of an image in its place.
fn checksum(number: u64, pixels: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(pixels);
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM_BYTES]);
    checksum
}

/// The header's page.
fn header(layout: Layout, key: &CacheKey, label: &str) -> Vec<u8> {
    let mut page = Vec::with_capacity(PAGE_BYTES as usize);
    page.extend_from_slice(MAGIC);
    page.extend_from_slice(&layout.width.to_le_bytes());
    page.extend_from_slice(&layout.height.to_le_bytes());
    page.extend_from_slice(&layout.count.to_le_bytes());
    page.extend_from_slice(&key.0);
    let label = &label.as_bytes()[..label.floor_char_boundary(MOST_LABEL_BYTES)];
    page.push(label.len() as u8);
    page.extend_from_slice(label);
    page.resize(END_AT, 0);
    let sum = checksum(0, &page);
    page.extend_from_slice(&sum);
    page.resize(PAGE_BYTES as usize, 0);
    page
}

/// Makes a file that holds no image yet.
pub(super) fn create(
    mut file: &File,
    layout: Layout,
    key: &CacheKey,
    label: &str,
) -> io::Result<()> {
    file.write_all(&header(layout, key, label))?;
    file.set_len(layout.file_bytes())
}

/// Whether the file is one of this key and layout, as [`create`] made it.
pub(super) fn is_of(file: &File, layout: Layout, key: &CacheKey) -> bool {
    let mut page = vec![0; PAGE_BYTES as usize];
    let is_whole = read_exact_at(file, &mut page, 0).is_ok()
        && file
            .metadata()
            .is_ok_and(|metadata| metadata.len() == layout.file_bytes());
    is_whole && page == header(layout, key, &read_label(&page))
}

/// The label of a cache file; empty when it is none.
pub(super) fn label(path: &Path) -> String {
    let mut page = vec![0; PAGE_BYTES as usize];
    let read = File::open(path).and_then(|file| read_exact_at(&file, &mut page, 0));
    if read.is_ok() && page.starts_with(MAGIC) {
        read_label(&page)
    } else {
        String::new()
    }
}

fn read_label(page: &[u8]) -> String {
    let length = usize::from(page[LABEL_AT]);
    String::from_utf8_lossy(&page[LABEL_AT + 1..][..length]).into_owned()
}

/// Reads the pixels of an image; answers whether they are there and, unless told to trust them,
/// intact.
pub(super) fn read(
    file: &File,
    layout: Layout,
    number: u64,
    pixels: &mut Vec<u8>,
    trusted: bool,
) -> bool {
    let mut expected = [0; CHECKSUM_BYTES];
    if !trusted {
        let found = read_exact_at(file, &mut expected, Layout::checksum_at(number));
        if found.is_err() || expected == [0; CHECKSUM_BYTES] {
            return false;
        }
    }
    pixels.resize(layout.image_bytes() as usize, 0);
    read_exact_at(file, pixels, layout.image_at(number)).is_ok()
        && (trusted || checksum(number, pixels) == expected)
}

/// Writes the pixels of an image, then its checksum.
pub(super) fn write(file: &File, layout: Layout, number: u64, pixels: &[u8]) -> io::Result<()> {
    write_all_at(file, pixels, layout.image_at(number))?;
    let sum = checksum(number, pixels);
    write_all_at(file, &sum, Layout::checksum_at(number))
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

/// Positioned reads that share a file are Unix's; elsewhere there is no cache.
#[cfg(not(unix))]
fn read_exact_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn write_all_at(_: &File, _: &[u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Bytes that a file takes up on the disk; less than its length while images are missing.
#[cfg(unix)]
pub(super) fn bytes_taken(metadata: &std::fs::Metadata) -> u64 {
    const BLOCK_BYTES: u64 = 512;
    std::os::unix::fs::MetadataExt::blocks(metadata) * BLOCK_BYTES
}

#[cfg(not(unix))]
pub(super) fn bytes_taken(metadata: &std::fs::Metadata) -> u64 {
    metadata.len()
}
