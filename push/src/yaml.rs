//! Small YAML files of Sealift's own, which are no manifests.

use serde_json::Value;

/// Why a text is not YAML.
pub(crate) type YamlError = Box<dyn std::error::Error + Send + Sync>;

/// The one document in `text`. `n` is a name and no boolean, as it is for kubectl.
pub(crate) fn read(text: &str) -> Result<Value, YamlError> {
    let options = serde_saphyr::options! { strict_booleans: true };
    Ok(serde_saphyr::from_str_with_options(text, options)?)
}
