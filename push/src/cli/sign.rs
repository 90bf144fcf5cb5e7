use clap::Args;
use sealift_registry::store::Address;
use sealift_verify::{digest::Digest, reference::Repository};

use super::{RegistryAccess, address, repository, signer::SignerArgs};

const EXAMPLES: &str = "\
Examples:
  sealift sign oci://registry.example/acme/shop@sha256:… --key second.key
  sealift sign oci://registry.example/acme/shop@sha256:… --key second.key --statement sha256:…
  sealift sign oci://registry.example/acme/shop@sha256:… --keyless --identity-token token.jwt

A release by two people: the first pushes with --no-tag, the second signs the same statement, and `sealift tag` moves
the channel once the policy is satisfied. Signatures on different statements never add up, so the very bytes that the
first one signed are signed again. What is signed is shown first, and the key is opened only then. Signing twice with
the same key, or as the same identity proven with --trusted-root, changes nothing.";

/// Add a signature to a release statement that somebody else signed
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SignArgs {
    /// The artifact: oci://HOST/REPO@sha256:…, or with a :TAG, which is resolved first
    #[arg(value_name = "REFERENCE", value_parser = address)]
    pub(crate) reference: Address,
    /// Digest of the statement's payload, as push and inspect show it [default: the only one there is]
    #[arg(long, value_name = "DIGEST")]
    pub(crate) statement: Option<Digest>,
    /// The logical repository, if the bytes lie elsewhere
    #[arg(long = "as", value_name = "REPOSITORY", value_parser = repository)]
    pub(crate) as_repository: Option<Repository>,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}
