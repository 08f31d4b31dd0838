//! Finds and attaches ONNX Runtime's shared library.
//!
//! A process can attach one library, and keeps it: the `ort` crate holds it in a global. It is
//! looked for in this order, and never in the current folder or beside the program:
//!
//! 1. the path given to [`use_library`],
//! 2. the path in the environment variable `ORT_DYLIB_PATH`,
//! 3. `libonnxruntime.so` and `libonnxruntime.so.1` on the system's library path.

use std::env;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::logging::LogLevel;

use super::OnnxRuntimeInfo;
use crate::error::{InferenceError, InferenceErrorKind};

/// The environment variable that names the library, the same as for every program on `ort`.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// Names under which the system's loader may know the library. On Windows there is none: its
/// loader would also look in the current folder, and the system brings an old version along.
const SYSTEM_NAMES: &[&str] = if cfg!(windows) {
    &[]
} else if cfg!(target_os = "macos") {
    &["libonnxruntime.dylib", "libonnxruntime.1.dylib"]
} else {
    &["libonnxruntime.so", "libonnxruntime.so.1"]
};

/// ONNX Runtime, attached to this process.
#[derive(Clone)]
pub(super) struct Attached {
    pub(super) environment: Environment,
    pub(super) info: OnnxRuntimeInfo,
}

/// What the process knows about the library.
enum State {
    /// Nothing is attached yet; a failed search may be repeated.
    Unattached { setting: Option<PathBuf> },
    /// Attached for good.
    Attached(Attached),
    /// A library was loaded and then broke down; `ort` cannot let go of it.
    Broken(InferenceError),
}

static STATE: Mutex<State> = Mutex::new(State::Unattached { setting: None });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names the library file to attach, before any model is loaded; it goes before `ORT_DYLIB_PATH`
/// and the system's path. It counts for the whole process, as a process can attach only one.
///
/// # Errors
/// When the path is relative or no file, or another library is attached already.
pub fn use_library(path: &Path) -> Result<(), InferenceError> {
    check_path(path, "the library setting")?;
    match &mut *state() {
        State::Unattached { setting } => {
            *setting = Some(path.to_path_buf());
            Ok(())
        }
        State::Attached(attached) if Path::new(&attached.info.library) == path => Ok(()),
        State::Attached(attached) => Err(InferenceError::new(
            InferenceErrorKind::RuntimeUnusable,
            format!(
                "ONNX Runtime's library `{}` is attached already and cannot be exchanged for `{}`",
                attached.info.library,
                path.display()
            ),
        )
        .with_hint("name the library before the first model is loaded")),
        State::Broken(error) => Err(error.clone()),
    }
}

/// Attaches the library, or answers with the one attached before.
pub(super) fn attach() -> Result<Attached, InferenceError> {
    let mut state = state();
    let setting = match &*state {
        State::Attached(attached) => return Ok(attached.clone()),
        State::Broken(error) => return Err(error.clone()),
        State::Unattached { setting } => setting.clone(),
    };
    let named = match setting {
        Some(path) => Some(path),
        None => named_by_variable()?,
    };
    let outcome = match named {
        Some(path) => load(&path).map_err(|error| error.into_named(&path)),
        None => load_from_system(),
    };
    match outcome {
        Ok(attached) => {
            tracing::info!(
                library = attached.info.library,
                version = attached.info.version,
                "ONNX Runtime is attached"
            );
            *state = State::Attached(attached.clone());
            Ok(attached)
        }
        Err(Problem::Broken(error)) => {
            *state = State::Broken(error.clone());
            Err(error)
        }
        Err(Problem::Absent(error) | Problem::Unusable(error)) => Err(error),
    }
}

/// Why a library was not attached.
enum Problem {
    /// There is no such library.
    Absent(InferenceError),
    /// There is one, of another kind or too old; another may still be attached.
    Unusable(InferenceError),
    /// It was loaded for good and then broke down.
    Broken(InferenceError),
}

impl Problem {
    /// A library that was named and is not there is an error about that name.
    fn into_named(self, path: &Path) -> Self {
        match self {
            Self::Absent(_) => Self::Absent(InferenceError::new(
                InferenceErrorKind::RuntimeNotFound,
                format!("there is no ONNX Runtime library at `{}`", path.display()),
            )),
            other => other,
        }
    }
}

/// The library that the environment variable names, if it is set.
fn named_by_variable() -> Result<Option<PathBuf>, InferenceError> {
    match env::var_os(LIBRARY_VARIABLE) {
        Some(value) if !value.is_empty() => {
            let path = PathBuf::from(value);
            check_path(&path, &format!("`{LIBRARY_VARIABLE}`"))?;
            Ok(Some(path))
        }
        _ => Ok(None),
    }
}

/// Refuses a relative path, which would mean the current folder, and a path to no file.
fn check_path(path: &Path, source: &str) -> Result<(), InferenceError> {
    if !path.is_absolute() {
        return Err(InferenceError::new(
            InferenceErrorKind::RuntimeUnusable,
            format!(
                "{source} names the library `{}` by a relative path, which would depend on the current folder",
                path.display()
            ),
        )
        .with_hint("give the library's absolute path"));
    }
    if !path.is_file() {
        return Err(InferenceError::new(
            InferenceErrorKind::RuntimeNotFound,
            format!(
                "there is no ONNX Runtime library at `{}`, which {source} names",
                path.display()
            ),
        ));
    }
    Ok(())
}

/// Tries the names that the system's loader may know.
fn load_from_system() -> Result<Attached, Problem> {
    if library_path_is_relative() {
        return Err(Problem::Unusable(InferenceError::new(
            InferenceErrorKind::RuntimeUnusable,
            "`LD_LIBRARY_PATH` has an empty or relative entry, which means the current folder, so no library is looked for",
        )
        .with_hint("keep absolute folders only in `LD_LIBRARY_PATH`, or set `ORT_DYLIB_PATH`")));
    }
    for name in SYSTEM_NAMES
        .iter()
        .filter(|name| !lies_beside_program(name))
    {
        match load(Path::new(name)) {
            Err(Problem::Absent(_)) => {}
            outcome => return outcome,
        }
    }
    Err(Problem::Absent(InferenceError::new(
        InferenceErrorKind::RuntimeNotFound,
        "no ONNX Runtime library was found: `ORT_DYLIB_PATH` is not set, and the system's library path has none",
    )))
}

/// Whether the loader's own search path leads to the current folder.
fn library_path_is_relative() -> bool {
    env::var_os("LD_LIBRARY_PATH").is_some_and(|folders| {
        !folders.is_empty() && env::split_paths(&folders).any(|folder| !folder.is_absolute())
    })
}

/// `ort` prefers a library beside the program over the system's; a program in a download folder
/// must not pick up what lies around there.
fn lies_beside_program(name: &str) -> bool {
    env::current_exe()
        .ok()
        .and_then(|program| program.parent().map(|folder| folder.join(name).exists()))
        .unwrap_or(false)
}

/// Loads the library at a path, or of a name that the system's loader knows.
fn load(path: &Path) -> Result<Attached, Problem> {
    let builder = caught(path, || ort::init_from(path))?.map_err(|error| {
        if is_absent(&error) {
            Problem::Absent(unusable(path, "it does not exist"))
        } else {
            Problem::Unusable(unusable(path, &reason_of(&error)))
        }
    })?;
    let start = || {
        let environment = builder
            .with_name("ferrotype")
            .with_telemetry(false)
            .with_logger(Arc::new(log))
            .build()?;
        environment.set_log_level(LogLevel::Warning);
        Ok(environment)
    };
    let environment = caught(path, start)?
        .map_err(|error: ort::Error| Problem::Broken(unusable(path, &error.to_string())))?;
    let minor_version = caught(path, || ort::util::probe(path))?;
    Ok(Attached {
        environment,
        info: OnnxRuntimeInfo {
            library: path.display().to_string(),
            version: minor_version.map_or("unknown".into(), |minor| format!("1.{minor}")),
        },
    })
}

/// Runs a piece of `ort`, which panics over a library that exports the right name and then behaves
/// unlike ONNX Runtime.
fn caught<T>(path: &Path, work: impl FnOnce() -> T) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| Problem::Broken(unusable(path, "it broke down while starting")))
}

fn unusable(path: &Path, reason: &str) -> InferenceError {
    InferenceError::new(
        InferenceErrorKind::RuntimeUnusable,
        format!(
            "ONNX Runtime's library `{}` cannot be used: {reason}",
            path.display()
        ),
    )
}

/// Whether the system's loader found no file; all that it tells is a text.
fn is_absent(error: &LoadDynamicError) -> bool {
    matches!(error, LoadDynamicError::Dlopen { path, .. }
        if reason_of(error).contains("No such file") && !path.exists())
}

fn reason_of(error: &LoadDynamicError) -> String {
    match error {
        LoadDynamicError::Dlopen { error, .. } => error
            .source()
            .map_or(error.to_string(), ToString::to_string),
        LoadDynamicError::MissingApi { .. } => {
            "it is another library, without `OrtGetApiBase`".into()
        }
        LoadDynamicError::InvalidVersionString => "it does not tell its version".into(),
        LoadDynamicError::BadVersion { version_str, .. } => format!(
            "it is version `{version_str}`, expected at least `1.{}`",
            ort::MINOR_VERSION
        ),
    }
}

/// Passes what ONNX Runtime logs on. Its errors come back as errors too.
fn log(level: LogLevel, _category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => tracing::trace!(location, "{message}"),
        LogLevel::Warning => tracing::debug!(location, "{message}"),
        LogLevel::Error | LogLevel::Fatal => tracing::warn!(location, "{message}"),
    }
}
