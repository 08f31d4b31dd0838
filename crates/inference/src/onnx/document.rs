//! A model that is being read: its structure in memory, its large tensors where they lie.
//!
//! For a model in a file, the *outline* is the file without the bytes of large tensors: the same
//! messages, with empty `raw_data`, so that all who read the structure read plain bytes, and are told
//! for each tensor where its numbers are. For a model in memory the outline is the model.

use std::borrow::Cow;
use std::ops::Range;

use super::limits::{OnnxLimits, check_beginning, check_structure};
use super::source::{OnnxSource, Positioned};
use crate::error::InferenceError;

/// Tensors of fewer bytes are part of the outline.
pub(crate) const LARGE_BYTES: u64 = 16 * 1024;

/// Bytes of a file that are looked at together.
const WINDOW_BYTES: u64 = 16 * 1024;

/// Bytes that tell another kind of file from a model.
const BEGINNING_BYTES: u64 = 32;

/// A model that has passed the walk with limits.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    source: Positioned<'a>,
    outline: Cow<'a, [u8]>,
    /// Where pieces of the outline begin, and where they are from; none where it is the model.
    pieces: Vec<(usize, u64)>,
    /// Where the outline has an empty tensor in place of these bytes of the model.
    left_out: Vec<(usize, Range<u64>)>,
}

/// Calls `work` with a model, and once more where its file was written to meanwhile, unless its bytes were
/// checked before: those that are there now were not.
///
/// # Errors
/// As [`Document::open`] and `work`, or the file is written to again and again.
pub(crate) fn with_document<T>(
    source: OnnxSource<'_>,
    limits: &OnnxLimits,
    work: impl Fn(&Document<'_>) -> Result<T, InferenceError>,
) -> Result<T, InferenceError> {
    let once = || {
        let source = Positioned::of(source)?;
        let result = Document::of(source.clone(), limits).and_then(|document| work(&document));
        Ok((result, source.check_unchanged()))
    };
    let (result, unchanged) = once()?;
    if unchanged.is_ok() {
        return result;
    }
    if !source.may_change() {
        // What else may be wrong with it comes of that.
        return unchanged.and(result);
    }
    drop(result);
    let (result, unchanged) = once()?;
    unchanged.and(result)
}

impl<'a> Document<'a> {
    /// Opens a model within limits.
    ///
    /// # Errors
    /// When it is empty, no ONNX, damaged, too large, keeps weights in other files, or its file
    /// cannot be read.
    pub(crate) fn open(
        source: OnnxSource<'a>,
        limits: &OnnxLimits,
    ) -> Result<Self, InferenceError> {
        Self::of(Positioned::of(source)?, limits)
    }

    fn of(source: Positioned<'a>, limits: &OnnxLimits) -> Result<Self, InferenceError> {
        let beginning = source.piece(0..source.len().min(BEGINNING_BYTES))?;
        check_beginning(source.len(), &beginning, limits)?;
        let document = match source.bytes() {
            Some(bytes) => Self {
                outline: Cow::Borrowed(bytes),
                pieces: Vec::new(),
                left_out: Vec::new(),
                source,
            },
            None => outlined(source)?,
        };
        check_structure(&document, limits)?;
        Ok(document)
    }

    /// The model's messages, large tensors' `raw_data` being empty.
    pub(crate) fn outline(&self) -> &[u8] {
        &self.outline
    }

    /// The model's length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.source.len()
    }

    /// The place in the model of some bytes of the outline.
    pub(crate) fn place(&self, of: &[u8]) -> u64 {
        let place = self.place_in_outline(of);
        let piece = self.pieces.partition_point(|(start, _)| *start <= place);
        match piece.checked_sub(1).map(|piece| self.pieces[piece]) {
            Some((start, from)) => from + (place - start) as u64,
            None => place as u64,
        }
    }

    fn place_in_outline(&self, of: &[u8]) -> usize {
        of.as_ptr().addr() - self.outline.as_ptr().addr()
    }

    /// The place in the model of a tensor's `raw_data`, as the outline has it.
    pub(crate) fn tensor_place(&self, raw: &[u8]) -> Range<u64> {
        let place = self.place_in_outline(raw);
        let left_out = self.left_out.binary_search_by_key(&place, |(at, _)| *at);
        match left_out {
            // An empty field has a place of its own: two bytes are before it.
            Ok(index) if raw.is_empty() => self.left_out[index].1.clone(),
            _ => {
                let start = self.place(raw);
                start..start + raw.len() as u64
            }
        }
    }

    /// Bytes of the model, copied where it is in a file.
    pub(crate) fn piece(&self, range: Range<u64>) -> Result<Cow<'a, [u8]>, InferenceError> {
        self.source.piece(range)
    }

    /// Fills `target` with the bytes of the model from `start` on.
    pub(crate) fn read(&self, start: u64, target: &mut [u8]) -> Result<(), InferenceError> {
        self.source.read(start, target)
    }

    /// The whole model, for runtimes that want it in memory.
    pub(crate) fn whole(&self) -> Result<Cow<'a, [u8]>, InferenceError> {
        self.source.piece(0..self.source.len())
    }
}

/// The messages on the way to tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
}

impl Level {
    /// The message in a field, if there are tensors in it.
    fn inner(self, field: u64) -> Option<Self> {
        match (self, field) {
            (Self::Model, 7) => Some(Self::Graph),
            (Self::Graph, 1) => Some(Self::Node),
            (Self::Graph, 5) | (Self::Attribute, 5) => Some(Self::Tensor),
            (Self::Node, 5) => Some(Self::Attribute),
            _ => None,
        }
    }
}

/// Reads the structure of a model in a file.
fn outlined(source: Positioned<'_>) -> Result<Document<'_>, InferenceError> {
    let mut outliner = Outliner {
        source: &source,
        window: Vec::new(),
        window_start: 0,
        outline: Vec::new(),
        pieces: Vec::new(),
        left_out: Vec::new(),
    };
    outliner.message(Level::Model, 0..source.len())?;
    Ok(Document {
        outline: Cow::Owned(outliner.outline),
        pieces: outliner.pieces,
        left_out: outliner.left_out,
        source,
    })
}

struct Outliner<'a> {
    source: &'a Positioned<'a>,
    window: Vec<u8>,
    window_start: u64,
    outline: Vec<u8>,
    pieces: Vec<(usize, u64)>,
    left_out: Vec<(usize, Range<u64>)>,
}

/// A field's number and where it lies.
struct Header {
    number: u64,
    /// Where the length begins, of a field that has one.
    length_at: Option<u64>,
    body: Range<u64>,
}

/// Bytes in which the length of a message is written that is not known yet.
const LENGTH_BYTES: usize = 5;

impl Outliner<'_> {
    /// Copies a message without its large tensors. What cannot be read is copied as it is, for the
    /// walk with limits to tell of.
    fn message(&mut self, level: Level, range: Range<u64>) -> Result<(), InferenceError> {
        let (mut at, mut copied) = (range.start, range.start);
        while at < range.end {
            let Some(field) = self.header(at, range.end)? else {
                break;
            };
            let is_large = field.body.end - field.body.start >= LARGE_BYTES;
            if let Some(length_at) = field.length_at.filter(|_| is_large) {
                let is_data = level == Level::Tensor && field.number == 9;
                let inner = level.inner(field.number);
                if is_data || inner.is_some() {
                    self.copy(copied..length_at)?;
                    copied = field.body.end;
                }
                if is_data {
                    self.outline.push(0);
                    self.left_out.push((self.outline.len(), field.body.clone()));
                } else if let Some(inner) = inner {
                    let start = self.outline.len();
                    self.outline.extend([0; LENGTH_BYTES]);
                    self.message(inner, field.body.clone())?;
                    let length = self.outline.len() - start - LENGTH_BYTES;
                    self.outline[start..start + LENGTH_BYTES].copy_from_slice(&long_varint(length));
                }
            }
            at = field.body.end;
        }
        self.copy(copied..range.end)
    }

    /// Copies bytes of the file as they are.
    fn copy(&mut self, range: Range<u64>) -> Result<(), InferenceError> {
        let start = self.outline.len();
        self.pieces.push((start, range.start));
        self.outline
            .resize(start + (range.end - range.start) as usize, 0);
        self.source.read(range.start, &mut self.outline[start..])
    }

    /// The field at a place, read as [`super::wire::Fields`] reads it; none where it cannot be.
    fn header(&mut self, start: u64, end: u64) -> Result<Option<Header>, InferenceError> {
        let mut at = start;
        let Some(tag) = self.varint(&mut at, end)? else {
            return Ok(None);
        };
        let mut length_at = None;
        let len = match tag & 7 {
            0 => self.varint(&mut at, end)?.map(|_| 0),
            1 => Some(8),
            2 => {
                length_at = Some(at);
                self.varint(&mut at, end)?
            }
            5 => Some(4),
            _ => None,
        };
        let body_end = len.and_then(|len| at.checked_add(len));
        let body_end = body_end.filter(|body_end| *body_end <= end && tag >> 3 > 0);
        Ok(body_end.map(|body_end| Header {
            number: tag >> 3,
            length_at,
            body: at..body_end,
        }))
    }

    fn varint(&mut self, at: &mut u64, end: u64) -> Result<Option<u64>, InferenceError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            if *at >= end {
                return Ok(None);
            }
            let byte = self.byte(*at)?;
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn byte(&mut self, at: u64) -> Result<u8, InferenceError> {
        let within = |start: u64| usize::try_from(at.checked_sub(start)?).ok();
        if let Some(byte) = within(self.window_start).and_then(|at| self.window.get(at)) {
            return Ok(*byte);
        }
        let len = WINDOW_BYTES
            .min(self.source.len().saturating_sub(at))
            .max(1);
        self.window.resize(len as usize, 0);
        self.window_start = at;
        self.source.read(at, &mut self.window)?;
        Ok(self.window[0])
    }
}

/// A number in five bytes, which is more than most need.
fn long_varint(value: usize) -> [u8; LENGTH_BYTES] {
    std::array::from_fn(|index| {
        let more = if index + 1 < LENGTH_BYTES { 0x80 } else { 0 };
        (value >> (7 * index) & 0x7f) as u8 | more
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;
    use crate::error::InferenceErrorKind;
    use crate::onnx::wire::{Fields, write_bytes_field};

    /// A model of tensors with so many bytes each.
    fn model(sizes: &[usize]) -> Vec<u8> {
        let mut graph = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            let mut tensor = Vec::new();
            write_bytes_field(&mut tensor, 8, format!("tensor {index}").as_bytes());
            write_bytes_field(&mut tensor, 9, &vec![index as u8; *size]);
            write_bytes_field(&mut graph, 5, &tensor);
        }
        let mut model = vec![0x08, 8];
        write_bytes_field(&mut model, 7, &graph);
        write_bytes_field(&mut model, 2, b"by hand");
        model
    }

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn open(file: &File) -> Result<Document<'_>, InferenceError> {
        Document::open(file.into(), &OnnxLimits::default())
    }

    /// The tensors' `raw_data` in the outline.
    fn tensors<'a>(document: &'a Document<'_>) -> Vec<&'a [u8]> {
        let inner = |bytes, number| {
            let fields = Fields::of(bytes).flatten();
            fields
                .filter(move |field| field.number == number)
                .filter_map(|field| field.bytes())
        };
        inner(document.outline(), 7)
            .flat_map(|graph| inner(graph, 5))
            .flat_map(|tensor| inner(tensor, 9))
            .collect()
    }

    #[test]
    fn the_outline_has_no_large_tensors_and_tells_where_they_are() {
        let sizes = [
            3,
            100_000,
            0,
            LARGE_BYTES as usize,
            LARGE_BYTES as usize - 1,
            20_000,
        ];
        let bytes = model(&sizes);
        let file = file_of(&bytes);
        let [from_file, from_bytes] = [OnnxSource::File(&file), OnnxSource::Bytes(&bytes)]
            .map(|source| Document::open(source, &OnnxLimits::default()).unwrap());
        assert!(from_file.outline().len() < 20_000);
        assert_eq!(from_bytes.outline(), bytes);
        assert_eq!(from_file.len(), bytes.len() as u64);
        assert_eq!(&from_file.whole().unwrap()[..], bytes);
        for document in [&from_file, &from_bytes] {
            for (index, raw) in tensors(document).into_iter().enumerate() {
                let place = document.tensor_place(raw);
                let piece = document.piece(place).unwrap();
                assert_eq!(&piece[..], vec![index as u8; sizes[index]], "{index}");
            }
            assert_eq!(tensors(document).len(), sizes.len());
        }
    }

    #[test]
    fn a_cut_or_changed_file_is_refused_as_its_bytes_are() {
        let whole = model(&[10, 20_000, 30_000, 5]);
        let lengths = (0..200)
            .chain(19_900..20_300)
            .chain(whole.len() - 300..whole.len());
        let cut = lengths.map(|length| whole[..length].to_vec());
        let structure = (0..100).chain(20_000..20_100);
        let flipped = structure.flat_map(|at| [0, 3, 7].map(|bit| (at, bit)));
        let flipped = flipped.map(|(at, bit)| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            bytes
        });
        for bytes in cut.chain(flipped) {
            let file = file_of(&bytes);
            let ours = open(&file).map(|_| ());
            let expected = Document::open((&bytes).into(), &OnnxLimits::default()).map(|_| ());
            assert_eq!(ours, expected, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn a_file_that_gets_shorter_while_it_is_read_is_an_error() {
        let bytes = model(&[100_000, 100_000]);
        let file = file_of(&bytes);
        let document = open(&file).unwrap();
        let places: Vec<Range<u64>> = tensors(&document)
            .into_iter()
            .map(|raw| document.tensor_place(raw))
            .collect();
        document.source.check_unchanged().unwrap();
        file.set_len(150_000).unwrap();
        assert!(document.piece(places[0].clone()).is_ok());
        let error = document.piece(places[1].clone()).unwrap_err();
        assert_eq!(error.kind(), InferenceErrorKind::Unreadable);
        assert!(error.to_string().contains("shorter"), "{error}");
        assert!(error.hint().is_some());
        let error = document.source.check_unchanged().unwrap_err();
        assert_eq!(error.kind(), InferenceErrorKind::Unreadable);
        assert!(document.whole().is_err());
    }

    #[test]
    fn a_file_that_is_written_to_meanwhile_is_read_once_more() {
        let bytes = model(&[20_000]);
        let file = file_of(&bytes);
        let calls = std::cell::Cell::new(0);
        // Another time in each of the first `touched` calls.
        let read = |touched: u64, len: u64| {
            calls.set(0);
            with_document((&file).into(), &OnnxLimits::default(), |document| {
                calls.set(calls.get() + 1);
                if calls.get() <= touched {
                    let time = std::time::Duration::from_secs(1_000 * touched + calls.get());
                    file.set_len(len).unwrap();
                    file.set_modified(std::time::UNIX_EPOCH + time).unwrap();
                }
                Ok(document.len())
            })
        };
        let len = bytes.len() as u64;
        assert_eq!(read(0, len), Ok(len));
        assert_eq!(calls.get(), 1);
        assert_eq!(read(1, len), Ok(len));
        assert_eq!(calls.get(), 2);
        let error = read(2, len).unwrap_err();
        assert_eq!(error.kind(), InferenceErrorKind::Unreadable);
        assert!(error.to_string().contains("changed"), "{error}");
        // What is left of it is told of.
        let error = read(1, len / 2).unwrap_err();
        assert_eq!(error.kind(), InferenceErrorKind::Corrupt);
    }

    #[test]
    fn a_checked_file_that_is_written_to_since_is_refused() {
        let bytes = model(&[20_000]);
        let file = file_of(&bytes);
        let checked = file.metadata().unwrap().modified().unwrap();
        let read = || {
            let source = OnnxSource::Checked(&file, checked);
            with_document(
                source,
                &OnnxLimits::default(),
                |document| Ok(document.len()),
            )
        };
        assert_eq!(read(), Ok(bytes.len() as u64));
        let later = checked + std::time::Duration::from_millis(10);
        file.set_modified(later).unwrap();
        let error = read().unwrap_err();
        assert_eq!(error.kind(), InferenceErrorKind::Unreadable);
        assert!(error.to_string().contains("changed"), "{error}");
    }

    #[test]
    fn a_file_over_the_limit_is_not_read() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 33).unwrap();
        assert_eq!(
            open(&file).unwrap_err().kind(),
            InferenceErrorKind::TooLarge
        );
    }

    #[test]
    fn a_folder_is_no_model() {
        let folder = File::open(env!("CARGO_MANIFEST_DIR")).unwrap();
        assert_eq!(
            open(&folder).unwrap_err().kind(),
            InferenceErrorKind::Unreadable
        );
    }
}
