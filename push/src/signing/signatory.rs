//! Who signs: what a signature is recognised by again.

use std::fmt;

use sealift_verify::{
    keys::PublicKey,
    signature::Envelope,
    sigstore::{Certificate, Demand, Demands, Subject, TrustRoot},
};
use serde_json::{Value, json};

/// Who signs.
#[derive(Clone, Debug)]
pub(crate) enum Signatory {
    /// Whoever holds the private half of this key.
    Key(PublicKey),
    /// Whoever a certificate authority calls by this name.
    Identity(Identity),
}

/// An identity, and by whom it is believed.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// Whom certificates are issued to: an email address or a URI.
    pub(crate) name: String,
    /// Who vouches for that.
    pub(crate) issuer: String,
    /// What proves it. Without one nothing is believed to be by this identity.
    pub(crate) root: Option<TrustRoot>,
}

/// What is there has to verify; what a policy wants to be there is the policy's affair.
const RECOGNISED: Demands = Demands { tlog: Demand::Optional, timestamp: Demand::Optional, sct: Demand::Optional };

impl Identity {
    fn is_in(&self, certificate: &Certificate) -> bool {
        certificate.identity == self.name && certificate.issuer == self.issuer
    }

    fn made(&self, envelope: &Envelope) -> bool {
        let claimed = envelope.claimed_certificate().is_some_and(|certificate| self.is_in(certificate));
        let Some(root) = self.root.as_ref().filter(|_| claimed) else { return false };
        let proof = envelope.signed().prove_certificate(Subject::Stated, root, RECOGNISED);
        proof.is_ok_and(|proof| proof.certificate.is_some_and(|certificate| self.is_in(&certificate)))
    }
}

impl Signatory {
    /// True if the signature of `envelope` was made by the same. Its payload may then be believed as one's own word.
    pub(crate) fn made(&self, envelope: &Envelope) -> bool {
        match self {
            Self::Key(key) => envelope.signed_by(key),
            Self::Identity(identity) => identity.made(envelope),
        }
    }

    /// True unless the signature of `envelope` is certainly by somebody else. Never a reason to believe anything, only
    /// one to hold back.
    pub(crate) fn may_have_made(&self, envelope: &Envelope) -> bool {
        match self {
            Self::Identity(identity) if identity.root.is_none() => {
                envelope.claimed_certificate().is_some_and(|certificate| identity.is_in(certificate))
            }
            known => known.made(envelope),
        }
    }

    /// False for an identity that nothing can prove.
    pub(crate) fn is_provable(&self) -> bool {
        !matches!(self, Self::Identity(Identity { root: None, .. }))
    }

    /// A signature by it as documents show it, stored in `referrer`.
    pub(crate) fn json(&self, referrer: &impl serde::Serialize) -> Value {
        match self {
            Self::Key(key) => json!({"keyId": key.id(), "referrer": referrer}),
            Self::Identity(Identity { name, issuer, .. }) => {
                json!({"identity": name, "issuer": issuer, "referrer": referrer})
            }
        }
    }
}

/// In a note.
impl fmt::Display for Signatory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "key {}", key.id().short()),
            Self::Identity(Identity { name, issuer, .. }) => write!(f, "identity {name:?} by {issuer:?}"),
        }
    }
}
