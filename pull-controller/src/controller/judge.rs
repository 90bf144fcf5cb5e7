//! From a digest to a verified release: fetch, admit, values, verify. *registry*, *cluster*, and the verdict itself *pure*

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use sealift_apply::{
    api::{DeliveryReference, DeliverySpec, DeliveryStatus, LastApplied},
    apply::Access,
    progress,
};
use sealift_registry::store::Place;
use sealift_verify::{
    digest::Digest,
    evidence::Evidence,
    hold::Hold,
    memory::Memory,
    refusal::Refusal,
    render::Rendering,
    verify::{Admitted, Facts, Verified},
};

use super::{
    fetch::Artifacts,
    hold::Meant,
    images::{ImageStore, Look},
    named::Reader,
    parameters,
    plan::discovered,
    policies::Policies,
    report::Report,
    resolve::Resolved,
    source::Source,
    standing::{Standing, is_gone_with_its_trust, is_revocation},
    stop::{Stop, Verdict},
    verify::{self, Freshness, ImageFacts},
};

/// Everything a verdict depends on besides the artifact.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    pub(super) artifacts: &'a Artifacts,
    pub(super) images: &'a ImageStore,
    pub(super) source: &'a Source<'a>,
    /// Reads the values.
    pub(super) reader: Reader<'a>,
    pub(super) policies: &'a Arc<Policies>,
    /// The policy by which a revoked release is suspended, if there is one.
    pub(super) suspending: Option<&'a str>,
    pub(super) access: Access<'a>,
    pub(super) owner: &'a DeliveryReference,
    pub(super) spec: &'a DeliverySpec,
    pub(super) memory: &'a Memory,
    /// The emergency hold that policies and memory allow.
    pub(super) meant: Option<&'a Meant>,
    pub(super) previous: &'a DeliveryStatus,
    pub(super) now: Timestamp,
}

/// What admitted a release, and the values it was applied with. Once it is applied this is kept for its repair: signature
/// and statement were judged when it was accepted, and everything below them is judged again each time.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    admitted: Arc<Admitted>,
    place: Place,
    /// Values and namespaces, and no scopes: the cluster is asked for those. The Delivery may ask for other values by now,
    /// which wait for something.
    asked: Arc<Rendering>,
}

/// What of an artifact is meant, and on whose word.
#[derive(Clone, Copy, Debug)]
struct Choice<'a> {
    hold: Option<&'a Hold>,
    variant: Option<&'a str>,
    /// Values and namespaces; those that the Delivery asks for now, without.
    asked: Option<&'a Arc<Rendering>>,
}

/// A release that may be applied.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) verified: Verified,
    pub(super) evidence: Option<Evidence>,
    pub(super) accepted: Accepted,
}

impl Judge<'_> {
    /// Judges what was selected. `freshness` says how old signatures from the cache may be.
    pub(super) async fn selected(
        &self,
        resolved: &Resolved,
        freshness: Freshness,
        evidence: &mut Option<Evidence>,
    ) -> Result<Judged, Stop> {
        let judged = self.judged(resolved, self.choice(None), Some(freshness), evidence).await?;
        verify::nothing_new_if_stale(&judged.verified, self.previous)?;
        Ok(judged)
    }

    /// Judges what an emergency hold goes back to, as of now and by everything but its place in the order.
    pub(super) async fn earlier(
        &self,
        meant: &Meant,
        freshness: Freshness,
        evidence: &mut Option<Evidence>,
    ) -> Result<Judged, Stop> {
        self.judged(&self.resolved(meant.mark.artifact), self.choice(Some(&meant.hold)), Some(freshness), evidence)
            .await
    }

    fn choice<'b>(&'b self, hold: Option<&'b Hold>) -> Choice<'b> {
        Choice { hold, variant: self.spec.variant.as_deref(), asked: None }
    }

    fn resolved(&self, digest: Digest) -> Resolved {
        Resolved { digest, tag: None, version: None, places: self.source.places.clone() }
    }

    /// What was last applied, where what is selected cannot run: it is judged as anew, and may be put right. Gives back
    /// `stop` where it may not, or where `stop` is about the Delivery and not about what it selects.
    ///
    /// What would be refused now is put right as it was accepted, unless trust in it was withdrawn and a policy suspends it.
    pub(super) async fn last_known(
        &self,
        stop: Stop,
        accepted: Option<&Accepted>,
        report: &mut Report,
    ) -> Result<(Judged, Stop), Stop> {
        let about_selection = matches!(stop, Stop::Refused(_) | Stop::Source(_) | Stop::Parameter(_))
            && stop.verdict() != Verdict::Untouched
            || matches!(
                stop,
                Stop::Dependency(_) | Stop::DependencyCycle(_) | Stop::Frozen(_) | Stop::FreezeUnknown(_)
            );
        let Some(last) = self.previous.last_applied.as_ref().filter(|_| about_selection) else { return Err(stop) };
        let hold = self.meant.filter(|meant| last.statement == Some(meant.mark.statement)).map(|meant| &meant.hold);
        let resolved = self.resolved(last.digest);
        // Of its variants the one that runs, with the values that it runs with, whatever is asked for now: a choice that
        // is none, or has to wait, takes nothing from it.
        let choice = Choice { hold, variant: last.variant.as_deref(), asked: accepted.map(|accepted| &accepted.asked) };
        let outcome = self.judged(&resolved, choice, None, &mut report.applied_evidence).await;
        report.standing = outcome.as_ref().map_or_else(Standing::of, |_| Standing::Accepted);
        let selected = match &stop {
            Stop::Refused(refusal) if report.evidence.as_ref().is_some_and(|e| e.artifact == last.digest) => {
                Some(refusal)
            }
            _ => None,
        };
        let is_refused = report.standing != Standing::Unjudged;
        let before = self.previous.would_refuse_now.as_ref();
        let gone = |refusal: &Refusal| is_gone_with_its_trust(refusal, selected, before);
        if let Err(Stop::Refused(refusal)) = &outcome
            && gone(refusal)
        {
            // What was found when there was a signature still holds.
            let found = selected.filter(|refusal| is_revocation(refusal));
            report.standing = found.map_or(Standing::Unjudged, |_| Standing::of(&stop));
        }
        let judged = match (outcome, self.suspending) {
            (Ok(judged), _) => Ok(judged),
            (Err(Stop::Refused(refusal)), Some(policy)) if is_revocation(&refusal) || gone(&refusal) => {
                return Err(Stop::Revoked {
                    policy: policy.to_owned(),
                    refusal: Box::new(refusal),
                    selected: Box::new(stop),
                });
            }
            (Err(refused), _) => match accepted.filter(|_| is_refused) {
                Some(accepted) => self.finished(accepted.clone(), &mut None).await,
                None => Err(refused),
            },
        };
        match judged {
            Ok(judged) if is_applied(&judged.verified, last) => Ok((judged, stop)),
            _ => Err(stop),
        }
    }

    /// The very release that was judged, by everything but these policies in the place of those there are.
    pub(super) async fn under(&self, policies: &Arc<Policies>, verified: &Verified) -> Result<(), Stop> {
        policies.for_repository(self.source.repository, &self.owner.namespace)?;
        let judge = Judge { policies, ..*self };
        let hold = self.meant.filter(|meant| meant.mark.artifact == verified.digest()).map(|meant| &meant.hold);
        let choice = Choice { hold, variant: verified.variant(), asked: None };
        judge.judged(&self.resolved(verified.digest()), choice, None, &mut None).await.map(drop)
    }

    /// What was applied last, as anew.
    pub(super) async fn of_last(&self, last: &LastApplied) -> Result<(), Stop> {
        let choice = Choice { hold: None, variant: last.variant.as_deref(), asked: None };
        self.judged(&self.resolved(last.digest), choice, None, &mut None).await.map(drop)
    }

    /// Any age of cached signatures will do without a `freshness`, as long as they are accepted.
    async fn judged(
        &self,
        resolved: &Resolved,
        choice: Choice<'_>,
        freshness: Option<Freshness>,
        evidence: &mut Option<Evidence>,
    ) -> Result<Judged, Stop> {
        let Self { artifacts, source, policies, owner, spec, memory, now, .. } = *self;
        let facts = Facts {
            namespace: Some(&owner.namespace),
            memory: Some(memory),
            hold: choice.hold,
            stream: spec.stream.as_deref(),
            environment: spec.environment.as_deref(),
            version: resolved.version.as_deref(),
            variant: choice.variant,
            require: &spec.require,
            trust: policies.roots(),
            ..Facts::at(now)
        };
        let (admitted, fetched) =
            verify::admitted(artifacts, source, resolved, policies, &facts, freshness, evidence).await?;
        let asked = match choice.asked {
            Some(asked) => Arc::clone(asked),
            None => Arc::new(self.asked().await?),
        };
        self.finished(Accepted { admitted: Arc::new(admitted), place: fetched.place.clone(), asked }, evidence).await
    }

    /// The values and namespaces that the Delivery asks for now.
    async fn asked(&self) -> Result<Rendering, Stop> {
        Ok(Rendering {
            values: parameters::read(self.reader, &self.spec.parameters).await?,
            target_namespace: self.spec.target_namespace.clone(),
            default_namespace: Some(self.owner.namespace.clone()),
            discovered: BTreeMap::new(),
        })
    }

    /// The second half of the verdict: layer, values and objects.
    async fn finished(&self, accepted: Accepted, evidence: &mut Option<Evidence>) -> Result<Judged, Stop> {
        let Self { artifacts, source, access, .. } = *self;
        let Accepted { admitted, place, asked } = &accepted;
        progress::step("fetch");
        let content = artifacts.content(source, place, admitted).await?;
        let discovered = discovered(access, admitted).await?;
        let rendering = match discovered.is_empty() {
            true => Arc::clone(asked),
            false => Arc::new(Rendering { discovered, ..(**asked).clone() }),
        };
        progress::step("verify");
        let wanted = verify::images(admitted, &content, &rendering).await?;
        let mut look = Look::Known;
        let verified = loop {
            let signatures = self.images.signatures(source, &wanted, look).await?;
            let facts = ImageFacts { signatures, now: self.now, policies: Arc::clone(self.policies) };
            let verified = verify::verified(admitted, &content, &rendering, facts, evidence).await;
            // An image may have been signed since it was looked at.
            match &verified {
                Err(Stop::Refused(refusal))
                    if look == Look::Known && verify::is_about_signatures_of_images(refusal) =>
                {
                    look = Look::Again;
                }
                _ => break verified?,
            }
        };
        Ok(Judged { verified, evidence: evidence.clone(), accepted })
    }
}

/// True if these are the objects that were last applied, under whatever statement.
fn is_applied(verified: &Verified, last: &LastApplied) -> bool {
    verified.digest() == last.digest && verified.inventory() == last.objects
}
