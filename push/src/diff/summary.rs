//! What a release manager asks of two sets of objects: images, access, privileges, where objects live. *pure*

use std::collections::{BTreeMap, BTreeSet};

use sealift_verify::objects::{
    Object, ObjectId, Objects,
    images::{ImageName, images},
    scope::{Scope, Scopes},
};

use super::{
    access,
    compare::{Pair, pairs},
    privileges,
};

/// The answers; each says only what differs.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// By repository: the images that only one side runs.
    pub(super) images: BTreeMap<String, Sides<String>>,
    pub(super) access: Vec<(ObjectId, Sides<String>)>,
    pub(super) privileges: Vec<(ObjectId, Sides<String>)>,
    pub(super) cluster_scoped: Vec<ClusterScoped>,
    pub(super) namespaces: Sides<String>,
}

/// What is on one side only.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sides<T> {
    pub(super) before: BTreeSet<T>,
    pub(super) after: BTreeSet<T>,
}

/// An object that belongs, or may belong, to no namespace.
#[derive(Debug)]
pub(super) struct ClusterScoped {
    pub(super) id: ObjectId,
    pub(super) sign: Sign,
    /// False where only a cluster could say.
    pub(super) is_certain: bool,
}

/// Which side has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Added,
    Removed,
    Changed,
}

impl<T> Default for Sides<T> {
    fn default() -> Self {
        Self { before: BTreeSet::new(), after: BTreeSet::new() }
    }
}

impl<T: Ord + Clone> Sides<T> {
    fn of(before: &BTreeSet<T>, after: &BTreeSet<T>) -> Self {
        Self { before: before - after, after: after - before }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

pub(super) fn summary(before: &Objects, after: &Objects, scopes: &Scopes) -> Summary {
    let mut summary = Summary {
        images: by_repository(Sides::of(&images(before), &images(after))),
        namespaces: Sides::of(&namespaces(before), &namespaces(after)),
        ..Summary::default()
    };
    for Pair { id, before, after } in pairs(before, after) {
        let sign = match (before, after) {
            (Some(before), Some(after)) if before.value == after.value => continue,
            (Some(_), Some(_)) => Sign::Changed,
            (Some(_), None) => Sign::Removed,
            (None, _) => Sign::Added,
        };
        let delta = |of: &dyn Fn(&Object) -> BTreeSet<String>| {
            let of = |object: Option<&Object>| object.map(of).unwrap_or_default();
            Some(Sides::of(&of(before), &of(after))).filter(|sides| !sides.is_empty())
        };
        summary.access.extend(delta(&access::grants).map(|sides| (id.clone(), sides)));
        summary.privileges.extend(delta(&|object| privileges::of(&object.value)).map(|sides| (id.clone(), sides)));
        let is_certain = match scopes.of(id) {
            Scope::Cluster => true,
            Scope::Unknown if id.namespace.is_none() => false,
            Scope::Namespaced | Scope::Unknown => continue,
        };
        summary.cluster_scoped.push(ClusterScoped { id: id.clone(), sign, is_certain });
    }
    summary
}

fn namespaces(objects: &Objects) -> BTreeSet<String> {
    objects.iter().filter_map(|object| object.id.namespace.clone()).collect()
}

/// What names no repository stands for itself.
fn by_repository(images: Sides<String>) -> BTreeMap<String, Sides<String>> {
    let repository =
        |image: &str| ImageName::parse(image).map_or_else(|_| image.to_owned(), |it| it.repository.to_string());
    let mut grouped: BTreeMap<String, Sides<String>> = BTreeMap::new();
    for image in images.before {
        grouped.entry(repository(&image)).or_default().before.insert(image);
    }
    for image in images.after {
        grouped.entry(repository(&image)).or_default().after.insert(image);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use sealift_verify::objects::scope::scopes;

    use super::*;
    use crate::diff::compare::tests::objects;

    fn pod(name: &str, image: &str, privileged: bool) -> String {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {name}}}\nspec: {{containers: [{{name: c, \
             image: '{image}', securityContext: {{privileged: {privileged}}}}}]}}\n"
        )
    }

    fn of(before: &str, after: &str) -> Summary {
        let (before, after) = (objects(before), objects(after));
        summary(&before, &after, &scopes(&after))
    }

    #[test]
    fn tells_images_by_repository_and_privileges_by_object() {
        let Summary { images, privileges, namespaces, access, cluster_scoped } = of(
            &[pod("a", "r.example/a:1", false), pod("b", "b", true)].concat(),
            &[pod("a", "r.example/a:2", true), pod("c", "c", false)].concat(),
        );
        let shown: Vec<_> =
            images.iter().map(|(name, sides)| format!("{name} {:?} {:?}", sides.before, sides.after)).collect();
        assert_eq!(
            shown,
            [
                "docker.io/library/b {\"b\"} {}",
                "docker.io/library/c {} {\"c\"}",
                "r.example/a {\"r.example/a:1\"} {\"r.example/a:2\"}"
            ]
        );
        let shown: Vec<_> =
            privileges.iter().map(|(id, sides)| format!("{id} {:?} {:?}", sides.before, sides.after)).collect();
        assert_eq!(shown, ["Pod a/a {} {\"container c is privileged\"}", "Pod b/b {\"container c is privileged\"} {}"]);
        assert_eq!((namespaces.before.len(), namespaces.after.len()), (1, 1));
        assert!(access.is_empty() && cluster_scoped.is_empty());
    }

    #[test]
    fn tells_access_and_what_belongs_to_no_namespace() {
        let role = |verb: &str| {
            format!(
                "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: r}}\nrules: [{{apiGroups: [''], \
                 resources: [pods], verbs: [get]}}, {{apiGroups: [''], resources: [secrets], verbs: [{verb}]}}]\n"
            )
        };
        let thing = "---\napiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\n";
        let Summary { access, cluster_scoped, .. } = of(&role("get"), &format!("{}{thing}", role("list")));
        let [(id, sides)] = &access[..] else { panic!("{access:?}") };
        assert_eq!((id.name.as_str(), sides.before.len(), sides.after.len()), ("r", 1, 1));
        assert!(sides.after.contains("list on secrets of core"));
        let shown: Vec<_> = cluster_scoped.iter().map(|it| (it.id.kind.as_str(), it.sign, it.is_certain)).collect();
        assert_eq!(shown, [("Thing", Sign::Added, false), ("ClusterRole", Sign::Changed, true)]);
        assert!(of(&role("get"), &role("get")).cluster_scoped.is_empty());
    }
}
