//! Objects to an artifact: pure, and the same bytes for the same input.

use std::collections::{BTreeMap, BTreeSet};

use sealift_verify::{
    artifact::{Format, Manifest},
    digest::Digest,
    layer::{self, Layer, PackError},
    objects::{
        Objects,
        scope::{self, scopes},
    },
    parameters::Parameter,
    statement::{Content, Scope, Variant, inventory_of_variants},
};

use super::content::Set;
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
    /// The declared variables; with variants, each has them itself.
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) variants: Vec<Variant>,
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
    pub(crate) fn new(sets: &[Set], format: Format, annotations: BTreeMap<String, String>) -> Result<Self, PackError> {
        let variants: Vec<_> = sets.iter().filter_map(variant).collect();
        let (layer, inventory, parameters) = match sets {
            [Set { variant: None, pinning: Pinning { objects, .. }, parameters }] => {
                (layer::pack(objects, format)?, layer::inventory(objects), parameters.clone())
            }
            several => {
                let named = several.iter().filter_map(|set| Some((set.variant.clone()?, set.pinning.objects.clone())));
                let inventories = variants.iter().map(|variant| (variant.name.as_str(), variant.inventory));
                (layer::pack_variants(&named.collect())?, inventory_of_variants(inventories), Vec::new())
            }
        };
        let manifest = Manifest::release(format, layer.descriptor.clone(), annotations);
        let bytes = manifest.to_bytes();
        let content = Content {
            layer: layer.descriptor.digest,
            uncompressed: layer.uncompressed,
            files: layer.files,
            objects: sets.iter().map(|set| set.pinning.objects.len()).sum(),
            inventory,
        };
        let all = |of: fn(&Pinning) -> &BTreeSet<String>| {
            let all: BTreeSet<_> = sets.iter().flat_map(|set| of(&set.pinning)).cloned().collect();
            all.into_iter().collect()
        };
        Ok(Self {
            digest: Digest::of(&bytes),
            layer,
            manifest,
            bytes,
            content,
            scope: united(sets.iter().map(|set| scope_of(&set.pinning.objects))),
            images: all(|pinning| &pinning.images),
            unpinned: all(|pinning| &pinning.unpinned),
            parameters,
            variants,
        })
    }
}

/// What a statement says of a variant.
fn variant(set: &Set) -> Option<Variant> {
    let Set { variant, pinning: Pinning { objects, images, .. }, parameters } = set;
    Some(Variant {
        name: variant.clone()?,
        files: objects.len(),
        objects: objects.len(),
        inventory: layer::inventory(objects),
        parameters: parameters.clone(),
        scope: scope_of(objects),
        images: images.iter().cloned().collect(),
    })
}

fn united(scopes: impl Iterator<Item = Scope>) -> Scope {
    let mut all = Scope::default();
    for Scope { namespaces, cluster_scoped, unknown } in scopes {
        all.namespaces.extend(namespaces);
        all.cluster_scoped.extend(cluster_scoped);
        all.unknown.extend(unknown);
    }
    sorted(all)
}

fn sorted(mut scope: Scope) -> Scope {
    for list in [&mut scope.namespaces, &mut scope.cluster_scoped, &mut scope.unknown] {
        list.sort();
        list.dedup();
    }
    scope
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
    sorted(found)
}

#[cfg(test)]
mod tests {
    use sealift_verify::{artifact::Limits, objects::yaml::Source};

    use super::*;
    use crate::manifests;

    fn objects(texts: &[&str]) -> Vec<Set> {
        vec![Set { variant: None, pinning: read(texts), parameters: vec![] }]
    }

    fn read(texts: &[&str]) -> Pinning {
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
            let digest = |sets: &[Set]| Package::new(sets, format, BTreeMap::new()).unwrap().digest;
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

    #[test]
    fn variants_are_packed_beside_each_other_and_summed_up() {
        let set =
            |name: &str, texts: &[&str]| Set { variant: Some(name.into()), pinning: read(texts), parameters: vec![] };
        let sets = [set("eu", &[POD, ROLE]), set("us", &[POD])];
        let package = Package::new(&sets, Format::Sealift, BTreeMap::new()).unwrap();
        let of: Vec<_> =
            package.variants.iter().map(|v| (v.name.as_str(), v.objects, v.scope.cluster_scoped.len())).collect();
        assert_eq!(of, [("eu", 2, 1), ("us", 1, 0)]);
        assert_eq!((package.content.files, package.content.objects, package.images), (3, 3, vec!["i:1".to_owned()]));
        assert_eq!(package.scope.cluster_scoped, ["ClusterRole.rbac.authorization.k8s.io/r"]);
        let alone = Package::new(&objects(&[POD]), Format::Sealift, BTreeMap::new()).unwrap();
        assert_eq!(package.variants[1].inventory, alone.content.inventory, "a variant's objects are no other objects");
    }
}
