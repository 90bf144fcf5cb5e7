//! The Delivery in a release that keeps this very release in repair.

use sealift_apply::api::{DeletionPolicy, Delivery, DeliveryName, GROUP, Selection};
use sealift_verify::{
    digest::Digest,
    objects::{Object, ObjectId, Objects},
    reference::Repository,
};

use crate::{exit::Exit, failure::Failure};

/// Why nothing would look after the release once it is applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootError {
    #[error("the release does not hold Delivery {name}, which is to keep it in repair")]
    Missing { name: String, others: Vec<String> },
    #[error("Delivery {0} in the release cannot be read")]
    Unreadable(String, #[source] serde_json::Error),
    #[error("Delivery {name} in the release delivers {theirs}, and not {ours}, which it lies in")]
    OtherRepository { name: String, theirs: String, ours: String },
    #[error("Delivery {name} in the release selects {theirs}, and the release is {ours}")]
    OtherDigest { name: String, theirs: Digest, ours: Digest },
    #[error("Delivery {name} in the release is for {}, and {} is meant", variant(.theirs.as_ref()), variant(.ours.as_ref()))]
    OtherVariant { name: String, theirs: Option<String>, ours: Option<String> },
    #[error("Delivery {0} in the release is another once parameters and namespace are filled in")]
    Changed(String),
    #[error(
        "the release holds two Deliveries of itself, {name} and {other}, and each would own what the other one owns"
    )]
    Two { name: String, other: String },
    #[error("Delivery {name} in the cluster delivers {theirs}, and not {ours}")]
    Taken { name: String, theirs: String, ours: String },
}

fn variant(name: Option<&String>) -> String {
    name.map_or_else(|| "a release without variants".to_owned(), |name| format!("variant {name}"))
}

impl From<RootError> for Failure {
    fn from(error: RootError) -> Self {
        let hint = match &error {
            RootError::Missing { others, .. } if others.is_empty() => {
                "push it with a Delivery: ci-examples/shell/release-sealift.sh shows how".to_owned()
            }
            RootError::Missing { others, .. } => format!("it holds {}: choose with --delivery", others.join(", ")),
            RootError::Taken { .. } => "another --delivery, or another cluster? --context chooses".to_owned(),
            RootError::Two { .. } => "push the release again with one of them".to_owned(),
            RootError::OtherRepository { theirs, .. } => format!("a mirror is read as what it mirrors: --as {theirs}"),
            _ => "push the release again with a Delivery that fits".to_owned(),
        };
        Self::new(Exit::InvalidInput, error).hint(hint)
    }
}

pub(super) fn shown(name: &DeliveryName) -> String {
    format!("{}/{}", name.namespace, name.name)
}

fn is_delivery(object: &&Object) -> bool {
    (object.id.group.as_str(), object.id.kind.as_str()) == (GROUP, "Delivery")
}

/// The Delivery of this name. What names no namespace is put into the Delivery's own.
pub(super) fn find(objects: &Objects, name: &DeliveryName) -> Result<(ObjectId, Delivery), RootError> {
    let is_it = |id: &ObjectId| {
        id.name == name.name && id.namespace.as_ref().is_none_or(|namespace| *namespace == name.namespace)
    };
    let Some(found) = objects.iter().filter(is_delivery).find(|object| is_it(&object.id)) else {
        let named = |id: &ObjectId| format!("{}/{}", id.namespace.as_deref().unwrap_or(&name.namespace), id.name);
        let others = objects.iter().filter(is_delivery).map(|object| named(&object.id)).collect();
        return Err(RootError::Missing { name: shown(name), others });
    };
    let delivery = serde_json::from_value(found.value.clone());
    let delivery = delivery.map_err(|error| RootError::Unreadable(shown(name), error))?;
    Ok((found.id.clone(), delivery))
}

/// Whether it would take what it lies in.
pub(super) fn check(
    root: &Delivery,
    name: &DeliveryName,
    (repository, digest): (&Repository, Digest),
    variant: Option<&str>,
) -> Result<(), RootError> {
    let (name, spec) = (shown(name), &root.spec);
    if spec.repository != repository.to_string() {
        let (theirs, ours) = (spec.repository.clone(), repository.to_string());
        return Err(RootError::OtherRepository { name, theirs, ours });
    }
    match spec.select.selection() {
        Some(Selection::Digest(theirs)) if theirs != digest => {
            return Err(RootError::OtherDigest { name, theirs, ours: digest });
        }
        _ => {}
    }
    match spec.variant.as_deref() == variant {
        true => Ok(()),
        false => Err(RootError::OtherVariant { name, theirs: spec.variant.clone(), ours: variant.map(str::to_owned) }),
    }
}

/// Whether no other Delivery in the release would own what this one owns.
pub(super) fn is_alone(objects: &Objects, (id, root): (&ObjectId, &Delivery)) -> Result<(), RootError> {
    let same = |object: &&Object| {
        let spec = &object.value["spec"];
        object.id != *id
            && spec["repository"] == root.spec.repository
            && spec["variant"].as_str() == root.spec.variant.as_deref()
    };
    let shown = |id: &ObjectId| format!("{}/{}", id.namespace.as_deref().unwrap_or_default(), id.name);
    match objects.iter().filter(is_delivery).find(same) {
        Some(other) => Err(RootError::Two { name: shown(id), other: shown(&other.id) }),
        None => Ok(()),
    }
}

/// Whether the Delivery of this name that is in the cluster is the one meant.
pub(super) fn is_ours(there: &Delivery, name: &DeliveryName, repository: &Repository) -> Result<(), RootError> {
    let (theirs, ours) = (&there.spec.repository, repository.to_string());
    match *theirs == ours {
        true => Ok(()),
        false => Err(RootError::Taken { name: shown(name), theirs: theirs.clone(), ours }),
    }
}

/// What may be meant, and is likely not.
pub(super) fn doubts(root: &Delivery, name: &DeliveryName) -> Vec<String> {
    let (name, spec) = (shown(name), &root.spec);
    let mut doubts = vec![];
    if spec.deletion_policy != DeletionPolicy::Orphan {
        doubts.push(format!(
            "whoever deletes Delivery {name} deletes the controller and every definition with it; spec.deletionPolicy: Orphan keeps them"
        ));
    }
    if spec.service_account_name.is_none() {
        doubts
            .push(format!("Delivery {name} names no service account: the controller needs --default-service-account"));
    }
    if spec.suspend {
        doubts.push(format!("Delivery {name} is suspended: nothing keeps the release in repair"));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use sealift_verify::objects::{Origin, identity};
    use serde_json::{Value, json};

    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn name() -> DeliveryName {
        DeliveryName { namespace: "sealift-system".into(), name: "sealift".into() }
    }

    fn objects(values: &[Value]) -> Objects {
        let object = |value: &Value| Object {
            id: identity::of(value).unwrap(),
            value: value.clone(),
            origin: Origin::default(),
        };
        Objects::new(values.iter().map(object).collect()).unwrap()
    }

    fn delivery(name: &str, namespace: &str, spec: &Value) -> Value {
        let mut whole = json!({"repository": "registry.example/sealift", "select": {"tag": "stable"}});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        json!({"apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery", "metadata": {"name": name, "namespace": namespace}, "spec": whole})
    }

    fn checked(spec: &Value, variant: Option<&str>) -> Result<(), String> {
        let objects = objects(&[delivery("sealift", "sealift-system", spec)]);
        let (_, found) = find(&objects, &name()).unwrap();
        let repository = "registry.example/sealift".parse().unwrap();
        check(&found, &name(), (&repository, DIGEST.parse().unwrap()), variant).map_err(|error| error.to_string())
    }

    #[test]
    fn a_release_without_its_delivery_says_which_there_are() {
        let others = [delivery("sealift", "elsewhere", &json!({})), delivery("shop", "sealift-system", &json!({}))];
        let Err(RootError::Missing { others, .. }) = find(&objects(&others), &name()) else { panic!("it was found") };
        assert_eq!(others, ["elsewhere/sealift", "sealift-system/shop"]);
        let broken = json!({"apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery",
            "metadata": {"name": "sealift", "namespace": "sealift-system"}, "spec": {"repo": "x"}});
        assert!(matches!(find(&objects(&[broken]), &name()), Err(RootError::Unreadable(..))));
    }

    #[test]
    fn a_second_delivery_of_the_same_is_one_too_many() {
        let (root, eu) = (delivery("sealift", "sealift-system", &json!({})), json!({"variant": "eu"}));
        for (other, is_alone_with) in [
            (delivery("again", "sealift-system", &json!({})), false),
            (delivery("sealift", "elsewhere", &json!({"suspend": true, "select": {"tag": "canary"}})), false),
            (delivery("again", "sealift-system", &json!({"repository": "registry.example/shop"})), true),
            (delivery("again", "sealift-system", &eu), true),
        ] {
            let objects = objects(&[root.clone(), other]);
            let (id, found) = find(&objects, &name()).unwrap();
            assert_eq!(is_alone(&objects, (&id, &found)).is_ok(), is_alone_with, "{objects:?}");
        }
    }

    #[test]
    fn a_delivery_that_would_take_something_else_is_none() {
        for (spec, variant, says) in [
            (json!({}), None, None),
            (json!({"select": {"digest": DIGEST}}), None, None),
            (json!({"variant": "eu"}), Some("eu"), None),
            (json!({"repository": "registry.example/other"}), None, Some("delivers registry.example/other")),
            (json!({"select": {"digest": DIGEST.replace('4', "5")}}), None, Some("selects sha256:55136")),
            (json!({"variant": "eu"}), Some("us"), Some("is for variant eu, and variant us is meant")),
            (json!({}), Some("us"), Some("is for a release without variants, and variant us is meant")),
        ] {
            match (checked(&spec, variant), says) {
                (Ok(()), None) => {}
                (Err(error), Some(says)) => assert!(error.contains(says), "{error}"),
                (other, _) => panic!("{spec}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_likely_not_meant_is_said() {
        let of = |spec: &Value| {
            let objects = objects(&[delivery("sealift", "sealift-system", spec)]);
            doubts(&find(&objects, &name()).unwrap().1, &name()).len()
        };
        assert_eq!(of(&json!({"deletionPolicy": "Orphan", "serviceAccountName": "sealift-root"})), 0);
        assert_eq!(of(&json!({"suspend": true})), 3);
    }
}
