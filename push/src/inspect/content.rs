//! The objects of a release, as a table and as JSON.

use sealift_verify::{
    layer,
    objects::{Objects, images::images},
    statement::Scope,
};
use serde_json::{Value, json};

use crate::{
    push::scope_of,
    table::{plain, table},
};

/// Objects, and what follows from them.
#[derive(Debug)]
pub(super) struct Content {
    objects: Objects,
    scope: Scope,
    images: Vec<String>,
}

impl Content {
    pub(super) fn new(objects: Objects) -> Self {
        Self { scope: scope_of(&objects), images: images(&objects).into_iter().collect(), objects }
    }

    pub(super) fn objects(&self) -> &Objects {
        &self.objects
    }

    pub(super) fn text(&self) -> String {
        let row = |object: &sealift_verify::objects::Object| {
            let id = &object.id;
            let kind = if id.group.is_empty() { id.kind.clone() } else { format!("{}.{}", id.kind, id.group) };
            [id.namespace.clone().unwrap_or_else(|| "-".to_owned()), kind, plain(&id.name), object.origin.to_string()]
        };
        let rows: Vec<_> = self.objects.iter().map(row).collect();
        let lines = |name: &str, list: &[String]| match list {
            [] => String::new(),
            list => format!("\n{name}\n  {}", list.iter().map(|text| plain(text)).collect::<Vec<_>>().join("\n  ")),
        };
        format!(
            "objects: {}, inventory {}\n{}{}{}{}{}",
            self.objects.len(),
            layer::inventory(&self.objects),
            table(2, ["NAMESPACE", "KIND", "NAME", "FROM"], &rows),
            lines("namespaces", &self.scope.namespaces),
            lines("cluster-scoped", &self.scope.cluster_scoped),
            lines("kinds whose scope only a cluster knows", &self.scope.unknown),
            lines("images", &self.images),
        )
    }

    pub(super) fn json(&self) -> Value {
        let object = |object: &sealift_verify::objects::Object| {
            let id = &object.id;
            json!({
                "apiVersion": id.api_version(),
                "kind": id.kind,
                "namespace": id.namespace,
                "name": id.name,
                "from": object.origin.to_string(),
            })
        };
        json!({
            "objects": self.objects.iter().map(object).collect::<Vec<_>>(),
            "inventory": layer::inventory(&self.objects),
            "scope": self.scope,
            "images": self.images,
        })
    }
}
