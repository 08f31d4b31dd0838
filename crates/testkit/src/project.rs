//! A temporary project folder, and the binary run in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::program::{Finished, Running};

/// A temporary project folder, removed when this is dropped.
pub struct TestProject {
    folder: TempDir,
    binary: PathBuf,
}

impl TestProject {
    /// An empty project folder for this binary: `TestProject::new(env!("CARGO_BIN_EXE_ferrotype"))`.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let folder = tempfile::Builder::new()
            .prefix(".ferrotype-test")
            .tempdir()
            .unwrap();
        // The marker keeps the search for a project from going on above.
        std::fs::create_dir(folder.path().join(".ferrotype")).unwrap();
        Self {
            folder,
            binary: binary.into(),
        }
    }

    /// The project folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path below the project folder.
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Writes a file below the project folder, and answers with its path.
    pub fn write(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The command, ready to run in the project folder, free of what the machine is set to.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments);
        self.prepare(&mut command);
        command
    }

    /// The command under a shell line that sets limits first and then runs `exec "$@"`.
    pub fn command_under(&self, shell: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", shell, "bash"]);
        command.arg(&self.binary).args(arguments);
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        command.current_dir(self.path());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("FERROTYPE_") || text == "ORT_DYLIB_PATH" || text == "DATABASE_URL"
            {
                command.env_remove(&name);
            }
        }
        command.env("NO_COLOR", "1").env("COLUMNS", "100");
    }

    /// Runs the command to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = self.command(arguments);
        Finished::from_output(&command.output().unwrap())
    }

    /// Runs the command to its end; it must succeed.
    pub fn succeed(&self, arguments: &[&str]) -> Finished {
        let finished = self.run(arguments);
        assert_eq!(
            finished.code,
            Some(0),
            "{arguments:?}: {}",
            finished.describe()
        );
        finished
    }

    /// Runs the command to its end; it must fail with exit code 1 and no panic.
    pub fn fail(&self, arguments: &[&str]) -> Finished {
        let finished = self.run(arguments);
        assert_eq!(
            finished.code,
            Some(1),
            "{arguments:?}: {}",
            finished.describe()
        );
        assert!(
            !finished.stderr.contains("panicked"),
            "{}",
            finished.describe()
        );
        finished
    }

    /// Starts the command in the background.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }
}
