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
