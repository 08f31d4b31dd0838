//! Threads that work on the pieces of a loop together, made for loops of some ten microseconds.
//!
//! A network of fifty layers is fifty loops one after the other, a few hundred microseconds each
//! or less. Between them a member of the team looks for the next loop for a while before it goes to
//! sleep: waking a thread takes as long as a small layer does.

use std::cell::UnsafeCell;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// How often a member looks for the next loop before it sleeps: about 30 microseconds.
const LOOKS_BEFORE_SLEEP: u32 = 1_000;

/// How often the caller looks whether all pieces are done before it lets others run.
const LOOKS_BEFORE_YIELD: u32 = 2_000;

/// Pieces a loop may have at most.
const MOST_PIECES: usize = u32::MAX as usize;

/// Some threads, the caller among them.
#[derive(Debug)]
pub struct Team {
    shared: Arc<Shared>,
    members: Vec<JoinHandle<()>>,
    /// Held while a loop is shared out.
    caller: Mutex<()>,
}

impl Team {
    /// A team of `threads`, the one that calls [`Team::each`] included. Where the system gives
    /// fewer, there are fewer.
    pub fn new(threads: NonZeroUsize) -> Self {
        let shared = Arc::new(Shared::default());
        let members = (1..threads.get()).map_while(|number| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("ferrotype-team-{number}"))
                .spawn(move || shared.work_until_closed())
                .ok()
        });
        Self {
            members: members.collect(),
            shared,
            caller: Mutex::new(()),
        }
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.members.len() + 1
    }

    /// Calls `work` with each number below `pieces`, on all threads. A team that is at work for
    /// somebody else leaves it to the calling thread.
    ///
    /// # Panics
    /// A call of `work` panics; the other pieces are done before.
    pub fn each(&self, pieces: usize, work: impl Fn(usize) + Sync) {
        let alone = pieces <= 1 || pieces > MOST_PIECES || self.members.is_empty();
        let Some(_turn) = (!alone).then(|| self.caller.try_lock().ok()).flatten() else {
            return (0..pieces).for_each(work);
        };
        self.shared.run(pieces, &work);
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.close();
        for member in self.members.drain(..) {
            // A member that panicked has told so where its piece was waited for.
            let _ = member.join();
        }
    }
}

type Work = *const (dyn Fn(usize) + Sync);

/// What the members see.
struct Shared {
    /// The loop's number (32 bits) and how many of its pieces nobody has taken yet (32 bits).
    left: AtomicU64,
    /// Pieces of this loop in all, and what is done with each. Written before `left` tells of a new
    /// loop, read only by who has taken a piece of it.
    job: UnsafeCell<Option<(usize, Work)>>,
    done: AtomicUsize,
    panicked: AtomicBool,
    sleepers: AtomicUsize,
    closed: Mutex<bool>,
    wake: Condvar,
}

// SAFETY: `job` is written by the one caller while no piece is left and all taken ones are done, and
// read by a thread only between taking a piece and counting it as done, for which the caller waits.
// The pointer in it is to a closure that is `Sync` and outlives that wait.
#[allow(unsafe_code)]
unsafe impl Sync for Shared {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Send for Shared {}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            left: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            done: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            closed: Mutex::new(false),
            wake: Condvar::new(),
        }
    }
}

const PIECES: u64 = u32::MAX as u64;

impl Shared {
    fn run(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime is taken off. This call returns when all pieces are done, and
        // nobody calls the closure without having taken one of them.
        #[allow(unsafe_code)]
        let work: Work = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Work>(work as *const _)
        };
        // SAFETY: no piece is left of the last loop and all are done, so nobody reads it.
        #[allow(unsafe_code)]
        unsafe {
            *self.job.get() = Some((pieces, work));
        }
        self.done.store(0, Ordering::Relaxed);
        self.panicked.store(false, Ordering::Relaxed);
        let number = (self.left.load(Ordering::Relaxed) >> 32).wrapping_add(1);
        self.left
            .store((number << 32) | pieces as u64, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            let _closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
            self.wake.notify_all();
        }
        while self.take_piece() {}
        self.wait_for(pieces);
        if self.panicked.load(Ordering::Relaxed) {
            resume_unwind(Box::new("a piece of a loop panicked"));
        }
    }

    fn wait_for(&self, pieces: usize) {
        let mut looks = 0;
        while self.done.load(Ordering::Acquire) < pieces {
            looks += 1;
            if looks < LOOKS_BEFORE_YIELD {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// Does a piece of the loop, if one is left.
    fn take_piece(&self) -> bool {
        let mut seen = self.left.load(Ordering::Acquire);
        loop {
            if seen & PIECES == 0 {
                return false;
            }
            let taken = self.left.compare_exchange_weak(
                seen,
                seen - 1,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match taken {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        // SAFETY: this thread has taken a piece that is not counted as done yet, so the caller
        // waits: the job stays as it is and the closure lives.
        #[allow(unsafe_code)]
        let job = unsafe { (*self.job.get()).map(|(pieces, work)| (pieces, &*work)) };
        if let Some((pieces, work)) = job {
            let piece = pieces - (seen & PIECES) as usize;
            if catch_unwind(AssertUnwindSafe(|| work(piece))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
        }
        self.done.fetch_add(1, Ordering::Release);
        true
    }

    fn work_until_closed(&self) {
        let mut looks = 0;
        loop {
            if self.take_piece() {
                looks = 0;
                continue;
            }
            looks += 1;
            if looks < LOOKS_BEFORE_SLEEP {
                std::hint::spin_loop();
                continue;
            }
            looks = 0;
            if !self.sleep() {
                return;
            }
        }
    }

    /// Sleeps until there may be something to do; answers whether the team still is.
    fn sleep(&self) -> bool {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while !*closed && self.left.load(Ordering::SeqCst) & PIECES == 0 {
            closed = self
                .wake
                .wait(closed)
                .unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        !*closed
    }

    fn close(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn team(threads: usize) -> Team {
        Team::new(NonZeroUsize::new(threads).unwrap())
    }

    #[test]
    fn each_piece_is_done_once() {
        for threads in [1, 2, 5] {
            let team = team(threads);
            for pieces in [0, 1, 2, 7, 100, 1_000] {
                let counts: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
                for round in 1..20 {
                    team.each(pieces, |piece| {
                        counts[piece].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == round));
                }
            }
        }
    }

    #[test]
    fn a_team_works_again_after_it_slept() {
        let team = team(3);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let sum = AtomicUsize::new(0);
            team.each(100, |piece| {
                sum.fetch_add(piece, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 4950);
        }
    }

    #[test]
    fn several_callers_share_a_team() {
        let team = team(3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let sum = AtomicUsize::new(0);
                        team.each(50, |piece| {
                            sum.fetch_add(piece, Ordering::Relaxed);
                        });
                        assert_eq!(sum.into_inner(), 1225);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_in_a_piece_is_one_of_the_caller() {
        let team = team(2);
        let run = || team.each(10, |piece| assert_ne!(piece, 5));
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        team.each(10, |_| ());
    }
}
