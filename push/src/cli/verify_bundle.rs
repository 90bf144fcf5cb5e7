use std::path::PathBuf;

use clap::{ArgGroup, Args};
use sealift_verify::digest::Digest;

const EXAMPLES: &str = "\
Examples:
  sealift verify-bundle --bundle a.sigstore.json --key cosign.pub a.txt
  sealift verify-bundle --bundle a.sigstore.json --certificate-identity me@example.com \\
      --certificate-oidc-issuer https://accounts.google.com sha256:…

It speaks the protocol of the sigstore conformance suite: exit code 0 if the bundle verifies, 3 if anything about it
does not. The log entry must be there and verify; so must a certificate's SCT, and any timestamp there is. Nothing is
fetched: without --trusted-root, the public-good root this program was built with is used.

Bundles of versions before v0.3 are read here, as Sigstore's own tools do. Policies demand v0.3: use `sealift verify`
for releases.";

/// Judge one Sigstore bundle about one file, as Sigstore's own clients do
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("signer").args(["key", "certificate_identity"]).required(true)))]
pub(crate) struct VerifyBundleArgs {
    /// The bundle
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: PathBuf,
    /// Whom the certificate must have been issued to
    #[arg(long, value_name = "IDENTITY", requires = "certificate_oidc_issuer")]
    pub(crate) certificate_identity: Option<String>,
    /// Who must have vouched for that identity
    #[arg(long, value_name = "URL", requires = "certificate_identity")]
    pub(crate) certificate_oidc_issuer: Option<String>,
    /// The public key that must have signed, as PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// A trusted_root.json to trust instead of the public-good one
    #[arg(long, value_name = "FILE")]
    pub(crate) trusted_root: Option<PathBuf>,
    /// The artifact: a file, or its digest
    #[arg(value_name = "FILE|sha256:HEX", value_parser = artifact)]
    pub(crate) artifact: Artifact,
}

/// What the bundle is about.
#[derive(Clone, Debug)]
pub(crate) enum Artifact {
    File(PathBuf),
    Digest(Digest),
}

fn artifact(text: &str) -> Result<Artifact, String> {
    match text.starts_with("sha256:") {
        true => text.parse().map(Artifact::Digest).map_err(|error| sealift_verify::chain(&error)),
        false => Ok(Artifact::File(text.into())),
    }
}
