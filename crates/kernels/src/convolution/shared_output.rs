//! Numbers that several threads write to.

use pulp::Simd;

/// A place that several threads write to, each to elements of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct SharedOutput {
    start: *mut f32,
    len: usize,
}

// SAFETY: the pointer is to numbers that are borrowed mutably as long as the output is in use;
// who makes one promises that no two threads write to the same element (see `SharedOutput::new`).
#[allow(unsafe_code)]
unsafe impl Send for SharedOutput {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for SharedOutput {}

impl SharedOutput {
    /// Shares `values` between threads.
    ///
    /// # Safety
    /// As long as the output is in use, `values` stays borrowed and is reached through the output
    /// alone, and no element is written by one thread while another writes or reads it.
    #[allow(unsafe_code)]
    pub(super) unsafe fn new(values: &mut [f32]) -> Self {
        Self {
            start: values.as_mut_ptr(),
            len: values.len(),
        }
    }

    /// The `len` numbers from `start` on, for the thread that wrote them.
    ///
    /// # Safety
    /// They have been written, and nobody writes to them while the answer lives.
    ///
    /// # Panics
    /// There are not that many.
    #[allow(unsafe_code)]
    pub(super) unsafe fn written<'a>(self, start: usize, len: usize) -> &'a [f32] {
        self.assert_holds(start + len);
        // SAFETY: the numbers are there, and as the caller promises nobody writes to them.
        unsafe { std::slice::from_raw_parts(self.start.add(start), len) }
    }

    /// How many numbers there are.
    pub(super) fn len(self) -> usize {
        self.len
    }

    /// # Panics
    /// There are fewer than `len` numbers.
    pub(super) fn assert_holds(self, len: usize) {
        assert!(len <= self.len, "output");
    }

    /// Copies `source` to the numbers from `start` on.
    ///
    /// # Panics
    /// There are not that many.
    pub(super) fn copy(self, start: usize, source: &[f32]) {
        self.assert_holds(start + source.len());
        // SAFETY: the numbers are there, and they are this thread's own (`SharedOutput::new`).
        #[allow(unsafe_code)]
        unsafe {
            let target = self.start.add(start);
            target.copy_from_nonoverlapping(source.as_ptr(), source.len());
        }
    }

    /// Stores vectors side by side from `start` on.
    ///
    /// # Safety
    /// That many numbers exist from `start` on ([`SharedOutput::assert_holds`]).
    #[allow(unsafe_code)]
    #[inline(always)]
    pub(super) unsafe fn store<S: Simd, const V: usize>(
        self,
        _: S,
        start: usize,
        row: [S::f32s; V],
    ) {
        // SAFETY: as the caller promises, and the numbers are this thread's own
        // (`SharedOutput::new`).
        unsafe {
            self.start
                .add(start)
                .cast::<[S::f32s; V]>()
                .write_unaligned(row)
        }
    }

    /// Stores the first `wanted` numbers of vectors side by side from `start` on.
    ///
    /// # Safety
    /// As [`SharedOutput::store`]; the vectors have as many numbers as are wanted.
    #[allow(unsafe_code)]
    #[inline(always)]
    pub(super) unsafe fn store_part<S: Simd, const V: usize>(
        self,
        _: S,
        start: usize,
        wanted: usize,
        row: [S::f32s; V],
    ) {
        let source = (&raw const row).cast::<f32>();
        // SAFETY: as the caller promises, and the numbers are this thread's own
        // (`SharedOutput::new`).
        unsafe {
            self.start
                .add(start)
                .copy_from_nonoverlapping(source, wanted)
        }
    }
}
