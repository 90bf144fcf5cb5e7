use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand};

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
  sealift registry serve --dir /srv/oci --read-only --listen 127.0.0.1:0";

/// Serve a registry until SIGINT or SIGTERM
///
/// It speaks plain HTTP and knows no users: keep it on loopback, or behind something that does TLS and authentication.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// Keep content in this folder, an OCI image layout; without, in memory
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
    pub(crate) listen: SocketAddr,
    /// Refuse every request that would change something
    #[arg(long, requires = "dir")]
    pub(crate) read_only: bool,
}
