//! Hydra's defaults lists: which configurations are merged, in which order, and where to.
//!
//! A port of `hydra/_internal/defaults_list.py` and `hydra/core/default_element.py` (Hydra 1.3).

mod choices;
mod entry;
mod read;
mod tree;

pub(super) use choices::Choices;
pub(super) use entry::Entry;
pub(super) use read::read_defaults;
pub(super) use tree::defaults_list;
