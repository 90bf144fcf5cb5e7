use std::path::PathBuf;

use clap::Args;
use sealift_verify::objects::images::Place;

use super::{RegistryAccess, render::RenderArgs, variant::VariantArgs};

const EXAMPLES: &str = "\
Examples:
  sealift pin -f rendered/                        resolve what images.lock lacks, drop what nothing names any more
  sealift pin -f rendered/ --update               ask about every tag again, and show what moved
  sealift pin -f rendered/ --check                in CI: exit code 10 if the lock does not fit the manifests
  sealift pin -f rendered/ --update --check       exit code 10 if a tag names another image than the lock
  sealift pin --variant eu=overlays/eu --variant us=overlays/us     one lock for all, in overlays/
  sealift pin -f rendered/ --image-place Prometheus.monitoring.coreos.com/spec/image

Commit the lock. `sealift push` writes its digests into the manifests, and asks no registry about images: the same
input gives the same digest. Without --lock it is images.lock in the first -f folder, or beside the first -f file;
push looks there too.";

/// Resolve the tags of container images, and write images.lock
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PinArgs {
    /// Manifests as push takes them: a file, a folder, which is rendered if it is a kustomization or a chart, or - for
    /// standard input; may be repeated
    #[arg(long = "file", short = 'f', required_unless_present = "variant", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) variants: VariantArgs,
    /// The lock [default: images.lock in the first folder, or beside the first file; of variants, in the folder that all
    /// lie in]
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// Resolve images again that the lock holds already
    #[arg(long)]
    pub(crate) update: bool,
    /// Write nothing; exit with 10 if the lock would change
    #[arg(long)]
    pub(crate) check: bool,
    /// Where a custom resource names an image outside of pods, Kind.group/field/*/image; may be repeated, and is kept in
    /// the lock [default: what the lock says]
    #[arg(long, value_name = "PLACE", value_parser = place)]
    pub(crate) image_place: Vec<Place>,
    #[command(flatten)]
    pub(crate) render: RenderArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}

/// How a push pins images.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Image options")]
pub(crate) struct PushPinArgs {
    /// The lock that `sealift pin` wrote [default: images.lock in the first -f folder or beside the first -f file, if there;
    /// for a variant in its own folder, or else in the one that all lie in]
    #[arg(long, value_name = "FILE", conflicts_with = "pin_images")]
    pub(crate) images_lock: Option<PathBuf>,
    /// Resolve tags of images now instead, so that the same manifests may give another digest tomorrow
    #[arg(long)]
    pub(crate) pin_images: bool,
    /// Where a custom resource names an image outside of pods, Kind.group/field/*/image, beside what the lock says
    #[arg(long, value_name = "PLACE", value_parser = place)]
    pub(crate) image_place: Vec<Place>,
}

fn place(text: &str) -> Result<Place, String> {
    text.parse().map_err(|error| sealift_verify::chain(&error))
}
