//! One signature, in the eyes of one authority. Nothing here knows of other signatures.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use crate::{
    digest::Digest,
    evidence::SignatureRecord,
    memory::Memory,
    policy::{Authority, Policy, Signer},
    signature::Envelope,
    sigstore::{Demands, Proof, Subject, TrustRoot, TrustRoots},
};

/// What signatures are judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judge<'a> {
    pub(super) memory: Option<&'a Memory>,
    pub(super) now: Timestamp,
    pub(super) trust: &'a TrustRoots,
}

/// A signature that counts for an authority.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) authority: String,
    /// The id of the key, or of issuer and identity.
    pub(super) id: Digest,
    pub(super) record: SignatureRecord,
}

/// One envelope under judgement. What a certificate proves depends on trust root and demands only, so it is proven once
/// for all authorities that agree on them.
#[derive(Debug)]
pub(super) struct Judged<'a> {
    envelope: &'a Envelope,
    trust: &'a TrustRoots,
    /// When the statement was first seen here; without a memory of it, now.
    seen: Timestamp,
    certified: BTreeMap<(Digest, Demands), Result<Proof, String>>,
}

impl<'a> Judge<'a> {
    pub(super) fn of(self, envelope: &'a Envelope, payload: Digest) -> Judged<'a> {
        let mark = self
            .memory
            .and_then(|memory| memory.marks.iter().chain(&memory.earlier).find(|mark| mark.statement == payload));
        let seen = mark.map_or(self.now, |mark| mark.first_seen);
        Judged { envelope, trust: self.trust, seen, certified: BTreeMap::new() }
    }
}

impl<'a> Judged<'a> {
    /// Whether the signature counts for `authority`; an error where it is theirs and something about it does not hold.
    pub(super) fn by(&mut self, authority: &Authority) -> Result<Option<Counted>, String> {
        let proven = match &authority.signer {
            Signer::Key(signer) => {
                // Cheap and almost always the end of it: the key is somebody else's.
                if !self.envelope.signed_by(&signer.key) {
                    return Ok(None);
                }
                let proof = self.of_key(authority, signer.key.clone())?;
                signer.counts(&proof.times, self.seen).then(|| (signer.key.id(), proof))
            }
            Signer::Keyless(signer) => {
                // Unproven yet, so only a reason to stop; what is counted is matched again below.
                let claimed = self.envelope.claimed_certificate();
                if claimed.is_none_or(|certificate| signer.mismatch(certificate).is_some()) {
                    return Ok(None);
                }
                let proof = self.of_certificate(authority)?;
                let matching = proof.certificate.as_ref().filter(|proven| signer.mismatch(proven).is_none());
                matching.map(|certificate| certificate.signer_id()).map(|id| (id, proof))
            }
        };
        Ok(proven.map(|(id, proof)| Counted {
            authority: authority.name.clone(),
            id,
            record: SignatureRecord { signer: id, referrer: self.envelope.referrer, form: self.envelope.form, proof },
        }))
    }

    fn of_key(&self, authority: &Authority, key: crate::keys::PublicKey) -> Result<Proof, String> {
        let signed = self.envelope.signed();
        let proof = match authority.needs_root() {
            true => signed.prove_key(Subject::Stated, &key, self.root(authority)?, authority.demands),
            false => signed.prove_signature(Subject::Stated, &key),
        };
        proof.map_err(|error| does_not_count(authority, &crate::chain(&error)))
    }

    fn of_certificate(&mut self, authority: &Authority) -> Result<Proof, String> {
        let root = self.root(authority)?;
        let signed = self.envelope.signed();
        let prove =
            || signed.prove_certificate(Subject::Stated, root, authority.demands).map_err(|error| crate::chain(&error));
        let proven = self.certified.entry((root.digest(), authority.demands)).or_insert_with(prove);
        proven.clone().map_err(|problem| does_not_count(authority, &problem))
    }

    fn root(&self, authority: &Authority) -> Result<&'a TrustRoot, String> {
        self.trust.get(&authority.trust_root).map_err(|error| error.to_string())
    }

    /// Why a certificate that no authority knows does not count. A key that none knows is nothing to speak of: the
    /// verdict counts those.
    pub(super) fn stranger(&self, policies: &[Arc<Policy>]) -> Option<String> {
        let certificate = self.envelope.claimed_certificate()?;
        let signers = || policies.iter().flat_map(|policy| &policy.authorities).map(|authority| &authority.signer);
        let mut mismatches = signers().filter_map(|signer| match signer {
            Signer::Keyless(signer) => Some(signer.mismatch(certificate)),
            Signer::Key(_) => None,
        });
        match mismatches.next() {
            None => Some("the bundle is signed with a certificate, and no authority here is keyless".to_owned()),
            Some(None) => None,
            Some(Some(_)) if mismatches.any(|mismatch| mismatch.is_none()) => None,
            Some(Some(field)) => Some(format!(
                "the certificate claims {:?} by {:?}, which no authority here is (the first differs in {field})",
                certificate.identity, certificate.issuer
            )),
        }
    }
}

fn does_not_count(authority: &Authority, problem: &str) -> String {
    format!("does not count for authority {}: {problem}", authority.name)
}
