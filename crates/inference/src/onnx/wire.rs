//! Protobuf's wire format (<https://protobuf.dev/programming-guides/encoding/>), borrowed.

/// Bytes that are no protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WireError {
    /// Offset of the field that cannot be read.
    pub(crate) offset: usize,
}

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64,
    /// A string, bytes, a nested message or packed numbers.
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) value: Value<'a>,
    /// The whole field as it stands in the file, tag included.
    pub(crate) raw: &'a [u8],
}

impl<'a> Field<'a> {
    /// The nested bytes, if the field has them.
    pub(crate) fn bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The nested text, with bytes that are no UTF-8 replaced.
    pub(crate) fn text(&self) -> Option<String> {
        self.bytes()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The number, if the field is one.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self.value {
            // Negative numbers are written as their 64-bit two's complement.
            Value::Varint(bits) => Some(bits.cast_signed()),
            _ => None,
        }
    }
}

/// The fields of a message, one after the other; ends after the first unreadable one.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    fn next_field(&mut self) -> Option<Field<'a>> {
        let start = self.offset;
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed64)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            // Groups (3 and 4) are not used by ONNX, 6 and 7 do not exist.
            _ => return None,
        };
        let number = tag >> 3;
        (number > 0).then(|| Field {
            number,
            value,
            raw: &self.bytes[start..self.offset],
        })
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value: u64 = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.offset)?;
            self.offset += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.offset.checked_add(length)?;
        let taken = self.bytes.get(self.offset..end)?;
        self.offset = end;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.bytes.len() {
            return None;
        }
        let offset = self.offset;
        let field = self.next_field();
        if field.is_none() {
            self.offset = self.bytes.len();
        }
        Some(field.ok_or(WireError { offset }))
    }
}

/// The numbers of a repeated field of floats in one occurrence, packed or not.
pub(crate) fn floats(field: &Field<'_>) -> Vec<f32> {
    match field.value {
        Value::Fixed32(bits) => vec![f32::from_bits(bits)],
        Value::Bytes(bytes) => {
            let (numbers, _) = bytes.as_chunks::<4>();
            numbers
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect()
        }
        Value::Varint(_) | Value::Fixed64 => Vec::new(),
    }
}

/// The numbers of a repeated integer field in one occurrence, packed or not.
pub(crate) fn integers(field: &Field<'_>) -> Vec<i64> {
    match field.value {
        Value::Varint(bits) => vec![bits.cast_signed()],
        Value::Bytes(bytes) => {
            let mut packed = Fields::of(bytes);
            std::iter::from_fn(|| packed.varint())
                .map(u64::cast_signed)
                .collect()
        }
        Value::Fixed32(_) | Value::Fixed64 => Vec::new(),
    }
}

/// Appends a length-delimited field.
pub(crate) fn write_bytes_field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    write_varint(out, number << 3 | 2);
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut bytes = Vec::new();
        write_bytes_field(&mut bytes, 14, &[7; 300]);
        let field = Fields::of(&bytes).next().unwrap().unwrap();
        assert_eq!(field.number, 14);
        assert_eq!(field.bytes(), Some(&[7; 300][..]));
        assert_eq!(field.raw, bytes);
    }

    #[test]
    fn every_truncation_of_a_field_is_an_error() {
        let mut bytes = Vec::new();
        write_bytes_field(&mut bytes, 7, b"network");
        for length in 1..bytes.len() {
            let read: Result<Vec<_>, _> = Fields::of(&bytes[..length]).collect();
            assert_eq!(read.unwrap_err(), WireError { offset: 0 }, "{length} bytes");
        }
    }

    #[test]
    fn a_length_beyond_the_address_space_is_an_error() {
        let mut bytes = vec![0x3a];
        bytes.extend([0xff; 9]);
        bytes.push(0x01);
        assert!(Fields::of(&bytes).next().unwrap().is_err());
    }

    #[test]
    fn a_negative_number_is_read() {
        let bytes = [
            0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        ];
        let field = Fields::of(&bytes).next().unwrap().unwrap();
        assert_eq!(field.integer(), Some(-1));
    }
}
