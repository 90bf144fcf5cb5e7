//! What a person may type. The arguments are data; each command gives them their meaning.

pub(crate) mod approve;
pub(crate) mod attest;
pub(crate) mod audit;
pub(crate) mod bootstrap;
pub(crate) mod completion;
pub(crate) mod copy;
pub(crate) mod diff;
pub(crate) mod freeze;
pub(crate) mod inspect;
pub(crate) mod keygen;
pub(crate) mod list;
pub(crate) mod login;
pub(crate) mod man;
pub(crate) mod pin;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod promote;
pub(crate) mod public_key;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod refresh;
pub(crate) mod registry;
pub(crate) mod render;
pub(crate) mod rollback;
pub(crate) mod sign;
pub(crate) mod signer;
pub(crate) mod status;
pub(crate) mod tag;
pub(crate) mod trust;
pub(crate) mod validate;
pub(crate) mod variant;
pub(crate) mod verify;
pub(crate) mod verify_bundle;
pub(crate) mod wait;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sealift_registry::{
    identity::IdentityRule,
    store::{Address, Location},
};
use sealift_verify::reference::{Reference, Repository};

use crate::{
    exit,
    output::{Color, Report},
};

/// Signed delivery of Kubernetes manifests from an OCI registry.
///
/// CI packs rendered manifests into an artifact, signs a release statement about it and pushes both. Clusters pull,
/// verify and apply exactly what was signed.
#[derive(Debug, Parser)]
#[command(name = "sealift", version, about, after_long_help = format!("{START}\n\n{}", exit::help()), after_help = START)]
#[command(arg_required_else_help = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

const START: &str = "\
Start here:
  sealift keygen                                           make a key pair: cosign.key and cosign.pub
  sealift push oci://HOST/REPO:TAG -f DIR --key cosign.key  pack, sign, push, move the tag
  sealift verify oci://HOST/REPO:TAG --policy policy.yaml   the verdict a cluster would reach
  sealift inspect oci://HOST/REPO:TAG                       what an artifact holds";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Keygen(keygen::KeygenArgs),
    PublicKey(public_key::PublicKeyArgs),
    Pin(pin::PinArgs),
    Push(Box<push::PushArgs>),
    Sign(sign::SignArgs),
    Approve(approve::ApproveArgs),
    Attest(attest::AttestArgs),
    Tag(tag::TagArgs),
    Promote(Box<promote::PromoteArgs>),
    Refresh(refresh::RefreshArgs),
    Rollback(rollback::RollbackArgs),
    Validate(validate::ValidateArgs),
    Verify(verify::VerifyArgs),
    Audit(audit::AuditArgs),
    Policy(policy::PolicyArgs),
    VerifyBundle(verify_bundle::VerifyBundleArgs),
    Copy(Box<copy::CopyArgs>),
    Inspect(inspect::InspectArgs),
    Diff(Box<diff::DiffArgs>),
    List(list::ListArgs),
    Pull(Box<pull::PullArgs>),
    Plan(plan::PlanArgs),
    Bootstrap(Box<bootstrap::BootstrapArgs>),
    Status(status::StatusArgs),
    Trust(trust::TrustArgs),
    Wait(Box<wait::WaitArgs>),
    Freeze(freeze::FreezeArgs),
    Registry(registry::RegistryArgs),
    Login(login::LoginArgs),
    Logout(login::LogoutArgs),
    Completion(completion::CompletionArgs),
    Man(man::ManArgs),
}

impl Command {
    /// True if the command's result can be written like this.
    pub(crate) fn can_write(&self, report: Report) -> bool {
        match (report, self) {
            (Report::Text | Report::Json, _) | (_, Self::Verify(_) | Self::Audit(_) | Self::Validate(_)) => true,
            (Report::Junit, Self::Policy(args)) => matches!(args.command, policy::PolicyCommand::Test(_)),
            (Report::Junit | Report::Sarif, _) => false,
        }
    }
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// How the result is written to standard output; JUnit and SARIF by verify, audit and validate, JUnit by policy test too
    #[arg(long, short = 'o', global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Report,
    /// Say nothing on standard error but warnings and errors
    #[arg(long, short = 'q', global = true)]
    pub(crate) quiet: bool,
    /// Say more on standard error about what is tried again and why; twice for even more
    #[arg(long, short = 'v', global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to colour
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
}

/// How a registry is reached; spelled alike on every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Registry options")]
pub(crate) struct RegistryAccess {
    /// Speak plain HTTP to this registry; loopback registries need no flag
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// PEM file with CA certificates to trust beside the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// PEM file with a certificate to show to a registry that asks for one in TLS
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,
    /// PEM file with that certificate's private key
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,
    /// Log in as this workload in its cloud (aws, gcp or azure), at that cloud's registries or at those below HOST[/PATH]
    #[arg(long, value_name = "[HOST[/PATH]=]PROVIDER")]
    pub(crate) registry_identity: Vec<IdentityRule>,
}

/// Which cluster is meant. As with kubectl: --context, else the current context of $KUBECONFIG or ~/.kube/config.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cluster options")]
pub(crate) struct ClusterAccess {
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

pub(crate) fn reference(text: &str) -> Result<Reference, String> {
    text.parse().map_err(|error| sealift_verify::chain(&error))
}

/// A place that artifacts lie in, with a tag or a digest: a registry, a layout in a folder or tar file, a bucket.
pub(crate) fn address(text: &str) -> Result<Address, String> {
    text.parse().map_err(|error| sealift_verify::chain(&error))
}

/// The same without a tag and a digest.
pub(crate) fn location(text: &str) -> Result<Location, String> {
    text.parse().map_err(|error| sealift_verify::chain(&error))
}

/// True for what names a place that artifacts lie in and cannot be meant as a path to manifests.
pub(crate) fn is_place(text: &str) -> bool {
    text.starts_with("oci://") || address(text).is_ok_and(|address| !address.location.is_registry())
}

pub(crate) fn repository(text: &str) -> Result<Repository, String> {
    text.parse().map_err(|error| sealift_verify::chain(&error))
}

/// `NAME=VALUE`.
pub(crate) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_teaches_by_an_example() {
        for command in Cli::command().get_subcommands() {
            let nested = command.get_subcommands().map(|c| c.get_after_long_help().or(c.get_after_help()));
            let own = command.get_after_long_help().or(command.get_after_help());
            let text = nested.chain([own]).flatten().map(ToString::to_string).collect::<String>();
            assert!(text.contains("sealift "), "{}", command.get_name());
        }
    }
}
