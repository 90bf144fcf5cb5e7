//! Places in an object where a variable is dangerous.

use crate::{objects::ObjectId, policy::ParameterPlace};

/// The sort of sensitive place that a JSON pointer into an object reaches; `None` for ordinary ones.
pub fn place(id: &ObjectId, pointer: &str) -> Option<ParameterPlace> {
    let is_rbac = id.group == "rbac.authorization.k8s.io";
    // Labels decide which ClusterRoles are added to others.
    let rbac = ["/rules", "/subjects", "/roleRef", "/aggregationRule", "/metadata/labels"];
    // `serviceAccountName`, `serviceAccountRef/name`, the token of an account, and the annotation that asks for one.
    let account = |part: &str| part.to_ascii_lowercase().contains("serviceaccount");
    if is_rbac && rbac.iter().any(|part| pointer.starts_with(part))
        || pointer.ends_with("service-account.name")
        || parts(pointer).any(account)
    {
        return Some(ParameterPlace::Rbac);
    }
    let namespace = |part: &str| part == "namespaces" || part == "matchNames";
    let last = parts(pointer).last().unwrap_or_default();
    if matches!(pointer, "/metadata/name" | "/metadata/generateName")
        || last == "namespace"
        || last.ends_with("Namespace")
        || parts(pointer).any(namespace)
    {
        return Some(ParameterPlace::Names);
    }
    // Operators' resources carry images under names such as `baseImage`, and in parts: `image/repository`.
    let image = |part: &str| {
        let one = part.strip_suffix('s').unwrap_or(part);
        one == "image" || one.ends_with("Image")
    };
    parts(pointer).any(image).then_some(ParameterPlace::Images)
}

/// The pointer's keys and indexes.
fn parts(pointer: &str) -> impl Iterator<Item = &str> {
    pointer.split('/').skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_names_images_and_rbac() {
        let id = |group: &str, kind: &str| ObjectId {
            group: group.into(),
            kind: kind.into(),
            namespace: None,
            name: "x".into(),
            version: "v1".into(),
        };
        let rbac = id("rbac.authorization.k8s.io", "RoleBinding");
        let pod = id("", "Pod");
        assert_eq!(place(&rbac, "/subjects/0/name"), Some(ParameterPlace::Rbac));
        assert_eq!(place(&pod, "/spec/serviceAccountName"), Some(ParameterPlace::Rbac));
        assert_eq!(place(&pod, "/spec/containers/0/image"), Some(ParameterPlace::Images));
        assert_eq!(place(&pod, "/metadata/namespace"), Some(ParameterPlace::Names));
        assert_eq!(place(&pod, "/metadata/labels/name"), None);
        assert_eq!(place(&pod, "/spec/replicas"), None);
    }

    #[test]
    fn knows_images_accounts_and_namespaces_by_the_parts_they_are_written_in() {
        let id = |group: &str, kind: &str| ObjectId {
            group: group.into(),
            kind: kind.into(),
            namespace: None,
            name: "x".into(),
            version: "v1".into(),
        };
        let (pod, other) = (id("", "Pod"), id("example.com", "App"));
        for (id, pointer, expected) in [
            (&pod, "/spec/volumes/0/image/reference", ParameterPlace::Images),
            (&other, "/spec/image/repository", ParameterPlace::Images),
            (&other, "/spec/images/0", ParameterPlace::Images),
            (&other, "/spec/sidecarImages/0/tag", ParameterPlace::Images),
            (&other, "/spec/serviceAccount/name", ParameterPlace::Rbac),
            (&other, "/spec/serviceAccountRef/name", ParameterPlace::Rbac),
            (&pod, "/spec/volumes/0/projected/sources/0/serviceAccountToken/audience", ParameterPlace::Rbac),
            (&id("", "Secret"), "/metadata/annotations/kubernetes.io~1service-account.name", ParameterPlace::Rbac),
            (
                &id("rbac.authorization.k8s.io", "ClusterRole"),
                "/metadata/labels/rbac.authorization.k8s.io~1aggregate-to-admin",
                ParameterPlace::Rbac,
            ),
            (&other, "/spec/targetNamespace", ParameterPlace::Names),
            (&other, "/spec/namespaceSelector/matchNames/0", ParameterPlace::Names),
            (&other, "/spec/namespaces/0", ParameterPlace::Names),
            (
                &id("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
                "/webhooks/0/clientConfig/service/namespace",
                ParameterPlace::Names,
            ),
        ] {
            assert_eq!(place(id, pointer), Some(expected), "{pointer}");
        }
        for pointer in ["/spec/imagePullPolicy", "/spec/imagePullSecrets/0/name", "/data/image.txt", "/spec/imageless"]
        {
            assert_eq!(place(&pod, pointer), None, "{pointer}");
        }
    }
}
