//! Objects to an artifact: pure, and the same bytes for the same input.

use std::collections::BTreeMap;

use sealift_verify::{
    artifact::{Format, Manifest},
    digest::Digest,
    layer::{self, Layer, PackError},
    objects::{
        Objects,
        scope::{self, scopes},
    },
    statement::{Content, Scope},
};

use crate::{exit::Exit, failure::Failure, pin::Pinning};

/// An artifact ready to upload, and what a statement says about its content.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) layer: Layer,
    pub(crate) manifest: Manifest,
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) content: Content,
    pub(crate) scope: Scope,
    pub(crate) images: Vec<String>,
    pub(crate) unpinned: Vec<String>,
}

impl From<PackError> for Failure {
    fn from(error: PackError) -> Self {
        let exit = match &error {
            PackError::Empty | PackError::Case { .. } => Exit::InvalidInput,
            PackError::Compress(_) => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

impl Package {
    pub(crate) fn new(
        pinning: &Pinning,
        format: Format,
        annotations: BTreeMap<String, String>,
    ) -> Result<Self, PackError> {
        let Pinning { objects, images, unpinned, .. } = pinning;
        let layer = layer::pack(objects, format)?;
        let manifest = Manifest::release(format, layer.descriptor.clone(), annotations);
        let bytes = manifest.to_bytes();
        let content = Content {
            layer: layer.descriptor.digest,
            uncompressed: layer.uncompressed,
            files: layer.files,
            objects: objects.len(),
            inventory: layer::inventory(objects),
        };
        Ok(Self {
            digest: Digest::of(&bytes),
            layer,
            manifest,
            bytes,
            content,
            scope: scope_of(objects),
            images: images.iter().cloned().collect(),
            unpinned: unpinned.iter().cloned().collect(),
        })
    }
}

/// Where the objects live, as far as that is known without a cluster.
pub(crate) fn scope_of(objects: &Objects) -> Scope {
    let scopes = scopes(objects);
    let mut found = Scope::default();
    for object in objects {
        let id = &object.id;
        let kind = if id.group.is_empty() { id.kind.clone() } else { format!("{}.{}", id.kind, id.group) };
        match scopes.of(id) {
            scope::Scope::Namespaced => found.namespaces.extend(id.namespace.clone()),
            scope::Scope::Cluster => found.cluster_scoped.push(format!("{kind}/{}", id.name)),
            scope::Scope::Unknown => found.unknown.push(kind),
        }
    }
    for list in [&mut found.namespaces, &mut found.cluster_scoped, &mut found.unknown] {
        list.sort();
        list.dedup();
    }
    found
}

#[cfg(test)]
mod tests {
    use sealift_verify::{artifact::Limits, objects::yaml::Source};

    use super::*;
    use crate::manifests;

    fn objects(texts: &[&str]) -> Pinning {
        let source = |(i, text): (usize, &&str)| Source { name: format!("{i}.yaml"), bytes: text.as_bytes().to_vec() };
        let sources: Vec<_> = texts.iter().enumerate().map(source).collect();
        Pinning::left(manifests::read(&sources, &Limits::default()).unwrap(), &[])
    }

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop}\nspec: {containers: [{name: c, image: i:1}]}\n";
    const ROLE: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\n";
    const OTHER: &str = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\n";

    #[test]
    fn the_same_objects_give_the_same_digest_however_they_are_laid_out() {
        let one = objects(&[&format!("{POD}---\n{ROLE}---\n{OTHER}")]);
        let three = objects(&[OTHER, ROLE, POD]);
        for format in [Format::Sealift, Format::Flux, Format::Oci] {
            let digest = |objects| Package::new(objects, format, BTreeMap::new()).unwrap().digest;
            assert_eq!(digest(&one), digest(&three), "{format:?}");
        }
    }

    #[test]
    fn scope_and_images_are_told_from_the_objects() {
        let package = Package::new(&objects(&[POD, ROLE, OTHER]), Format::Sealift, BTreeMap::new()).unwrap();
        assert_eq!(package.scope.namespaces, ["shop"]);
        assert_eq!(package.scope.cluster_scoped, ["ClusterRole.rbac.authorization.k8s.io/r"]);
        assert_eq!(package.scope.unknown, ["Thing.example.com"]);
        assert_eq!((package.images, package.unpinned), (vec!["i:1".to_owned()], vec!["i:1".to_owned()]));
        assert_eq!(
            package.content.inventory,
            Package::new(&objects(&[OTHER, POD, ROLE]), Format::Flux, BTreeMap::new()).unwrap().content.inventory
        );
    }
}
