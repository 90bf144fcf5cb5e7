//! From a registry to a verdict: fetch, admit, fetch the layer, verify. The order the controller keeps too.
//!
//! A Delivery means one variant of a release that has them. Where nobody has said which, as in a pipeline that serves all
//! of them, each is judged, and the release is accepted if all of them are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

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
    verify::{
        Admitted, Decision, Facts, Images, Opened, Unverified, Verified, admit, images_named, images_to_check, open,
        verify, verify_opened,
    },
};

use crate::{
    cli::RegistryAccess,
    exit::Exit,
    failure::Failure,
    output::{Output, transfer},
    table::plain_lines,
    transport,
};

/// What is judged: where its bytes are, and which logical repository they are judged as.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) place: Pinned,
    pub(crate) logical: Pinned,
}

/// How many of the variants are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What the facts choose, which for a release with variants has to be one.
    #[default]
    Chosen,
    /// Each, if the release has variants and the facts choose none.
    Each,
}

/// A verdict, and what it was reached on.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) decision: Decision<Verified>,
    /// Those on the other variants, where each was judged.
    pub(crate) others: Vec<Decision<Verified>>,
    pub(crate) candidates: Vec<Candidate>,
    /// The manifest as served.
    pub(crate) manifest: Vec<u8>,
    /// The layer as served, if it was worth fetching.
    pub(crate) layer: Option<Bytes>,
    /// Of each decision that came to content.
    contents: Vec<Content>,
}

/// What the second half of a verdict was reached on.
#[derive(Debug)]
struct Content {
    admitted: Admitted,
    opened: Opened,
    rendering: Rendering,
}

/// One verdict, what it was reached on, and the layer if it was worth fetching.
struct Reached {
    decision: Decision<Verified>,
    content: Option<Content>,
    layer: Option<Bytes>,
}

/// What was fetched to be judged.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) unverified: Unverified,
    /// The layer, if somebody has looked into it already.
    pub(crate) layer: Option<Bytes>,
}

impl From<Unverified> for Fetched {
    fn from(unverified: Unverified) -> Self {
        Self { unverified, layer: None }
    }
}

/// By whom, what and where is judged.
struct Court<'a> {
    client: &'a Store,
    registry: &'a RegistryAccess,
    subject: &'a Subject,
    policies: &'a [Arc<Policy>],
    rendering: &'a Rendering,
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
    (facts, extent): (&Facts<'_>, Extent),
    rendering: &Rendering,
) -> Result<Judged, Failure> {
    let unverified = unverified(client, subject, policies, facts).await?;
    decide(client, registry, subject, unverified.into(), policies, (facts, extent), rendering).await
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

/// The layer of what was admitted.
pub(crate) async fn fetch_layer(client: &Store, subject: &Subject, admitted: &Admitted) -> Result<Bytes, Failure> {
    transfer::layer(client, &subject.place.repository, admitted.layer()).await.map_err(served)
}

/// What the policies say to all but the content, of each variant where the facts choose none.
pub(crate) fn admit_each(
    unverified: &Unverified,
    policies: &[Arc<Policy>],
    facts: &Facts<'_>,
) -> Result<Admitted, Refusal> {
    let names = match admit(unverified, policies, facts).outcome {
        Err(Refusal::VariantRequired { names }) => names,
        outcome => return outcome,
    };
    let each = |name: &String| admit(unverified, policies, &Facts { variant: Some(name), ..facts.clone() }).outcome;
    let admitted = names.iter().map(each).collect::<Result<Vec<_>, _>>()?;
    admitted.into_iter().next().ok_or(Refusal::VariantRequired { names })
}

/// The verdict on what was fetched; the layer, and signatures of images, only where it depends on them.
pub(crate) async fn decide(
    client: &Store,
    registry: &RegistryAccess,
    subject: &Subject,
    fetched: Fetched,
    policies: &[Arc<Policy>],
    (facts, extent): (&Facts<'_>, Extent),
    rendering: &Rendering,
) -> Result<Judged, Failure> {
    let court = Court { client, registry, subject, policies, rendering };
    let Fetched { unverified, layer } = fetched;
    let Reached { mut decision, content, mut layer } = court.decision(&unverified, facts, layer).await?;
    let (mut others, mut contents) = (Vec::new(), Vec::from_iter(content));
    if let (Extent::Each, Err(Refusal::VariantRequired { names })) = (extent, &decision.outcome) {
        let mut each = Vec::with_capacity(names.len());
        contents.clear();
        for name in names {
            let facts = Facts { variant: Some(name), ..facts.clone() };
            let Reached { decision, content, layer: fetched } =
                court.decision(&unverified, &facts, layer.clone()).await?;
            layer = fetched.or(layer);
            contents.extend(content);
            each.push(decision);
        }
        let mut each = each.into_iter();
        if let Some(first) = each.next() {
            (decision, others) = (first, each.collect());
        }
    }
    Ok(Judged { decision, others, candidates: unverified.candidates, manifest: unverified.manifest, layer, contents })
}

impl Court<'_> {
    /// One verdict; the layer is fetched unless it was before.
    async fn decision(
        &self,
        unverified: &Unverified,
        facts: &Facts<'_>,
        layer: Option<Bytes>,
    ) -> Result<Reached, Failure> {
        let Self { client, registry, subject, policies, rendering } = *self;
        let legacy = legacy(policies, &subject.logical.repository, facts)?;
        let Decision { evidence, outcome } = admit(unverified, policies, facts);
        let admitted = match outcome {
            Err(refusal) => {
                return Ok(Reached {
                    decision: Decision { evidence, outcome: Err(refusal) },
                    content: None,
                    layer: None,
                });
            }
            Ok(admitted) => admitted,
        };
        let layer = match layer {
            Some(layer) => layer,
            None => fetch_layer(client, subject, &admitted).await?,
        };
        let (decision, content) = match open(&admitted, &layer) {
            Ok(opened) => {
                let wanted = images_to_check(&admitted, &opened, rendering);
                let signatures = images::signatures(wanted, legacy, async |image: Pinned| {
                    let client = transport::client(&image.repository, registry).await?;
                    Ok::<_, Failure>(vec![(Arc::new(client), image)])
                });
                let images = Images { signatures: &signatures.await?, now: facts.now, trust: facts.trust };
                let decision = verify_opened(&admitted, &opened, rendering, Some(images));
                (decision, Some(Content { admitted, opened, rendering: rendering.clone() }))
            }
            // The same refusal, with its record.
            Err(_) => (verify(&admitted, &layer, rendering), None),
        };
        Ok(Reached { decision, content, layer: Some(layer) })
    }
}

impl Judged {
    /// Every decision: one, or one a variant.
    pub(crate) fn decisions(&self) -> impl Iterator<Item = &Decision<Verified>> {
        [&self.decision].into_iter().chain(&self.others)
    }

    /// The images that the release runs, in every variant that was judged, and the objects that name each, whatever the
    /// verdict says of them; `None` where all that it would run is refused.
    pub(crate) fn images(&self) -> Option<BTreeMap<String, BTreeSet<String>>> {
        let of = |Content { admitted, opened, rendering }: &Content| images_named(admitted, opened, rendering);
        self.contents.iter().filter_map(of).reduce(|mut all, more| {
            for (image, objects) in more {
                all.entry(image).or_default().extend(objects);
            }
            all
        })
    }

    /// Says so if one variant was judged for what all of them get.
    pub(crate) fn warn_of_others(&self, output: &mut Output) {
        let Decision { evidence, outcome } = &self.decision;
        let of = |verified: &Verified| verified.statement().map_or(0, |statement| statement.release.variants.len());
        let others = outcome.as_ref().map_or(0, of).saturating_sub(1 + self.others.len());
        if let (Some(name), 1..) = (&evidence.variant, others) {
            output.warn(format_args!("only variant {name} is judged, and {others} more come along"));
        }
    }

    /// What was accepted, stale or not: the first of the variants where each was judged, and none unless all were accepted,
    /// which is on the same statement. A refusal is shown with its record first.
    pub(crate) fn accepted(self, policies: &[Arc<Policy>], output: &mut Output) -> Result<Verified, Failure> {
        let candidates = self.candidates;
        let mut accepted = |Decision { evidence, outcome }: Decision<Verified>| {
            outcome.map_err(|refusal| {
                output.note(plain_lines(&evidence.to_string()));
                explain_keys(&refusal, &candidates, policies, output);
                Failure::from(refusal)
            })
        };
        let verified = accepted(self.decision)?;
        self.others.into_iter().try_for_each(|other| accepted(other).map(drop))?;
        Ok(verified)
    }

    /// What was accepted and may be sent on.
    pub(crate) fn current(self, policies: &[Arc<Policy>], output: &mut Output) -> Result<Verified, Failure> {
        current(self.accepted(policies, output)?)
    }
}

/// What is stale may be kept where it runs; it is no release to send anybody to.
pub(crate) fn current(verified: Verified) -> Result<Verified, Failure> {
    match verified.stale() {
        Some(refusal) => Err(refusal.clone().into()),
        None => Ok(verified),
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
