//! Finding ONNX Runtime's library. A process attaches one library for good, so every case runs
//! this test program once more, as a child with its own environment and folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use ferrotype_inference::{Model, RuntimeChoice, RuntimeInfo, runtimes, use_library};
use tempfile::TempDir;

use crate::networks::{bytes, manifest, tangent_colour};
use crate::onnx_runtime_library;

/// What a child says: the runtimes, and what each choice came to.
struct Seen {
    info: RuntimeInfo,
    auto: String,
    forced: String,
}

/// The child's part. It prints rather than asserts, and is nothing by itself.
#[test]
#[ignore = "the child process of the other tests here"]
fn child() {
    let setting = std::env::var_os("TEST_USE_LIBRARY");
    if let Some(Err(error)) = setting.map(|path| use_library(Path::new(&path))) {
        println!("SETTING {error}");
    }
    println!("INFO {}", serde_json::to_string(&runtimes()).unwrap());
    // One that the native executor leaves to others.
    let network = tangent_colour();
    for choice in [RuntimeChoice::Auto, RuntimeChoice::OnnxRuntime] {
        let loaded = Model::load_with_manifest(&bytes(&network), manifest(&network, 3), choice, 1);
        match loaded {
            Ok(model) => println!("{choice} runs on {}", model.runtime_name()),
            Err(error) => println!(
                "{choice} {} {error} HINT {}",
                error.kind().as_str(),
                error.hint().unwrap_or_default()
            ),
        }
    }
}

/// Runs a child in a folder, with environment variables.
fn child_in(folder: &Path, variables: &[(&str, &Path)]) -> (Seen, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "library::child", "--ignored", "--nocapture"])
        .current_dir(folder)
        .env_remove("ORT_DYLIB_PATH")
        .env_remove("FERROTYPE_TEST_ONNXRUNTIME")
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("TEST_USE_LIBRARY");
    for (name, value) in variables {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let line = |start: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(start));
        found
            .unwrap_or_else(|| panic!("no `{start}` in {text}"))
            .to_string()
    };
    let seen = Seen {
        info: serde_json::from_str(&line("INFO ")).unwrap(),
        auto: line("auto "),
        forced: line("onnxruntime "),
    };
    (seen, text)
}

fn empty_folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Compiles a shared library that pretends to be ONNX Runtime of a version. While it is loaded it
/// leaves a file `loaded` in the current folder. Absent without a C compiler.
fn fake_library(folder: &Path, name: &str, version: &str) -> Option<PathBuf> {
    let source = folder.join("fake.c");
    let code = format!(
        r#"#include <stdio.h>
        struct base {{ const void *(*api)(unsigned); const char *(*version)(void); }};
        static const void *api(unsigned version) {{ (void)version; return NULL; }}
        static const char *version(void) {{ return "{version}"; }}
        static const struct base base = {{ api, version }};
        const struct base *OrtGetApiBase(void) {{ return &base; }}
        __attribute__((constructor)) static void loaded(void) {{
            FILE *file = fopen("loaded", "w");
            if (file) fclose(file);
        }}"#
    );
    std::fs::write(&source, code).unwrap();
    let library = folder.join(name);
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    match compiled {
        Ok(status) if status.success() => Some(library),
        _ => {
            eprintln!("skipped: no C compiler");
            None
        }
    }
}

#[test]
fn without_a_library_rten_answers_and_the_forced_choice_says_how_to_get_one() {
    let folder = empty_folder();
    let (seen, _) = child_in(folder.path(), &[]);
    if seen.info.onnx_runtime.is_some() {
        eprintln!("skipped: this machine has ONNX Runtime on its library path");
        return;
    }
    assert_eq!(seen.info.auto, RuntimeChoice::Rten);
    assert!(
        seen.info
            .onnx_runtime_problem
            .unwrap()
            .contains("no ONNX Runtime library")
    );
    assert!(seen.auto.starts_with("runs on rten"), "{}", seen.auto);
    assert!(
        seen.forced.starts_with("runtime_not_found"),
        "{}",
        seen.forced
    );
    assert!(
        seen.forced.contains("pip install onnxruntime"),
        "{}",
        seen.forced
    );
    assert!(seen.forced.contains("libonnxruntime.so"), "{}", seen.forced);
}

#[test]
fn the_real_library_is_found_by_variable_setting_and_library_path() {
    let Some(library) = onnx_runtime_library() else {
        eprintln!("skipped: no ONNX Runtime library (set FERROTYPE_TEST_ONNXRUNTIME)");
        return;
    };
    let folder = empty_folder();
    let on_path = empty_folder();
    std::fs::copy(&library, on_path.path().join("libonnxruntime.so.1")).unwrap();
    for variables in [
        ("ORT_DYLIB_PATH", library.as_path()),
        ("TEST_USE_LIBRARY", library.as_path()),
        ("LD_LIBRARY_PATH", on_path.path()),
    ] {
        let (seen, text) = child_in(folder.path(), &[variables]);
        let found = seen.info.onnx_runtime.unwrap_or_else(|| panic!("{text}"));
        assert!(found.version.starts_with("1."), "{text}");
        assert_eq!(seen.info.auto, RuntimeChoice::OnnxRuntime);
        assert!(seen.auto.starts_with("runs on ONNX Runtime 1."), "{text}");
        assert_eq!(seen.auto, seen.forced);
    }
}

#[test]
fn the_setting_goes_before_the_variable() {
    let Some(library) = onnx_runtime_library() else {
        eprintln!("skipped: no ONNX Runtime library (set FERROTYPE_TEST_ONNXRUNTIME)");
        return;
    };
    let folder = empty_folder();
    let missing = folder.path().join("missing.so");
    let (seen, text) = child_in(
        folder.path(),
        &[("TEST_USE_LIBRARY", &library), ("ORT_DYLIB_PATH", &missing)],
    );
    assert!(seen.forced.starts_with("runs on ONNX Runtime"), "{text}");
}

#[test]
fn a_library_in_the_current_folder_is_never_loaded() {
    let folder = empty_folder();
    for name in ["libonnxruntime.so", "libonnxruntime.so.1"] {
        if fake_library(folder.path(), name, "1.99.0").is_none() {
            return;
        }
    }
    let relative = [
        ("ORT_DYLIB_PATH", Path::new("libonnxruntime.so")),
        ("ORT_DYLIB_PATH", Path::new("./libonnxruntime.so")),
        ("TEST_USE_LIBRARY", Path::new("libonnxruntime.so")),
        ("LD_LIBRARY_PATH", Path::new(".")),
        ("LD_LIBRARY_PATH", Path::new("/nowhere:")),
    ];
    let (seen, _) = child_in(folder.path(), &[]);
    assert!(!folder.path().join("loaded").exists());
    assert!(!seen.auto.contains("1.99"));
    for variable in relative {
        let (seen, text) = child_in(folder.path(), &[variable]);
        assert!(
            !folder.path().join("loaded").exists(),
            "{variable:?}: {text}"
        );
        assert!(!seen.auto.contains("1.99"), "{text}");
    }
    // The same file does load by its absolute path: the test would notice.
    let absolute = folder.path().join("libonnxruntime.so");
    child_in(folder.path(), &[("ORT_DYLIB_PATH", &absolute)]);
    assert!(folder.path().join("loaded").exists());
}

#[test]
fn a_relative_path_is_refused_with_the_reason() {
    let folder = empty_folder();
    let relative = Path::new("./libonnxruntime.so");
    let (seen, text) = child_in(folder.path(), &[("ORT_DYLIB_PATH", relative)]);
    assert!(seen.forced.starts_with("runtime_unusable"), "{text}");
    assert!(seen.forced.contains("absolute path"), "{text}");
    assert!(seen.auto.starts_with("runs on rten"), "{text}");
    let (_, text) = child_in(folder.path(), &[("TEST_USE_LIBRARY", relative)]);
    assert!(text.contains("SETTING the library setting names"), "{text}");
}

#[test]
fn a_wrong_or_too_old_library_is_a_message_and_rten_goes_on() {
    let folder = empty_folder();
    let text_file = folder.path().join("text.so");
    std::fs::write(&text_file, "this is no library").unwrap();
    let mut cases = vec![
        (text_file, "runtime_unusable", "cannot be used"),
        (
            folder.path().join("missing.so"),
            "runtime_not_found",
            "there is no ONNX Runtime library at",
        ),
        (
            folder.path().to_path_buf(),
            "runtime_not_found",
            "there is no ONNX Runtime library at",
        ),
    ];
    let fakes = [
        (
            "old.so",
            "1.10.0",
            "it is version `1.10.0`, expected at least `1.17`",
        ),
        // Says that it is new, and then has no interface at all.
        ("hollow.so", "1.99.0", "it broke down while starting"),
    ];
    for (name, version, expected) in fakes {
        if let Some(library) = fake_library(folder.path(), name, version) {
            cases.push((library, "runtime_unusable", expected));
        }
    }
    let other = ["/lib/x86_64-linux-gnu/libm.so.6", "/usr/lib/libm.so.6"];
    if let Some(other) = other
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.is_file())
    {
        cases.push((other, "runtime_unusable", "it is another library"));
    }
    for (library, kind, expected) in cases {
        let (seen, text) = child_in(folder.path(), &[("ORT_DYLIB_PATH", &library)]);
        assert!(seen.forced.starts_with(kind), "{text}");
        assert!(seen.forced.contains(expected), "{text}");
        assert!(
            seen.info.onnx_runtime_problem.unwrap().contains(expected),
            "{text}"
        );
        assert!(seen.auto.starts_with("runs on rten"), "{text}");
    }
}

#[test]
fn a_library_cannot_be_exchanged_once_it_is_attached() {
    let Some(library) = onnx_runtime_library() else {
        eprintln!("skipped: no ONNX Runtime library (set FERROTYPE_TEST_ONNXRUNTIME)");
        return;
    };
    use_library(&library).unwrap();
    assert!(runtimes().onnx_runtime.is_some());
    use_library(&library).unwrap();
    let folder = empty_folder();
    let another = folder.path().join("another.so");
    std::fs::copy(&library, &another).unwrap();
    let error = use_library(&another).unwrap_err();
    assert!(error.to_string().contains("attached already"), "{error}");
}
