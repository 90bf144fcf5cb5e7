//! From what is proven of each signer to the rows of the evidence. A row passes only if the check was made, and passed,
//! for every signer that counts.

use crate::{
    evidence::{CheckId, CheckResult, SignatureRecord},
    sigstore::{Proof, TimeSource},
};

type Row = (CheckId, (CheckResult, String));

/// The rows about certificate, log and timestamps.
pub(super) fn rows(signatures: &[&SignatureRecord]) -> [Row; 3] {
    [
        (CheckId::Certificate, certificates(signatures)),
        (CheckId::TransparencyLog, over(signatures, |proof| proof.log, Proof::describe_log)),
        (CheckId::Timestamp, over(signatures, |proof| proof.timestamp, timestamps)),
    ]
}

/// Every certificate that is in a proof was verified; keys have none.
fn certificates(signatures: &[&SignatureRecord]) -> (CheckResult, String) {
    let describe = |proof: &Proof| {
        let certificate = proof.certificate.as_ref()?;
        let sct = match proof.sct {
            CheckResult::Pass => "SCT verified",
            CheckResult::NotPresent => "no SCT",
            CheckResult::NotChecked | CheckResult::Fail => "SCT not checked",
        };
        Some(format!("{} by {} ({sct})", certificate.identity, certificate.issuer))
    };
    let details: Vec<_> = signatures.iter().filter_map(|signature| describe(&signature.proof)).collect();
    match details.is_empty() {
        true => (CheckResult::NotPresent, "signed with keys".to_owned()),
        false => (CheckResult::Pass, details.join(", ")),
    }
}

/// The weakest result, and the facts of every signer.
fn over(
    signatures: &[&SignatureRecord],
    result: impl Fn(&Proof) -> CheckResult,
    describe: impl Fn(&Proof) -> String,
) -> (CheckResult, String) {
    let results: Vec<_> = signatures.iter().map(|signature| result(&signature.proof)).collect();
    let weakest = [CheckResult::NotChecked, CheckResult::NotPresent, CheckResult::Pass];
    let weakest = weakest.into_iter().find(|weak| results.contains(weak)).unwrap_or(CheckResult::NotChecked);
    let facts = signatures.iter().map(|signature| (signature.signer, &signature.proof));
    let told = |(signer, proof): (crate::digest::Digest, &Proof)| match (result(proof), signatures.len()) {
        (CheckResult::Pass, 1) => describe(proof),
        (CheckResult::Pass, _) => format!("{}: {}", signer.short(), describe(proof)),
        (CheckResult::NotPresent, 1) => "the signature has none".to_owned(),
        (CheckResult::NotPresent, _) => format!("{}: none", signer.short()),
        (_, 1) => "no policy asks for it".to_owned(),
        _ => format!("{}: no policy asks for it", signer.short()),
    };
    (weakest, facts.map(told).collect::<Vec<_>>().join(", "))
}

fn timestamps(proof: &Proof) -> String {
    let times = proof.times.iter().filter(|time| time.source == TimeSource::TimestampAuthority);
    times.map(|time| time.time.to_string()).collect::<Vec<_>>().join(", ")
}
