//! A program's run, with how much memory it took.

use std::{
    fs::{self, File},
    io,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::cli::Output;

/// What a run came to and took.
#[derive(Debug)]
pub struct Measured {
    /// What it said.
    pub output: Output,
    /// The most memory it held at a time, in bytes: the kernel's own mark (`VmHWM`), read every millisecond until it ended.
    pub memory: u64,
    /// From start to end.
    pub time: Duration,
}

impl Measured {
    /// Runs a program to its end.
    ///
    /// # Errors
    /// Where it cannot be started, or its output not kept.
    pub fn run(command: &mut Command) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (stdout, stderr) = (folder.path().join("stdout"), folder.path().join("stderr"));
        let started = Instant::now();
        // files and not pipes, which nobody reads while it runs
        let mut child =
            command.stdin(Stdio::null()).stdout(File::create(&stdout)?).stderr(File::create(&stderr)?).spawn()?;
        let mut memory = 0;
        let status = loop {
            memory = memory.max(high_mark(child.id()).unwrap_or_default());
            if let Some(status) = child.try_wait()? {
                break status;
            }
            thread::sleep(Duration::from_millis(1));
        };
        let time = started.elapsed();
        let output = std::process::Output { status, stdout: fs::read(stdout)?, stderr: fs::read(stderr)? };
        Ok(Self { output: Output::of(output), memory, time })
    }
}

fn high_mark(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}
