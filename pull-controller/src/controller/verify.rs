//! The verdict about what was selected: the very functions of `sealift verify`. *registry* for the bytes, else *pure*

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use sealift_apply::{
    api::{DeliveryStatus, LastApplied},
    progress,
};
use sealift_verify::{
    evidence::Evidence,
    reference::Pinned,
    refusal::{Reason, Refusal},
    render::Rendering,
    statement::Release,
    verify::{Admitted, Decision, Facts, ImageSignatures, Images, Verified, images_to_check, verify, verify_opened},
};

use super::{
    admission::decide,
    fetch::{Age, Artifacts, Content, Fetched},
    policies::Policies,
    resolve::Resolved,
    source::Source,
    standing::is_revocation,
    stop::Stop,
};

/// Signatures are read again after this many intervals though the digest is the same: a refresh or a revocation may
/// have been pushed.
const ROUNDS: u32 = 10;
/// What was fetched within this time is as good as fetched now.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How old signatures from the cache may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Freshness {
    /// To confirm what was selected.
    to_confirm: Duration,
    /// To refuse it, or to take a statement that runs out soon.
    to_refuse: Duration,
}

impl Freshness {
    /// Once an interval they are read for all Deliveries of an artifact that are refused or run out. Whoever asks for it, or
    /// has just changed the Delivery, does not wait for that.
    pub(super) fn of(interval: Duration, asked: bool, changed: bool) -> Self {
        let to_confirm = if asked { Duration::ZERO } else { interval.saturating_mul(ROUNDS) };
        Self { to_confirm, to_refuse: if asked || changed { AT_ONCE.min(interval) } else { interval } }
    }

    /// How old they may be to confirm what was selected.
    pub(super) fn confirms(self) -> Duration {
        self.to_confirm
    }
}

/// Judges manifest, signatures and statement.
///
/// Cached signatures may only confirm. A refusal is not taken from them, nor is a statement that runs out soon, as long as
/// newer ones can be had.
pub(super) async fn admitted(
    artifacts: &Artifacts,
    source: &Source<'_>,
    resolved: &Resolved,
    policies: &Arc<Policies>,
    facts: &Facts<'_>,
    freshness: Option<Freshness>,
    evidence: &mut Option<Evidence>,
) -> Result<(Admitted, Arc<Fetched>), Stop> {
    let age = freshness.map_or(Age::Any, |freshness| Age::AtMost(freshness.to_confirm));
    progress::step("fetch");
    let fetched = artifacts.unverified(source, resolved, age).await?;
    progress::step("verify");
    let decision = decide(policies, facts, &fetched).await?;
    let in_force =
        |admitted: &Admitted| admitted.statement().is_none_or(|statement| !runs_out(&statement.release, facts.now));
    let confirmed = decision.outcome.as_ref().is_ok_and(in_force);
    if confirmed || freshness.is_none() && decision.outcome.is_ok() {
        return take(decision, fetched, evidence);
    }
    let age = Age::AtMost(freshness.map_or(AT_ONCE, |freshness| freshness.to_refuse));
    progress::step("fetch");
    let again = artifacts.unverified(source, resolved, age).await;
    progress::step("verify");
    match again {
        Ok(newer) => {
            let verdict = decide(policies, facts, &newer).await?;
            match is_still_revoked(decision.outcome.as_ref().err(), verdict.outcome.as_ref().err()) {
                true => take(decision, fetched, evidence),
                false => take(verdict, newer, evidence),
            }
        }
        // Nothing newer can be had; what is known still stands if it was accepted.
        Err(error) => match decision.outcome {
            Ok(_) => take(decision, fetched, evidence),
            // What runs was judged when it came; that a registry is silent now must not keep a revocation from it.
            Err(_) if freshness.is_none() => take(decision, fetched, evidence),
            Err(_) => Err(error.into()),
        },
    }
}

/// True if trust in the signatures that are known was withdrawn, and there are none any more. A registry that no longer has a signature takes nothing back of what was found on it.
fn is_still_revoked(known: Option<&Refusal>, now: Option<&Refusal>) -> bool {
    known.is_some_and(is_revocation) && now.is_some_and(|now| now.reason() == Reason::Unsigned)
}

fn take(
    decision: Decision<Admitted>,
    fetched: Arc<Fetched>,
    record: &mut Option<Evidence>,
) -> Result<(Admitted, Arc<Fetched>), Stop> {
    let Decision { evidence, outcome } = decision;
    *record = Some(evidence);
    Ok((outcome.map_err(Stop::Refused)?, fetched))
}

/// True from two thirds of the way to the end on: time to look for a refreshed statement.
fn runs_out(release: &Release, now: Timestamp) -> bool {
    let Some(end) = release.expires_at else { return false };
    let whole = end.duration_since(release.issued_at);
    now.duration_since(release.issued_at) > whole / 3 * 2
}

/// What images are judged by.
#[derive(Clone, Debug)]
pub(super) struct ImageFacts {
    pub(super) signatures: BTreeMap<Pinned, ImageSignatures>,
    pub(super) now: Timestamp,
    pub(super) policies: Arc<Policies>,
}

/// The images whose signatures the verdict will ask for.
pub(super) async fn images(
    admitted: &Arc<Admitted>,
    content: &Content,
    rendering: &Arc<Rendering>,
) -> Result<BTreeSet<Pinned>, Stop> {
    let Content::Opened(opened) = content else { return Ok(BTreeSet::new()) };
    if !admitted.asks_who_signed_images() {
        return Ok(BTreeSet::new());
    }
    let (admitted, opened, rendering) = (Arc::clone(admitted), Arc::clone(opened), Arc::clone(rendering));
    let work = tokio::task::spawn_blocking(move || images_to_check(&admitted, &opened, &rendering));
    work.await.map_err(Stop::Internal)
}

/// True if a signature of an image that was not seen could turn the verdict.
pub(super) fn is_about_signatures_of_images(refusal: &Refusal) -> bool {
    matches!(refusal.reason(), Reason::ImageNotSigned | Reason::ImageUnchecked)
}

/// Judges layer, objects and images, away from the threads that serve everybody: expanding a layer takes its time.
pub(super) async fn verified(
    admitted: &Arc<Admitted>,
    content: &Content,
    rendering: &Arc<Rendering>,
    facts: ImageFacts,
    record: &mut Option<Evidence>,
) -> Result<Verified, Stop> {
    let (admitted, content, rendering) = (Arc::clone(admitted), content.clone(), Arc::clone(rendering));
    let work = tokio::task::spawn_blocking(move || match content {
        Content::Opened(opened) => {
            let ImageFacts { signatures, now, policies } = &facts;
            let images = Images { signatures, now: *now, trust: policies.roots() };
            verify_opened(&admitted, &opened, &rendering, Some(images))
        }
        Content::Bytes(bytes) => verify(&admitted, &bytes, &rendering),
    });
    let Decision { evidence, outcome } = work.await.map_err(Stop::Internal)?;
    *record = Some(evidence);
    outcome.map_err(Stop::Refused)
}

/// True unless this very release with these very objects was applied last.
pub(super) fn is_new(verified: &Verified, previous: &DeliveryStatus) -> bool {
    let payload = verified.grounds().stated().map(|stated| stated.payload);
    let same = |last: &LastApplied| {
        (last.digest, last.objects, last.statement) == (verified.digest(), verified.inventory(), payload)
            && last.variant.as_deref() == verified.variant()
    };
    !previous.last_applied.as_ref().is_some_and(same)
}

/// An expired statement confirms what runs; it brings nothing that does not, such as other values of parameters.
pub(super) fn nothing_new_if_stale(verified: &Verified, previous: &DeliveryStatus) -> Result<(), Stop> {
    let other = previous.last_applied.as_ref().is_some_and(|last| last.objects != verified.inventory());
    match verified.stale() {
        Some(refusal) if other => Err(Stop::Refused(refusal.clone())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use sealift_verify::statement::{Content, Release, Scope};

    use super::*;

    #[test]
    fn a_signature_that_is_gone_ends_no_revocation_and_an_acceptance_does() {
        let denied = Refusal::Denied { policy: "p".into(), what: "key".into() };
        let gone = Refusal::Unsigned(sealift_verify::digest::Digest::of(b""));
        assert!(is_still_revoked(Some(&denied), Some(&gone)));
        assert!(!is_still_revoked(Some(&denied), Some(&denied)), "the newer one says so itself");
        assert!(!is_still_revoked(Some(&denied), None), "signed by somebody else since");
        assert!(!is_still_revoked(Some(&gone), Some(&denied)) && !is_still_revoked(None, Some(&gone)));
    }

    #[test]
    fn a_statement_runs_out_from_two_thirds_of_its_time_on() {
        let digest = sealift_verify::digest::Digest::of(b"");
        let mut release = Release {
            stream: "a".into(),
            environment: None,
            repositories: vec![],
            version: None,
            epoch: 0,
            sequence: 1,
            previous: None,
            rollback_of: None,
            promoted_from: None,
            issued_at: Timestamp::UNIX_EPOCH,
            not_before: None,
            expires_at: None,
            content: Content { layer: digest, uncompressed: digest, files: 0, objects: 0, inventory: digest },
            parameters: vec![],
            scope: Scope::default(),
            images: vec![],
            unpinned_images: vec![],
            variants: vec![],
            source: None,
            build: None,
            critical: vec![],
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(!runs_out(&release, at(1_000_000)));
        release.expires_at = Some(at(300));
        assert_eq!([100, 199, 201, 400].map(|second| runs_out(&release, at(second))), [false, false, true, true]);
    }
}
