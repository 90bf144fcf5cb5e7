//! The predicate as the person has it: one JSON object.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::{exit::Exit, failure::Failure, manifests::bounded};

/// Nothing of this size can be signed; what may be is judged once the payload is known.
const LARGEST: u64 = 16 << 20;

/// Why there is no predicate.
#[derive(Debug, thiserror::Error)]
enum PredicateError {
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is longer than {LARGEST} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error("{} is not JSON", path.display())]
    Json {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{} holds no JSON object, which a predicate has to be", .0.display())]
    NoObject(PathBuf),
    #[error("{} is a whole in-toto statement, not the predicate of one", .0.display())]
    Statement(PathBuf),
}

impl From<PredicateError> for Failure {
    fn from(error: PredicateError) -> Self {
        match &error {
            PredicateError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Self::new(Exit::NotFound, error)
            }
            PredicateError::Statement(_) => Self::new(Exit::InvalidInput, error)
                .hint("subject and type are written by sealift: give what stands under `predicate`"),
            _ => Self::new(Exit::InvalidInput, error),
        }
    }
}

pub(super) fn read(path: &Path) -> Result<Map<String, Value>, Failure> {
    let bytes = match path.as_os_str() == "-" {
        true => bounded(io::stdin().lock(), LARGEST),
        false => File::open(path).and_then(|file| bounded(file, LARGEST)),
    };
    let bytes = bytes.map_err(|source| PredicateError::Read { path: path.to_owned(), source })?;
    let bytes = bytes.ok_or_else(|| PredicateError::TooLarge(path.to_owned()))?;
    Ok(parse(&bytes, path)?)
}

fn parse(bytes: &[u8], path: &Path) -> Result<Map<String, Value>, PredicateError> {
    let value =
        serde_json::from_slice(bytes).map_err(|source| PredicateError::Json { path: path.to_owned(), source })?;
    let Value::Object(predicate) = value else { return Err(PredicateError::NoObject(path.to_owned())) };
    // Signed inside a predicate of its own it would say nothing to anybody.
    if ["_type", "subject", "predicateType"].iter().all(|field| predicate.contains_key(*field)) {
        return Err(PredicateError::Statement(path.to_owned()));
    }
    Ok(predicate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_predicate_is_one_object_and_no_statement() {
        let parse = |text: &str| parse(text.as_bytes(), Path::new("p.json"));
        assert_eq!(parse(r#"{"a": 1}"#).unwrap()["a"], 1);
        assert!(matches!(parse("[1]"), Err(PredicateError::NoObject(_))));
        assert!(matches!(parse("{} {}"), Err(PredicateError::Json { .. })));
        let statement = r#"{"_type": "t", "subject": [], "predicateType": "p", "predicate": {}}"#;
        assert!(matches!(parse(statement), Err(PredicateError::Statement(_))));
    }
}
