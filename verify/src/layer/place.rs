//! Where an object lies in a layer.

use std::fmt::Write as _;

use crate::objects::ObjectId;

/// The path of an object's file in a layer of Sealift's own format.
pub fn path(id: &ObjectId) -> String {
    with_extension(id, "json")
}

/// `<namespace or _>/<group or core>/<Kind>/<name>.<extension>`.
///
/// Group and kind cannot hold anything a path minds. Namespace and name are percent-encoded outside `[a-z0-9.-]`:
/// RBAC names hold colons, and capitals would collide on file systems that ignore case. No namespace encodes to `_`.
pub(super) fn with_extension(id: &ObjectId, extension: &str) -> String {
    let mut path = String::with_capacity(64);
    match &id.namespace {
        Some(namespace) => encode(namespace, &mut path),
        None => path.push('_'),
    }
    path.push('/');
    path.push_str(if id.group.is_empty() { "core" } else { &id.group });
    path.push('/');
    path.push_str(&id.kind);
    path.push('/');
    encode(&id.name, &mut path);
    path.push('.');
    path.push_str(extension);
    path
}

fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' => out.push(char::from(byte)),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> ObjectId {
        ObjectId {
            group: group.into(),
            kind: kind.into(),
            namespace: namespace.map(Into::into),
            name: name.into(),
            version: "v1".into(),
        }
    }

    #[test]
    fn encodes_only_what_a_path_minds() {
        assert_eq!(with_extension(&id("", "Pod", Some("default"), "web-1"), "json"), "default/core/Pod/web-1.json");
        assert_eq!(
            with_extension(&id("rbac.authorization.k8s.io", "ClusterRole", None, "system:Node"), "yaml"),
            "_/rbac.authorization.k8s.io/ClusterRole/system%3A%4Eode.yaml"
        );
        assert_eq!(with_extension(&id("", "Pod", Some("_"), "é"), "json"), "%5F/core/Pod/%C3%A9.json");
    }
}
