//! From a registry to a verdict: fetch, admit, fetch the layer, verify. The order the controller keeps too.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use sealift_registry::{
    client::ClientError,
    fetch::{self, Legacy},
    images,
    store::Store,
};
use sealift_verify::{
    digest::Digest,
    policy::{Policy, Signer, select},
    reference::{Pinned, Repository},
    refusal::{Reason, Refusal},
    render::Rendering,
    signature::{Candidate, Envelope},
    verify::{Decision, Facts, Images, Unverified, Verified, admit, images_to_check, open, verify, verify_opened},
};

use crate::{cli::RegistryAccess, exit::Exit, failure::Failure, output::Output, table::plain_lines, transport};

/// What is judged: where its bytes are, and which logical repository they are judged as.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) place: Pinned,
    pub(crate) logical: Pinned,
}

/// A verdict, and what it was reached on.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) decision: Decision<Verified>,
    pub(crate) candidates: Vec<Candidate>,
    /// The manifest as served.
    pub(crate) manifest: Vec<u8>,
    /// The layer as served, if it was worth fetching.
    pub(crate) layer: Option<Bytes>,
}

/// Bytes that are not what was asked for: refused without a look at what they say.
#[derive(Debug, thiserror::Error)]
#[error("{reason}: the registry does not serve the artifact that was asked for")]
struct Served {
    reason: Reason,
    #[source]
    source: ClientError,
}

pub(crate) async fn judge(
    client: &Store,
    registry: &RegistryAccess,
    subject: &Subject,
    policies: &[Arc<Policy>],
    facts: &Facts<'_>,
    rendering: &Rendering,
) -> Result<Judged, Failure> {
    let unverified = unverified(client, subject, policies, facts).await?;
    decide(client, registry, subject, unverified, policies, facts, rendering).await
}

/// What the policies judge before they ask for content.
pub(crate) async fn unverified(
    client: &Store,
    subject: &Subject,
    policies: &[Arc<Policy>],
    facts: &Facts<'_>,
) -> Result<Unverified, Failure> {
    let legacy = legacy(policies, &subject.logical.repository, facts)?;
    fetch::unverified(client, &subject.place, &subject.logical, legacy).await.map_err(served)
}

/// The verdict on what was fetched; the layer, and signatures of images, only where it depends on them.
pub(crate) async fn decide(
    client: &Store,
    registry: &RegistryAccess,
    subject: &Subject,
    unverified: Unverified,
    policies: &[Arc<Policy>],
    facts: &Facts<'_>,
    rendering: &Rendering,
) -> Result<Judged, Failure> {
    let legacy = legacy(policies, &subject.logical.repository, facts)?;
    let Decision { evidence, outcome } = admit(&unverified, policies, facts);
    let (decision, layer) = match outcome {
        Err(refusal) => (Decision { evidence, outcome: Err(refusal) }, None),
        Ok(admitted) => {
            let layer = fetch::layer(client, &subject.place.repository, admitted.layer()).await.map_err(served)?;
            let decision = match open(&admitted, &layer) {
                Ok(opened) => {
                    let wanted = images_to_check(&admitted, &opened, rendering);
                    let signatures = images::signatures(wanted, legacy, async |image: Pinned| {
                        let client = transport::client(&image.repository, registry).await?;
                        Ok::<_, Failure>(vec![(Arc::new(client), image)])
                    });
                    let images = Images { signatures: &signatures.await?, now: facts.now, trust: facts.trust };
                    verify_opened(&admitted, &opened, rendering, Some(images))
                }
                // The same refusal, with its record.
                Err(_) => verify(&admitted, &layer, rendering),
            };
            (decision, Some(layer))
        }
    };
    Ok(Judged { decision, candidates: unverified.candidates, manifest: unverified.manifest, layer })
}

impl Judged {
    /// What was accepted and may be sent on. A refusal is shown with its record first.
    pub(crate) fn current(self, policies: &[Arc<Policy>], output: &mut Output) -> Result<Verified, Failure> {
        let verified = match self.decision.outcome {
            Ok(verified) => verified,
            Err(refusal) => {
                output.note(plain_lines(&self.decision.evidence.to_string()));
                explain_keys(&refusal, &self.candidates, policies, output);
                return Err(refusal.into());
            }
        };
        // What is stale may be kept where it runs; it is no release to send anybody to.
        match verified.stale() {
            Some(refusal) => Err(refusal.clone().into()),
            None => Ok(verified),
        }
    }
}

/// Whether the policies that decide want to see signatures of the `.sig` scheme.
pub(crate) fn legacy(policies: &[Arc<Policy>], logical: &Repository, facts: &Facts<'_>) -> Result<Legacy, Refusal> {
    Ok(Legacy::of(&select(policies, logical, facts.namespace)?))
}

fn served(source: ClientError) -> Failure {
    let reason = match &source {
        ClientError::DigestMismatch { .. } => Reason::DigestMismatch,
        ClientError::TooLarge { .. } => Reason::BadLayer,
        _ => return source.into(),
    };
    Failure::new(Exit::Refused, Served { reason, source }).hint("treat the registry as compromised or broken")
}

/// The reason to refuse, where the registry did not serve what was asked for and no verdict was reached.
pub(crate) fn refused_while_fetching(failure: &Failure) -> Option<Reason> {
    failure.error.downcast_ref::<Served>().map(|served| served.reason)
}

/// Where no signature is trusted, shows whose there are and whose would be.
pub(crate) fn explain_keys(refusal: &Refusal, candidates: &[Candidate], policies: &[Arc<Policy>], output: &mut Output) {
    if refusal.reason() != Reason::NoTrustedSignature {
        return;
    }
    for candidate in candidates {
        if let Ok(envelope) = Envelope::parse(candidate, u64::MAX) {
            output.note(format_args!("signature {} claims {}", candidate.referrer.short(), claimed(&envelope)));
        }
    }
    for policy in policies {
        for authority in &policy.authorities {
            let known_by = match &authority.signer {
                Signer::Key(signer) => format!("has key {}", signer.key.id()),
                Signer::Keyless(signer) => format!("is {signer}"),
            };
            output.note(format_args!("policy {}: authority {} {known_by}", policy.name, authority.name));
        }
    }
}

/// Who a bundle says has signed it.
pub(crate) fn claimed(envelope: &Envelope) -> String {
    match (envelope.claimed_certificate(), envelope.claimed_key()) {
        (Some(certificate), _) => format!("identity {:?} by {:?}", certificate.identity, certificate.issuer),
        (None, hint) => format!("key {}", key_id(hint.unwrap_or_default())),
    }
}

/// The same in a column.
pub(crate) fn claimed_short(envelope: &Envelope) -> String {
    match (envelope.claimed_certificate(), envelope.claimed_key()) {
        (Some(certificate), _) => certificate.identity.clone(),
        (None, hint) => {
            let id = key_id(hint.unwrap_or_default());
            id.parse::<Digest>().map_or_else(|_| format!("key {id}"), |digest| format!("key {}", digest.short()))
        }
    }
}

/// A bundle's hint as a key id; as it stands if it is another tool's.
fn key_id(hint: &str) -> String {
    let bytes = STANDARD.decode(hint).ok().filter(|bytes| bytes.len() == 32);
    let hex = bytes.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let id = hex.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
    id.map_or_else(|| format!("{hint:?}"), |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_shown_as_the_key_id_it_stands_for() {
        let digest = Digest::of(b"key");
        assert_eq!(key_id(&STANDARD.encode(digest.as_bytes())), digest.to_string());
        assert_eq!(key_id("my-key\n"), "\"my-key\\n\"");
    }
}
