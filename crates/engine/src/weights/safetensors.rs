//! Reads the header of a safetensors file (<https://github.com/huggingface/safetensors>): eight
//! bytes of length, JSON, then the tensors one after another.

use safetensors::tensor::{Dtype, Metadata};

use super::element::Element;
use super::error::{damaged, unsupported};
use super::file::WeightsFile;
use super::stored::Stored;
use super::{Contents, Format, MAX_HEADER_BYTES};
use crate::checkpoint::HEADER_KEY;
use crate::error::EngineError;
use crate::state::{AVERAGE_PREFIX, is_of_network};

/// Bytes of the header's length.
const LENGTH_BYTES: u64 = 8;

/// Whether a file begins as a safetensors file does.
pub(super) fn is_beginning(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<{ LENGTH_BYTES as usize }>() else {
        return false;
    };
    // The real limit is told as an error by `read`; no other format has such a beginning.
    u64::from_le_bytes(*length) < 1 << 40 && rest.first() == Some(&b'{')
}

/// The tensors of a file, by name. Of a checkpoint of our own, what it is [`for_use`] with.
///
/// # Errors
/// The header is damaged or too large, or the file is not as long as it says.
pub(super) fn read(file: &WeightsFile) -> Result<Contents, EngineError> {
    let header = header(file)?;
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|error| damaged(format!("its header is damaged ({error})")))?;
    let begin = LENGTH_BYTES + header.len() as u64;
    if begin + metadata.data_len() as u64 != file.length() {
        return Err(damaged(format!(
            "it has {} bytes, its header says {}",
            file.length(),
            begin + metadata.data_len() as u64
        )));
    }
    let entries = metadata.metadata().as_ref();
    let is_checkpoint = entries.is_some_and(|entries| entries.contains_key(HEADER_KEY));
    let mut tensors: Vec<_> = metadata
        .tensors()
        .into_iter()
        .map(|(name, info)| {
            let offset = begin + info.data_offsets.0 as u64;
            let stored = Stored::contiguous(element(info.dtype), info.shape.clone(), offset);
            (name, stored)
        })
        .collect();
    if is_checkpoint {
        tensors = for_use(tensors);
    }
    let format = if is_checkpoint {
        Format::Checkpoint
    } else {
        Format::Safetensors
    };
    Ok(Contents {
        format,
        tensors,
        nested_in: String::new(),
        skipped: Vec::new(),
    })
}

/// What a trained network is used with: without the optimiser's moments, and with the moving
/// average of a weight in its place. The last of two with one name counts.
fn for_use(tensors: Vec<(String, Stored)>) -> Vec<(String, Stored)> {
    let (mut own, others): (Vec<_>, Vec<_>) = tensors
        .into_iter()
        .partition(|(name, _)| is_of_network(name));
    let averages = others.into_iter().filter_map(|(name, stored)| {
        let name = name.strip_prefix(AVERAGE_PREFIX)?;
        Some((name.to_string(), stored))
    });
    own.extend(averages);
    own
}

fn header(file: &WeightsFile) -> Result<Vec<u8>, EngineError> {
    let length = file.read(0, LENGTH_BYTES)?;
    let length = length.first_chunk().map_or(0, |l| u64::from_le_bytes(*l));
    if length > MAX_HEADER_BYTES {
        return Err(unsupported(format!(
            "its header has {length} bytes, over the limit of {MAX_HEADER_BYTES}"
        )));
    }
    file.read(LENGTH_BYTES, length)
}

fn element(dtype: Dtype) -> Element {
    let bits = dtype.bitsize();
    let bytes = if bits.is_multiple_of(8) { bits / 8 } else { 0 };
    let bytes = u8::try_from(bytes).unwrap_or(0);
    match dtype {
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        Dtype::BOOL
        | Dtype::U8
        | Dtype::I8
        | Dtype::U16
        | Dtype::I16
        | Dtype::U32
        | Dtype::I32
        | Dtype::U64
        | Dtype::I64 => Element::Whole { bytes },
        _ => Element::Other { bytes },
    }
}
