//! Threads that work on the pieces of a loop together, made for loops of some ten microseconds.
//!
//! A network of fifty layers is fifty loops one after the other, a few hundred microseconds each
//! or less. Between them a member of the team looks for the next loop for a while before it goes to
//! sleep: waking a thread takes as long as a small layer does.
//!
//! Each member begins with a part of its own of the pieces, the same part of every loop: what it wrote
//! in one layer it reads in the next, from its own core's cache. To fetch a line that another core
//! has written takes some 30 ns, longer than it takes to compute it anew. Who is done takes pieces from
//! the end of others' parts.

use std::cell::UnsafeCell;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
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
        let shared = Arc::new(Shared::new(threads.get()));
        let members = (1..threads.get()).map_while(|number| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("ferrotype-team-{number}"))
                .spawn(move || shared.work_until_closed(number))
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

    /// Calls `work` with each number below `pieces`, on all threads: each begins with consecutive
    /// ones, the caller with the first. A team that is at work for somebody else leaves it to the
    /// calling thread.
    ///
    /// # Panics
    /// A call of `work` panics; the other pieces are done before.
    pub fn each(&self, pieces: usize, work: impl Fn(usize) + Sync) {
        let alone = pieces <= 1 || pieces > MOST_PIECES || self.members.is_empty();
        let Some(_turn) = (!alone).then(|| self.caller.try_lock().ok()).flatten() else {
            return (0..pieces).for_each(work);
        };
        self.shared.run(pieces, self.threads(), &work);
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

/// What different threads write lies in cache lines of its own (two, which are fetched together).
#[derive(Default)]
#[repr(align(128))]
struct Apart<T>(T);

/// Pieces that nobody has taken yet: the first one's number (32 bits) and that behind the last (32).
#[derive(Default)]
struct Part(AtomicU64);

impl Part {
    fn set(&self, begin: usize, end: usize) {
        self.0
            .store((begin as u64) << 32 | end as u64, Ordering::Release);
    }

    /// Takes the first piece, or the last one.
    fn take(&self, first: bool) -> Option<usize> {
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            let (begin, end) = (seen >> 32, seen & u64::from(u32::MAX));
            if begin >= end {
                return None;
            }
            let (piece, left) = match first {
                true => (begin, (begin + 1) << 32 | end),
                false => (end - 1, begin << 32 | (end - 1)),
            };
            // Should the part have been one of an earlier loop when it was looked at and be equal
            // in this one, it is a piece of this loop that is taken.
            let taken =
                self.0
                    .compare_exchange_weak(seen, left, Ordering::AcqRel, Ordering::Acquire);
            match taken {
                Ok(_) => return Some(piece as usize),
                Err(now) => seen = now,
            }
        }
    }
}

/// What the members see.
struct Shared {
    /// Counts the loops.
    number: Apart<AtomicU32>,
    /// Each thread's part of the loop, the caller's first.
    parts: Vec<Apart<Part>>,
    /// What is done with each piece. Written before the parts tell of a new loop, read only by who
    /// has taken a piece of it.
    work: UnsafeCell<Option<Work>>,
    done: Apart<AtomicUsize>,
    panicked: AtomicBool,
    sleepers: AtomicUsize,
    closed: Mutex<bool>,
    wake: Condvar,
}

// SAFETY: `work` is written by the one caller while no piece is left and all taken ones are done, and
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

impl Shared {
    fn new(threads: usize) -> Self {
        Self {
            number: Apart::default(),
            parts: (0..threads).map(|_| Apart::default()).collect(),
            work: UnsafeCell::new(None),
            done: Apart::default(),
            panicked: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            closed: Mutex::new(false),
            wake: Condvar::new(),
        }
    }

    /// Shares `pieces` out to the first `threads` threads.
    fn run(&self, pieces: usize, threads: usize, work: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime is taken off. This call returns when all pieces are done, and
        // nobody calls the closure without having taken one of them.
        #[allow(unsafe_code)]
        let work: Work = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Work>(work as *const _)
        };
        // SAFETY: no piece is left of the last loop and all are done, so nobody reads it.
        #[allow(unsafe_code)]
        unsafe {
            *self.work.get() = Some(work);
        }
        self.done.0.store(0, Ordering::Relaxed);
        self.panicked.store(false, Ordering::Relaxed);
        for (thread, part) in self.parts.iter().take(threads).enumerate() {
            let bound = |thread: usize| (pieces as u64 * thread as u64 / threads as u64) as usize;
            part.0.set(bound(thread), bound(thread + 1));
        }
        self.number.0.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            let _closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
            self.wake.notify_all();
        }
        self.take_part(0);
        self.wait_for(pieces);
        if self.panicked.load(Ordering::Relaxed) {
            resume_unwind(Box::new("a piece of a loop panicked"));
        }
    }

    fn wait_for(&self, pieces: usize) {
        let mut looks = 0;
        while self.done.0.load(Ordering::Acquire) < pieces {
            looks += 1;
            if looks < LOOKS_BEFORE_YIELD {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// Does the pieces of a thread's own part, then what is left of the others'.
    fn take_part(&self, thread: usize) {
        let mut count = 0;
        for offset in 0..self.parts.len() {
            let part = &self.parts[(thread + offset) % self.parts.len()].0;
            while let Some(piece) = part.take(offset == 0) {
                self.do_piece(piece);
                count += 1;
            }
        }
        if count > 0 {
            self.done.0.fetch_add(count, Ordering::Release);
        }
    }

    /// Does a piece that this thread has taken.
    fn do_piece(&self, piece: usize) {
        // SAFETY: this thread has taken a piece that is not counted as done yet, so the caller
        // waits: the work stays as it is and the closure lives.
        #[allow(unsafe_code)]
        let work = unsafe { (*self.work.get()).map(|work| &*work) };
        if let Some(work) = work
            && catch_unwind(AssertUnwindSafe(|| work(piece))).is_err()
        {
            self.panicked.store(true, Ordering::Relaxed);
        }
    }

    fn work_until_closed(&self, thread: usize) {
        let mut seen = 0;
        loop {
            match self.next_loop(seen) {
                Some(number) => seen = number,
                None => return,
            }
            self.take_part(thread);
        }
    }

    /// Waits for a loop behind number `seen`: its number, or nothing when the team is no more.
    fn next_loop(&self, seen: u32) -> Option<u32> {
        for _ in 0..LOOKS_BEFORE_SLEEP {
            let number = self.number.0.load(Ordering::Acquire);
            if number != seen {
                return Some(number);
            }
            std::hint::spin_loop();
        }
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let mut number = self.number.0.load(Ordering::SeqCst);
        while !*closed && number == seen {
            closed = self
                .wake
                .wait(closed)
                .unwrap_or_else(PoisonError::into_inner);
            number = self.number.0.load(Ordering::SeqCst);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        (!*closed).then_some(number)
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
    fn pieces_are_taken_from_either_end_of_a_part() {
        let part = Part::default();
        part.set(3, 6);
        assert_eq!(part.take(true), Some(3));
        assert_eq!(part.take(false), Some(5));
        assert_eq!(part.take(false), Some(4));
        assert_eq!((part.take(true), part.take(false)), (None, None));
    }

    #[test]
    fn who_is_done_helps_the_others() {
        let team = team(2);
        let caller = std::thread::current().id();
        let others = AtomicUsize::new(0);
        // The caller's first piece takes until the other thread has done nearly all others.
        team.each(10, |piece| match piece {
            0 if std::thread::current().id() == caller => {
                while others.load(Ordering::Acquire) < 9 {
                    std::thread::yield_now();
                }
            }
            _ => {
                others.fetch_add(1, Ordering::Release);
            }
        });
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
