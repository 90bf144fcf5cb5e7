//! The CustomResourceDefinitions as generated from the types, for `deploy/crds`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;

use super::{AcceptedRelease, Delivery, Freeze, Inventory, Notification, Receiver, SignaturePolicy, TrustRoot};

/// Every definition, by name.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        AcceptedRelease::crd(),
        Delivery::crd(),
        Freeze::crd(),
        Inventory::crd(),
        Notification::crd(),
        Receiver::crd(),
        SignaturePolicy::crd(),
        TrustRoot::crd(),
    ];
    for version in crds.iter_mut().flat_map(|crd| &mut crd.spec.versions) {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            without_unsigned(schema);
        }
    }
    crds
}

/// OpenAPI has no unsigned formats, and the API server warns of each: the minimum of 0 beside it says the same.
fn without_unsigned(schema: &mut JSONSchemaProps) {
    schema.format = schema.format.take().filter(|format| !format.starts_with("uint"));
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(without_unsigned);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        without_unsigned(items);
    }
}

/// The file in `deploy/crds` that holds a definition.
pub fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural)
}

/// A definition as YAML.
///
/// # Errors
/// None for a definition of [`crds`], which a test holds.
pub fn render(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser_error::Error> {
    serde_saphyr::to_string(crd)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn deploy_holds_what_is_generated() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds");
        for crd in crds() {
            let (path, text) = (folder.join(file_name(&crd)), render(&crd).unwrap());
            if std::env::var_os("UPDATE_GENERATED").is_some() {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, &text).unwrap();
            }
            let found = fs::read_to_string(&path).unwrap_or_default();
            assert!(found == text, "{} is stale: UPDATE_GENERATED=1 cargo test -p sealift-apply crds", path.display());
        }
    }

    #[test]
    fn yaml_reads_back_as_the_same_definition() {
        for crd in crds() {
            let back: serde_json::Value = serde_saphyr::from_str(&render(&crd).unwrap()).unwrap();
            assert_eq!(back, serde_json::to_value(&crd).unwrap());
        }
    }
}
