//! What a plan may take at most, in memory and in time.

use ferrotype_kernels::strided::MOST_AXES;

use super::Kind;
use crate::native::refusal::Refusal;
use crate::native::tensor::MOST_NUMBERS;

/// Numbers of constants that are computed while planning, and places of elements, at most.
const MOST_COMPUTED: usize = 1 << 25;

/// Steps at most: finding places for their buffers takes the square of their number.
const MOST_STEPS: usize = 20_000;

/// Multiplications for one image at most: some hundred times what common networks take.
const MOST_WORK: u64 = 1 << 40;

/// Multiplications while planning at most.
const MOST_WORK_NOW: u64 = 1 << 30;

/// What a network may take at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Numbers that live at a time.
    pub(crate) numbers: usize,
    /// Multiplications for one image.
    pub(crate) work: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            numbers: MOST_NUMBERS,
            work: MOST_WORK,
        }
    }
}

/// What a plan has taken so far.
#[derive(Debug)]
pub(super) struct Spent {
    limits: Limits,
    constants: usize,
    steps: usize,
    work: u64,
    work_now: u64,
    most_work: u64,
}

impl Spent {
    /// Nothing yet, for some images at a time.
    pub(super) fn for_batch(batch: usize, limits: Limits) -> Self {
        Self {
            limits,
            constants: 0,
            steps: 0,
            work: 0,
            work_now: 0,
            most_work: limits.work.saturating_mul(batch as u64),
        }
    }

    /// Counts the numbers of a constant, or places, that are kept with the plan.
    pub(super) fn constant(&mut self, count: usize) -> Result<(), Refusal> {
        self.constants = self.constants.saturating_add(count);
        match self.constants <= MOST_COMPUTED.min(self.limits.numbers) {
            true => Ok(()),
            false => Err(Refusal::unsupported("too many computed constants")),
        }
    }

    /// Counts a step that writes `len` numbers.
    pub(super) fn step(&mut self, kind: &Kind, len: usize) -> Result<(), Refusal> {
        self.steps += 1;
        self.work = self.work.saturating_add(kind.work(len));
        self.check_memory(len)?;
        if self.steps > MOST_STEPS {
            return Err(Refusal::unsupported(format!(
                "more than `{MOST_STEPS}` steps"
            )));
        }
        match self.work <= self.most_work {
            true => Ok(()),
            false => Err(Refusal::unsupported(format!(
                "more than `{}` multiplications for an image",
                self.limits.work
            ))),
        }
    }

    /// Refuses more numbers at a time than there may be.
    pub(super) fn check_memory(&self, numbers: usize) -> Result<(), Refusal> {
        match numbers <= self.limits.numbers {
            true => Ok(()),
            false => Err(Refusal::unsupported(format!(
                "it needs `{numbers}` numbers of memory, the limit is `{}`",
                self.limits.numbers
            ))),
        }
    }

    /// Counts a step that is done while planning.
    pub(super) fn work_now(&mut self, kind: &Kind, len: usize) -> Result<(), Refusal> {
        self.work_now = self.work_now.saturating_add(kind.work(len));
        match self.work_now <= MOST_WORK_NOW {
            true => Ok(()),
            false => Err(Refusal::unsupported(
                "too much that is computed while loading",
            )),
        }
    }
}

/// Refuses more axes than the loops have.
pub(super) fn check_axes(shape: &[usize]) -> Result<(), Refusal> {
    match shape.len() <= MOST_AXES {
        true => Ok(()),
        false => Err(Refusal::unsupported(format!(
            "a tensor of `{}` axes, the limit is `{MOST_AXES}`",
            shape.len()
        ))),
    }
}
