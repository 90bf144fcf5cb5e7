//! Signed payloads: which authorities of which policy signed exactly these bytes, and what their signatures prove.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::candidate::{Counted, Judge};
use crate::{
    digest::Digest,
    evidence::{CheckResult, Evidence, PolicyRecord, SignatureRecord, Signer},
    policy::{Mode, Policy, Requirement, Selected},
    signature::{Candidate, Envelope, Form, Skipped},
    sigstore::Proof,
    third_party::Claim,
};

/// Who signed, by authority name and the id of key or identity.
pub(super) type Signers = BTreeSet<(String, Digest)>;

/// What was signed, as far as it has to be equal for signatures to add up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    /// A statement, byte for byte.
    Bytes(Digest),
    /// That somebody signed an artifact, whichever way it is written.
    Claim(Claim),
}

/// One distinct payload with everyone known to have signed it. Signatures on different payloads are never added up.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
    /// What it says, where it is a third party's signature and no statement. Then other bytes may say the same.
    pub(super) claim: Option<Claim>,
    /// A referrer that carries it, to name it by.
    pub(super) referrer: Digest,
    signers: BTreeMap<Digest, Signers>,
    /// What is proven of each signer in the eyes of each policy, by the signature of theirs that proves most. What one
    /// policy's trust root vouches for is nothing to another policy.
    proofs: BTreeMap<(Digest, Digest), SignatureRecord>,
    /// What signed and is denied, by which policy.
    pub(super) denied: Vec<(String, String)>,
}

impl Payload {
    /// Who signed, in the eyes of `policy`.
    pub(super) fn signers(&self, policy: &Policy) -> Signers {
        self.signers.get(&policy.digest).cloned().unwrap_or_default()
    }

    /// True if every one of these authorities signed, each with a key or identity of its own: in the eyes of every policy
    /// that defines it and decides, or else of every one that only watches.
    pub(super) fn is_signed_by_all(&self, names: &[String], selected: &Selected) -> bool {
        let mut counted = Signers::new();
        for name in names {
            let defining = |policies: &[Arc<Policy>]| -> Vec<Signers> {
                let defining = policies.iter().filter(|policy| policy.authority(name).is_some());
                defining.map(|policy| self.signers(policy)).collect()
            };
            let mut eyes = defining(&selected.enforcing);
            if eyes.is_empty() {
                eyes = defining(&selected.auditing);
            }
            let by_name = |signers: Signers| signers.into_iter().filter(|(by, _)| by == name).collect::<Signers>();
            // Where several policies define a name, it stands for whom all of them mean.
            let meant = eyes.into_iter().map(by_name).reduce(|a, b| a.intersection(&b).cloned().collect());
            counted.extend(meant.unwrap_or_default());
        }
        Requirement::all_of(names).is_met(&counted)
    }

    /// What is proven of a signer in the eyes of `policy`.
    pub(super) fn proof(&self, policy: &Policy, id: &Digest) -> Option<&SignatureRecord> {
        self.proofs.get(&(policy.digest, *id))
    }

    /// What is proven of everyone who signed in the eyes of one of `policies`.
    pub(super) fn proofs<'a>(&'a self, policies: &[Arc<Policy>]) -> Vec<&'a SignatureRecord> {
        let ids: BTreeSet<_> = policies.iter().flat_map(|p| self.signers(p)).map(|(_, id)| id).collect();
        let best = |id| policies.iter().filter_map(|p| self.proof(p, id)).max_by_key(|known| strength(&known.proof));
        ids.iter().filter_map(best).collect()
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

    /// Counts a signature over the payload with the digest `signed`.
    fn count(&mut self, counted: Counted, signed: Digest, policy: &Policy, policies: &[Arc<Policy>]) {
        let Counted { authority, id, record } = counted;
        // What an audit policy denies counts in its own eyes only.
        let heard = policies.iter().filter(|p| p.mode == Mode::Enforce || p.digest == policy.digest);
        // A denied statement is told of as such once it is read; of a claim this payload is only one of the forms.
        let payload = |p: &Policy| {
            (self.claim.is_some() && p.deny.digests.contains(&signed)).then(|| format!("signed payload {signed}"))
        };
        let denied = heard.into_iter().find_map(|p| Some((p, denied(p, id, &record.proof).or_else(|| payload(p))?)));
        match denied {
            Some((by, what)) if by.mode == Mode::Enforce => self.denied.push((by.name.clone(), what)),
            Some(_) => {}
            None => {
                self.signers.entry(policy.digest).or_default().insert((authority, id));
                let best = self.proof(policy, &id).map(|known| strength(&known.proof));
                if best < Some(strength(&record.proof)) {
                    self.proofs.insert((policy.digest, id), record);
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
pub(super) fn denied(policy: &Policy, id: Digest, proof: &Proof) -> Option<String> {
    let Some(certificate) = &proof.certificate else {
        return policy.deny.keys.contains(&id).then(|| format!("key {id}"));
    };
    let names = [certificate.key, certificate.fingerprint];
    if let Some(name) = names.iter().find(|name| policy.deny.keys.contains(name)) {
        return Some(format!("certificate {name}"));
    }
    certificate.commits().find(|commit| policy.deny.names_commit(commit)).map(|commit| format!("commit {commit:?}"))
}

/// Reads every candidate and groups the readable ones by what they say. Junk is recorded and hides nothing.
pub(super) fn group(
    candidates: &[Candidate],
    policies: &[Arc<Policy>],
    judge: Judge<'_>,
    largest: u64,
    evidence: &mut Evidence,
) -> Vec<Payload> {
    let mut payloads: BTreeMap<Said, Payload> = BTreeMap::new();
    for candidate in candidates {
        let skip = |reason| Skipped { referrer: candidate.referrer, reason };
        let read = Envelope::parse(candidate, largest).map_err(|error| crate::chain(&error));
        match read.and_then(|envelope| Ok((said(&envelope, evidence.artifact)?, envelope))) {
            Err(reason) => evidence.skipped.push(skip(reason)),
            Ok((said, envelope)) => {
                let reasons = add(&mut payloads, said, &envelope, policies, judge);
                evidence.skipped.extend(reasons.into_iter().map(skip));
            }
        }
    }
    payloads.into_values().collect()
}

/// What an envelope is about. A signature that says nothing but that it is about another artifact says nothing here.
fn said(envelope: &Envelope, artifact: Digest) -> Result<Said, String> {
    match envelope.claim().map_err(|error| crate::chain(&error))? {
        None => Ok(Said::Bytes(Digest::of(envelope.payload()))),
        Some(claim) if claim.artifact == artifact => Ok(Said::Claim(claim)),
        Some(claim) => Err(format!("it signs another artifact, {}", claim.artifact)),
    }
}

/// Adds an envelope to the payload it signs; why it does not count, where somebody might have thought it does.
fn add(
    payloads: &mut BTreeMap<Said, Payload>,
    said: Said,
    envelope: &Envelope,
    policies: &[Arc<Policy>],
    judge: Judge<'_>,
) -> BTreeSet<String> {
    let digest = Digest::of(envelope.payload());
    let claim = match &said {
        Said::Claim(claim) => Some(claim.clone()),
        Said::Bytes(_) => None,
    };
    let payload = payloads.entry(said).or_insert_with(|| Payload {
        digest,
        bytes: envelope.payload().to_vec(),
        claim,
        referrer: envelope.referrer,
        signers: BTreeMap::new(),
        proofs: BTreeMap::new(),
        denied: Vec::new(),
    });
    let mut judged = judge.of(envelope, digest);
    let mut reasons = BTreeSet::new();
    let counts = |policy: &&Arc<Policy>| envelope.form == Form::Bundle || policy.legacy_signatures;
    if !policies.iter().any(|policy| counts(&policy)) {
        reasons.insert("no policy here lets legacy signatures count".to_owned());
    }
    for policy in policies.iter().filter(counts) {
        for authority in &policy.authorities {
            match judged.by(authority) {
                Ok(Some(counted)) => payload.count(counted, digest, policy, policies),
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
