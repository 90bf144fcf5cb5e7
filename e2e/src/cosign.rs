//! The real cosign, away from anybody's home.

use std::{
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::tool::Tool;

/// cosign with a home, a Docker configuration and a TUF cache of its own.
#[derive(Debug)]
pub struct Cosign {
    tool: Tool,
    home: TempDir,
}

impl Cosign {
    /// `None` where cosign is not installed.
    ///
    /// # Panics
    /// With `CI=true` where it is not installed.
    #[must_use]
    pub fn find() -> Option<Self> {
        let home = tempfile::tempdir().expect("a temp folder can be made");
        Tool::find("cosign").map(|tool| Self { tool, home })
    }

    /// Its home and working directory: `generate-key-pair` leaves `cosign.key` and `cosign.pub` here.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A command with these arguments; key passwords are empty unless `COSIGN_PASSWORD` is set on it.
    #[must_use]
    pub fn command<A: AsRef<str>>(&self, arguments: &[A]) -> Command {
        let mut command = self.tool.command();
        command
            .args(arguments.iter().map(AsRef::as_ref))
            .current_dir(self.home())
            .env("HOME", self.home())
            .env("DOCKER_CONFIG", self.home().join(".docker"))
            .env("TUF_ROOT", self.home().join(".sigstore"))
            .env("COSIGN_PASSWORD", "")
            .env("COSIGN_YES", "true");
        command
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn run<A: AsRef<str>>(&self, arguments: &[A]) -> Output {
        self.command(arguments).output().expect("cosign starts")
    }

    /// Runs it and gives what it printed on standard output.
    ///
    /// # Panics
    /// Where it fails, with all it said.
    #[must_use]
    pub fn succeed<A: AsRef<str>>(&self, arguments: &[A]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        let line: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        assert!(output.status.success(), "cosign {} failed:\n{errors}", line.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
