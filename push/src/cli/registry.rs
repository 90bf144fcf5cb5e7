use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand};
use sealift_verify::reference::Repository;

use super::repository;

/// Run a small OCI registry for demos, laptops and edge sites
#[derive(Debug, Args)]
pub(crate) struct RegistryArgs {
    #[command(subcommand)]
    pub(crate) command: RegistryCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    Serve(ServeArgs),
}

const EXAMPLES: &str = "\
Examples:
  sealift registry serve                     in memory, on 127.0.0.1:5000, until Ctrl-C
  sealift registry serve --dir /srv/oci      on an OCI image layout, which survives a restart
  sealift registry serve --dir /srv/oci --read-only --listen 127.0.0.1:0
  sealift registry serve --layout shop.tar --as registry.example/acme/shop     what a copy brought to this site";

/// Serve a registry until SIGINT or SIGTERM
///
/// It speaks plain HTTP and knows no users: keep it on loopback, or behind something that does TLS and authentication.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// Keep content in this folder, an OCI image layout; without, in memory
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Serve this OCI image layout, a folder or a tar file, as `sealift copy` and other tools write them; never written to
    #[arg(long, value_name = "DIR|FILE.tar", conflicts_with = "dir", requires = "as_repository")]
    pub(crate) layout: Option<PathBuf>,
    /// The logical repository that the layout stands for; it is served under this path
    #[arg(long = "as", value_name = "REPOSITORY", value_parser = repository, requires = "layout")]
    pub(crate) as_repository: Option<Repository>,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
    pub(crate) listen: SocketAddr,
    /// Refuse every request that would change something
    #[arg(long, requires = "dir")]
    pub(crate) read_only: bool,
}
