//! The real rclone, which serves a folder as S3: object storage that others wrote.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    process::{HarnessError, Process, free_port, listens, with_retry},
    reaper,
    tool::Tool,
};

const ACCESS_KEY: &str = "an-access-key-for-tests";
const SECRET_KEY: &str = "a-secret-key-for-tests";

/// An S3 server on loopback, plain HTTP, for one user; gone when dropped.
#[derive(Debug)]
pub struct ObjectStorage {
    port: u16,
    process: Process, // dropped, hence killed, before its folder goes
    folder: TempDir,
}

impl ObjectStorage {
    /// One with a bucket of this name, empty. `None` unless `make interop` runs the tests.
    ///
    /// # Panics
    /// Where it does not start or has not been built.
    #[must_use]
    pub fn start(bucket: &str) -> Option<Self> {
        let program = Tool::for_interop("s3-server")?;
        let storage = with_retry(|| Self::launch(&program)).unwrap_or_else(|error| panic!("no S3 server: {error}"));
        fs::create_dir(storage.bucket(bucket)).expect("a temp folder can be made");
        Some(storage)
    }

    fn launch(program: &Tool) -> Result<Self, HarnessError> {
        let folder = tempfile::tempdir().map_err(|source| HarnessError::File { path: std::env::temp_dir(), source })?;
        reaper::watch_folder(folder.path());
        let root = folder.path().join("buckets");
        fs::create_dir(&root).map_err(|source| HarnessError::File { path: root.clone(), source })?;
        let port = free_port();
        let mut command = program.command();
        command.args(["serve", "s3", "--addr", &format!("127.0.0.1:{port}")]);
        command.args(["--auth-key", &format!("{ACCESS_KEY},{SECRET_KEY}"), "--vfs-cache-mode", "off"]);
        command.arg(&root).env("RCLONE_CONFIG", folder.path().join("rclone.conf"));
        command.env("RCLONE_CACHE_DIR", folder.path().join("cache"));
        let mut process = Process::start("s3-server", command, &folder.path().join("log"))?;
        process.wait_until("listening", Duration::from_secs(60), || listens(port))?;
        Ok(Self { port, process, folder })
    }

    /// What a program reads in its environment to find it, and to be let in.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }

    /// The folder that is served as a bucket.
    #[must_use]
    pub fn bucket(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn root(&self) -> PathBuf {
        Path::new(self.folder.path()).join("buckets")
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}
