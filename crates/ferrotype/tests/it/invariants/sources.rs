//! The source text of the workspace's crates.

use std::path::Path;

use super::packages::Packages;

/// Every line of every crate's `src` for which `matches(crate, line)` holds, as `file:line: text`.
/// What stands below the first `#[cfg(test)]` of a file, comments, and files `tests.rs` are left out.
pub(super) fn lines_outside_tests(
    packages: &Packages,
    matches: impl Fn(&str, &str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for package in packages.members() {
        let source = Path::new(&package.manifest_path).with_file_name("src");
        let files = rust_files(&source);
        assert!(!files.is_empty(), "{} has no sources", package.name);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let lines = text
                .lines()
                .take_while(|line| line.trim() != "#[cfg(test)]")
                .enumerate();
            for (index, line) in lines {
                if !line.trim_start().starts_with("//") && matches(package.short_name(), line) {
                    found.push(format!("{}:{}: {}", file.display(), index + 1, line.trim()));
                }
            }
        }
    }
    found
}

fn rust_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name().is_some_and(|name| name != "tests.rs")
        {
            files.push(path);
        }
    }
    files
}
