//! Reads the files of `torch.save`: the zip archive since PyTorch 1.6, and the stream of pickles
//! before it (`torch/serialization.py`).

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::element::ByteOrder;
use super::error::{damaged, unsupported};
use super::file::WeightsFile;
use super::pickle::{self, Pickle, Storage, Tensor, Value};
use super::stored::Stored;
use super::zip::{self, Entry};
use super::{Contents, Element, Format};
use crate::error::EngineError;

/// What a file from before PyTorch 1.6 begins with: a pickle of
/// `0x1950a86a20f9469cfc6c`, then one of the version, 1001.
pub(super) const LEGACY_BEGINNING: [u8; 20] =
    *b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03";

/// The keys under which training scripts keep the weights, the first that is there is taken.
const STATE_KEYS: [&str; 12] = [
    "state_dict",
    "model_state_dict",
    "model",
    "model_state",
    "model_ema",
    "state_dict_ema",
    "ema",
    "ema_state_dict",
    "net",
    "network",
    "params",
    "weights",
];

/// How deep the weights may lie: `{'checkpoint': {'model': {…}}}`.
const MAX_DEPTH: usize = 3;

/// Where a storage lies in the file.
struct Block {
    offset: u64,
    bytes: u64,
}

/// Reads a zip archive.
///
/// # Errors
/// It is damaged, is not of PyTorch, or holds something else than weights by name.
pub(super) fn read_zip(file: &WeightsFile) -> Result<Contents, EngineError> {
    let entries: HashMap<String, Entry> = zip::entries(file)?
        .into_iter()
        .map(|entry| (entry.name.clone(), entry))
        .collect();
    let prefix = entries
        .keys()
        .filter_map(|name| name.strip_suffix("data.pkl"))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('/'))
        .min_by_key(|prefix| prefix.len())
        .ok_or_else(|| unsupported("it is a zip archive, but not one of `torch.save`"))?
        .to_string();
    if entries.contains_key(&format!("{prefix}constants.pkl")) {
        return Err(unsupported(
            "it is a TorchScript archive, a program with its weights",
        ));
    }
    let bytes = entries[&format!("{prefix}data.pkl")].read(file, pickle::MAX_BYTES)?;
    let pickle = pickle::read(&bytes)?;
    let order = byte_order(file, entries.get(&format!("{prefix}byteorder")))?;
    let mut blocks = HashMap::new();
    for key in pickle.storages.keys() {
        let name = format!("{prefix}data/{key}");
        let entry = entries
            .get(&name)
            .ok_or_else(|| damaged(format!("`{name}` is missing in it")))?;
        let block = Block {
            offset: entry.offset(file)?,
            bytes: entry.length,
        };
        blocks.insert(Rc::clone(key), block);
    }
    contents(Format::PyTorch, &pickle, &blocks, order)
}

fn byte_order(file: &WeightsFile, entry: Option<&Entry>) -> Result<ByteOrder, EngineError> {
    /// Longer than both words.
    const LIMIT: u64 = 16;
    // Files from before PyTorch 2.1 do not say it; theirs were written by little-endian machines.
    let Some(entry) = entry else {
        return Ok(ByteOrder::Little);
    };
    match entry.read(file, LIMIT)?.as_slice() {
        b"little" => Ok(ByteOrder::Little),
        b"big" => Ok(ByteOrder::Big),
        _ => Err(damaged("its byte order is neither `little` nor `big`")),
    }
}

/// Reads a stream of pickles: magic number, version, the machine, the value, the keys of the
/// storages; then each storage, after its length.
///
/// # Errors
/// As [`read_zip`].
pub(super) fn read_legacy(file: &WeightsFile) -> Result<Contents, EngineError> {
    let bytes = file.beginning(pickle::MAX_BYTES)?;
    let mut rest = bytes.as_slice();
    let mut next = || -> Result<Pickle, EngineError> {
        let pickle = pickle::read(rest)?;
        rest = rest.get(pickle.length..).unwrap_or_default();
        Ok(pickle)
    };
    let (_magic, _version, _machine) = (next()?, next()?, next()?);
    let pickle = next()?;
    let keys = next()?;
    let begin = (bytes.len() - rest.len()) as u64;
    let blocks = legacy_blocks(file, begin, &keys, &pickle.storages)?;
    // Written little-endian on every machine.
    contents(Format::PyTorchLegacy, &pickle, &blocks, ByteOrder::Little)
}

fn legacy_blocks(
    file: &WeightsFile,
    begin: u64,
    keys: &Pickle,
    storages: &BTreeMap<Rc<str>, Storage>,
) -> Result<HashMap<Rc<str>, Block>, EngineError> {
    /// Bytes of a storage's length.
    const LENGTH_BYTES: u64 = 8;
    let Value::Sequence(items) = keys.root() else {
        return Err(damaged("the list of its storages is missing"));
    };
    let mut blocks = HashMap::new();
    let mut position = begin;
    for item in items {
        let Value::Text(key) = keys.get(*item) else {
            return Err(damaged("the list of its storages is broken"));
        };
        let (key, storage) = storages
            .get_key_value(key.as_str())
            .ok_or_else(|| damaged(format!("nothing in it belongs to the storage `{key}`")))?;
        let length = file.read(position, LENGTH_BYTES)?;
        let length = length.first_chunk().map_or(0, |l| u64::from_le_bytes(*l));
        let bytes = storage
            .element
            .map_or(1, Element::bytes)
            .checked_mul(length)
            .ok_or_else(|| damaged("a storage in it is larger than any file"))?;
        let offset = position + LENGTH_BYTES;
        position = offset
            .checked_add(bytes)
            .filter(|end| *end <= file.length())
            .ok_or_else(|| damaged("it is cut off inside of its numbers"))?;
        blocks.insert(Rc::clone(key), Block { offset, bytes });
    }
    Ok(blocks)
}

/// The tensors of the state dictionary inside of a pickle.
fn contents(
    format: Format,
    pickle: &Pickle,
    blocks: &HashMap<Rc<str>, Block>,
    order: ByteOrder,
) -> Result<Contents, EngineError> {
    let (state, nested_in) = find_state(pickle, pickle.root(), MAX_DEPTH)
        .ok_or_else(|| unsupported(no_state(pickle)))?;
    let mut tensors = Vec::new();
    let mut skipped = Vec::new();
    for (name, value) in pickle.entries(state) {
        match value {
            Value::Tensor(tensor) => {
                tensors.push((name.to_string(), stored(name, tensor, blocks, order)?));
            }
            _ => skipped.push(name.to_string()),
        }
    }
    Ok(Contents {
        format,
        tensors,
        nested_in,
        skipped,
    })
}

/// The dictionary of tensors, and the keys that lead to it. A nested one goes first: beside it,
/// scripts keep tensors that are no weights, such as the best accuracy.
fn find_state<'a>(
    pickle: &'a Pickle,
    value: &'a Value,
    depth: usize,
) -> Option<(&'a Value, String)> {
    let nested = STATE_KEYS.iter().find_map(|wanted| {
        let depth = depth.checked_sub(1)?;
        // The last of two entries with one key is the one that Python would have.
        let (_, nested) = pickle
            .entries(value)
            .filter(|(key, _)| key == wanted)
            .last()?;
        let (state, path) = find_state(pickle, nested, depth)?;
        let separator = if path.is_empty() { "" } else { "." };
        Some((state, format!("{wanted}{separator}{path}")))
    });
    let is_tensor = |(_, value): (&str, &Value)| matches!(value, Value::Tensor(_));
    nested.or_else(|| {
        pickle
            .entries(value)
            .any(is_tensor)
            .then(|| (value, String::new()))
    })
}

/// Says what is there instead of weights.
fn no_state(pickle: &Pickle) -> String {
    /// How many keys are named.
    const NAMED: usize = 8;
    let keys: Vec<String> = pickle
        .entries(pickle.root())
        .take(NAMED)
        .map(|(key, _)| format!("`{}`", key.chars().take(40).collect::<String>()))
        .collect();
    match (pickle.root(), keys.is_empty()) {
        (Value::Tensor(_), _) => "it holds a single tensor, not weights by name".to_string(),
        (Value::Sequence(_), _) => "it holds a list, not weights by name".to_string(),
        (_, true) => "it holds no weights by name".to_string(),
        (_, false) => format!(
            "it holds no weights by name, its keys are {}",
            keys.join(", ")
        ),
    }
}

/// Where the numbers of a tensor lie in the file.
fn stored(
    name: &str,
    tensor: &Tensor,
    blocks: &HashMap<Rc<str>, Block>,
    order: ByteOrder,
) -> Result<Stored, EngineError> {
    let broken = |reason: &str| damaged(format!("the tensor `{name}` {reason}"));
    let block = blocks
        .get(&tensor.storage)
        .ok_or_else(|| broken("has no numbers in it"))?;
    let size = tensor.element.bytes();
    let needed = tensor.storage_length.checked_mul(size);
    if needed.is_none_or(|needed| needed > block.bytes) {
        return Err(broken("has fewer numbers in it than it says"));
    }
    let span = span(&tensor.shape, &tensor.strides)
        .ok_or_else(|| broken("has a shape that no tensor has"))?;
    let end = tensor.offset.checked_add(span);
    if end.is_none_or(|end| end > tensor.storage_length) {
        return Err(broken("lies outside of its storage"));
    }
    Ok(Stored {
        element: tensor.element,
        shape: tensor.shape.clone(),
        strides: tensor.strides.clone(),
        offset: block.offset + tensor.offset * size,
        span,
        order,
    })
}

/// How many numbers lie between the first and the last of a view, both included; none when the
/// shape cannot be.
fn span(shape: &[usize], strides: &[usize]) -> Option<u64> {
    if shape.len() != strides.len() {
        return None;
    }
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .zip(strides)
        .try_fold(1_u64, |span, (size, stride)| {
            let steps = (*size as u64 - 1).checked_mul(*stride as u64)?;
            span.checked_add(steps)
        })
}
