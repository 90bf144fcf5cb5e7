use std::path::PathBuf;

use clap::Args;
use sealift_verify::statement::is_variant;

use super::assignment;

/// Several sets of objects in one release.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct VariantArgs {
    /// One set of objects of several in a release, such as the overlay of a cluster or ring, in place of -f; may be
    /// repeated. A Delivery chooses one by spec.variant
    #[arg(long, value_name = "NAME=PATH", value_parser = variant, conflicts_with = "files")]
    pub(crate) variant: Vec<(String, PathBuf)>,
    /// Values file for the chart of one variant, after those of all; may be repeated
    #[arg(long, value_name = "NAME=FILE", value_parser = variant, requires = "variant")]
    pub(crate) variant_values: Vec<(String, PathBuf)>,
}

/// `NAME=PATH`, where the name is a DNS label.
fn variant(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = assignment(text).map_err(|_| "expected NAME=PATH".to_owned())?;
    match is_variant(&name) && !path.is_empty() {
        true => Ok((name, path.into())),
        false => Err("expected NAME=PATH, with a name of a-z, 0-9 and -, as a DNS label".to_owned()),
    }
}
