use std::path::PathBuf;

use clap::{ArgGroup, Args};
use sealift_registry::store::Address;
use sealift_verify::reference::Repository;

use super::{RegistryAccess, address, assignment, repository};

const EXAMPLES: &str = "\
Examples:
  sealift verify oci://registry.example/acme/shop:prod --policy policies/prod.yaml
  sealift verify oci://registry.example/acme/shop@sha256:… --policy a.yaml --policy b.yaml --env prod -o json
  sealift verify oci://mirror.example/acme/shop:prod --as registry.example/acme/shop --policy prod.yaml
  sealift verify oci://registry.example/acme/shop:prod --policy prod.yaml --variant eu
  sealift verify oci://registry.example/acme/shop:prod --policy prod.yaml --context prod-eu --delivery shop/web
  sealift verify oci://registry.example/acme/shop:prod --policy prod.yaml --check-images

It is the function the controller calls: given the same facts, the verdict is the same. What a cluster accepted
before is a fact: name it with --context and --delivery, or --memory. Without, that row says NOT CHECKED.

Who signed the images is part of the verdict, where the policy asks. --check-images adds what no verdict asks: whether
they can be pulled, by a HEAD for each manifest. One that is missing or has another digest exits with 3, one that could
not be asked about with 4, or 7 where credentials were refused.";

/// Judge an artifact as a cluster would, without a cluster
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("remembered").args(["memory", "delivery"])))]
pub(crate) struct VerifyArgs {
    /// The artifact: oci://HOST/REPO@sha256:…, or with a :TAG, which is resolved first
    #[arg(value_name = "REFERENCE", value_parser = address)]
    pub(crate) reference: Address,
    /// File with SignaturePolicy documents; may be repeated, and every policy that matches must pass
    #[arg(long, required = true, value_name = "FILE")]
    pub(crate) policy: Vec<PathBuf>,
    /// Exit with 9 if a check was not made although nothing was refused
    #[arg(long)]
    pub(crate) require_complete: bool,
    /// Also ask the registries whether every image that the release runs is there, with the digest it is pinned to
    #[arg(long)]
    pub(crate) check_images: bool,
    #[command(flatten)]
    pub(crate) facts: FactsArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}

/// What the verdict depends on besides artifact and policies.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Facts")]
pub(crate) struct FactsArgs {
    /// The logical repository, if the bytes lie elsewhere
    #[arg(long = "as", value_name = "REPOSITORY", value_parser = repository)]
    pub(crate) as_repository: Option<Repository>,
    /// Namespace of the Delivery
    #[arg(long, short = 'n', value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Environment the statement must be for
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(crate) env: Option<String>,
    /// Stream the statement must be of
    #[arg(long, value_name = "STREAM")]
    pub(crate) stream: Option<String>,
    /// Which of its variants is meant, of a release that has them
    #[arg(long, value_name = "NAME")]
    pub(crate) variant: Option<String>,
    /// Value of a parameter the release declares; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    pub(crate) set: Vec<(String, String)>,
    /// Namespace that every namespaced object is put into
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) target_namespace: Option<String>,
    /// What was accepted before: a memory of trust, or an AcceptedRelease, as YAML or JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) memory: Option<PathBuf>,
    /// Context of the kubeconfig whose cluster remembers
    #[arg(long, value_name = "NAME", requires = "delivery")]
    pub(crate) context: Option<String>,
    /// The Delivery whose memory of trust is read from the cluster, NAMESPACE/NAME
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = delivery)]
    pub(crate) delivery: Option<(String, String)>,
}

pub(crate) fn delivery(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("expected NAMESPACE/NAME".to_owned()),
    }
}
