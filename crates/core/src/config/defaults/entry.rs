//! One entry of a defaults list.

use crate::config::origin::Origin;

/// One entry of a defaults list, and where in the tree of lists it stands.
#[derive(Debug, Clone)]
pub(in crate::config) struct Entry {
    pub(super) target: Target,
    /// What follows `@`.
    pub(super) package: Option<String>,
    /// What the chosen file's `# @package` says.
    pub(super) header: Option<String>,
    /// Group of the file that the list is in.
    pub(super) parent_group: String,
    /// Package of the file that the list is in.
    pub(super) parent_package: String,
    pub(super) is_optional: bool,
    pub(super) is_override: bool,
    /// Whether the command line added it (`+group=option`).
    pub(super) is_appended: bool,
    pub(super) is_deleted: bool,
    pub(super) is_primary: bool,
    /// How many lists are above the one it stands in.
    pub(super) depth: usize,
    pub(super) origin: Origin,
    /// What it chose before something overrode it, and where that is written.
    pub(super) overridden: Option<(Choice, Origin)>,
}

/// What an entry names.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    /// A file by its path, or `_self_`.
    Config(String),
    /// A group and the option chosen from it.
    Group { group: String, choice: Choice },
}

/// The option chosen from a group.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Choice {
    /// `null`: nothing.
    Nothing,
    /// One option.
    One(String),
    /// Several, merged in order.
    Many(Vec<String>),
}

impl Choice {
    /// As it would be typed.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Nothing => "null".to_string(),
            Self::One(name) => name.clone(),
            Self::Many(names) => format!("[{}]", names.join(",")),
        }
    }
}

impl Entry {
    pub(super) fn new(target: Target, package: Option<String>, origin: Origin) -> Self {
        Self {
            target,
            // `_here_` is the package of the file that the list is in.
            package: package.map(|package| match package.as_str() {
                "_here_" => String::new(),
                _ => package,
            }),
            header: None,
            parent_group: String::new(),
            parent_package: String::new(),
            is_optional: false,
            is_override: false,
            is_appended: false,
            is_deleted: false,
            is_primary: false,
            depth: 0,
            origin,
            overridden: None,
        }
    }

    pub(super) fn config(path: &str, origin: Origin) -> Self {
        Self::new(Target::Config(path.to_string()), None, origin)
    }

    /// Whether this is `_self_`.
    pub(in crate::config) fn is_self(&self) -> bool {
        matches!(&self.target, Target::Config(path) if path == "_self_")
    }

    /// Whether this chooses for the same group and package as `other`, both of one primary list.
    pub(in crate::config) fn chooses_as(&self, other: &Self) -> bool {
        match (&self.target, &other.target) {
            (Target::Group { group: own, .. }, Target::Group { group: theirs, .. }) => {
                !self.is_override
                    && own.trim_start_matches('/') == theirs
                    && self.package == other.package
            }
            _ => false,
        }
    }

    pub(super) const fn is_group(&self) -> bool {
        matches!(self.target, Target::Group { .. })
    }

    /// Puts the entry into the list of a file with this group and package.
    pub(super) fn place(&mut self, parent_group: &str, parent_package: &str) {
        self.parent_group = parent_group.to_string();
        self.parent_package = parent_package.to_string();
        let group = self.default_package();
        if let Some(package) = &mut self.package
            && package.contains("_group_")
        {
            *package = format!("_global_.{}", package.replace("_group_", &group));
        }
    }

    fn written_path(&self) -> &str {
        match &self.target {
            Target::Config(path) => path,
            Target::Group { group, .. } => group,
        }
    }

    /// The group, from the top of the configuration folder.
    pub(super) fn group_path(&self) -> String {
        let relative = self.relative_group();
        let is_absolute = self.written_path().starts_with('/');
        match (self.parent_group.as_str(), relative) {
            (_, relative) if is_absolute => relative.to_string(),
            ("", relative) => relative.to_string(),
            (parent, "") => parent.to_string(),
            (parent, relative) => format!("{parent}/{relative}"),
        }
    }

    /// The group as written, without a leading slash.
    fn relative_group(&self) -> &str {
        let path = self.written_path().trim_start_matches('/');
        match &self.target {
            Target::Group { .. } => path,
            Target::Config(_) => path.rsplit_once('/').map_or("", |(group, _)| group),
        }
    }

    /// The name of the file, unless the choice is nothing or several.
    pub(super) fn name(&self) -> Option<&str> {
        match &self.target {
            Target::Config(path) => Some(path.rsplit_once('/').map_or(path, |(_, name)| name)),
            Target::Group {
                choice: Choice::One(name),
                ..
            } => Some(name),
            Target::Group { .. } => None,
        }
    }

    /// The path of the file, as `train/default`.
    pub(super) fn config_path(&self) -> String {
        let name = self.name().unwrap_or_default();
        match self.group_path().as_str() {
            "" => name.to_string(),
            group => format!("{group}/{name}"),
        }
    }

    /// The package that a group has of itself.
    fn default_package(&self) -> String {
        self.group_path().replace('/', ".")
    }

    /// Where the content goes.
    pub(super) fn final_package(&self) -> String {
        let package = self.package.as_ref().or(self.header.as_ref());
        self.package_below_parent(package)
    }

    fn package_below_parent(&self, package: Option<&String>) -> String {
        let package = match package {
            Some(package) => package.clone(),
            None => self.relative_group().replace('/', "."),
        };
        let joined = match (self.parent_package.as_str(), package.as_str()) {
            ("", package) => package.to_string(),
            (parent, "") => parent.to_string(),
            (parent, package) => format!("{parent}.{package}"),
        };
        // Everything up to the last `_global_` falls away, and the dot after it.
        match joined.rsplit_once("_global_") {
            Some((_, rest)) => rest.strip_prefix('.').unwrap_or(rest).to_string(),
            None => joined,
        }
    }

    /// The key by which a choice is overridden: `group`, or `group@package`.
    pub(super) fn override_key(&self) -> String {
        let package = self.package_below_parent(self.package.as_ref());
        let group = self.group_path();
        if package == self.default_package() {
            group
        } else if package.is_empty() {
            format!("{group}@_global_")
        } else {
            format!("{group}@{package}")
        }
    }

    /// Where the entry itself is written, overridden or not.
    pub(super) fn written_at(&self) -> &Origin {
        self.overridden
            .as_ref()
            .map_or(&self.origin, |(_, origin)| origin)
    }

    /// The entry as written, as one that replaces another choice.
    pub(super) fn as_override(&self) -> String {
        let key = match self.package.as_deref() {
            None => self.written_path().to_string(),
            Some("") => format!("{}@_here_", self.written_path()),
            Some(package) => format!("{}@{package}", self.written_path()),
        };
        let option = match (&self.overridden, &self.target) {
            (Some((choice, _)), _) | (None, Target::Group { choice, .. }) => choice.shown(),
            (None, Target::Config(_)) => String::new(),
        };
        if self.is_appended {
            format!("{key}={option}")
        } else {
            format!("- override {key}: {option}")
        }
    }

    /// Whether the option must be chosen and is not (`???`).
    pub(super) fn is_missing(&self) -> bool {
        self.name() == Some("???")
    }

    /// Whether the name is an interpolation, resolved when the other choices are known.
    pub(super) fn is_interpolation(&self) -> bool {
        match &self.target {
            Target::Config(path) => path.contains("${"),
            Target::Group {
                choice: Choice::One(name),
                ..
            } => name.contains("${"),
            Target::Group { .. } => false,
        }
    }
}
