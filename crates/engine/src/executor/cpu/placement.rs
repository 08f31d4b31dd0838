//! Places in one piece of memory for buffers that are not all needed at the same time.

/// A buffer, before it has a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// How many elements.
    pub(super) len: usize,
    /// When it is first written.
    pub(super) first: usize,
    /// When it is last read.
    pub(super) last: usize,
}

impl Lifetime {
    /// How long it lives.
    fn steps(&self) -> usize {
        self.last - self.first + 1
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Where buffers lie, and how many elements they take together.
#[derive(Debug, Clone, Default)]
pub(super) struct Placement {
    /// By buffer.
    pub(super) starts: Vec<usize>,
    pub(super) total: usize,
}

/// Buffers begin at multiples of this many elements: a cache line of floats.
const ALIGNMENT: usize = 16;

/// What buffers are ordered by; the largest comes first.
type Order = fn(&Lifetime) -> (usize, usize);

/// Finds a place for each buffer such that those that live at the same time do not overlap.
///
/// One after another they go into the smallest gap that holds them: the largest first (Pisarchyk
/// & Lee 2020, arXiv:2001.03288, "greedy by size"), or those first that live longest, or that
/// begin first, whichever order takes the least memory. For networks that is within a few per
/// cent of the least possible.
pub(super) fn place(lifetimes: &[Lifetime]) -> Placement {
    let orders: [Order; 4] = [
        |lifetime| (lifetime.len, lifetime.steps()),
        |lifetime| (lifetime.steps(), lifetime.len),
        |lifetime| (lifetime.len * lifetime.steps(), lifetime.len),
        |lifetime| (usize::MAX - lifetime.first, lifetime.len),
    ];
    let placements = orders.map(|key| {
        let mut order: Vec<usize> = (0..lifetimes.len()).collect();
        order.sort_by_key(|index| (std::cmp::Reverse(key(&lifetimes[*index])), *index));
        place_in_order(lifetimes, &order)
    });
    let [first, rest @ ..] = placements;
    rest.into_iter().fold(first, |best, other| {
        if other.total < best.total {
            other
        } else {
            best
        }
    })
}

fn place_in_order(lifetimes: &[Lifetime], order: &[usize]) -> Placement {
    let mut placement = Placement {
        starts: vec![0; lifetimes.len()],
        total: 0,
    };
    let mut placed: Vec<usize> = Vec::with_capacity(lifetimes.len());
    for &index in order {
        let start = best_gap(lifetimes, &placement.starts, &placed, index);
        placement.starts[index] = start;
        placement.total = placement.total.max(start + aligned(lifetimes[index].len));
        // Kept in the order of their places.
        let at = placed.partition_point(|other| placement.starts[*other] <= start);
        placed.insert(at, index);
    }
    placement
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(ALIGNMENT)
}

/// The start of the smallest gap for buffer `index` between those `placed` that live while it
/// does.
fn best_gap(lifetimes: &[Lifetime], starts: &[usize], placed: &[usize], index: usize) -> usize {
    let wanted = lifetimes[index];
    let len = aligned(wanted.len);
    let mut best: Option<(usize, usize)> = None;
    let mut end = 0;
    for &other in placed {
        if !lifetimes[other].overlaps(&wanted) {
            continue;
        }
        let gap = starts[other].saturating_sub(end);
        if gap >= len && best.is_none_or(|(smallest, _)| gap < smallest) {
            best = Some((gap, end));
        }
        end = end.max(starts[other] + aligned(lifetimes[other].len));
    }
    best.map_or(end, |(_, start)| start)
}

/// What no placement can be smaller than: the most that lives at one time.
#[cfg(test)]
pub(super) fn least(lifetimes: &[Lifetime]) -> usize {
    let live_at = |time: usize| -> usize {
        let live = lifetimes
            .iter()
            .filter(|l| l.first <= time && time <= l.last);
        live.map(|lifetime| aligned(lifetime.len)).sum()
    };
    lifetimes
        .iter()
        .map(|l| live_at(l.first))
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime(len: usize, first: usize, last: usize) -> Lifetime {
        Lifetime { len, first, last }
    }

    #[test]
    fn buffers_that_live_together_lie_apart() {
        // Sizes and times without pattern.
        let number = |index: usize, modulus: usize| (index * 7919 + 104_729) % 2003 % modulus;
        let lifetimes: Vec<Lifetime> = (0..200)
            .map(|index| {
                let first = number(index, 50);
                lifetime(
                    1 + number(index + 7, 1000),
                    first,
                    first + number(index + 3, 9),
                )
            })
            .collect();
        let placement = place(&lifetimes);
        for (index, one) in lifetimes.iter().enumerate() {
            for (other_index, other) in lifetimes.iter().enumerate().skip(index + 1) {
                let starts = [placement.starts[index], placement.starts[other_index]];
                let apart = starts[0] + one.len <= starts[1] || starts[1] + other.len <= starts[0];
                assert!(apart || !one.overlaps(other), "{index} and {other_index}");
            }
        }
        let least = least(&lifetimes);
        assert!(
            placement.total <= least * 13 / 10,
            "{} of {least}",
            placement.total
        );
    }

    #[test]
    fn a_smaller_buffer_takes_the_place_of_one_that_is_done() {
        let lifetimes = [lifetime(160, 0, 1), lifetime(96, 2, 3), lifetime(64, 2, 2)];
        assert_eq!(place(&lifetimes).total, 160);
    }
}
