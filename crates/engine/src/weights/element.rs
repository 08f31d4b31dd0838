//! The number formats of stored tensors.

use half::{bf16, f16};

/// The format of one number in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Element {
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single precision number.
    Bf16,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
    /// A whole number or a truth value of so many bytes: counters such as
    /// `num_batches_tracked`, never weights.
    Whole {
        /// Bytes of one.
        bytes: u8,
    },
    /// A format that is not read (8-bit floats, complex numbers), of so many bytes; 0 when a
    /// number has no whole count of bytes.
    Other {
        /// Bytes of one.
        bytes: u8,
    },
}

/// Which byte of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl Element {
    /// Bytes of one number.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Whole { bytes } | Self::Other { bytes } => bytes as u64,
        }
    }

    /// Whether it is a floating point format that is read.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }

    /// The name that PyTorch's users know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::Whole { .. } => "whole numbers",
            Self::Other { .. } => "another format",
        }
    }

    /// The numbers that `bytes` holds, rounded to single precision; none when the format is not
    /// one of floating point.
    pub(super) fn decode(self, bytes: &[u8], order: ByteOrder) -> Option<Vec<f32>> {
        Some(match self {
            Self::F16 => numbers(bytes, order, |number| f16::from_le_bytes(number).to_f32()),
            Self::Bf16 => numbers(bytes, order, |number| bf16::from_le_bytes(number).to_f32()),
            Self::F32 => numbers(bytes, order, f32::from_le_bytes),
            Self::F64 => numbers(bytes, order, |number| f64::from_le_bytes(number) as f32),
            Self::Whole { .. } | Self::Other { .. } => return None,
        })
    }
}

fn numbers<const BYTES: usize>(
    bytes: &[u8],
    order: ByteOrder,
    number: fn([u8; BYTES]) -> f32,
) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<BYTES>();
    let chunks = chunks.iter().copied();
    match order {
        ByteOrder::Little => chunks.map(number).collect(),
        ByteOrder::Big => chunks
            .map(|mut chunk| {
                chunk.reverse();
                number(chunk)
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_float_format_reads_in_both_byte_orders() {
        let cases: [(Element, &[u8], f32); 4] = [
            (Element::F16, &[0x00, 0xc1], -2.5),
            (Element::Bf16, &[0x20, 0xc0], -2.5),
            (Element::F32, &[0, 0, 0x20, 0xc0], -2.5),
            (Element::F64, &[0, 0, 0, 0, 0, 0, 0x04, 0xc0], -2.5),
        ];
        for (element, bytes, expected) in cases {
            assert_eq!(
                element.decode(bytes, ByteOrder::Little),
                Some(vec![expected]),
                "{element:?}"
            );
            let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
            assert_eq!(
                element.decode(&reversed, ByteOrder::Big),
                Some(vec![expected]),
                "{element:?}"
            );
        }
    }

    #[test]
    fn counters_are_no_weights() {
        let counter = Element::Whole { bytes: 8 };
        assert_eq!(counter.decode(&[0; 8], ByteOrder::Little), None);
    }
}
