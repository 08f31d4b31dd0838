//! Memory that begins at a cache line.

use std::ops::{Deref, DerefMut};

use crate::{CACHE_LINE, first_aligned};

/// Numbers that begin at a cache line.
#[derive(Debug, Default)]
pub struct Aligned {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let memory = vec![0.0; len + CACHE_LINE];
        advise_pages(&memory);
        let start = first_aligned(&memory);
        Self { memory, start, len }
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

/// Bytes of memory whose pages are not worth a call.
#[cfg(target_os = "linux")]
const SMALL_BYTES: usize = 64 << 10;

/// Asks the system for all pages at once. Writing to a page for the first time interrupts the program,
/// in a virtual machine for more than a microsecond, which is more than half of the time in which
/// weights are packed. Where the system does not follow the advice, all is as it was.
///
/// Large pages would be faster still, but not in a virtual machine that tells its host which large
/// pages are free: the host takes their memory away, and finds new for every 4 KiB of them.
#[cfg(target_os = "linux")]
fn advise_pages(memory: &[f32]) {
    const PAGE_BYTES: usize = 4096;
    if size_of_val(memory) < SMALL_BYTES {
        return;
    }
    let advice = libc::MADV_POPULATE_WRITE;
    let bytes = memory.as_ptr_range();
    let start = bytes.start.addr().next_multiple_of(PAGE_BYTES);
    let end = bytes.end.addr() / PAGE_BYTES * PAGE_BYTES;
    let first = bytes.start.wrapping_byte_add(start - bytes.start.addr());
    // SAFETY: the pages lie within `memory`, and the advice changes neither what they hold nor who may
    // use them. An error means that it is not followed.
    #[allow(unsafe_code)]
    unsafe {
        libc::madvise(first.cast_mut().cast(), end.saturating_sub(start), advice);
    }
}

#[cfg(not(target_os = "linux"))]
fn advise_pages(_: &[f32]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_any_size_is_zero_and_keeps_what_is_written() {
        for len in [0, 1, 1_000, 600_000, 3_000_001] {
            let mut memory = Aligned::zeros(len);
            assert_eq!(memory.len(), len);
            assert!(memory.iter().all(|x| *x == 0.0), "{len}");
            for (index, x) in memory.iter_mut().enumerate() {
                *x = index as f32;
            }
            let kept = |(index, x): (usize, &f32)| *x == index as f32;
            assert!(memory.iter().enumerate().all(kept), "{len}");
        }
    }
}
