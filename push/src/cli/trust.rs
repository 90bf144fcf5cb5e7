use std::path::PathBuf;

use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use sealift_verify::{duration::Duration, sigstore::PUBLIC_GOOD};

/// Keep the roots that Sigstore signatures are trusted by up to date
#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    #[command(subcommand)]
    pub(crate) command: TrustCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    Update(UpdateArgs),
}

const EXAMPLES: &str = "\
Examples:
  sealift trust update -f trust/public-good.yaml
  sealift push oci://registry.example/platform/trust:prod -f trust/ --key cosign.key     and every cluster has it
  sealift trust update --name private --tuf https://tuf.example --root root.json -f trust/private.yaml
  sealift trust update -f trust/public-good.yaml --cache .tuf                 refuses what is older than the last time

A job in CI fetches the trusted root of a Sigstore instance and ships it as a signed release: clusters ask no TUF
repository. All metadata is verified from the root that is named, or built in, on: signatures, thresholds, rotations of
the root, expiry, versions, lengths and digests. Run it at least every few weeks: the document says when it was fetched,
and the controller tells of a root that is older than 60 days.";

/// Fetch a trusted root from a TUF repository, verify it, and write it as a TrustRoot
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UpdateArgs {
    /// Name of the TrustRoot, as policies name it
    #[arg(long, value_name = "NAME", default_value = PUBLIC_GOOD, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,
    /// The TUF repository [default: that of the public-good instance]
    #[arg(long, value_name = "URL", requires = "root")]
    pub(crate) tuf: Option<String>,
    /// The root.json that trust in the repository begins with; any of its versions [default: built in for the public-good instance]
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Option<PathBuf>,
    /// Which file of the repository is the trusted root
    #[arg(long, value_name = "PATH", default_value = "trusted_root.json")]
    pub(crate) target: String,
    /// Write the document here; only a TrustRoot of the same name is replaced [default: standard output]
    #[arg(long, short = 'f', value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Remember verified metadata in this folder, and refuse older
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// PEM file with CA certificates to trust beside the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// How long one request may take
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(crate) timeout: Duration,
}
