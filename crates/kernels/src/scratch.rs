//! Memory that a thread keeps between calls.

use std::cell::RefCell;

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` numbers of this thread's scratch memory. Their values are whatever
/// was left there.
pub(crate) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => {
            if scratch.len() < len {
                scratch.resize(len, 0.0);
            }
            work(&mut scratch[..len])
        }
        // The thread is inside another call already: it stole this work while waiting.
        Err(_) => work(&mut vec![0.0; len]),
    })
}
