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
const CERTIFICATE: &str = "certificate.pem";

/// An S3 server on loopback for one user; gone when dropped.
#[derive(Debug)]
pub struct ObjectStorage {
    port: u16,
    over_tls: bool,
    process: Process, // dropped, hence killed, before its folder goes
    folder: TempDir,
}

impl ObjectStorage {
    /// One that speaks plain HTTP, with a bucket of this name, empty. `None` unless `make interop` runs the tests.
    ///
    /// # Panics
    /// Where it does not start or has not been built.
    #[must_use]
    pub fn start(bucket: &str) -> Option<Self> {
        Self::with(bucket, false)
    }

    /// The same over TLS, by a certificate that nobody trusts who is not told to by [`ObjectStorage::ca_file`].
    ///
    /// # Panics
    /// As of [`ObjectStorage::start`].
    #[must_use]
    pub fn over_tls(bucket: &str) -> Option<Self> {
        Self::with(bucket, true)
    }

    fn with(bucket: &str, over_tls: bool) -> Option<Self> {
        let program = Tool::for_interop("s3-server")?;
        let storage = with_retry(|| Self::launch(&program, over_tls));
        let storage = storage.unwrap_or_else(|error| panic!("no S3 server: {error}"));
        fs::create_dir(storage.bucket(bucket)).expect("a temp folder can be made");
        Some(storage)
    }

    fn launch(program: &Tool, over_tls: bool) -> Result<Self, HarnessError> {
        let folder = tempfile::tempdir().map_err(|source| HarnessError::File { path: std::env::temp_dir(), source })?;
        reaper::watch_folder(folder.path());
        let root = folder.path().join("buckets");
        fs::create_dir(&root).map_err(|source| HarnessError::File { path: root.clone(), source })?;
        let port = free_port();
        let mut command = program.command();
        command.args(["serve", "s3", "--addr", &format!("127.0.0.1:{port}")]);
        command.args(["--auth-key", &format!("{ACCESS_KEY},{SECRET_KEY}"), "--vfs-cache-mode", "off"]);
        if over_tls {
            let own =
                rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate can be made");
            for (option, name, pem) in
                [("--cert", CERTIFICATE, own.cert.pem()), ("--key", "key.pem", own.signing_key.serialize_pem())]
            {
                let path = folder.path().join(name);
                fs::write(&path, pem).map_err(|source| HarnessError::File { path: path.clone(), source })?;
                command.arg(option).arg(path);
            }
        }
        command.arg(&root).env("RCLONE_CONFIG", folder.path().join("rclone.conf"));
        command.env("RCLONE_CACHE_DIR", folder.path().join("cache"));
        let mut process = Process::start("s3-server", command, &folder.path().join("log"))?;
        process.wait_until("listening", Duration::from_secs(60), || listens(port))?;
        Ok(Self { port, over_tls, process, folder })
    }

    /// What a program reads in its environment to find it, and to be let in.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 4] {
        let scheme = if self.over_tls { "https" } else { "http" };
        [
            ("AWS_ENDPOINT_URL", format!("{scheme}://127.0.0.1:{}", self.port)),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }

    /// The file that says whom to trust about it, where it speaks TLS.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join(CERTIFICATE)
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
