//! Where configurations are read from: the project, and before it what is built in.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::builtin;
use super::defaults::{Entry, read_defaults};
use super::error::{ConfigError, ConfigErrorKind};
use super::node::{Node, Value};
use super::origin::Origin;
use super::yaml;

/// A configuration file as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Path as the user knows it, such as `configs/model/small.yaml`.
    pub name: String,
    /// The YAML text.
    pub text: String,
}

/// Gives configuration files by their place; the binary reads them from the project folder.
///
/// Groups have slashes for sub-groups (`train/optimizer`); the empty group is the top of the
/// configuration folder. Groups and names are checked before they come here: no empty part, no
/// `.` or `..`, no backslash, not absolute.
pub trait ConfigSource {
    /// The primary configuration, `ferrotype.yaml`, if there is one.
    ///
    /// # Errors
    /// It exists and cannot be read.
    fn primary(&self) -> Result<Option<SourceFile>, ConfigError>;

    /// The option `name` of `group`, if there is one.
    ///
    /// # Errors
    /// It exists and cannot be read.
    fn group(&self, group: &str, name: &str) -> Result<Option<SourceFile>, ConfigError>;

    /// Names of the options of a group.
    fn options(&self, group: &str) -> Vec<String>;
}

/// A source with nothing in it: only what is built in.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSource;

impl ConfigSource for NoSource {
    fn primary(&self) -> Result<Option<SourceFile>, ConfigError> {
        Ok(None)
    }

    fn group(&self, _group: &str, _name: &str) -> Result<Option<SourceFile>, ConfigError> {
        Ok(None)
    }

    fn options(&self, _group: &str) -> Vec<String> {
        Vec::new()
    }
}

/// Files by their place relative to the configuration folder, in memory: for tests.
#[derive(Debug, Clone, Default)]
pub struct MemorySource {
    /// The primary configuration.
    pub primary: Option<SourceFile>,
    /// Files by `group/name` without `.yaml`.
    pub files: BTreeMap<String, SourceFile>,
}

impl ConfigSource for MemorySource {
    fn primary(&self) -> Result<Option<SourceFile>, ConfigError> {
        Ok(self.primary.clone())
    }

    fn group(&self, group: &str, name: &str) -> Result<Option<SourceFile>, ConfigError> {
        Ok(self.files.get(&join(group, name)).cloned())
    }

    fn options(&self, group: &str) -> Vec<String> {
        self.files
            .keys()
            .filter_map(|path| {
                let (found, name) = split(path);
                (found == group).then(|| name.to_string())
            })
            .collect()
    }
}

/// A configuration file, parsed.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Its defaults list.
    pub(super) defaults: Vec<Entry>,
    /// Everything else.
    pub(super) content: Node,
    /// What `# @package` says.
    pub(super) package: Option<String>,
}

/// The project's configurations over the built-in ones.
pub(super) struct Repository<'a> {
    project: &'a dyn ConfigSource,
    has_built_ins: bool,
    loaded: RefCell<BTreeMap<String, Option<Rc<Loaded>>>>,
}

impl<'a> Repository<'a> {
    pub(super) fn new(project: &'a dyn ConfigSource, has_built_ins: bool) -> Self {
        Self {
            project,
            has_built_ins,
            loaded: RefCell::new(BTreeMap::new()),
        }
    }

    /// The primary configuration. With built-ins, a group of the built-in defaults list that the
    /// project's list does not mention keeps its built-in choice.
    pub(super) fn primary(&self) -> Result<Loaded, ConfigError> {
        let project = self
            .project
            .primary()?
            .map(|file| read(&file.text, &file_origin(&file.name)))
            .transpose()?;
        if !self.has_built_ins {
            return project.ok_or_else(|| not_found("there is no primary configuration"));
        }
        let built_in = read(builtin::PRIMARY, &built_in_origin("config"))?;
        let Some(mut project) = project else {
            return Ok(built_in);
        };
        let mut defaults: Vec<Entry> = built_in
            .defaults
            .into_iter()
            .filter(|entry| {
                !entry.is_self() && !project.defaults.iter().any(|own| own.chooses_as(entry))
            })
            .collect();
        defaults.append(&mut project.defaults);
        project.defaults = defaults;
        Ok(project)
    }

    /// The configuration at `path`, as `train/default`.
    pub(super) fn load(&self, path: &str) -> Result<Option<Rc<Loaded>>, ConfigError> {
        if let Some(known) = self.loaded.borrow().get(path) {
            return Ok(known.clone());
        }
        let loaded = self.read(path)?.map(Rc::new);
        self.loaded
            .borrow_mut()
            .insert(path.to_string(), loaded.clone());
        Ok(loaded)
    }

    fn read(&self, path: &str) -> Result<Option<Loaded>, ConfigError> {
        check_path(path)?;
        let (group, name) = split(path);
        if let Some(file) = self.project.group(group, name)? {
            return read(&file.text, &file_origin(&file.name)).map(Some);
        }
        match builtin::text(path).filter(|_| self.has_built_ins) {
            Some(text) => read(text, &built_in_origin(path)).map(Some),
            None => Ok(None),
        }
    }

    /// Whether the built-in configurations are below the project's; the rules go with them.
    pub(super) const fn has_built_ins(&self) -> bool {
        self.has_built_ins
    }

    /// Names of a group's options, sorted; empty when there is no such group.
    pub(super) fn options(&self, group: &str) -> Vec<String> {
        if check_path(group).is_err() {
            return Vec::new();
        }
        let mut names: BTreeSet<String> = self.project.options(group).into_iter().collect();
        if self.has_built_ins {
            names.extend(builtin::options(group).map(str::to_string));
        }
        names.into_iter().collect()
    }

    /// Whether there is a group of this name.
    pub(super) fn has_group(&self, group: &str) -> bool {
        !self.options(group).is_empty()
    }

    /// The built-in group nearest in name.
    pub(super) fn nearest_group(&self, group: &str) -> Option<&'static str> {
        crate::name::nearest(group, builtin::groups()).filter(|_| self.has_built_ins)
    }
}

fn not_found(message: impl Into<String>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::NotFound, message)
}

/// Refuses what could leave the configuration folder.
fn check_path(path: &str) -> Result<(), ConfigError> {
    let is_safe = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && !part.contains(['\\', ':'])
            && !part.chars().any(char::is_control)
    };
    if path.split('/').all(is_safe) {
        Ok(())
    } else {
        Err(
            not_found(format!("`{path}` is not the name of a configuration"))
                .with_hint("name a file of the configuration folder, without `.yaml`"),
        )
    }
}

fn join(group: &str, name: &str) -> String {
    if group.is_empty() {
        name.to_string()
    } else {
        format!("{group}/{name}")
    }
}

/// Group and name of a path.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn file_origin(name: &str) -> Origin {
    Origin::File {
        name: name.into(),
        line: 1,
        column: 1,
    }
}

fn built_in_origin(name: &str) -> Origin {
    Origin::BuiltIn {
        name: name.into(),
        line: 1,
        column: 1,
    }
}

fn read(text: &str, start: &Origin) -> Result<Loaded, ConfigError> {
    let package = package_header(text, start)?;
    let mut content = yaml::parse_at(text, start)?;
    if content.is_null() {
        content.value = Value::Map(super::node::Map::new());
    }
    let kind = content.value.kind();
    let Some(map) = content.as_map_mut() else {
        return Err(ConfigError::new(
            ConfigErrorKind::Syntax,
            format!("a configuration is a mapping, this is {kind}"),
        )
        .at(start));
    };
    let defaults = match map.shift_remove("defaults") {
        Some(list) => read_defaults(&list)?,
        None => Vec::new(),
    };
    Ok(Loaded {
        defaults,
        content,
        package,
    })
}

/// What `# @package name` at the top says, as an absolute package: `_global_.name`.
fn package_header(text: &str, start: &Origin) -> Result<Option<String>, ConfigError> {
    let mut package = None;
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let Some(header) = line
            .strip_prefix('#')
            .map(|rest| rest.trim_start_matches('#').trim_start())
            .filter(|rest| rest.starts_with('@'))
        else {
            break;
        };
        let words: Vec<_> = header.split_whitespace().collect();
        match words.as_slice() {
            ["@package", name] => package = Some(absolute_package(name, &start.at(number, 1))?),
            _ => {
                return Err(ConfigError::unsupported(format!("the header `{line}`"))
                    .at(&start.at(number, 1))
                    .with_hint("the only header is `# @package NAME`"));
            }
        }
    }
    Ok(package)
}

fn absolute_package(name: &str, origin: &Origin) -> Result<String, ConfigError> {
    if name.contains("_group_") || name.contains("_name_") || name == "_here_" {
        return Err(
            ConfigError::unsupported(format!("`{name}` in a `# @package` header"))
                .at(origin)
                .with_hint(
                    "write the package out, such as `# @package train.optimizer`, or `_global_`",
                ),
        );
    }
    if name == "_global_" || name.starts_with("_global_.") {
        Ok(name.to_string())
    } else {
        Ok(format!("_global_.{name}"))
    }
}
