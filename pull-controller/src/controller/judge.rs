//! From a digest to a verified release: fetch, admit, values, verify. *registry*, *cluster*, and the verdict itself *pure*

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use sealift_apply::{
    api::{DeliveryReference, DeliverySpec, DeliveryStatus},
    apply::Access,
};
use sealift_verify::{
    evidence::Evidence,
    memory::Memory,
    render::Rendering,
    verify::{Facts, Verified},
};

use super::{
    fetch::Artifacts,
    parameters,
    plan::discovered,
    policies::Policies,
    resolve::Resolved,
    source::Source,
    stop::{Stop, Verdict},
    verify,
};

/// Everything a verdict depends on besides the artifact.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    pub(super) artifacts: &'a Artifacts,
    pub(super) source: &'a Source<'a>,
    pub(super) policies: &'a Arc<Policies>,
    pub(super) access: Access<'a>,
    pub(super) owner: &'a DeliveryReference,
    pub(super) spec: &'a DeliverySpec,
    pub(super) memory: &'a Memory,
    pub(super) previous: &'a DeliveryStatus,
    pub(super) now: Timestamp,
}

impl Judge<'_> {
    /// Judges what was selected. `interval` says how old signatures from the cache may be; without one, any age will do.
    pub(super) async fn judged(
        &self,
        resolved: &Resolved,
        interval: Option<Duration>,
        evidence: &mut Option<Evidence>,
    ) -> Result<Verified, Stop> {
        let Self { artifacts, source, policies, access, owner, spec, memory, previous, now } = *self;
        let facts = Facts {
            namespace: Some(&owner.namespace),
            memory: Some(memory),
            stream: spec.stream.as_deref(),
            environment: spec.environment.as_deref(),
            version: resolved.version.as_deref(),
            require: &spec.require,
            trust: policies.roots(),
            ..Facts::at(now)
        };
        let (admitted, fetched) =
            verify::admitted(artifacts, source, resolved, policies, &facts, interval, evidence).await?;
        let layer = artifacts.layer(source, &fetched.place, admitted.layer()).await?;
        let rendering = Rendering {
            values: parameters::read(access.account, &owner.namespace, &spec.parameters).await?,
            target_namespace: spec.target_namespace.clone(),
            default_namespace: Some(owner.namespace.clone()),
            discovered: discovered(access, &admitted).await?,
        };
        let verified = verify::verified(admitted, layer, rendering, evidence).await?;
        verify::nothing_new_if_stale(&verified, previous)?;
        Ok(verified)
    }

    /// What was last applied, where what is selected cannot run: it is judged as anew, and may be put right. Gives back
    /// `stop` where it does not stand either, or where `stop` is about the Delivery and not about what it selects.
    pub(super) async fn last_known(&self, stop: Stop) -> Result<(Verified, Option<Evidence>, Stop), Stop> {
        let about_selection =
            matches!(stop, Stop::Refused(_) | Stop::Source(_)) && stop.verdict() != Verdict::Untouched;
        let Some(last) = self.previous.last_applied.as_ref().filter(|_| about_selection) else { return Err(stop) };
        let places = self.source.places.clone();
        let resolved = Resolved { digest: last.digest, tag: None, version: None, places };
        let mut evidence = None;
        match self.judged(&resolved, None, &mut evidence).await {
            Ok(verified) if verified.inventory() == last.objects => Ok((verified, evidence, stop)),
            _ => Err(stop),
        }
    }
}
