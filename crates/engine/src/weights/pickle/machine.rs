//! The stack machine.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::opcodes as op;
use super::rebuild::{self, Made};
use super::{Id, Pickle, Storage, Value, globals};
use crate::error::EngineError;
use crate::weights::error::{damaged, unsupported};

/// The largest pickle that is read: a network of 50,000 tensors takes some 10 MiB.
pub(in super::super) const MAX_BYTES: u64 = 16 << 20;

/// The most values that one makes, and the most that it remembers.
const MAX_VALUES: usize = 1_000_000;

/// The most tensors that one describes.
const MAX_TENSORS: usize = 100_000;

/// How deep containers may lie in each other.
const MAX_DEPTH: usize = 1_000;

/// The newest protocol that is read, that of Python 3.8 and later.
const NEWEST_PROTOCOL: u8 = 5;

/// Reads the pickle that `bytes` begins with. More may follow it.
///
/// # Errors
/// It is damaged, too large, or holds what weights are not made of.
pub(in super::super) fn read(bytes: &[u8]) -> Result<Pickle, EngineError> {
    let mut machine = Machine {
        bytes,
        position: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        storages: BTreeMap::new(),
        tensors: 0,
    };
    loop {
        let opcode = machine.byte()?;
        if opcode == op::STOP {
            break;
        }
        machine.step(opcode)?;
    }
    let root = machine.pop()?;
    Ok(Pickle {
        values: machine.values,
        root,
        length: machine.position,
        storages: machine.storages,
    })
}

struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack where marks were set.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    storages: BTreeMap<Rc<str>, Storage>,
    tensors: usize,
}

impl Machine<'_> {
    fn step(&mut self, opcode: u8) -> Result<(), EngineError> {
        match opcode {
            op::PROTO => self.protocol(),
            op::FRAME => self.take(8).map(|_| ()),
            op::MARK => self.mark(),
            op::POP => match self.marks.last() {
                Some(mark) if *mark == self.stack.len() => self.pop_mark().map(|_| ()),
                _ => self.pop().map(|_| ()),
            },
            op::POP_MARK => self.pop_mark().map(|_| ()),
            op::DUP => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            op::GLOBAL | op::STACK_GLOBAL => self.global(opcode),
            op::REDUCE | op::NEWOBJ => self.reduce(),
            op::BUILD => self.build(),
            op::BINPERSID => self.persistent(),
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.put(opcode),
            op::BINGET | op::LONG_BINGET => self.recall(opcode),
            _ => {
                if !self.scalar(opcode)? && !self.container(opcode)? {
                    return Err(unsupported(format!(
                        "its pickle has the instruction `{opcode:#04x}`, which weights do not need"
                    )));
                }
                Ok(())
            }
        }
    }

    /// Numbers, texts and constants; answers whether the opcode is one.
    fn scalar(&mut self, opcode: u8) -> Result<bool, EngineError> {
        let value = match opcode {
            op::NONE => Value::None,
            op::NEWTRUE => Value::Bool(true),
            op::NEWFALSE => Value::Bool(false),
            op::BININT => Value::Whole(i64::from(self.number(4)? as u32 as i32)),
            op::BININT1 => Value::Whole(self.number(1)? as i64),
            op::BININT2 => Value::Whole(self.number(2)? as i64),
            op::LONG1 => {
                let length = self.number(1)?;
                long(self.take(length)?)
            }
            op::LONG4 => {
                let length = self.number(4)?;
                long(self.take(length)?)
            }
            op::INT | op::LONG => decimal(self.line()?),
            op::BINFLOAT => {
                self.take(8)?;
                Value::Opaque
            }
            op::FLOAT => {
                self.line()?;
                Value::Opaque
            }
            op::SHORT_BINSTRING | op::SHORT_BINUNICODE => self.text(1)?,
            op::BINSTRING | op::BINUNICODE => self.text(4)?,
            op::BINUNICODE8 => self.text(8)?,
            op::SHORT_BINBYTES | op::BINBYTES | op::BINBYTES8 => {
                let width = match opcode {
                    op::SHORT_BINBYTES => 1,
                    op::BINBYTES => 4,
                    _ => 8,
                };
                let length = self.number(width)?;
                self.take(length)?;
                Value::Opaque
            }
            _ => return Ok(false),
        };
        self.push(value)?;
        Ok(true)
    }

    /// Lists, tuples, sets and dictionaries; answers whether the opcode is of one.
    fn container(&mut self, opcode: u8) -> Result<bool, EngineError> {
        match opcode {
            op::EMPTY_LIST | op::EMPTY_TUPLE | op::EMPTY_SET => {
                self.push(Value::Sequence(Vec::new()))?;
            }
            op::EMPTY_DICT => self.push(Value::Dict(Vec::new()))?,
            op::LIST | op::TUPLE | op::FROZENSET => {
                let items = self.pop_mark()?;
                self.push(Value::Sequence(items))?;
            }
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let count = usize::from(opcode - op::TUPLE1) + 1;
                let items = self.pop_many(count)?;
                self.push(Value::Sequence(items))?;
            }
            op::DICT => {
                let items = self.pop_mark()?;
                self.push(Value::Dict(pairs(&items)?))?;
            }
            op::APPEND => {
                let items = self.pop_many(1)?;
                self.extend(items)?;
            }
            op::APPENDS | op::ADDITEMS => {
                let items = self.pop_mark()?;
                self.extend(items)?;
            }
            op::SETITEM => {
                let items = self.pop_many(2)?;
                self.set_items(&items)?;
            }
            op::SETITEMS => {
                let items = self.pop_mark()?;
                self.set_items(&items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn mark(&mut self) -> Result<(), EngineError> {
        if self.marks.len() >= MAX_DEPTH {
            return Err(unsupported(format!(
                "its pickle is deeper than {MAX_DEPTH} levels"
            )));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn protocol(&mut self) -> Result<(), EngineError> {
        let protocol = self.byte()?;
        if protocol > NEWEST_PROTOCOL {
            return Err(unsupported(format!(
                "its pickle has protocol `{protocol}`, known is up to `{NEWEST_PROTOCOL}`"
            )));
        }
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Result<(), EngineError> {
        let (module, name) = if opcode == op::GLOBAL {
            let module = String::from_utf8_lossy(self.line()?).into_owned();
            (module, String::from_utf8_lossy(self.line()?).into_owned())
        } else {
            let name = self.pop()?;
            let module = self.pop()?;
            match (self.value(module), self.value(name)) {
                (Value::Text(module), Value::Text(name)) => (module.clone(), name.clone()),
                _ => return Err(damaged("its pickle names something by no text")),
            }
        };
        let global = globals::find(&module, &name)?;
        self.push(Value::Global(global))
    }

    /// A call in Python; here one of the functions of [`rebuild`].
    fn reduce(&mut self) -> Result<(), EngineError> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        match rebuild::call(&self.values, self.value(function), self.value(arguments))? {
            Made::Known(id) => {
                self.stack.push(id);
                Ok(())
            }
            Made::New(value) => self.push(value),
        }
    }

    /// Python would set the attributes of an object: of weights, `_metadata` of the dictionary.
    fn build(&mut self) -> Result<(), EngineError> {
        self.pop()?;
        self.top().map(|_| ())
    }

    fn persistent(&mut self) -> Result<(), EngineError> {
        let id = self.pop()?;
        let storage = rebuild::storage(&self.values, self.value(id))?;
        self.storages
            .insert(Rc::clone(&storage.key), storage.clone());
        self.push(Value::Storage(storage))
    }

    fn put(&mut self, opcode: u8) -> Result<(), EngineError> {
        let key = match opcode {
            op::BINPUT => self.number(1)? as u32,
            op::LONG_BINPUT => self.number(4)? as u32,
            _ => self.memo.len() as u32,
        };
        let top = self.top()?;
        if self.memo.len() >= MAX_VALUES {
            return Err(too_many_values());
        }
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<(), EngineError> {
        let width = if opcode == op::BINGET { 1 } else { 4 };
        let key = self.number(width)? as u32;
        let id = self.memo.get(&key).copied();
        let id = id.ok_or_else(|| damaged("its pickle recalls what it never kept"))?;
        self.stack.push(id);
        Ok(())
    }

    fn extend(&mut self, items: Vec<Id>) -> Result<(), EngineError> {
        let target = self.top()?;
        match self.values.get_mut(target as usize) {
            Some(Value::Sequence(list)) => list.extend(items),
            // An object with list items of its own; nothing of it is weights.
            Some(Value::Opaque) => {}
            _ => return Err(damaged("its pickle appends to what is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), EngineError> {
        let items = pairs(items)?;
        let target = self.top()?;
        match self.values.get_mut(target as usize) {
            Some(Value::Dict(entries)) => entries.extend(items),
            Some(Value::Opaque) => {}
            _ => return Err(damaged("its pickle sets an item of what is no dictionary")),
        }
        Ok(())
    }

    fn push(&mut self, value: Value) -> Result<(), EngineError> {
        self.tensors += usize::from(matches!(value, Value::Tensor(_)));
        if self.values.len() >= MAX_VALUES || self.tensors > MAX_TENSORS {
            return Err(too_many_values());
        }
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
        Ok(())
    }

    fn value(&self, id: Id) -> &Value {
        self.values.get(id as usize).unwrap_or(&Value::Opaque)
    }

    /// Whether an item lies above the newest mark.
    fn is_above_mark(&self, count: usize) -> bool {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack.len() >= floor + count
    }

    fn top(&self) -> Result<Id, EngineError> {
        self.stack
            .last()
            .copied()
            .filter(|_| self.is_above_mark(1))
            .ok_or_else(empty)
    }

    fn pop(&mut self) -> Result<Id, EngineError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, EngineError> {
        if !self.is_above_mark(count) {
            return Err(empty());
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, EngineError> {
        let mark = self.marks.pop().ok_or_else(empty)?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn byte(&mut self) -> Result<u8, EngineError> {
        self.take(1)?.first().copied().ok_or_else(cut_off)
    }

    fn take(&mut self, length: u64) -> Result<&[u8], EngineError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = rest.get(..length).ok_or_else(cut_off)?;
        self.position += length;
        Ok(taken)
    }

    /// A little-endian number of `width` bytes.
    fn number(&mut self, width: u64) -> Result<u64, EngineError> {
        let bytes = self.take(width)?.iter().rev();
        Ok(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A text after its length in `width` bytes.
    fn text(&mut self, width: u64) -> Result<Value, EngineError> {
        let length = self.number(width)?;
        let bytes = self.take(length)?;
        Ok(Value::Text(String::from_utf8_lossy(bytes).into_owned()))
    }

    /// The bytes up to the next line feed.
    fn line(&mut self) -> Result<&[u8], EngineError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n');
        let length = length.ok_or_else(cut_off)?;
        self.position += length + 1;
        Ok(&rest[..length])
    }
}

/// A two's complement number of up to eight bytes; longer ones are no sizes of weights.
fn long(bytes: &[u8]) -> Value {
    let Some(last) = bytes.last() else {
        return Value::Whole(0);
    };
    if bytes.len() > 8 {
        return Value::Opaque;
    }
    let sign = if last & 0x80 == 0 { 0 } else { -1 };
    let number = bytes
        .iter()
        .rev()
        .fold(sign, |number: i64, byte| number << 8 | i64::from(*byte));
    Value::Whole(number)
}

/// A number in decimal digits; protocol 0 writes truth values as `01` and `00`, and an `L` after
/// the long ones.
fn decimal(digits: &[u8]) -> Value {
    match digits {
        b"00" => Value::Bool(false),
        b"01" => Value::Bool(true),
        _ => std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.trim_end_matches('L').parse().ok())
            .map_or(Value::Opaque, Value::Whole),
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, EngineError> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(damaged("its pickle has a key without a value"));
    }
    Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
}

fn too_many_values() -> EngineError {
    unsupported(format!(
        "its pickle has more than {MAX_VALUES} values or {MAX_TENSORS} tensors"
    ))
}

fn empty() -> EngineError {
    damaged("its pickle takes from an empty stack")
}

fn cut_off() -> EngineError {
    damaged("its pickle is cut off")
}
