//! The project's configuration files: `ferrotype.yaml` and `configs/<group>/<name>.yaml`.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use ferrotype_core::config::{
    self, Composed, ConfigError, ConfigErrorKind, ConfigSource, SourceFile,
};

use crate::context::Context;
use crate::project::CONFIG_FILE;

/// The folder of the groups, beside the primary configuration.
const CONFIG_FOLDER: &str = "configs";

/// The longest configuration file that is read; the parser refuses longer ones too.
const MAX_BYTES: u64 = 1 << 20;

/// Composes the project's configuration with the overrides of the command line.
pub(crate) fn compose(context: &Context, overrides: &[String]) -> anyhow::Result<Composed> {
    let source = FolderSource::new(context.project().root());
    Ok(config::compose(&source, overrides, &environment())?)
}

/// The overrides of each run of `--multirun`.
pub(crate) fn compose_multirun(
    context: &Context,
    overrides: &[String],
) -> anyhow::Result<Vec<Vec<String>>> {
    let source = FolderSource::new(context.project().root());
    Ok(config::compose_multirun(&source, overrides)?)
}

/// The environment of the process; variables that are no Unicode are left out.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Reads the configuration files of a project folder.
struct FolderSource {
    root: PathBuf,
}

impl FolderSource {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    /// The file at a path from the project folder, if there is one.
    fn read(&self, name: &str) -> Result<Option<SourceFile>, ConfigError> {
        match read_text(&self.root.join(name)) {
            Ok(text) => Ok(Some(SourceFile {
                name: name.to_string(),
                text,
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ConfigError::new(
                ConfigErrorKind::Unreadable,
                format!("cannot read `{name}`: {error}"),
            )),
        }
    }
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let file = std::fs::File::open(path)?;
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    Ok(text)
}

impl ConfigSource for FolderSource {
    fn primary(&self) -> Result<Option<SourceFile>, ConfigError> {
        self.read(CONFIG_FILE)
    }

    fn group(&self, group: &str, name: &str) -> Result<Option<SourceFile>, ConfigError> {
        let path = if group.is_empty() {
            format!("{CONFIG_FOLDER}/{name}.yaml")
        } else {
            format!("{CONFIG_FOLDER}/{group}/{name}.yaml")
        };
        self.read(&path)
    }

    fn options(&self, group: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.root.join(CONFIG_FOLDER).join(group)) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().into_string().ok()?;
                Some(name.strip_suffix(".yaml")?.to_string())
            })
            .collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> (tempfile::TempDir, FolderSource) {
        let folder = tempfile::tempdir().unwrap();
        let source = FolderSource::new(folder.path());
        (folder, source)
    }

    #[test]
    fn files_are_named_as_the_user_knows_them() {
        let (folder, source) = project();
        let group = folder.path().join("configs/train/optimizer");
        std::fs::create_dir_all(&group).unwrap();
        std::fs::write(group.join("mine.yaml"), "a: 1").unwrap();
        std::fs::write(group.join("notes.txt"), "").unwrap();

        let file = source.group("train/optimizer", "mine").unwrap().unwrap();
        assert_eq!(file.name, "configs/train/optimizer/mine.yaml");
        assert_eq!(file.text, "a: 1");
        assert_eq!(source.options("train/optimizer"), ["mine"]);
    }

    #[test]
    fn a_missing_file_is_none_and_an_unreadable_one_an_error() {
        let (folder, source) = project();
        assert_eq!(source.primary().unwrap(), None);
        assert!(source.options("model").is_empty());

        std::fs::write(folder.path().join(CONFIG_FILE), b"note: \xff").unwrap();
        let error = source.primary().unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Unreadable);
        assert!(
            error
                .to_string()
                .starts_with("cannot read `ferrotype.yaml`"),
            "{error}"
        );
    }

    #[test]
    fn a_file_over_the_limit_is_refused_by_the_parser() {
        let (folder, source) = project();
        let text = "#".repeat(2 << 20);
        std::fs::write(folder.path().join(CONFIG_FILE), text).unwrap();
        let error = config::compose(&source, &[], &BTreeMap::new()).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::TooLarge);
    }
}
