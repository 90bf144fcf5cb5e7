//! Who signs: what a signature is recognised by again.

use std::fmt;

use sealift_verify::{keys::PublicKey, signature::Envelope};
use serde_json::{Value, json};

/// Who signs.
#[derive(Clone, Debug)]
pub(crate) enum Signatory {
    /// Whoever holds the private half of this key.
    Key(PublicKey),
}

impl Signatory {
    /// True if the signature of `envelope` was made by the same. Its payload may then be believed as one's own word.
    pub(crate) fn made(&self, envelope: &Envelope) -> bool {
        match self {
            Self::Key(key) => envelope.signed_by(key),
        }
    }

    /// A signature by it as documents show it, stored in `referrer`.
    pub(crate) fn json(&self, referrer: &impl serde::Serialize) -> Value {
        match self {
            Self::Key(key) => json!({"keyId": key.id(), "referrer": referrer}),
        }
    }
}

/// In a note.
impl fmt::Display for Signatory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "key {}", key.id().short()),
        }
    }
}
