//! Which of the processor's instruction sets the loops use.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use pulp::Arch;

/// Instructions that loops are compiled for, the narrowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstructionSet {
    /// Those that every processor of its kind has (on aarch64 with NEON).
    Scalar,
    /// AVX2 and FMA, vectors of 8 floats.
    Avx2,
    /// AVX-512, vectors of 16 floats.
    Avx512,
}

impl InstructionSet {
    const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// Its name: `scalar`, `avx2` or `avx512`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The widest that the processor has.
    pub fn of_processor() -> Self {
        match Arch::new() {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(_) => Self::Avx512,
            #[cfg(target_arch = "x86_64")]
            Arch::V3(_) => Self::Avx2,
            _ => Self::Scalar,
        }
    }

    /// The one that loops use: the processor's, or a narrower one (see [`use_at_most`]).
    pub fn in_use() -> Self {
        *IN_USE.get_or_init(widest)
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for InstructionSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|set| set.as_str() == text);
        found.ok_or_else(|| {
            format!("`{text}` is no instruction set; expected `avx512`, `avx2` or `scalar`")
        })
    }
}

static IN_USE: OnceLock<InstructionSet> = OnceLock::new();

/// Lets all loops of this process use an instruction set at most, for measuring and testing what a
/// narrower processor would do; products of large matrices (the crate `gemm`) choose for themselves.
///
/// # Errors
/// Loops have run with another one already: this one.
pub fn use_at_most(limit: InstructionSet) -> Result<(), InstructionSet> {
    let wanted = limit.min(InstructionSet::of_processor());
    match *IN_USE.get_or_init(|| wanted) {
        used if used == wanted => Ok(()),
        used => Err(used),
    }
}

#[cfg(not(test))]
fn widest() -> InstructionSet {
    InstructionSet::of_processor()
}

#[cfg(test)]
fn widest() -> InstructionSet {
    tests::limit().min(InstructionSet::of_processor())
}

/// The instruction set in use, to run a loop with.
#[doc(hidden)]
#[inline]
pub fn arch() -> Arch {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    *ARCH.get_or_init(|| match InstructionSet::in_use() {
        widest if widest == InstructionSet::of_processor() => Arch::new(),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => pulp::x86::V3::try_new().map_or(Arch::Scalar, Arch::V3),
        _ => Arch::Scalar,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `./test narrow` asks for.
    pub(super) fn limit() -> InstructionSet {
        let text = std::env::var("FERROTYPE_INSTRUCTIONS");
        text.map_or(InstructionSet::Avx512, |text| text.parse().unwrap())
    }

    #[test]
    fn what_has_run_is_not_changed() {
        let used = InstructionSet::in_use();
        assert_eq!(
            use_at_most(InstructionSet::Scalar).err(),
            match used {
                InstructionSet::Scalar => None,
                wider => Some(wider),
            }
        );
        assert_eq!(InstructionSet::in_use(), used);
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for set in InstructionSet::ALL {
            assert_eq!(set.to_string().parse(), Ok(set));
        }
        assert!("neon2".parse::<InstructionSet>().is_err());
    }

    #[test]
    fn loops_use_no_more_than_the_processor_has() {
        assert!(InstructionSet::in_use() <= InstructionSet::of_processor());
    }
}
