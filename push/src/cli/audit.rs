use std::path::PathBuf;

use clap::Args;
use sealift_verify::reference::{Pinned, Reference};

use super::{ClusterAccess, reference};

const EXAMPLES: &str = "\
Examples:
  sealift verify oci://registry.example/acme/shop:prod --policy prod.yaml -o json > evidence.json
  sealift audit evidence.json                      the same decision, for people
  sealift audit - -o sarif < decisions.jsonl       many records, such as a controller's --audit-log
  sealift audit delivery/web -n shop --context prod-eu        why this cluster took what it runs
  sealift audit oci://registry.example/acme/shop@sha256:… --context prod-eu    every Delivery that took it
  sealift audit delivery/web -n shop --records decisions.jsonl -o junit        the same from a log, with no cluster

No registry is asked and nothing is judged again: what is shown is what was recorded when the decision was made. A record
whose verdict does not follow from its rows is refused with exit code 3. Records are not signed: this says that one agrees
with itself, not who wrote it.";

/// Show recorded evidence again, offline, as text, JSON, JUnit or SARIF
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    /// Evidence as `verify -o json` writes it, or many in JSON lines (- for standard input); or whose records to show:
    /// delivery/NAME, or oci://HOST/REPO@sha256:…
    #[arg(value_name = "FILE|DELIVERY|REFERENCE", value_parser = about)]
    pub(crate) about: About,
    /// Look in this file (evidence in JSON lines, - for standard input) and not in a cluster; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) records: Vec<PathBuf>,
    /// Namespace of the Delivery [default: that of the context]
    #[arg(long, short = 'n', value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterAccess,
}

/// Which records are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// All in this file.
    File(PathBuf),
    /// Those of one Delivery, by name.
    Delivery(String),
    /// Those about one artifact.
    Artifact(Pinned),
}

/// A Delivery as kubectl names one object of a kind, an artifact as all of Sealift does, or else a file.
fn about(text: &str) -> Result<About, String> {
    let delivery = ["delivery/", "deliveries/", "dlv/"].into_iter().find_map(|kind| text.strip_prefix(kind));
    if let Some(name) = delivery {
        return if name.is_empty() {
            Err("delivery/ is followed by its name".to_owned())
        } else {
            Ok(About::Delivery(name.to_owned()))
        };
    }
    if !text.starts_with("oci://") {
        return Ok(About::File(text.into()));
    }
    match reference(text)? {
        Reference { repository, tag: None, digest: Some(digest) } => Ok(About::Artifact(repository.pin(digest))),
        _ => Err("records are about digests, and tags move: name HOST/REPO@sha256:…".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_told_by_its_form() {
        let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(about("-"), Ok(About::File("-".into())));
        assert_eq!(about("./delivery/web"), Ok(About::File("./delivery/web".into())));
        assert_eq!(about("dlv/web"), Ok(About::Delivery("web".into())));
        let pinned = format!("registry.example/a@{digest}");
        assert!(matches!(about(&format!("oci://{pinned}")), Ok(About::Artifact(found)) if found.to_string() == pinned));
        for text in ["delivery/", "oci://registry.example/a:prod", &format!("oci://registry.example/a:prod@{digest}")] {
            assert!(about(text).is_err(), "{text}");
        }
    }
}
