//! A registry at a site that a copy was brought to.

use std::{fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use tempfile::TempDir;

use crate::{process::Process, reaper, tool::binary};

/// `sealift registry serve --layout`: a folder or a tar served as it lies. Gone when dropped.
#[derive(Debug)]
pub struct Edge {
    address: SocketAddr,
    _process: Process, // dropped, hence killed, before its folder goes
    _folder: TempDir,
}

impl Edge {
    /// Serves a layout as this logical repository, on a port that it takes itself.
    ///
    /// # Panics
    /// Where it does not start or `sealift` has not been built.
    #[must_use]
    pub fn serve(layout: &Path, repository: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temp folder can be made");
        reaper::watch_folder(folder.path());
        let mut command = Command::new(binary("sealift"));
        command.args(["registry", "serve", "--listen", "127.0.0.1:0", "--as", repository, "--layout"]).arg(layout);
        let log = folder.path().join("log");
        let mut process = Process::start("sealift", command, &log).unwrap_or_else(|error| panic!("{error}"));
        let mut address = None;
        let announced = process.wait_until("listening", Duration::from_secs(60), || {
            address = fs::read_to_string(&log).ok().and_then(|text| announced(&text));
            address.is_some()
        });
        announced.unwrap_or_else(|error| panic!("{error}"));
        Self { address: address.expect("it was announced"), _process: process, _folder: folder }
    }

    /// `127.0.0.1:PORT`, as it stands in a reference.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }
}

/// The address, which is the one thing it prints, among what it says.
fn announced(log: &str) -> Option<SocketAddr> {
    log.split_inclusive('\n').filter(|line| line.ends_with('\n')).find_map(|line| line.trim().parse().ok())
}
