//! What the audit log is told of a reconcile: each decision once, and again when it or what runs has changed. *pure*

use jiff::Timestamp;
use kube::ResourceExt as _;
use sealift_apply::api::{Delivery, DeliveryStatus, DriftState, HoldState, condition};
use sealift_verify::{
    digest::Digest,
    evidence::{Evidence, Outcome},
    refusal::Reason,
};
use serde_json::{Value, json};

use super::{
    context::{Context, Memo},
    history,
    report::Report,
    status::READY,
    stop::{Stop, chain},
};

/// What makes a decision another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    verdicts: Vec<Verdict>,
    /// An emergency hold and what becomes of it.
    hold: Option<(HoldState, Digest, Timestamp)>,
    /// Objects that are left as hands have made them: which, until when and why.
    by_hand: Vec<String>,
    /// Artifact, statement and objects that run.
    applied: Option<(Digest, Option<Digest>, Digest)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    artifact: Digest,
    outcome: Outcome,
    reason: Option<Reason>,
    stale: bool,
    statement: Option<Digest>,
    policies: Vec<Digest>,
}

impl Verdict {
    fn of(evidence: &Evidence) -> Self {
        let Evidence { artifact, outcome, reason, stale, statement, policies, .. } = evidence;
        Self {
            artifact: *artifact,
            outcome: *outcome,
            reason: *reason,
            stale: *stale,
            statement: statement.as_ref().map(|statement| statement.digest),
            policies: policies.iter().map(|policy| policy.digest).collect(),
        }
    }
}

/// Appends what is new to the audit log, if there is one.
pub(super) fn record(context: &Context, delivery: &Delivery, memo: &mut Memo, next: &DeliveryStatus, report: &Report) {
    let Some(log) = &context.audit else { return };
    let (told, lines) = news(delivery, memo.audited.as_ref(), next, report);
    for (evidence, done) in lines {
        log.append(evidence, &done);
    }
    memo.audited = told.or(memo.audited.take());
}

/// The lines to write, and what is told by then. A reconcile that came to no decision is no news.
fn news<'a>(
    delivery: &Delivery,
    before: Option<&Told>,
    next: &DeliveryStatus,
    report: &'a Report,
) -> (Option<Told>, Vec<(&'a Evidence, Value)>) {
    let selected = report.evidence.as_ref();
    // Where what is selected is what runs, one verdict is about both.
    let other = |evidence: &&Evidence| selected.is_none_or(|selected| selected.artifact != evidence.artifact);
    let running = report.applied_evidence.as_ref().filter(other);
    let held = report.held_evidence.as_ref();
    let named = [("selected", selected), ("applied", running), ("held", held)];
    let decisions: Vec<_> = named.into_iter().filter_map(|(name, evidence)| Some((name, evidence?))).collect();
    if decisions.is_empty() {
        return (None, Vec::new());
    }
    let told = Told {
        verdicts: decisions.iter().map(|(_, evidence)| Verdict::of(evidence)).collect(),
        hold: next.hold.as_ref().map(|hold| (hold.state, hold.digest, hold.until)),
        by_hand: by_hand(next),
        applied: next.last_applied.as_ref().map(|last| (last.digest, last.statement, last.objects)),
    };
    let same =
        |before: &Told| (before.applied, &before.hold, &before.by_hand) == (told.applied, &told.hold, &told.by_hand);
    let is_old = |evidence: &Evidence| {
        before.is_some_and(|before| same(before) && before.verdicts.contains(&Verdict::of(evidence)))
    };
    let news = decisions.into_iter().filter(|(_, evidence)| !is_old(evidence));
    let lines = news.map(|(judged, evidence)| (evidence, done(delivery, judged, next, report))).collect();
    (Some(told), lines)
}

fn by_hand(next: &DeliveryStatus) -> Vec<String> {
    let objects = next.drift.iter().flat_map(|drift| &drift.objects);
    let held = objects.filter(|object| object.state == DriftState::Held);
    let mut told: Vec<_> = held
        .map(|object| {
            let namespace = object.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
            format!("{} {namespace}{}: {}", object.kind, object.name, object.what)
        })
        .collect();
    told.sort();
    told
}

fn done(delivery: &Delivery, judged: &str, next: &DeliveryStatus, report: &Report) -> Value {
    let ready = condition(&next.conditions, READY);
    let mut done = json!({
        "namespace": delivery.namespace(),
        "name": delivery.name_any(),
        "uid": delivery.uid(),
        "judged": judged,
        "ready": ready.map(|ready| json!({"status": ready.status, "reason": ready.reason})),
        "applied": next.last_applied.as_ref().map(|last| json!({
            "digest": last.digest,
            "version": last.version,
            "statement": last.statement,
            "objects": last.objects,
        })),
        "changes": history::counts(&report.changes),
    });
    if let Some(plan) = report.plan {
        done["plan"] = json!(plan);
    }
    if let Some(Stop::Apply(error)) = &report.stop {
        // A line has a longest length: what is beyond is counted, and in the log.
        const LISTED: usize = 500;
        let all = error.objects();
        let listed = all.iter().take(LISTED).map(|refused| {
            let mut why = chain(&refused.why);
            why.truncate(why.char_indices().nth(300).map_or(why.len(), |(at, _)| at));
            json!({"object": refused.id.to_string(), "why": why})
        });
        done["refused"] = json!({"count": all.len(), "objects": listed.collect::<Vec<_>>(), "applied": error.applied().iter().map(ToString::to_string).collect::<Vec<_>>()});
    }
    let by_hand = by_hand(next);
    if !by_hand.is_empty() {
        done["breakGlass"] = json!(by_hand);
    }
    if let Some(hold) = &next.hold {
        done["hold"] = json!(hold);
    }
    if let Some(refused) = &next.would_refuse_now {
        done["wouldRefuseNow"] = json!({"reason": refused.reason, "since": refused.since});
    }
    done
}

#[cfg(test)]
mod tests {
    use sealift_apply::api::{DriftStatus, DriftedObject, LastApplied};
    use sealift_verify::{
        reference::Repository,
        verify::{Facts, Unverified, admit},
    };

    use super::*;

    /// No policy: the shortest way to a record.
    fn evidence(manifest: &str, second: i64) -> Evidence {
        let repository: Repository = "registry.example/app".parse().unwrap();
        let unverified = Unverified {
            reference: repository.pin(Digest::of(manifest.as_bytes())),
            transport: None,
            manifest: manifest.into(),
            candidates: vec![],
            skipped: vec![],
            truncated: false,
        };
        admit(&unverified, &[], &Facts::at(Timestamp::from_second(second).unwrap())).evidence
    }

    fn told(before: Option<&Told>, status: &DeliveryStatus, report: &Report) -> (Option<Told>, Vec<Value>) {
        let value = json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery",
            "metadata": {"namespace": "apps", "name": "shop", "uid": "u1"},
            "spec": {"repository": "registry.example/app", "select": {"tag": "stable"}},
        });
        let (told, lines) = news(&serde_json::from_value(value).unwrap(), before, status, report);
        (told, lines.into_iter().map(|(_, done)| done["judged"].clone()).collect())
    }

    #[test]
    fn a_decision_is_told_once_and_again_when_it_or_what_runs_changes() {
        let mut status = DeliveryStatus::default();
        let about = |selected: Option<&str>, running: Option<&str>, second| Report {
            evidence: selected.map(|manifest| evidence(manifest, second)),
            applied_evidence: running.map(|manifest| evidence(manifest, second)),
            ..Report::default()
        };
        let (first, lines) = told(None, &status, &about(Some("a"), Some("a"), 1));
        assert_eq!(lines, ["selected"], "one verdict about one artifact");
        let (again, lines) = told(first.as_ref(), &status, &about(Some("a"), Some("a"), 700));
        assert_eq!((again.as_ref(), lines.len()), (first.as_ref(), 0));
        let (other, lines) = told(first.as_ref(), &status, &about(Some("b"), Some("a"), 800));
        assert_eq!(lines, ["selected"], "what runs fares as before");
        let digest = Digest::of(b"a");
        status.last_applied = Some(LastApplied {
            digest,
            short: digest.short(),
            version: None,
            epoch: Some(0),
            sequence: Some(1),
            statement: Some(digest),
            variant: None,
            objects: digest,
            parameters: None,
            issued_at: None,
            source: None,
            at: Timestamp::UNIX_EPOCH,
        });
        assert_eq!(told(other.as_ref(), &status, &about(None, Some("a"), 900)).1, ["applied"]);
        assert!(told(other.as_ref(), &status, &Report::default()).0.is_none(), "no decision, no news");
        let (before, _) = told(None, &status, &about(Some("a"), None, 900));
        let held = DriftedObject {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: Some("apps".into()),
            name: "config".into(),
            state: DriftState::Held,
            what: "held".into(),
            fields: vec![],
            by: vec![],
            at: Timestamp::UNIX_EPOCH,
            until: Some(Timestamp::UNIX_EPOCH),
        };
        status.drift = Some(DriftStatus { open: 1, objects: vec![held], foreign: vec![] });
        assert_eq!(by_hand(&status), ["ConfigMap apps/config: held"]);
        let (by_hand, lines) = told(before.as_ref(), &status, &about(Some("a"), None, 950));
        assert_eq!(lines, ["selected"], "what hands hold is news");
        assert!(told(by_hand.as_ref(), &status, &about(Some("a"), None, 960)).1.is_empty());
    }
}
