//! The choices that the command line and `override` entries make for groups.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::entry::{Choice, Entry, Target};
use crate::config::error::{ConfigError, ConfigErrorKind};
use crate::config::origin::Origin;
use crate::config::overrides::{Action, Element, Override};
use crate::config::source::Repository;

/// Who chooses what, and whether anything asked for it.
pub(in crate::config) struct Choices {
    overrides: IndexMap<String, ChoiceOverride>,
    deletions: IndexMap<String, Deletion>,
    /// `+group=option` of the command line.
    pub(super) appended: Vec<Entry>,
    /// The entries that chose in the end, by override key.
    pub(super) known: IndexMap<String, Entry>,
    /// Override keys by group.
    known_keys: IndexMap<String, Vec<String>>,
    /// The overrides that are about values, not groups.
    pub(in crate::config) values: Vec<Override>,
}

struct ChoiceOverride {
    choice: Choice,
    origin: Origin,
    is_external: bool,
    is_used: bool,
}

struct Deletion {
    name: Option<String>,
    origin: Origin,
    is_used: bool,
}

fn composition(message: impl Into<String>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Composition, message)
}

impl Choices {
    /// Tells the overrides of groups from those of values.
    pub(in crate::config) fn new(
        overrides: Vec<Override>,
        repository: &Repository<'_>,
    ) -> Result<Self, ConfigError> {
        let mut choices = Self {
            overrides: IndexMap::new(),
            deletions: IndexMap::new(),
            appended: Vec::new(),
            known: IndexMap::new(),
            known_keys: IndexMap::new(),
            values: Vec::new(),
        };
        for given in overrides {
            let is_map = matches!(given.element()?, Some(Element::Map(_)));
            if is_map || !repository.has_group(&given.key) {
                choices.values.push(given);
            } else {
                choices.add_group(&given)?;
            }
        }
        Ok(choices)
    }

    fn add_group(&mut self, given: &Override) -> Result<(), ConfigError> {
        let origin = given.origin();
        let key = given.full_key();
        match given.action {
            Action::ForceAdd => Err(
                composition(format!("`++` before the group `{}`", given.key))
                    .at(&origin)
                    .with_hint("write `group=option` to choose, `+group=option` to add a group"),
            ),
            Action::Delete => {
                let name = match given.element()? {
                    None => None,
                    Some(element) => Some(option_name(element).ok_or_else(|| {
                        composition("an option of a group is a text").at(&origin)
                    })?),
                };
                self.deletions.insert(
                    key,
                    Deletion {
                        name,
                        origin,
                        is_used: false,
                    },
                );
                Ok(())
            }
            Action::Add => {
                let target = Target::Group {
                    group: given.key.clone(),
                    choice: chosen(given)?,
                };
                let mut entry = Entry::new(target, given.package.clone(), origin);
                entry.is_appended = true;
                self.appended.push(entry);
                Ok(())
            }
            Action::Change => {
                let choice = ChoiceOverride {
                    choice: chosen(given)?,
                    origin,
                    is_external: true,
                    is_used: false,
                };
                self.overrides.insert(key, choice);
                Ok(())
            }
        }
    }

    /// Notes an `override` entry of a list, unless something stronger chooses already.
    pub(super) fn add_override(&mut self, entry: &Entry) {
        if let Target::Group { choice, .. } = &entry.target {
            self.overrides
                .entry(entry.override_key())
                .or_insert_with(|| ChoiceOverride {
                    choice: choice.clone(),
                    origin: entry.origin.clone(),
                    is_external: false,
                    is_used: false,
                });
        }
    }

    /// Replaces the choice of an entry that is overridden.
    pub(super) fn apply(&mut self, entry: &mut Entry) {
        let key = entry.override_key();
        if let Target::Group { choice, .. } = &mut entry.target
            && let Some(found) = self.overrides.get_mut(&key)
        {
            let own = std::mem::replace(choice, found.choice.clone());
            let written_at = std::mem::replace(&mut entry.origin, found.origin.clone());
            entry.overridden = Some((own, written_at));
            found.is_used = true;
        }
    }

    /// Whether the command line deletes the entry; notes that it found it.
    pub(super) fn delete(&mut self, entry: &Entry) -> bool {
        if !entry.is_group() {
            return false;
        }
        let Some(deletion) = self.deletions.get_mut(&entry.override_key()) else {
            return false;
        };
        let is_meant = deletion
            .name
            .as_ref()
            .is_none_or(|name| entry.name() == Some(name));
        deletion.is_used |= is_meant;
        is_meant
    }

    /// Notes what was chosen; a group may be chosen once.
    pub(super) fn note(&mut self, entry: &Entry) -> Result<(), ConfigError> {
        if !entry.is_group() {
            return Ok(());
        }
        let key = entry.override_key();
        match self.known.get(&key) {
            // Lists are walked from their end.
            Some(later) if later.name() != entry.name() => return Err(chosen_twice(entry, later)),
            Some(_) => {}
            None => {
                self.known.insert(key.clone(), entry.clone());
            }
        }
        let keys = self.known_keys.entry(entry.group_path()).or_default();
        if !keys.contains(&key) {
            keys.push(key);
        }
        Ok(())
    }

    /// Refuses overrides and deletions that met no entry.
    pub(super) fn check_all_used(&self) -> Result<(), ConfigError> {
        if let Some((key, unused)) = self.overrides.iter().find(|(_, found)| !found.is_used) {
            return Err(self.unused_override(key, unused));
        }
        if let Some((key, unused)) = self.deletions.iter().find(|(_, found)| !found.is_used) {
            let shown = match &unused.name {
                Some(name) => format!("{key}={name}"),
                None => key.clone(),
            };
            return Err(composition(format!(
                "there is no `{shown}` in the defaults lists to delete"
            ))
            .at(&unused.origin));
        }
        Ok(())
    }

    /// The option chosen of each group, by override key.
    pub(in crate::config) fn known_choices(&self) -> BTreeMap<String, Option<String>> {
        self.known
            .iter()
            .map(|(key, entry)| (key.clone(), entry.name().map(str::to_string)))
            .collect()
    }

    fn unused_override(&self, key: &str, unused: &ChoiceOverride) -> ConfigError {
        let group = key.split_once('@').map_or(key, |(group, _)| group);
        let error = composition(format!(
            "there is no `{key}` in the defaults lists to override"
        ))
        .at(&unused.origin);
        match self.known_keys.get(group) {
            Some(keys) => error.with_hint(format!("did you mean `{}`?", keys.join("` or `"))),
            None if unused.is_external => error.with_hint(format!(
                "to add the group write `+{key}={}`",
                unused.choice.shown()
            )),
            None => error,
        }
    }
}

/// The error for two entries that choose for one group. Only an entry nearer to the primary list
/// can override another, and of two in one list the later.
pub(super) fn chosen_twice(earlier: &Entry, later: &Entry) -> ConfigError {
    let overriding = if earlier.depth < later.depth {
        earlier
    } else {
        later
    };
    composition(format!("`{}` is chosen twice", overriding.override_key()))
        .at(overriding.written_at())
        .with_hint(format!(
            "to replace the other choice write `{}`",
            overriding.as_override()
        ))
}

fn option_name(element: &Element) -> Option<String> {
    match element {
        Element::Text(text) | Element::Quoted { text, .. } => Some(text.clone()),
        _ => None,
    }
}

/// The option or options that an override of a group names.
fn chosen(given: &Override) -> Result<Choice, ConfigError> {
    let refuse = || {
        composition(format!(
            "an option of the group `{}` is a text or a list of texts",
            given.key
        ))
        .at(&given.origin())
        .with_hint(format!(
            "put a name that looks like something else in quotes; to choose nothing write `~{}`",
            given.full_key()
        ))
    };
    match given.element()? {
        Some(Element::List(items)) => items
            .iter()
            .map(option_name)
            .collect::<Option<_>>()
            .map(Choice::Many)
            .ok_or_else(refuse),
        Some(element) => option_name(element).map(Choice::One).ok_or_else(refuse),
        None => Err(refuse()),
    }
}
