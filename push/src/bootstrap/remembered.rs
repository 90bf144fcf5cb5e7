//! What was accepted before, from a file: the memory of one Delivery, or the records of a cluster that is lost.

use std::path::Path;

use sealift_apply::{
    accepted,
    api::{AcceptedRelease, AcceptedReleaseSpec, DeliveryName},
    cluster::Cluster,
};
use sealift_verify::memory::Memory;
use serde_json::Value;

use super::root::shown;
use crate::{
    delivery::{memory_file, parse_memory},
    failure::Failure,
    yaml::YamlError,
};

/// What a file remembers.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Remembered {
    /// Of the Delivery that takes over.
    pub(super) root: Memory,
    /// Of others.
    pub(super) others: Vec<AcceptedReleaseSpec>,
}

/// Reads the file; nothing is remembered without one.
pub(super) fn read(path: Option<&Path>, root: &DeliveryName) -> Result<Remembered, Failure> {
    match path {
        Some(path) => memory_file(path, |text| parse(text, root)),
        None => Ok(Remembered::default()),
    }
}

fn parse(text: &str, root: &DeliveryName) -> Result<Remembered, YamlError> {
    let value = crate::yaml::read(text)?;
    let items = match (value.get("kind").and_then(Value::as_str), value.get("items")) {
        (Some(kind), Some(Value::Array(items))) if kind.ends_with("List") => items.clone(),
        (Some("AcceptedRelease"), _) => vec![value],
        _ => return Ok(Remembered { root: parse_memory(text)?, others: vec![] }),
    };
    let mut remembered = Remembered::default();
    for item in items {
        match item.get("kind").and_then(Value::as_str) {
            Some("AcceptedRelease") => {}
            kind => return Err(format!("it holds a {}", kind.unwrap_or("thing without a kind")).into()),
        }
        let spec = serde_json::from_value::<AcceptedRelease>(item)?.spec;
        match spec.delivery == *root {
            true => remembered.root = spec.memory(),
            false => remembered.others.push(spec),
        }
    }
    Ok(remembered)
}

/// Gives the records of other Deliveries back to the cluster, before anything looks at those. No mark is lowered. Answers with
/// how many were written.
pub(super) async fn give_back(cluster: &Cluster, others: &[AcceptedReleaseSpec]) -> Result<usize, Failure> {
    let mut written = 0;
    for spec in others {
        let AcceptedReleaseSpec { delivery, evidence, .. } = spec;
        let found = accepted::read(cluster, delivery).await?;
        let (version, known) = match found {
            Some(found) if found.spec.delivery != *delivery => {
                return Err(crate::delivery::other_memory(&accepted::id(delivery).name));
            }
            Some(found) => (found.metadata.resource_version, Some((found.spec.memory(), found.spec.evidence))),
            None => (None, None),
        };
        let (memory, kept) = known.unwrap_or_default();
        let raised = memory.raised(&spec.memory())?;
        if version.is_some() && raised == memory {
            continue;
        }
        // The record of why a mark stands where it stands goes with the mark.
        let evidence = if raised.marks == memory.marks { kept } else { evidence.clone() };
        tracing::debug!(delivery = shown(delivery), "the record is given back");
        accepted::write(cluster, delivery, version, raised, evidence).await?;
        written += 1;
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn root() -> DeliveryName {
        DeliveryName { namespace: "sealift-system".into(), name: "sealift".into() }
    }

    fn record(namespace: &str, name: &str) -> String {
        format!(
            "{{apiVersion: sealift.dev/v1alpha1, kind: AcceptedRelease, metadata: {{name: x, uid: y}}, spec: {{delivery: {{namespace: {namespace}, name: {name}}}, marks: [{}]}}}}",
            mark()
        )
    }

    fn mark() -> String {
        format!(
            "{{stream: a, position: {{epoch: 0, sequence: 7}}, statement: '{DIGEST}', artifact: '{DIGEST}', firstSeen: 2026-01-01T00:00:00Z}}"
        )
    }

    #[test]
    fn reads_a_memory_a_record_and_what_kubectl_prints_of_all() {
        let list = |items: &[String]| format!("{{apiVersion: v1, kind: List, items: [{}]}}", items.join(", "));
        let own = record("sealift-system", "sealift");
        for (text, marks, others) in [
            (format!("marks: [{}]", mark()), 1, vec![]),
            (own.clone(), 1, vec![]),
            (record("shop", "web"), 0, vec!["shop/web"]),
            (list(&[]), 0, vec![]),
            (list(&[record("shop", "web"), own, record("shop", "db")]), 1, vec!["shop/web", "shop/db"]),
        ] {
            let found = parse(&text, &root()).unwrap();
            let named: Vec<_> = found.others.iter().map(|spec| shown(&spec.delivery)).collect();
            assert_eq!(
                (found.root.marks.len(), named),
                (marks, others.iter().map(ToString::to_string).collect()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_memory_is_not_an_empty_one() {
        for text in ["", "{}", "{kind: List}", "{kind: List, items: [{kind: ConfigMap}]}", "{kind: Secret, items: []}"]
        {
            assert!(parse(text, &root()).is_err(), "{text}");
        }
    }
}
