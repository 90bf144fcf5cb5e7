use std::path::PathBuf;

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};
use jiff::Timestamp;
use sealift_registry::store::Address;
use sealift_verify::{artifact::Format, duration::Duration, parameters::Parameter, reference::Repository};

use super::{
    RegistryAccess, address, assignment, pin::PushPinArgs, render::RenderArgs, repository, signer::SignerArgs,
    validate::ValidationArgs, variant::VariantArgs,
};

const EXAMPLES: &str = "\
Examples:
  sealift push oci://registry.example/acme/shop:prod -f rendered/ --key cosign.key --env prod
  sealift push oci://registry.example/acme/shop:prod -f overlays/prod --key cosign.key    a kustomization: rendered here
  sealift push oci://registry.example/acme/shop:prod -f charts/shop --values prod.yaml --key cosign.key     so is a chart
  sealift push oci://registry.example/acme/shop:prod -f jsonnet/ --render-cmd 'jsonnet -y main.jsonnet' --key cosign.key
  sealift push oci://registry.example/acme/shop:prod --variant eu=overlays/eu --variant us=overlays/us --key cosign.key
  ytt -f config/ | sealift push oci://registry.example/acme/shop:prod -f - --key cosign.key
  sealift push oci://registry.example/acme/shop:prod -f rendered/ --key cosign.key \\
      --version 1.4.2 --expires-in 720h --var DOMAIN --var REPLICAS:int=2 --digest-file digest.txt
  sealift push oci://registry.example/acme/shop:prod -f rendered/ --keyless --trusted-root trusted_root.json \\
      --signing-config signing_config.json
  VAULT_ADDR=https://… VAULT_TOKEN=… sealift push oci://registry.example/acme/shop:prod -f rendered/ --key hashivault://KEY
  sealift push oci://localhost:5000/shop:dev -f rendered/ --key cosign.key --format flux

Standard output holds the pinned reference HOST/REPO@sha256:… and nothing else. The same manifests give the same
digest on any machine, however the files are laid out. TAG is moved last, and only forward: if it already names a
newer release of the same signer, it is left alone and the exit code is 8.";

/// Pack manifests, sign a release statement about them, push both, and move the tag
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PushArgs {
    /// Where to push: oci://HOST/REPO:TAG, where TAG is the channel that clusters follow
    #[arg(value_name = "REFERENCE", value_parser = address)]
    pub(crate) reference: Address,
    /// Manifests: a file, a folder (every .yaml, .yml and .json in it, or what a kustomization or chart in it renders to),
    /// or - for standard input; may be repeated
    #[arg(long = "file", short = 'f', required_unless_present = "variant", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) variants: VariantArgs,
    /// How the artifact is packed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: FormatArg,
    /// Leave the channel tag where it is (the release is reachable by digest and by its immutable tag)
    #[arg(long)]
    pub(crate) no_tag: bool,
    /// Do everything but write: render, pin, validate, pack, read the channel, and show the statement; nothing is signed
    #[arg(long, conflicts_with = "digest_file")]
    pub(crate) dry_run: bool,
    /// Also write the digest to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) digest_file: Option<PathBuf>,
    /// Also write SEALIFT_DIGEST, SEALIFT_REFERENCE, SEALIFT_STATEMENT, SEALIFT_VERSION and SEALIFT_SEQUENCE to this file,
    /// as GitLab's dotenv reports have them (on GitHub, $GITHUB_OUTPUT gets them by itself)
    #[arg(long, value_name = "FILE")]
    pub(crate) dotenv: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) render: RenderArgs,
    /// The logical repository that statements and policies speak of, if the bytes go elsewhere: to a mirror or a layout
    #[arg(long = "as", value_name = "REPOSITORY", value_parser = repository)]
    pub(crate) as_repository: Option<Repository>,

    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    #[command(flatten)]
    pub(crate) validation: ValidationArgs,
    #[command(flatten)]
    pub(crate) pin: PushPinArgs,
    #[command(flatten)]
    pub(crate) statement: StatementArgs,
    #[command(flatten)]
    pub(crate) origin: OriginArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}

/// What the release statement says.
#[derive(Debug, Args)]
#[command(next_help_heading = "Statement options")]
pub(crate) struct StatementArgs {
    /// The line of releases this one belongs to [default: the repository's path]
    #[arg(long, value_name = "STREAM", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) stream: Option<String>,
    /// The environment it may run in
    #[arg(long, value_name = "ENVIRONMENT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) env: Option<String>,
    /// Its version; also the immutable tag (without one, that is seq-SEQUENCE)
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<String>,
    /// Its place in the stream [default: one more than the previous release, at least the time in milliseconds]
    #[arg(long, value_name = "N")]
    pub(crate) sequence: Option<u64>,
    /// The epoch; a higher one beats any sequence [default: that of the previous release]
    #[arg(long, value_name = "N")]
    pub(crate) epoch: Option<u64>,
    /// How long the statement lasts, such as 720h; pushing the same manifests again renews it
    #[arg(long, value_name = "DURATION")]
    pub(crate) expires_in: Option<Duration>,
    /// Not to be accepted before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) not_before: Option<Timestamp>,
    /// Another logical repository that may hold this release, HOST/REPO; may be repeated
    #[arg(long, value_name = "REPOSITORY", value_parser = repository)]
    pub(crate) repository: Vec<Repository>,
    /// Declare a variable: NAME, NAME:int, NAME:bool=true, NAME=default; may be repeated
    #[arg(long, value_name = "NAME[:TYPE][=DEFAULT]")]
    pub(crate) var: Vec<Parameter>,
}

/// Where the manifests came from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Origin options")]
pub(crate) struct OriginArgs {
    /// Address of the source repository [default: from CI's variables or git, in the statement only]
    #[arg(long, value_name = "URI")]
    pub(crate) source: Option<String>,
    /// Revision of the source, such as a commit [default: from CI's variables or git, in the statement only]
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: Option<String>,
    /// Annotation of the artifact's manifest; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    pub(crate) annotation: Vec<(String, String)>,
}

/// How the artifact is packed, and for whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// Canonical JSON, tar+zstd: smallest and fastest, read by Sealift only
    #[default]
    Sealift,
    /// YAML, tar+gzip with Flux's media types: Flux reads it, Sealift too
    Flux,
    /// YAML, tar+gzip with plain OCI media types: Argo CD and generic tools read it, Sealift too
    Oci,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Sealift => Self::Sealift,
            FormatArg::Flux => Self::Flux,
            FormatArg::Oci => Self::Oci,
        }
    }
}
