//! The directory of a zip file, as far as `torch.save` uses it: entries that are stored as they
//! are, of any size (zip64). PKWARE's APPNOTE.TXT, sections 4.3.7 to 4.3.16 and 4.5.3.

use super::error::{damaged, unsupported};
use super::file::WeightsFile;
use crate::error::EngineError;

/// What every zip file with an entry begins with.
pub(super) const LOCAL_HEADER: [u8; 4] = *b"PK\x03\x04";

const CENTRAL_HEADER: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const END_64_LOCATOR: u32 = 0x0706_4b50;

/// Bytes of the end record without its comment.
const END_BYTES: u64 = 22;
const END_64_BYTES: u64 = 56;
const END_64_LOCATOR_BYTES: u64 = 20;
const LOCAL_HEADER_BYTES: u64 = 30;
const CENTRAL_HEADER_BYTES: usize = 46;

/// The longest comment that the format allows.
const MAX_COMMENT_BYTES: u64 = 0xffff;

/// The largest directory that is read: some 200,000 entries.
const MAX_DIRECTORY_BYTES: u64 = 16 << 20;

/// Stands in a 32-bit field for a value in the zip64 extra field.
const IN_EXTRA_FIELD: u64 = 0xffff_ffff;

/// One stored file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path inside the archive.
    pub(super) name: String,
    /// Its length in bytes.
    pub(super) length: u64,
    header_offset: u64,
    /// Whether its bytes are in the archive as they are: neither compressed nor encrypted.
    is_plain: bool,
}

impl Entry {
    /// Where its bytes begin.
    ///
    /// # Errors
    /// It is compressed or encrypted, or its header is damaged.
    pub(super) fn offset(&self, file: &WeightsFile) -> Result<u64, EngineError> {
        if !self.is_plain {
            return Err(unsupported(format!(
                "`{}` in it is compressed, which `torch.save` never does",
                self.name
            )));
        }
        let header = file.read(self.header_offset, LOCAL_HEADER_BYTES)?;
        if !header.starts_with(&LOCAL_HEADER) {
            return Err(damaged(format!("the header of `{}` is broken", self.name)));
        }
        let mut fields = Fields(&header[26..]);
        let variable = fields.u16()? + fields.u16()?;
        Ok(self.header_offset + LOCAL_HEADER_BYTES + variable)
    }

    /// Its bytes, if they are at most `limit`.
    ///
    /// # Errors
    /// As [`Entry::offset`], or it is larger.
    pub(super) fn read(&self, file: &WeightsFile, limit: u64) -> Result<Vec<u8>, EngineError> {
        if self.length > limit {
            return Err(unsupported(format!(
                "`{}` in it has {} bytes, over the limit of {limit}",
                self.name, self.length
            )));
        }
        file.read(self.offset(file)?, self.length)
    }
}

/// The archive's files in the order of its directory.
///
/// # Errors
/// It is no zip file, or its directory is damaged or too large.
pub(super) fn entries(file: &WeightsFile) -> Result<Vec<Entry>, EngineError> {
    let (offset, length) = directory(file)?;
    if length > MAX_DIRECTORY_BYTES {
        return Err(unsupported(format!(
            "its directory has {length} bytes, over the limit of {MAX_DIRECTORY_BYTES}"
        )));
    }
    let bytes = file.read(offset, length)?;
    let mut fields = Fields(&bytes);
    let mut entries = Vec::new();
    while fields.0.len() >= CENTRAL_HEADER_BYTES {
        entries.push(central_header(&mut fields)?);
    }
    Ok(entries)
}

/// Offset and length of the central directory.
fn directory(file: &WeightsFile) -> Result<(u64, u64), EngineError> {
    let tail_length = file.length().min(END_BYTES + MAX_COMMENT_BYTES);
    let tail_offset = file.length() - tail_length;
    let tail = file.read(tail_offset, tail_length)?;
    let position = tail
        .windows(END_BYTES as usize)
        .rposition(|window| window.starts_with(&END.to_le_bytes()))
        .ok_or_else(|| damaged("it is a zip file without its end: it was cut off"))?;
    let mut fields = Fields(&tail[position + 12..]);
    let (length, offset) = (fields.u32()?, fields.u32()?);
    if offset != IN_EXTRA_FIELD && length != IN_EXTRA_FIELD {
        return Ok((offset, length));
    }
    directory_64(file, tail_offset + position as u64)
}

/// As [`directory`], from the zip64 records before the end record at `end`.
fn directory_64(file: &WeightsFile, end: u64) -> Result<(u64, u64), EngineError> {
    let locator_offset = end
        .checked_sub(END_64_LOCATOR_BYTES)
        .ok_or_else(|| damaged("its zip64 locator is missing"))?;
    let locator = file.read(locator_offset, END_64_LOCATOR_BYTES)?;
    let mut fields = Fields(&locator);
    if fields.u32()? != u64::from(END_64_LOCATOR) {
        return Err(damaged("its zip64 locator is missing"));
    }
    fields.skip(4)?;
    let record = file.read(fields.u64()?, END_64_BYTES)?;
    let mut fields = Fields(&record);
    if fields.u32()? != u64::from(END_64) {
        return Err(damaged("its zip64 end record is missing"));
    }
    fields.skip(36)?;
    let (length, offset) = (fields.u64()?, fields.u64()?);
    Ok((offset, length))
}

fn central_header(fields: &mut Fields<'_>) -> Result<Entry, EngineError> {
    if fields.u32()? != u64::from(CENTRAL_HEADER) {
        return Err(damaged("its directory is broken"));
    }
    fields.skip(4)?;
    let flags = fields.u16()?;
    let method = fields.u16()?;
    fields.skip(8)?;
    let (mut compressed, mut length) = (fields.u32()?, fields.u32()?);
    let name_length = fields.u16()?;
    let extra_length = fields.u16()?;
    let comment_length = fields.u16()?;
    fields.skip(8)?;
    let mut header_offset = fields.u32()?;
    let name = String::from_utf8_lossy(fields.take(name_length)?).into_owned();
    let mut extra = Fields(fields.take(extra_length)?);
    fields.skip(comment_length)?;
    let is_zip64 = |value: &u64| *value == IN_EXTRA_FIELD;
    if [length, compressed, header_offset].iter().any(is_zip64) {
        let mut wide = zip64_field(&mut extra)?;
        // In this order, only those that did not fit.
        for value in [&mut length, &mut compressed, &mut header_offset] {
            if is_zip64(value) {
                *value = wide.u64()?;
            }
        }
    }
    let is_encrypted = flags & 1 != 0;
    Ok(Entry {
        name,
        length,
        header_offset,
        is_plain: method == 0 && !is_encrypted && compressed == length,
    })
}

/// The zip64 block (id 1) of an extra field.
fn zip64_field<'a>(extra: &mut Fields<'a>) -> Result<Fields<'a>, EngineError> {
    loop {
        let (id, length) = (extra.u16()?, extra.u16()?);
        let block = extra.take(length)?;
        if id == 1 {
            return Ok(Fields(block));
        }
    }
}

/// Little-endian fields one after another.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], EngineError> {
        let split = usize::try_from(length)
            .ok()
            .and_then(|length| self.0.split_at_checked(length));
        let (taken, rest) = split.ok_or_else(|| damaged("its directory is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn skip(&mut self, length: u64) -> Result<(), EngineError> {
        self.take(length).map(|_| ())
    }

    /// The next field of `length` bytes.
    fn number(&mut self, length: u64) -> Result<u64, EngineError> {
        let bytes = self.take(length)?.iter().rev();
        Ok(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn u16(&mut self) -> Result<u64, EngineError> {
        self.number(2)
    }

    fn u32(&mut self) -> Result<u64, EngineError> {
        self.number(4)
    }

    fn u64(&mut self) -> Result<u64, EngineError> {
        self.number(8)
    }
}
