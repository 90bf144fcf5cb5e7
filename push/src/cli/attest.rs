use std::path::PathBuf;

use clap::Args;
use sealift_registry::store::Address;
use sealift_verify::reference::Repository;

use super::{RegistryAccess, address, repository, signer::SignerArgs};
use crate::attest::PredicateType;

const EXAMPLES: &str = "\
Examples:
  sealift attest oci://registry.example/acme/shop@sha256:… --type slsaprovenance1 --predicate provenance.json --key builder.key
  sealift attest oci://registry.example/acme/shop:prod --type vuln --predicate scan.json --keyless --trusted-root trusted_root.json
  syft rendered/ -o spdx-json | sealift attest oci://registry.example/acme/shop:prod --type spdxjson --predicate - --key ci.key

What is signed is an in-toto statement about the artifact's manifest, stored as `cosign attest` stores it, so that a
policy's `attestations` and `cosign verify-attestation` find it. Names of types mean what they mean to cosign; a policy
names the URI. It never is a release: that is signed by push, sign, refresh and rollback only.";

/// Sign a statement about an artifact: provenance, a scan, an inventory, or whatever a policy asks for
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AttestArgs {
    /// The artifact: oci://HOST/REPO@sha256:…, or with a :TAG, which is resolved first
    #[arg(value_name = "REFERENCE", value_parser = address)]
    pub(crate) reference: Address,
    /// The logical repository, if the bytes lie elsewhere; a layout has no other name
    #[arg(long = "as", value_name = "REPOSITORY", value_parser = repository)]
    pub(crate) as_repository: Option<Repository>,
    /// What is said: a file with a JSON object, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) predicate: PathBuf,
    /// What kind of thing is said: a URI, or slsaprovenance, slsaprovenance02, slsaprovenance1, link, spdxjson,
    /// cyclonedx, vuln, openvex
    #[arg(long = "type", value_name = "TYPE|URI")]
    pub(crate) predicate_type: PredicateType,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}
