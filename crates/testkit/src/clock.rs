//! A clock that is set by hand.

use std::sync::atomic::{AtomicI64, Ordering};

use ferrotype_core::time::{Clock, Timestamp};

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct FakeClock(AtomicI64);

impl FakeClock {
    /// A clock that stands at 2026-01-02T03:04:05Z.
    pub fn new() -> Self {
        Self(AtomicI64::new(1_767_323_045_000))
    }

    /// Moves the clock forward.
    pub fn advance_millis(&self, milliseconds: i64) {
        self.0.fetch_add(milliseconds, Ordering::SeqCst);
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}
