//! Places in an object where a variable is dangerous.

use crate::{objects::ObjectId, policy::ParameterPlace};

/// The sort of sensitive place that a JSON pointer into an object reaches; `None` for ordinary ones.
pub fn place(id: &ObjectId, pointer: &str) -> Option<ParameterPlace> {
    let last = pointer.rsplit('/').next().unwrap_or_default();
    if matches!(last, "serviceAccountName" | "serviceAccount") {
        return Some(ParameterPlace::Rbac);
    }
    if id.group == "rbac.authorization.k8s.io"
        && ["/rules", "/subjects", "/roleRef", "/aggregationRule"].iter().any(|part| pointer.starts_with(part))
    {
        return Some(ParameterPlace::Rbac);
    }
    if matches!(pointer, "/metadata/name" | "/metadata/generateName") || last == "namespace" {
        return Some(ParameterPlace::Names);
    }
    // Operators' resources carry images under names such as `image`, `baseImage` and `initImage`.
    (last == "image" || last.ends_with("Image")).then_some(ParameterPlace::Images)
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
}
