//! From the primary configuration to the list of everything that is merged.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::choices::{Choices, chosen_twice};
use super::entry::{Choice, Entry, Target};
use crate::config::error::{ConfigError, ConfigErrorKind};
use crate::config::interpolation;
use crate::config::node::{Map, Node, Value};
use crate::config::origin::Origin;
use crate::config::source::{Loaded, Repository};

/// The deepest nesting of defaults lists.
const MAX_DEPTH: usize = 32;
/// The most entries in all lists together.
const MAX_ENTRIES: usize = 2_000;

/// A configuration that is merged, and where to.
#[derive(Debug)]
pub(in crate::config) struct Part {
    /// The parsed file.
    pub(in crate::config) loaded: Rc<Loaded>,
    /// Dotted key of its place; empty for the root.
    pub(in crate::config) package: String,
}

/// An entry with the entries of its file's own list.
struct Tree {
    entry: Entry,
    children: Vec<Child>,
}

enum Child {
    /// An entry whose file has no list of its own, or `_self_`.
    Leaf(Entry),
    Branch(Tree),
}

fn composition(message: impl Into<String>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Composition, message)
}

/// Everything that is merged, in order.
pub(in crate::config) fn defaults_list(
    repository: &Repository<'_>,
    choices: &mut Choices,
) -> Result<Vec<Part>, ConfigError> {
    let mut primary = Entry::config("", Origin::Program);
    primary.is_primary = true;
    let mut builder = Builder {
        repository,
        choices,
        primary: Rc::new(repository.primary()?),
        entries: 0,
    };
    let tree = builder.tree(primary, Context::default())?;
    let mut merged = Vec::new();
    collect(tree, &mut merged);
    refuse_duplicates(&merged)?;
    builder.choices.check_all_used()?;
    merged
        .iter()
        .filter(|entry| entry.name().is_some())
        .map(|entry| builder.part(entry))
        .collect()
}

/// How a subtree is reached.
#[derive(Debug, Clone, Copy, Default)]
struct Context {
    depth: usize,
    /// Whether an interpolated choice leads here.
    is_interpolated: bool,
}

impl Context {
    const fn below(self) -> Self {
        Self {
            depth: self.depth + 1,
            ..self
        }
    }
}

struct Builder<'a, 'r> {
    repository: &'a Repository<'r>,
    choices: &'a mut Choices,
    primary: Rc<Loaded>,
    entries: usize,
}

impl Builder<'_, '_> {
    fn load(&self, entry: &Entry) -> Result<Option<Rc<Loaded>>, ConfigError> {
        if entry.is_primary {
            return Ok(Some(Rc::clone(&self.primary)));
        }
        self.repository
            .load(&entry.config_path())
            .map_err(|error| error.at(&entry.origin))
    }

    fn part(&self, entry: &Entry) -> Result<Part, ConfigError> {
        let loaded = self.load(entry)?.ok_or_else(|| self.not_found(entry))?;
        Ok(Part {
            loaded,
            package: entry.final_package(),
        })
    }

    fn tree(&mut self, mut entry: Entry, context: Context) -> Result<Tree, ConfigError> {
        self.check_limits(&entry, context)?;
        entry.depth = context.depth;
        let leaf = |entry| {
            Ok(Tree {
                entry,
                children: Vec::new(),
            })
        };
        let has_file = entry.name().is_some() && !entry.is_missing();
        let loaded = if has_file { self.load(&entry)? } else { None };
        entry.header = loaded.as_ref().and_then(|loaded| loaded.package.clone());
        if self.choices.delete(&entry) {
            entry.is_deleted = true;
            return leaf(entry);
        }
        self.choices.note(&entry)?;
        if entry.is_missing() {
            return Err(self.not_chosen(&entry));
        }
        if entry.name().is_none() {
            return leaf(entry);
        }
        let Some(loaded) = loaded else {
            if entry.is_optional {
                entry.is_deleted = true;
                return leaf(entry);
            }
            return Err(self.not_found(&entry));
        };
        let list = self.list_of(&entry, &loaded, context)?;
        let children = self.children(&entry, list, context)?;
        Ok(Tree { entry, children })
    }

    fn check_limits(&mut self, entry: &Entry, context: Context) -> Result<(), ConfigError> {
        self.entries += 1;
        if context.depth > MAX_DEPTH || self.entries > MAX_ENTRIES {
            return Err(composition("the defaults lists are nested without end")
                .at(&entry.origin)
                .with_hint(
                    "a configuration names itself in its defaults, directly or by way of others",
                ));
        }
        Ok(())
    }

    /// The file's own list with `_self_` in it and the command line's additions, placed.
    fn list_of(
        &mut self,
        parent: &Entry,
        loaded: &Loaded,
        context: Context,
    ) -> Result<Vec<Entry>, ConfigError> {
        let mut list = loaded.defaults.clone();
        let appended = if parent.is_primary {
            self.choices.appended.clone()
        } else {
            Vec::new()
        };
        if !list.is_empty() || !appended.is_empty() {
            add_self(&mut list, &loaded.content.origin)?;
        }
        list.extend(appended);
        let (group, package) = (parent.group_path(), parent.final_package());
        for entry in &mut list {
            if !entry.is_self() {
                entry.place(&group, &package);
            }
        }
        self.note_overrides(&list, context)?;
        Ok(list)
    }

    fn note_overrides(&mut self, list: &[Entry], context: Context) -> Result<(), ConfigError> {
        let mut has_override = false;
        for entry in list.iter().filter(|entry| !entry.is_self()) {
            if has_override && !entry.is_override && !entry.is_appended {
                return Err(composition("an entry after an `override` entry")
                    .at(&entry.origin)
                    .with_hint("`override` entries come last in a defaults list"));
            }
            if !entry.is_override {
                continue;
            }
            has_override = true;
            if context.is_interpolated {
                return Err(composition(
                    "an `override` entry below a group that an interpolation chooses",
                )
                .at(&entry.origin));
            }
            self.choices.add_override(entry);
        }
        Ok(())
    }

    /// The list's subtrees. Later entries are walked first, so that their overrides win.
    fn children(
        &mut self,
        parent: &Entry,
        list: Vec<Entry>,
        context: Context,
    ) -> Result<Vec<Child>, ConfigError> {
        let mut children = Vec::new();
        for mut entry in list.into_iter().rev() {
            if entry.is_self() {
                children.push(Child::Leaf(self_of(parent)));
                continue;
            }
            if entry.is_override {
                continue;
            }
            self.choices.apply(&mut entry);
            if let Target::Group {
                group,
                choice: Choice::Many(names),
            } = &entry.target
            {
                for name in names.iter().rev() {
                    let child = option_entry(&entry, group, name, parent);
                    children.push(self.child(child, context)?);
                }
            } else if entry.is_interpolation() {
                children.push(Child::Leaf(entry));
            } else {
                children.push(self.child(entry, context)?);
            }
        }
        for child in &mut children {
            if let Child::Leaf(entry) = child
                && entry.is_interpolation()
            {
                let entry = self.interpolate(entry)?;
                let context = Context {
                    is_interpolated: true,
                    ..context
                };
                *child = self.child(entry, context)?;
            }
        }
        children.reverse();
        Ok(children)
    }

    fn child(&mut self, entry: Entry, context: Context) -> Result<Child, ConfigError> {
        let tree = self.tree(entry, context.below())?;
        Ok(if tree.children.is_empty() {
            Child::Leaf(tree.entry)
        } else {
            Child::Branch(tree)
        })
    }

    /// Resolves the name of an entry by the choices made so far.
    fn interpolate(&self, entry: &Entry) -> Result<Entry, ConfigError> {
        let known: Map = self
            .choices
            .known
            .iter()
            .map(|(key, entry)| {
                let name = entry.name().map(str::to_string);
                let value = name.map_or(Value::Null, Value::Text);
                (key.clone(), Node::new(value, Origin::Program))
            })
            .collect();
        let known = Node::new(Value::Map(known), Origin::Program);
        let resolve = |text: &str| {
            let node = Node::new(Value::Text(text.to_string()), entry.origin.clone());
            match interpolation::resolve_text(&node, &known)?.value {
                Value::Text(text) => Ok(text),
                other => Err(composition(format!(
                    "`{text}` chooses {}, not an option",
                    other.kind()
                ))
                .at(&entry.origin)),
            }
        };
        let mut entry = entry.clone();
        match &mut entry.target {
            Target::Config(path) => *path = resolve(path)?,
            Target::Group {
                choice: Choice::One(name),
                ..
            } => *name = resolve(name)?,
            Target::Group { .. } => {}
        }
        Ok(entry)
    }

    fn not_chosen(&self, entry: &Entry) -> ConfigError {
        let key = entry.override_key();
        let options = self.repository.options(&entry.group_path());
        ConfigError::new(
            ConfigErrorKind::Missing,
            format!("an option of `{key}` must be chosen"),
        )
        .at(&entry.origin)
        .with_hint(format!(
            "write `{key}=…`; options are {}",
            options.join(", ")
        ))
    }

    fn not_found(&self, entry: &Entry) -> ConfigError {
        let name = entry.name().unwrap_or_default();
        if !entry.is_group() {
            return ConfigError::new(
                ConfigErrorKind::NotFound,
                format!("there is no configuration `{}`", entry.config_path()),
            )
            .at(&entry.origin);
        }
        let group = entry.group_path();
        let options = self.repository.options(&group);
        let nearest = crate::name::nearest(name, options.iter().map(String::as_str));
        let hint = match nearest {
            Some(nearest) => format!("did you mean `{nearest}`? options are "),
            None => "options are ".to_string(),
        };
        let error = ConfigError::new(
            ConfigErrorKind::NotFound,
            format!("there is no `{name}` in the group `{group}`"),
        )
        .at(&entry.origin);
        match (options.is_empty(), self.repository.nearest_group(&group)) {
            (false, _) => error.with_hint(hint + &options.join(", ")),
            (true, Some(group)) => error.with_hint(format!("did you mean the group `{group}`?")),
            (true, None) => error,
        }
    }
}

/// Adds `_self_` at the end of a list that lacks it.
fn add_self(list: &mut Vec<Entry>, origin: &Origin) -> Result<(), ConfigError> {
    let mut own = list.iter().filter(|entry| entry.is_self());
    let first = own.next();
    if let Some(second) = own.next() {
        return Err(composition("`_self_` stands twice in a defaults list").at(&second.origin));
    }
    let has_choice = list.iter().any(|entry| !entry.is_override);
    if first.is_none() && has_choice || list.is_empty() {
        list.push(Entry::config("_self_", origin.clone()));
    }
    Ok(())
}

/// The entry that stands for the parent's own content.
fn self_of(parent: &Entry) -> Entry {
    parent.clone()
}

/// The entry of one of several options of a group.
fn option_entry(entry: &Entry, group: &str, name: &str, parent: &Entry) -> Entry {
    let target = Target::Config(format!("{group}/{name}"));
    let mut option = Entry::new(target, entry.package.clone(), entry.origin.clone());
    option.is_optional = entry.is_optional;
    option.place(&parent.group_path(), &parent.final_package());
    option
}

/// The leaves in the order of merging.
fn collect(tree: Tree, merged: &mut Vec<Entry>) {
    let is_merged = |entry: &Entry| !entry.is_deleted && !entry.is_missing();
    if tree.children.is_empty() {
        merged.extend(Some(tree.entry).filter(is_merged));
        return;
    }
    for child in tree.children {
        match child {
            Child::Leaf(entry) => merged.extend(Some(entry).filter(is_merged)),
            Child::Branch(tree) => collect(tree, merged),
        }
    }
}

/// A group may be chosen once; what stands for a parent's own content does not count.
fn refuse_duplicates(merged: &[Entry]) -> Result<(), ConfigError> {
    let mut known = BTreeMap::new();
    for later in merged.iter().filter(|entry| entry.is_group()) {
        if let Some(earlier) = known.insert(later.override_key(), later) {
            return Err(chosen_twice(earlier, later));
        }
    }
    Ok(())
}
