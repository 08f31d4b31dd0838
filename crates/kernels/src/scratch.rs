//! Memory that a thread keeps between calls.

use std::cell::RefCell;

use crate::{CACHE_LINE, first_aligned};

thread_local! {
    static SCRATCH: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` numbers of this thread's scratch memory, whose values are whatever was
/// left there. They begin at a cache line. Calls may be nested; each has memory of its own.
pub(crate) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let padded = len + CACHE_LINE;
    let mut memory = SCRATCH.with(|kept| take(&mut kept.borrow_mut(), padded));
    if memory.len() < padded {
        memory.resize(padded, 0.0);
    }
    let start = first_aligned(&memory);
    let result = work(&mut memory[start..start + len]);
    SCRATCH.with(|kept| kept.borrow_mut().push(memory));
    result
}

/// The smallest kept memory that is large enough, else the largest.
fn take(kept: &mut Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    let fitting = |memory: &Vec<f32>| match memory.len() >= len {
        true => (0, memory.len()),
        false => (1, usize::MAX - memory.len()),
    };
    let best = (0..kept.len()).min_by_key(|index| fitting(&kept[*index]));
    best.map(|index| kept.swap_remove(index))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_calls_have_memory_of_their_own() {
        with_scratch(4, |outer| {
            outer.fill(1.0);
            with_scratch(4, |inner| inner.fill(2.0));
            assert_eq!(outer, [1.0; 4]);
        });
    }

    #[test]
    fn memory_begins_at_a_cache_line() {
        for len in [1, 100, 10_000] {
            let start = with_scratch(len, |memory| memory.as_ptr().addr());
            assert_eq!(start % (CACHE_LINE * size_of::<f32>()), 0);
        }
    }

    #[test]
    fn memory_is_used_again() {
        let first = with_scratch(100, |memory| memory.as_ptr());
        with_scratch(10, |_| ());
        let again = with_scratch(100, |memory| memory.as_ptr());
        assert_eq!(first, again);
    }
}
