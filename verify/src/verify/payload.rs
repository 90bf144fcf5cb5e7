//! Signed payloads: which authorities of which policy signed exactly these bytes, and what their signatures prove.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::candidate::{Counted, Judge};
use crate::{
    digest::Digest,
    evidence::{CheckResult, Evidence, PolicyRecord, SignatureRecord, Signer},
    policy::{Mode, Policy},
    signature::{Candidate, Envelope, Skipped},
    sigstore::Proof,
};

/// Who signed, by authority name and the id of key or identity.
pub(super) type Signers = BTreeSet<(String, Digest)>;

/// One distinct payload with everyone known to have signed it. Signatures on different payloads are never added up.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
    /// A referrer that carries it, to name it by.
    pub(super) referrer: Digest,
    signers: BTreeMap<Digest, Signers>,
    /// What is proven of each signer, by the signature of theirs that proves most.
    proofs: BTreeMap<Digest, SignatureRecord>,
    /// What signed and is denied, by which policy.
    pub(super) denied: Vec<(String, String)>,
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

    /// What is proven of a signer.
    pub(super) fn proof(&self, id: &Digest) -> Option<&SignatureRecord> {
        self.proofs.get(id)
    }

    /// What is proven of everyone who signed in the eyes of one of `policies`.
    pub(super) fn proofs<'a>(&'a self, policies: &[Arc<Policy>]) -> Vec<&'a SignatureRecord> {
        let ids: BTreeSet<_> = policies.iter().flat_map(|p| self.signers(p)).map(|(_, id)| id).collect();
        ids.iter().filter_map(|id| self.proofs.get(id)).collect()
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

    fn count(&mut self, counted: Counted, policy: &Policy, policies: &[Arc<Policy>]) {
        let Counted { authority, id, record } = counted;
        // What an audit policy denies counts in its own eyes only.
        let heard = policies.iter().filter(|p| p.mode == Mode::Enforce || p.digest == policy.digest);
        let denied = heard.into_iter().find_map(|p| Some((p, denied(p, id, &record.proof)?)));
        match denied {
            Some((by, what)) if by.mode == Mode::Enforce => self.denied.push((by.name.clone(), what)),
            Some(_) => {}
            None => {
                self.signers.entry(policy.digest).or_default().insert((authority, id));
                let best = self.proofs.get(&id).map(|known| strength(&known.proof));
                if best < Some(strength(&record.proof)) {
                    self.proofs.insert(id, record);
                }
            }
        }
    }
}

/// How many checks a proof stands on.
fn strength(proof: &Proof) -> usize {
    [proof.log, proof.timestamp, proof.sct].iter().filter(|result| **result == CheckResult::Pass).count()
}

/// What of a signature the policy's deny list names: key, certificate, or the commit it was issued for.
fn denied(policy: &Policy, id: Digest, proof: &Proof) -> Option<String> {
    let Some(certificate) = &proof.certificate else {
        return policy.deny.keys.contains(&id).then(|| format!("key {id}"));
    };
    let names = [certificate.key, certificate.fingerprint];
    if let Some(name) = names.iter().find(|name| policy.deny.keys.contains(name)) {
        return Some(format!("certificate {name}"));
    }
    certificate.commits().find(|commit| policy.deny.names_commit(commit)).map(|commit| format!("commit {commit:?}"))
}

/// Reads every candidate and groups the readable ones by payload. Junk is recorded and hides nothing.
pub(super) fn group(
    candidates: &[Candidate],
    policies: &[Arc<Policy>],
    judge: Judge<'_>,
    largest: u64,
    evidence: &mut Evidence,
) -> Vec<Payload> {
    let mut payloads: BTreeMap<Digest, Payload> = BTreeMap::new();
    for candidate in candidates {
        let skip = |reason| Skipped { referrer: candidate.referrer, reason };
        match Envelope::parse(candidate, largest) {
            Err(error) => evidence.skipped.push(skip(crate::chain(&error))),
            Ok(envelope) => {
                let reasons = add(&mut payloads, &envelope, policies, judge);
                evidence.skipped.extend(reasons.into_iter().map(skip));
            }
        }
    }
    payloads.into_values().collect()
}

/// Adds an envelope to the payload it signs; why it does not count, where somebody might have thought it does.
fn add(
    payloads: &mut BTreeMap<Digest, Payload>,
    envelope: &Envelope,
    policies: &[Arc<Policy>],
    judge: Judge<'_>,
) -> BTreeSet<String> {
    let digest = Digest::of(envelope.payload());
    let payload = payloads.entry(digest).or_insert_with(|| Payload {
        digest,
        bytes: envelope.payload().to_vec(),
        referrer: envelope.referrer,
        signers: BTreeMap::new(),
        proofs: BTreeMap::new(),
        denied: Vec::new(),
    });
    let mut judged = judge.of(envelope, digest);
    let mut reasons = BTreeSet::new();
    for policy in policies {
        for authority in &policy.authorities {
            match judged.by(authority) {
                Ok(Some(counted)) => payload.count(counted, policy, policies),
                Ok(None) => {}
                Err(reason) => {
                    reasons.insert(reason);
                }
            }
        }
    }
    reasons.extend(judged.stranger(policies));
    reasons
}
