//! The project folder: `ferrotype.yaml` and `configs/` in git, `.ferrotype/` beside them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::failure::Failure;

/// The file that marks a project folder and holds its configuration.
pub(crate) const CONFIG_FILE: &str = "ferrotype.yaml";

/// The folder that marks a project folder and holds its store.
pub(crate) const STORE_FOLDER: &str = ".ferrotype";

/// Where a project lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Project {
    root: PathBuf,
}

impl Project {
    /// The folder given, or else the nearest project folder from `current` upward, or else `current`.
    pub(crate) fn find(given: Option<&Path>, current: &Path) -> anyhow::Result<Self> {
        if let Some(path) = given {
            if !path.is_dir() {
                return Err(Failure::new(format!(
                    "the project folder `{}` does not exist",
                    path.display()
                ))
                .hint("create it, or leave `--project` away to use the current folder")
                .into());
            }
            let root = std::path::absolute(path)
                .with_context(|| format!("cannot resolve `{}`", path.display()))?;
            return Ok(Self { root });
        }
        let root = current
            .ancestors()
            .find(|folder| is_project(folder))
            .unwrap_or(current);
        Ok(Self {
            root: root.to_path_buf(),
        })
    }

    /// The project folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the store: `.ferrotype`.
    pub(crate) fn store_folder(&self) -> PathBuf {
        self.root.join(STORE_FOLDER)
    }
}

fn is_project(folder: &Path) -> bool {
    folder.join(CONFIG_FILE).is_file() || folder.join(STORE_FOLDER).is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_folder_with_a_config_file_or_a_store_is_the_project() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        let root = |folder: &Path| Project::find(None, folder).unwrap().root;

        std::fs::create_dir(outer.path().join(STORE_FOLDER)).unwrap();
        assert_eq!(root(&inner), outer.path());

        std::fs::write(outer.path().join("a").join(CONFIG_FILE), "").unwrap();
        assert_eq!(root(&inner), outer.path().join("a"));
    }

    #[test]
    fn a_folder_without_any_project_above_it_becomes_one() {
        let folder = tempfile::tempdir().unwrap();
        let project = Project::find(None, folder.path()).unwrap();
        assert_eq!(project.root(), folder.path());
        assert_eq!(project.store_folder(), folder.path().join(".ferrotype"));
    }

    #[test]
    fn a_given_folder_that_does_not_exist_is_an_error() {
        let error = Project::find(Some(Path::new("/no/such/folder")), Path::new("/")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the project folder `/no/such/folder` does not exist"
        );
    }
}
