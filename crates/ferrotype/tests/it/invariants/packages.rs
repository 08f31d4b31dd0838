//! The packages of the workspace and below it, as `cargo metadata` tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// A package, ours or not.
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) licence: Option<String>,
    pub(super) manifest_path: String,
    dependencies: Vec<Dependency>,
}

/// A line of a manifest's dependency tables.
struct Dependency {
    name: String,
    is_for_tests: bool,
}

impl Package {
    /// The name without `ferrotype-`.
    pub(super) fn short_name(&self) -> &str {
        self.name.strip_prefix("ferrotype-").unwrap_or(&self.name)
    }

    /// The names of all direct dependencies, those of the tests too.
    pub(super) fn dependency_names(&self) -> impl Iterator<Item = &str> {
        self.dependencies.iter().map(|used| used.name.as_str())
    }

    /// The short names of the workspace's crates that it depends on outside of tests.
    pub(super) fn normal_dependencies_in_workspace(&self) -> impl Iterator<Item = String> {
        self.dependencies
            .iter()
            .filter(|used| !used.is_for_tests)
            .filter_map(|used| used.name.strip_prefix("ferrotype-"))
            .map(str::to_string)
    }
}

/// All packages of this platform.
pub(super) struct Packages {
    packages: BTreeMap<String, Package>,
    members: Vec<String>,
    /// Ids of the packages of this platform.
    tree: Vec<String>,
}

impl Packages {
    /// Asks cargo. Offline, as everything has been fetched for building this test.
    pub(super) fn load() -> Self {
        let platform = format!("--filter-platform={}", host());
        let metadata = cargo(&[
            "metadata",
            "--format-version=1",
            "--locked",
            "--offline",
            &platform,
        ]);
        Self::read(&serde_json::from_slice(&metadata).unwrap())
    }

    fn read(metadata: &Value) -> Self {
        let packages = array(&metadata["packages"])
            .map(|package| (text(&package["id"]), read_package(package)))
            .collect();
        let members = array(&metadata["workspace_members"]).map(text).collect();
        let tree = array(&metadata["resolve"]["nodes"])
            .map(|node| text(&node["id"]))
            .collect();
        Self {
            packages,
            members,
            tree,
        }
    }

    /// The crates of the workspace.
    pub(super) fn members(&self) -> impl Iterator<Item = &Package> {
        self.members.iter().map(|id| &self.packages[id])
    }

    /// Every package of this platform's tree, with those of the tests.
    pub(super) fn all(&self) -> impl Iterator<Item = &Package> {
        self.tree.iter().map(|id| &self.packages[id])
    }
}

/// The names of all packages that this one is built from with the default features, itself
/// included, those of tests left out. By `cargo tree`: `cargo metadata` also lists optional
/// packages that another feature could bring in.
pub(super) fn tree_of(name: &str) -> BTreeSet<String> {
    let arguments = ["tree", "--locked", "--offline", "--package", name];
    let output = cargo(&[&arguments[..], &["--edges=normal,build", "--prefix=none"]].concat());
    let text = String::from_utf8(output).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_string).collect()
}

/// What cargo prints.
fn cargo(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {stderr}");
    output.stdout
}

fn read_package(package: &Value) -> Package {
    Package {
        name: text(&package["name"]),
        version: text(&package["version"]),
        licence: package["license"].as_str().map(str::to_string),
        manifest_path: text(&package["manifest_path"]),
        dependencies: array(&package["dependencies"])
            .map(|used| Dependency {
                name: text(&used["name"]),
                is_for_tests: used["kind"] == "dev",
            })
            .collect(),
    }
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_string()
}

/// The platform this test was built on, such as `x86_64-unknown-linux-gnu`.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap()
        .to_string()
}
