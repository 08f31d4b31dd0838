//! A program under test: run to its end, or in the background with its output read as it comes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

/// What a program that has ended left behind.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Runs a command to its end.
    pub fn of(mut command: Command) -> Self {
        let output = command.output();
        Self::from_output(
            &output.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")),
        )
    }

    pub(crate) fn from_output(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.describe()))
    }

    /// Exit code and both outputs, as a snapshot shows them.
    pub fn describe(&self) -> String {
        let code = self
            .code
            .map_or_else(|| "a signal".to_string(), |code| code.to_string());
        format!(
            "exit code: {code}\n----- stdout -----\n{}\n----- stderr -----\n{}",
            self.stdout.trim_end(),
            self.stderr.trim_end()
        )
    }
}

/// A signal for [`Running::signal`].
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// A polite request to end.
    Terminate,
    /// The end, at any line.
    Kill,
}

/// A program in the background. It is killed when this is dropped.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: String,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts a command; its standard error is read line by line.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let mut stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, lines) = channel();
        let stdout = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stdout.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let stderr = std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
        Self {
            child,
            lines,
            seen: String::new(),
            stdout: Some(stdout),
            stderr: Some(stderr),
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on standard error that contains `text`, and answers with it.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv() else {
                panic!(
                    "the program ended without saying `{text}`; it said:\n{}",
                    self.seen
                );
            };
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Interrupt => "-INT",
            Signal::Terminate => "-TERM",
            Signal::Kill => "-KILL",
        };
        let status = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success(), "cannot send {name}");
    }

    /// Waits for the program's end.
    pub fn wait(mut self) -> Finished {
        let status: ExitStatus = self.child.wait().unwrap();
        let stdout = self.stdout.take().unwrap().join().unwrap();
        self.stderr.take().unwrap().join().unwrap();
        let mut stderr = std::mem::take(&mut self.seen);
        while let Ok(line) = self.lines.try_recv() {
            stderr.push_str(&line);
            stderr.push('\n');
        }
        Finished {
            code: status.code(),
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails when it has ended already: that is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
