//! Reads Python's pickles as far as `torch.save` writes weights with them, **without executing
//! anything**.
//!
//! A pickle is a program for a stack machine; Python's own reader lets it import and call what it
//! likes. This one has the machine, but the only "calls" are the few of [`globals`], each a
//! function here that builds a plain value; every other name is refused. Opcodes:
//! `Lib/pickletools.py` of CPython.

mod globals;
mod machine;
mod opcodes;
mod rebuild;

pub(super) use machine::{MAX_BYTES, read};

use std::collections::BTreeMap;
use std::rc::Rc;

use super::element::Element;

/// Position of a value in its [`Pickle`].
pub(super) type Id = u32;

/// A value of a pickle. Containers hold the positions of their items: a value that stands in two
/// places, or in itself, costs nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Whole(i64),
    Text(String),
    /// A list, a tuple or a set.
    Sequence(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A name that stands for something Python would import.
    Global(globals::Global),
    Storage(Storage),
    Tensor(Box<Tensor>),
    /// Something that no weights are made of: a number of the optimiser, a date, a setting.
    Opaque,
}

/// A block of numbers that lies outside of the pickle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    pub(super) key: Rc<str>,
    /// None: untyped, the tensor says it.
    pub(super) element: Option<Element>,
    /// How many numbers; bytes when untyped.
    pub(super) length: u64,
}

/// A view into a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) storage: Rc<str>,
    pub(super) element: Element,
    /// How many numbers the storage has.
    pub(super) storage_length: u64,
    /// The first number.
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    /// Numbers from one index to the next, by dimension.
    pub(super) strides: Vec<usize>,
}

/// A pickle that has been read.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    root: Id,
    /// How many bytes it took.
    pub(super) length: usize,
    /// Every storage that it names, by key.
    pub(super) storages: BTreeMap<Rc<str>, Storage>,
}

impl Pickle {
    /// What was pickled.
    pub(super) fn root(&self) -> &Value {
        self.get(self.root)
    }

    /// The value at a position.
    pub(super) fn get(&self, id: Id) -> &Value {
        self.values.get(id as usize).unwrap_or(&Value::Opaque)
    }

    /// The entries of a dictionary whose keys are texts; none for other values.
    pub(super) fn entries<'a>(
        &'a self,
        value: &'a Value,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let pairs = match value {
            Value::Dict(pairs) => pairs.as_slice(),
            _ => &[],
        };
        pairs
            .iter()
            .filter_map(|(key, value)| match self.get(*key) {
                Value::Text(key) => Some((key.as_str(), self.get(*value))),
                _ => None,
            })
    }
}

#[cfg(test)]
mod tests;
