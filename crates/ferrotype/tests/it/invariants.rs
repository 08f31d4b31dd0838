//! The invariants of `ARCHITECTURE.md` that a program can check.

mod floors;
mod licence;
mod packages;
mod sources;

use packages::{Packages, tree_of};

/// Packages that must not come in: a second TLS provider, system libraries, compile-time SQL,
/// GPU kernels nobody asked for.
const BANNED: [&str; 5] = [
    "aws-lc-sys",
    "openssl-sys",
    "native-tls",
    "sqlx-macros",
    "cubecl",
];

/// Crates without clock, environment and disk.
const PURE: [&str; 4] = ["core", "vision", "measure", "kernels"];

/// Licences that a dependency may have without asking. An `OR` needs one of them, an `AND` all.
const LICENCES: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Zlib",
];

#[test]
fn a_crate_uses_only_what_the_table_of_the_architecture_allows() {
    let packages = Packages::load();
    let floors = floors::read();
    let mut wrong = Vec::new();
    for package in packages.members() {
        let name = package.short_name();
        let Some(allowed) = floors.get(name) else {
            wrong.push(format!("`{name}` is not in the table"));
            continue;
        };
        for used in package.normal_dependencies_in_workspace() {
            if !allowed.contains(&used) {
                wrong.push(format!("`{name}` may not use `{used}`"));
            }
        }
    }
    for name in floors.keys() {
        if !packages
            .members()
            .any(|package| package.short_name() == name)
        {
            wrong.push(format!("`{name}` is in the table and does not exist"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_engine_names_burn() {
    for package in Packages::load().members() {
        let burn: Vec<_> = package
            .dependency_names()
            .filter(|name| name.starts_with("burn") || name.starts_with("cubecl"))
            .collect();
        assert!(
            package.short_name() == "engine" || burn.is_empty(),
            "`{}` depends on {burn:?}",
            package.name
        );
    }
}

#[test]
fn the_service_does_not_contain_the_engine() {
    let reached = tree_of("ferrotype-web");
    for name in ["ferrotype-engine", "burn", "burn-core"] {
        assert!(!reached.contains(name), "`web` reaches `{name}`");
    }
}

#[test]
fn banned_packages_are_not_in_the_default_tree() {
    let reached = tree_of("ferrotype");
    assert!(reached.len() > 100, "the tree was not read");
    for name in BANNED {
        assert!(!reached.contains(name), "`{name}` is in the default tree");
    }
}

#[test]
fn every_dependency_has_a_licence_that_may_be_used() {
    let refused: Vec<_> = Packages::load()
        .all()
        .filter(|package| {
            !package
                .licence
                .as_deref()
                .is_some_and(|expression| licence::is_allowed(expression, &LICENCES))
        })
        .map(|package| {
            format!(
                "{} {}: {:?}",
                package.name, package.version, package.licence
            )
        })
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for package in Packages::load().members() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} does not",
            package.manifest_path
        );
    }
}

#[test]
fn dependencies_are_declared_once_in_the_workspace() {
    for package in Packages::load().members() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        // A feature that only tests need may not reach the binary, so it stands with the tests.
        let ours = manifest
            .lines()
            .take_while(|line| *line != "[dev-dependencies]");
        for line in ours {
            assert!(
                !line.contains("version = \"") && !line.contains("features = ["),
                "{}: `{line}` belongs into the workspace's manifest",
                package.manifest_path
            );
        }
    }
}

#[test]
fn unsafe_code_stands_only_in_the_kernels() {
    let found = sources::lines_outside_tests(&Packages::load(), |crate_name, line| {
        crate_name != "kernels"
            && (line.contains("unsafe {")
                || line.contains("unsafe fn")
                || line.contains("unsafe impl")
                || line.contains("allow(unsafe_code)"))
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn pure_crates_read_no_clock_no_environment_and_no_disk() {
    const IMPURE: [&str; 7] = [
        "std::env",
        "std::fs",
        "std::net",
        "std::process",
        "SystemTime",
        "Instant::now",
        "File::open",
    ];
    let found = sources::lines_outside_tests(&Packages::load(), |crate_name, line| {
        PURE.contains(&crate_name) && IMPURE.iter().any(|name| line.contains(name))
    });
    assert!(found.is_empty(), "{found:#?}");
}
