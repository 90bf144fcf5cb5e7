//! The list as CycloneDX has it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::tree::{Id, Package, Tree};

/// The document about the root of the tree.
pub(crate) fn document(tree: &Tree, checksums: &BTreeMap<Id, String>) -> Value {
    let linked = tree.linked();
    let components = linked.iter().filter(|(id, _)| ***id != tree.root);
    let components: Vec<Value> =
        components.map(|(id, (package, _))| component("library", id, package, checksums.get(*id))).collect();
    let needs = linked.iter().map(
        |(id, (_, needs))| json!({"ref": purl(id), "dependsOn": needs.iter().map(|id| purl(id)).collect::<Vec<_>>()}),
    );
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": linked.get(&tree.root).map(|(root, _)| component("application", &tree.root, root, None))},
        "components": components,
        "dependencies": needs.collect::<Vec<_>>(),
    })
}

fn component(kind: &str, id: &Id, package: &Package, checksum: Option<&String>) -> Value {
    let Id { name, version } = id;
    let mut component = json!({"type": kind, "bom-ref": purl(id), "name": name, "version": version, "purl": purl(id)});
    if !package.licence.is_empty() {
        // Before SPDX expressions, a slash meant a choice.
        component["licenses"] = json!([{"expression": package.licence.replace('/', " OR ")}]);
    }
    if let Some(checksum) = checksum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    if !package.repository.is_empty() {
        component["externalReferences"] = json!([{"type": "vcs", "url": package.repository}]);
    }
    component
}

fn purl(id: &Id) -> String {
    // Of what a version may hold, only this is something else in a URL.
    format!("pkg:cargo/{}@{}", id.name, id.version.replace('+', "%2B"))
}

/// The checksums of `Cargo.lock`, which cargo writes one field a line.
pub(crate) fn checksums(lock: &str) -> BTreeMap<Id, String> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""))?;
        line.strip_suffix('"').map(str::to_owned)
    };
    let packages = lock.split("[[package]]").skip(1);
    let of = |block: &str| {
        let id = Id { name: field(block, "name")?, version: field(block, "version")? };
        Some((id, field(block, "checksum")?))
    };
    packages.filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_component_says_where_it_is_from_and_what_it_needs() {
        let tree = Tree::parse(
            "0app v0.1.0 (/here)|Apache-2.0|https://a\n1zstd-sys v2.0.1+zstd.1.5|MIT/Apache-2.0|https://z\n1ours v0.1.0 (/here/ours)||\n",
        );
        let lock = "[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"zstd-sys\"\nversion = \"2.0.1+zstd.1.5\"\nsource = \"x\"\nchecksum = \"ab12\"\n";
        let document = document(&tree.unwrap(), &checksums(lock));
        let zstd = json!({
            "type": "library", "bom-ref": "pkg:cargo/zstd-sys@2.0.1%2Bzstd.1.5", "name": "zstd-sys",
            "version": "2.0.1+zstd.1.5", "purl": "pkg:cargo/zstd-sys@2.0.1%2Bzstd.1.5",
            "licenses": [{"expression": "MIT OR Apache-2.0"}], "hashes": [{"alg": "SHA-256", "content": "ab12"}],
            "externalReferences": [{"type": "vcs", "url": "https://z"}],
        });
        assert_eq!(document["components"][1], zstd);
        assert_eq!(document["components"].as_array().unwrap().len(), 2);
        assert_eq!(document["metadata"]["component"]["name"], "app");
        let app = &document["dependencies"][0];
        assert_eq!(app["dependsOn"], json!(["pkg:cargo/ours@0.1.0", "pkg:cargo/zstd-sys@2.0.1%2Bzstd.1.5"]));
    }
}
