//! The values of parameters, inline or read as the Delivery's account. *cluster*
//!
//! Values go into the rendering and, as a hash, into the evidence; they are in no message, log or status.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use sealift_apply::{
    api::{KeyReference, Parameter, ParameterSource},
    cluster::ClusterError,
};

use super::named::{Nameable, Reader};

/// Why a parameter's value cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ParameterError {
    /// Two values for one name.
    #[error("parameter {0} is given twice")]
    Twice(String),
    /// Neither or both of value and valueFrom, or of their parts.
    #[error("parameter {0} must have exactly one of value, configMapKeyRef and secretKeyRef")]
    Shape(String),
    /// The ConfigMap or Secret is not there, or not with that key.
    #[error("parameter {parameter}: {kind} {name} {problem}")]
    Missing {
        /// The parameter.
        parameter: String,
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What is missing.
        problem: String,
    },
    /// A Secret's value that is not text.
    #[error("parameter {parameter}: key {key} of Secret {name} is not UTF-8")]
    NotText {
        /// The parameter.
        parameter: String,
        /// The Secret.
        name: String,
        /// The key.
        key: String,
    },
    /// The cluster did not let the account read it, or did not answer.
    #[error("parameter {parameter}: {kind} {name} cannot be read")]
    Cluster {
        /// The parameter.
        parameter: String,
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The cluster's words.
        #[source]
        source: ClusterError,
    },
}

impl ParameterError {
    /// True if trying again may help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Cluster { source, .. } if source.is_transient())
    }
}

/// Reads all values. What is optional and missing is left to the release's default.
pub(super) async fn read(
    reader: Reader<'_>,
    parameters: &[Parameter],
) -> Result<BTreeMap<String, String>, ParameterError> {
    let mut values = BTreeMap::new();
    for parameter in parameters {
        let Parameter { name, value, value_from } = parameter;
        let found = match (value, value_from) {
            (Some(value), None) => Some(value.clone()),
            (None, Some(source)) => from_source(reader, name, source).await?,
            _ => return Err(ParameterError::Shape(name.clone())),
        };
        if let Some(value) = found
            && values.insert(name.clone(), value).is_some()
        {
            return Err(ParameterError::Twice(name.clone()));
        }
    }
    Ok(values)
}

async fn from_source(
    reader: Reader<'_>,
    parameter: &str,
    source: &ParameterSource,
) -> Result<Option<String>, ParameterError> {
    match (&source.config_map_key_ref, &source.secret_key_ref) {
        (Some(reference), None) => {
            let map: Option<Arc<ConfigMap>> = fetch(reader, parameter, "ConfigMap", reference).await?;
            let data = map.map(|map| map.data.clone().unwrap_or_default());
            key(parameter, "ConfigMap", reference, data)
        }
        (None, Some(reference)) => {
            let secret: Option<Arc<Secret>> = fetch(reader, parameter, "Secret", reference).await?;
            let data = secret.map(|secret| secret.data.clone().unwrap_or_default());
            let Some(bytes) = key(parameter, "Secret", reference, data)? else { return Ok(None) };
            let not_text = |_| ParameterError::NotText {
                parameter: parameter.to_owned(),
                name: reference.name.clone(),
                key: reference.key.clone(),
            };
            String::from_utf8(bytes.0).map(Some).map_err(not_text)
        }
        _ => Err(ParameterError::Shape(parameter.to_owned())),
    }
}

async fn fetch<K: Nameable>(
    reader: Reader<'_>,
    parameter: &str,
    kind: &'static str,
    reference: &KeyReference,
) -> Result<Option<Arc<K>>, ParameterError> {
    reader.object(&reference.name).await.map_err(|source| ParameterError::Cluster {
        parameter: parameter.to_owned(),
        kind,
        name: reference.name.clone(),
        source,
    })
}

/// The value under the key; `None` only if it is optional.
fn key<V>(
    parameter: &str,
    kind: &'static str,
    reference: &KeyReference,
    data: Option<BTreeMap<String, V>>,
) -> Result<Option<V>, ParameterError> {
    let KeyReference { name, key, optional } = reference;
    let problem = match data {
        None => "does not exist".to_owned(),
        Some(mut data) => match data.remove(key) {
            Some(value) => return Ok(Some(value)),
            None => format!("has no key {key}"),
        },
    };
    if *optional {
        return Ok(None);
    }
    Err(ParameterError::Missing { parameter: parameter.to_owned(), kind, name: name.clone(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_an_error_unless_it_is_optional() {
        let reference = |optional| KeyReference { name: "settings".into(), key: "domain".into(), optional };
        let with =
            |pairs: &[(&str, &str)]| Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        for (data, found) in
            [(with(&[("domain", "a.example")]), Some("a.example")), (with(&[("other", "x")]), None), (None, None)]
        {
            let strict = key("DOMAIN", "ConfigMap", &reference(false), data.clone());
            assert_eq!(strict.ok().flatten().as_deref(), found);
            assert_eq!(key("DOMAIN", "ConfigMap", &reference(true), data).unwrap().as_deref(), found);
        }
    }
}
