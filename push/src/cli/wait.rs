use clap::Args;
use sealift_registry::store::Address;
use sealift_verify::{duration::Duration, reference::Repository};

use super::{ClusterAccess, RegistryAccess, address, repository, verify::delivery};

const EXAMPLES: &str = "\
Examples:
  sealift wait oci://registry.example/acme/shop:prod --context prod-eu
  sealift wait oci://registry.example/acme/shop@sha256:… --context prod-eu --delivery shop/web --timeout 20m
  sealift wait oci://registry.example/acme/shop:prod --context prod-eu --reconcile -o json
  sealift wait delivery/web -n shop                       what it selects, whatever that is

With a reference: until every Delivery that selects this tag (or any of the repository, with a digest) has applied this
artifact and is ready. The cluster tells of changes; it is not asked again and again. A Delivery looks for new artifacts by
its interval unless a webhook or --reconcile makes it look now. Where it is at another release, the statements about both, in
the place that the reference names, say whether this one is still to come.

Exit codes: 0 all are there; 3 the artifact is refused; 8 another release took its place; 1 it cannot be applied, or the
Delivery is suspended or held at another release; 6 no Delivery selects it; 4 not there in time, or the cluster cannot be
asked. All but the last end the wait at once.";

/// Wait until a cluster runs a release
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WaitArgs {
    /// The artifact, oci://HOST/REPO:TAG or oci://HOST/REPO@sha256:…; or a Delivery, delivery/NAME or NAMESPACE/NAME
    #[arg(value_name = "REFERENCE|DELIVERY", value_parser = about)]
    pub(crate) about: About,
    /// Wait for this Delivery alone; may be repeated
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = delivery)]
    pub(crate) delivery: Vec<(String, String)>,
    /// Wait for the Deliveries of this namespace alone
    #[arg(long, short = 'n', value_name = "NAMESPACE", conflicts_with = "delivery")]
    pub(crate) namespace: Option<String>,
    /// How long to wait at most
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub(crate) timeout: Duration,
    /// Ask each Delivery to look now; needs the right to patch Deliveries
    #[arg(long)]
    pub(crate) reconcile: bool,
    /// The logical repository, if the bytes lie elsewhere
    #[arg(long = "as", value_name = "REPOSITORY", value_parser = repository)]
    pub(crate) as_repository: Option<Repository>,
    #[command(flatten)]
    pub(crate) cluster: ClusterAccess,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// An artifact.
    Artifact(Box<Address>),
    /// What this Delivery selects; in the context's namespace unless it names one.
    Delivery(Option<String>, String),
}

/// A Delivery as kubectl names one object of a kind or with its namespace, an artifact as all of Sealift does.
fn about(text: &str) -> Result<About, String> {
    let named = ["delivery/", "deliveries/", "dlv/"].into_iter().find_map(|kind| text.strip_prefix(kind));
    match named {
        Some("") => Err("delivery/ is followed by its name".to_owned()),
        Some(name) => Ok(About::Delivery(None, name.to_owned())),
        None if text.contains("://") => address(text).map(|address| About::Artifact(Box::new(address))),
        None => delivery(text)
            .map(|(namespace, name)| About::Delivery(Some(namespace), name))
            .map_err(|_| "expected oci://HOST/REPO:TAG, delivery/NAME or NAMESPACE/NAME".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_told_by_its_form() {
        assert_eq!(about("delivery/web"), Ok(About::Delivery(None, "web".into())));
        assert_eq!(about("shop/web"), Ok(About::Delivery(Some("shop".into()), "web".into())));
        assert!(matches!(about("oci://registry.example/a:prod"), Ok(About::Artifact(_))));
        for text in ["", "web", "delivery/", "registry.example/a/b:prod", "oci://registry.example"] {
            assert!(about(text).is_err(), "{text}");
        }
    }
}
