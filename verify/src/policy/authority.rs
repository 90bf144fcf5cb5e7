//! Who may sign: a key with its window, or whoever holds a certificate for an identity.

use jiff::Timestamp;
use serde_json::json;

use super::{
    Matcher, MatcherError, PolicyError,
    spec::{AuthoritySpec, KeySpec, KeylessSpec, TransparencySpec},
};
use crate::{
    digest::Digest,
    keys::PublicKey,
    sigstore::{Certificate, Claim, Demand, Demands, PUBLIC_GOOD, VerifiedTime},
};

/// One named signer.
#[derive(Debug, Clone)]
pub struct Authority {
    /// The name that `require` uses.
    pub name: String,
    /// What its signatures are known by.
    pub signer: Signer,
    /// What must be there beside a signature for it to count.
    pub demands: Demands,
    /// The name of the trust root that certificate, log and timestamps are held against.
    pub trust_root: String,
}

/// What an authority's signatures are known by.
#[derive(Debug, Clone)]
pub enum Signer {
    /// A key of its own.
    Key(KeySigner),
    /// A certificate issued to a matching identity.
    Keyless(Box<KeylessSigner>),
}

/// A key, and when its signatures count.
#[derive(Debug, Clone)]
pub struct KeySigner {
    /// The key.
    pub key: PublicKey,
    /// Signatures from before do not count.
    pub not_before: Option<Timestamp>,
    /// Signatures from later do not count.
    pub not_after: Option<Timestamp>,
}

/// Whose certificates count.
#[derive(Debug, Clone)]
pub struct KeylessSigner {
    issuer: Matcher,
    subject: Matcher,
    claims: Vec<(Claim, Matcher)>,
    written: String,
}

impl Authority {
    /// True if judging its signatures takes a trust root.
    pub fn needs_root(&self) -> bool {
        let Demands { tlog, timestamp, sct: _ } = self.demands;
        matches!(self.signer, Signer::Keyless(_)) || [tlog, timestamp].iter().any(|demand| *demand != Demand::Off)
    }

    /// What nobody else signs as: two authorities with the same of it are one signer under two names.
    pub(super) fn slot(&self) -> String {
        match &self.signer {
            Signer::Key(signer) => signer.key.id().to_string(),
            Signer::Keyless(signer) => signer.written.clone(),
        }
    }
}

impl KeySigner {
    /// True if a signature made then counts: at every time that was verified, or else when it was first seen.
    pub fn counts(&self, times: &[VerifiedTime], first_seen: Timestamp) -> bool {
        let within = |time: Timestamp| {
            self.not_before.is_none_or(|start| start <= time) && self.not_after.is_none_or(|end| time <= end)
        };
        if times.is_empty() { within(first_seen) } else { times.iter().all(|time| within(time.time)) }
    }
}

impl KeylessSigner {
    fn new(spec: &KeylessSpec) -> Result<Self, MatcherError> {
        let KeylessSpec { issuer, subject, claims, trust_root } = spec;
        let written = json!([issuer, subject, claims, trust_root]).to_string();
        let claims = claims.iter().map(|(claim, spec)| Ok((claim, Matcher::new(spec)?)));
        Ok(Self {
            issuer: one_of_many(Matcher::new(issuer)?)?,
            subject: one_of_many(Matcher::new(subject)?)?,
            claims: claims.collect::<Result<_, _>>()?,
            written,
        })
    }

    /// What about a certificate does not match, if anything.
    pub fn mismatch(&self, certificate: &Certificate) -> Option<&'static str> {
        if !self.issuer.matches(&certificate.issuer) {
            return Some("issuer");
        }
        if !self.subject.matches(&certificate.identity) {
            return Some("subject");
        }
        let has = |claim: &Claim, matcher: &Matcher| {
            certificate.claims.get(claim).is_some_and(|value| matcher.matches(value))
        };
        self.claims.iter().find(|(claim, matcher)| !has(claim, matcher)).map(|(claim, _)| claim.as_str())
    }
}

/// What it takes, for people.
impl std::fmt::Display for KeylessSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} by {:?}", self.subject.as_str(), self.issuer.as_str())?;
        self.claims.iter().try_for_each(|(claim, value)| write!(f, ", {} {:?}", claim.as_str(), value.as_str()))
    }
}

/// Identities and issuers that have nothing in common, by kind: `*` matches every email address and no URI.
const STRANGERS: [[&str; 2]; 2] =
    [["q@w.example", "\u{e9}+0@xn--3a9.test"], ["https://q.example/w", "https://0.test/%C3%A9/~/x?y"]];

/// An identity or issuer has to be told from strangers of its kind.
fn one_of_many(matcher: Matcher) -> Result<Matcher, MatcherError> {
    match STRANGERS.iter().any(|kind| kind.iter().all(|stranger| matcher.matches(stranger))) {
        true => Err(MatcherError::Anything(matcher.as_str().to_owned())),
        false => Ok(matcher),
    }
}

/// Gives the authorities of a policy their meaning.
pub(super) fn authorities_of(
    policy: &str,
    specs: Vec<AuthoritySpec>,
    transparency: &TransparencySpec,
) -> Result<Vec<Authority>, PolicyError> {
    let mut authorities: Vec<Authority> = Vec::with_capacity(specs.len());
    for AuthoritySpec { name, key, keyless } in specs {
        let wrong = |problem| PolicyError::Authority { policy: policy.to_owned(), authority: name.clone(), problem };
        if authorities.iter().any(|other| other.name == name) {
            return Err(PolicyError::Twice { policy: policy.to_owned(), authority: name });
        }
        let authority = match (key, keyless) {
            (Some(key), None) => of_key(policy, name, key, transparency)?,
            (None, Some(keyless)) => of_keyless(policy, name, &keyless, transparency)?,
            _ => return Err(wrong("has exactly one of key and keyless")),
        };
        let Demands { tlog, timestamp, .. } = authority.demands;
        if matches!(authority.signer, Signer::Keyless(_)) && (tlog, timestamp) == (Demand::Off, Demand::Off) {
            let problem = "is keyless, and a certificate is only valid at a time that a log or a timestamp vouches for";
            return Err(PolicyError::Authority { policy: policy.to_owned(), authority: authority.name, problem });
        }
        authorities.push(authority);
    }
    Ok(authorities)
}

fn of_key(policy: &str, name: String, spec: KeySpec, asked: &TransparencySpec) -> Result<Authority, PolicyError> {
    let KeySpec { pem, not_before, not_after, trust_root } = spec;
    let key = PublicKey::from_pem(&pem).map_err(|source| PolicyError::Key {
        policy: policy.to_owned(),
        authority: name.clone(),
        source,
    })?;
    let demands = Demands {
        tlog: asked.tlog.unwrap_or(Demand::Off),
        timestamp: asked.timestamp.unwrap_or(Demand::Off),
        sct: Demand::Off,
    };
    let signer = Signer::Key(KeySigner { key, not_before, not_after });
    Ok(Authority { name, signer, demands, trust_root: trust_root.unwrap_or_else(|| PUBLIC_GOOD.to_owned()) })
}

fn of_keyless(
    policy: &str,
    name: String,
    spec: &KeylessSpec,
    asked: &TransparencySpec,
) -> Result<Authority, PolicyError> {
    let signer = KeylessSigner::new(spec).map_err(|source| PolicyError::Matcher {
        policy: policy.to_owned(),
        path: "authorities.keyless",
        source,
    })?;
    let demands = Demands {
        tlog: asked.tlog.unwrap_or(Demand::Required),
        timestamp: asked.timestamp.unwrap_or(Demand::Optional),
        sct: asked.sct.unwrap_or(Demand::Required),
    };
    let trust_root = spec.trust_root.clone().unwrap_or_else(|| PUBLIC_GOOD.to_owned());
    Ok(Authority { name, signer: Signer::Keyless(Box::new(signer)), demands, trust_root })
}

impl Certificate {
    /// The id that stands for the signer in thresholds and evidence: SHA-256 over issuer and identity. Another
    /// certificate for the same identity is the same signer.
    pub fn signer_id(&self) -> Digest {
        Digest::of(json!([self.issuer, self.identity]).to_string().as_bytes())
    }
}
