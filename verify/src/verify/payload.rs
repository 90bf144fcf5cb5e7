//! Signed payloads: which authorities of which policy signed exactly these bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use crate::{
    digest::Digest,
    evidence::{Evidence, PolicyRecord, Signer},
    memory::Memory,
    policy::{Authority, Mode, Policy},
    signature::{Candidate, Envelope, Skipped},
};

/// Who signed, by authority name and key id.
pub(super) type Signers = BTreeSet<(String, Digest)>;

/// One distinct payload with everyone known to have signed it. Signatures on different payloads are never added up.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
    /// A referrer that carries it, to name it by.
    pub(super) referrer: Digest,
    signers: BTreeMap<Digest, Signers>,
    /// Keys that signed and that a policy denies.
    pub(super) denied: Vec<(String, Digest)>,
}

impl Payload {
    /// Who signed, in the eyes of `policy`.
    pub(super) fn signers(&self, policy: &Policy) -> Signers {
        self.signers.get(&policy.digest).cloned().unwrap_or_default()
    }

    /// True if an authority of this name, of any policy, signed.
    pub(super) fn is_signed_by(&self, authority: &str) -> bool {
        self.signers.values().flatten().any(|(name, _)| name == authority)
    }

    /// How `policy` sees this payload.
    pub(super) fn record(&self, policy: &Policy) -> PolicyRecord {
        let signers = self.signers(policy);
        let satisfied = policy.require.is_met(&signers);
        PolicyRecord {
            name: policy.name.clone(),
            digest: policy.digest,
            mode: policy.mode,
            satisfied,
            require: policy.require.to_string(),
            signers: signers.into_iter().map(|(authority, key)| Signer { authority, key }).collect(),
            unmet: (!satisfied).then(|| policy.require.to_string()),
        }
    }
}

/// Reads every candidate and groups the readable ones by payload. Junk is recorded and hides nothing.
pub(super) fn group(
    candidates: &[Candidate],
    policies: &[Arc<Policy>],
    memory: Option<&Memory>,
    now: Timestamp,
    largest: u64,
    evidence: &mut Evidence,
) -> Vec<Payload> {
    let mut payloads: BTreeMap<Digest, Payload> = BTreeMap::new();
    for candidate in candidates {
        match Envelope::parse(candidate, largest) {
            Err(error) => {
                let reason = match std::error::Error::source(&error) {
                    Some(source) => format!("{error}: {source}"),
                    None => error.to_string(),
                };
                evidence.skipped.push(Skipped { referrer: candidate.referrer, reason });
            }
            Ok(envelope) => add(&mut payloads, &envelope, policies, memory, now),
        }
    }
    payloads.into_values().collect()
}

fn add(
    payloads: &mut BTreeMap<Digest, Payload>,
    envelope: &Envelope,
    policies: &[Arc<Policy>],
    memory: Option<&Memory>,
    now: Timestamp,
) {
    let digest = Digest::of(envelope.payload());
    let payload = payloads.entry(digest).or_insert_with(|| Payload {
        digest,
        bytes: envelope.payload().to_vec(),
        referrer: envelope.referrer,
        signers: BTreeMap::new(),
        denied: Vec::new(),
    });
    // A key's window is judged when the statement was first seen here; without a memory of it, now.
    let seen = memory.and_then(|m| m.marks.iter().find(|mark| mark.statement == digest)).map_or(now, |m| m.first_seen);
    for policy in policies {
        for Authority { name, key, not_before, not_after } in &policy.authorities {
            let in_window = not_before.is_none_or(|t| t <= seen) && not_after.is_none_or(|t| seen <= t);
            if !in_window || !envelope.signed_by(key) {
                continue;
            }
            // What an audit policy denies counts in its own eyes only.
            let heard = policies.iter().filter(|p| p.mode == Mode::Enforce || p.digest == policy.digest);
            match heard.into_iter().find(|p| p.deny.keys.contains(&key.id())) {
                Some(by) if by.mode == Mode::Enforce => payload.denied.push((by.name.clone(), key.id())),
                Some(_) => {}
                None => {
                    payload.signers.entry(policy.digest).or_default().insert((name.clone(), key.id()));
                }
            }
        }
    }
}
