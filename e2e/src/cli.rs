//! The real `sealift`, away from anybody's home and environment.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sealift_verify::digest::Digest;
use tempfile::TempDir;

use crate::{contract, tool::binary};

/// `sealift` with a home of its own, which is its working directory too.
#[derive(Debug)]
pub struct Cli {
    home: TempDir,
    environment: Vec<(String, String)>,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The product.
    pub stdout: String,
    /// What was said about it.
    pub stderr: String,
    /// The exit code; -1 where a signal ended it.
    pub code: i32,
}

impl Default for Cli {
    fn default() -> Self {
        Self::new()
    }
}

impl Cli {
    /// A new home, empty.
    ///
    /// # Panics
    /// Where no folder can be made.
    #[must_use]
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a temp folder can be made"), environment: Vec::new() }
    }

    /// The same with one more variable in every run.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Its home and working directory.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file into the home, with the folders it needs, and gives its path.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home().join(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a temp folder can be made");
        fs::write(&path, content).expect("a temp file can be written");
        path
    }

    /// Any program in the same surroundings, with our binaries first on its PATH.
    #[must_use]
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let binaries = binary("sealift");
        let binaries = binaries.parent().expect("a file lies in a folder").display();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", format!("{binaries}:{path}"))
            .env("HOME", self.home())
            .env("DOCKER_CONFIG", self.home().join(".docker"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    /// Runs `sealift` to its end.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn run<A: AsRef<str>>(&self, arguments: &[A]) -> Output {
        let mut command = self.program(binary("sealift"));
        command.args(arguments.iter().map(AsRef::as_ref));
        Output::of(command.output().expect("sealift starts"))
    }

    /// Runs `sealift` with this on its standard input.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn run_with_input<A: AsRef<str>>(&self, input: &[u8], arguments: &[A]) -> Output {
        let mut command = self.program(binary("sealift"));
        command.args(arguments.iter().map(AsRef::as_ref));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("sealift starts");
        let mut stdin = child.stdin.take().expect("the pipe was asked for");
        let input = input.to_owned();
        // it may end without reading all, which is its right
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().expect("a child can be waited for");
        writer.join().expect("writing does not panic");
        Output::of(output)
    }

    /// Runs `sealift` and gives what it printed on standard output, without the last line break.
    ///
    /// # Panics
    /// Where it fails, with all it said.
    pub fn succeed<A: AsRef<str>>(&self, arguments: &[A]) -> String {
        let output = self.run(arguments);
        let line: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        assert_eq!(output.code, 0, "sealift {} failed:\n{}{}", line.join(" "), output.stdout, output.stderr);
        output.stdout.trim_end().to_owned()
    }
}

impl Output {
    pub(crate) fn of(output: std::process::Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        contract::check(&String::from_utf8_lossy(&output.stdout));
        Self { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code().unwrap_or(-1) }
    }

    /// The digest of the pinned reference that a push prints.
    ///
    /// # Panics
    /// Where standard output is anything else.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let pinned = self.stdout.trim_end();
        let digest = pinned.rsplit_once('@').and_then(|(_, digest)| digest.parse().ok());
        digest.unwrap_or_else(|| panic!("{pinned:?} is no pinned reference\n{}", self.stderr))
    }
}
