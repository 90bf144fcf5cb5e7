//! Values of a Delivery's parameters, read with this person's own rights. They are in no message.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use sealift_apply::{
    api::{KeyReference, Parameter, ParameterSource},
    cluster::Cluster,
};

use crate::{cluster::custom, exit::Exit, failure::Failure};

/// Why a value cannot be had.
#[derive(Debug, thiserror::Error)]
enum ParameterError {
    #[error("parameter {0} must have exactly one of value, configMapKeyRef and secretKeyRef")]
    Shape(String),
    #[error("parameter {parameter}: {kind} {name} has no text under the key {key}, or is not there")]
    Missing { parameter: String, kind: &'static str, name: String, key: String },
}

/// The values of `parameters`; what is optional and missing is left to the release's default.
pub(crate) async fn read(
    cluster: &Cluster,
    namespace: &str,
    parameters: &[Parameter],
) -> Result<BTreeMap<String, String>, Failure> {
    let mut values = BTreeMap::new();
    for Parameter { name, value, value_from } in parameters {
        let found = match (value, value_from) {
            (Some(value), None) => Some(value.clone()),
            (None, Some(source)) => from_source(cluster, namespace, name, source).await?,
            _ => return Err(bad(ParameterError::Shape(name.clone()))),
        };
        values.extend(found.map(|value| (name.clone(), value)));
    }
    Ok(values)
}

async fn from_source(
    cluster: &Cluster,
    namespace: &str,
    parameter: &str,
    source: &ParameterSource,
) -> Result<Option<String>, Failure> {
    let (kind, KeyReference { name, key, optional }, found) = match (&source.config_map_key_ref, &source.secret_key_ref)
    {
        (Some(reference), None) => {
            let map: Option<ConfigMap> = custom(cluster, Some(namespace), &reference.name).await?;
            let value = map.and_then(|map| map.data?.remove(&reference.key));
            ("ConfigMap", reference, value)
        }
        (None, Some(reference)) => {
            let secret: Option<Secret> = custom(cluster, Some(namespace), &reference.name).await?;
            let value = secret.and_then(|secret| secret.data?.remove(&reference.key));
            ("Secret", reference, value.and_then(|bytes| String::from_utf8(bytes.0).ok()))
        }
        _ => return Err(bad(ParameterError::Shape(parameter.to_owned()))),
    };
    if found.is_none() && !optional {
        let (parameter, name, key) = (parameter.to_owned(), name.clone(), key.clone());
        return Err(bad(ParameterError::Missing { parameter, kind, name, key }));
    }
    Ok(found)
}

fn bad(error: ParameterError) -> Failure {
    Failure::new(Exit::InvalidInput, error)
}
