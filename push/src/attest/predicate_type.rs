//! Types of predicates, by the names that cosign has for them or as URIs.

use std::{fmt, str::FromStr};

use sealift_verify::{approval, statement, third_party};

/// A type that may be attested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PredicateType(String);

/// cosign's names. It wraps what is `custom` and takes text for `spdx`; both can be said by their URIs.
const NAMES: &[(&str, &str)] = &[
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("link", "https://in-toto.io/Link/v1"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
    ("openvex", "https://openvex.dev/ns"),
];

/// What other commands sign after looking at it: whoever holds a key for attestations must not release by accident.
const RESERVED: &[(&str, &str)] = &[
    (statement::PREDICATE_TYPE, "a release is signed by `sealift push`, `sign`, `refresh` and `rollback`"),
    (approval::PREDICATE_TYPE, "a plan is approved by `sealift approve`"),
    (third_party::PREDICATE_TYPE, "a bare signature is made by `cosign sign`"),
];
/// Types of ours that are not there yet are not lent out either.
const OURS: &str = "https://sealift.dev/";

impl PredicateType {
    pub(crate) fn uri(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PredicateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PredicateType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, uri)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(Self((*uri).to_owned()));
        }
        if let Some((_, instead)) = RESERVED.iter().find(|(uri, _)| *uri == text) {
            return Err(format!("refused: {instead}"));
        }
        if text.starts_with(OURS) {
            return Err(format!("refused: types under {OURS} are Sealift's own"));
        }
        match text.split_once(':') {
            Some((scheme, rest))
                if is_scheme(scheme) && !rest.is_empty() && text.chars().all(|c| c.is_ascii_graphic()) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => {
                let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                Err(format!("neither a URI nor one of {}", names.join(", ")))
            }
        }
    }
}

/// RFC 3986, 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use sealift_verify::evidence::record;

    use super::*;

    #[test]
    fn names_mean_what_cosign_means_by_them() {
        for (text, uri) in NAMES {
            assert_eq!(text.parse::<PredicateType>().unwrap().uri(), *uri);
        }
        for uri in ["https://example.com/scan/v1", "urn:example:scan"] {
            assert_eq!(uri.parse::<PredicateType>().unwrap().uri(), uri);
        }
        for wrong in ["", "scan", "spdx", "custom", "https:", ":x", "1a:b", "https://example.com/a b", "a:é", "a:\u{7}"]
        {
            assert!(wrong.parse::<PredicateType>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_release_approval_or_bare_signature_is_attested() {
        for (uri, _) in RESERVED {
            assert!(uri.parse::<PredicateType>().unwrap_err().starts_with("refused: "), "{uri}");
        }
        for uri in [record::EXTENSION, "https://sealift.dev/new/v9"] {
            assert!(uri.parse::<PredicateType>().is_err(), "{uri}");
        }
    }
}
