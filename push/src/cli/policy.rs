use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{RegistryAccess, address, verify::FactsArgs};
use sealift_registry::store::Address;

/// Check, test and explain signature policies, without a cluster
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    Check(CheckArgs),
    Test(TestArgs),
    Explain(Box<ExplainArgs>),
    Schema(SchemaArgs),
}

const CHECK: &str = "\
Examples:
  sealift policy check policies/*.yaml
  sealift policy check policies/ -o json";

/// Check that policy files can be used, without any artifact
///
/// A field that is missing, unknown or of the wrong type is named with its path. Exit code 5 if any policy is unusable.
#[derive(Debug, Args)]
#[command(after_help = CHECK)]
pub(crate) struct CheckArgs {
    /// Files with SignaturePolicy documents, folders, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

const TEST: &str = "\
Examples:
  sealift policy test tests/policies.yaml
  sealift policy test tests/policies.yaml -o junit > policy-tests.xml

The file:
  policies: [../policies/production.yaml]     paths relative to this file
  cases:
  - name: what runs today is accepted
    reference: oci://registry.example/acme/shop:prod
    facts: {namespace: acme-shop, environment: prod}
    expect: accepted
  - name: it is not for test clusters
    reference: oci://registry.example/acme/shop@sha256:…
    facts: {environment: test, now: 2026-06-01T00:00:00Z, memory: {marks: []}}
    expect: {refused: WrongEnvironment}

Facts: namespace, environment, stream, version, now, memory (marks, or the path of a file), require, parameters,
targetNamespace. Beside reference, `as` names the logical repository of bytes that lie elsewhere.
Exit code 3 if an expectation fails.";

/// Run policies against artifacts and expectations in a file: a step for CI
#[derive(Debug, Args)]
#[command(after_help = TEST)]
pub(crate) struct TestArgs {
    /// The file with policies, cases and expectations
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}

const EXPLAIN: &str = "\
Examples:
  sealift policy explain oci://registry.example/acme/shop:prod --policy policies/ --namespace acme-shop
  sealift policy explain oci://registry.example/acme/shop --policy policies/     which policies match, nothing is fetched

The exit code says whether the question could be answered; `sealift verify` gives the verdict by its own.";

/// Say which policies match a repository and why, what each requires, and which rule decided
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN)]
pub(crate) struct ExplainArgs {
    /// oci://HOST/REPO; with a :TAG or @DIGEST the artifact is judged as well
    #[arg(value_name = "REFERENCE", value_parser = address)]
    pub(crate) reference: Address,
    /// File or folder with SignaturePolicy documents; may be repeated
    #[arg(long, required = true, value_name = "FILE")]
    pub(crate) policy: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) facts: FactsArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}

const SCHEMA: &str = "\
Examples:
  sealift policy schema > signaturepolicy.schema.json
  # yaml-language-server: $schema=signaturepolicy.schema.json      as a policy's first line, for editors";

/// Print the JSON Schema of SignaturePolicy, for editors
#[derive(Debug, Args)]
#[command(after_help = SCHEMA)]
pub(crate) struct SchemaArgs {}
