//! What an object's metadata tells of what happened to it since it was applied: a pure function, with no request.
//!
//! Managed fields say more than values do. Who writes a field that we own takes it out of our set; who applies under our
//! manager's name moves our entry's time; who has admission rewrite our value in a write of his own moves the generation.
//! So an object whose marks are all unmoved is as it was applied, and costs nothing. Where marks moved that may mean
//! nothing, one dry-run decides.

mod break_glass;
mod contention;
pub(crate) mod fields;
pub(crate) mod leave;
pub(crate) mod look;

use std::time::Duration;

use sealift_verify::objects::ObjectId;

pub(crate) use self::break_glass::{Standing, standing, taken_off};
pub use self::{
    break_glass::{Asked, Ended, Limit},
    contention::Contention,
    leave::autoscaled,
    look::{Found, Rules, Touched},
};
use crate::{
    api::Mark,
    owner::{Meta, Writer},
};

/// An object that gives reason to be looked at closer is so at most this often.
pub const LOOK_PAUSE: Duration = Duration::from_secs(60);

/// What metadata tells about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody touched what we own: no request.
    Undisturbed,
    /// Somebody did.
    Drifted(Sign),
    /// Somebody may have: a dry-run of this object decides, at most one in [`LOOK_PAUSE`].
    LookCloser(Sign),
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It is not there, or lost the label by which it was found.
    Gone,
    /// Another object of that name is there.
    Replaced,
    /// It carries another Delivery's label, or none.
    Unlabelled,
    /// None of its fields is ours any more.
    Disowned,
    /// Other fields are ours than those we applied.
    OtherFields,
    /// A manager whose fields are taken over has some.
    Foreign(String),
    /// The same fields were applied again under our manager's name, with whatever values.
    AppliedAgain,
    /// Its generation moved.
    Generation,
    /// Somebody wrote to it outside status.
    Written,
    /// It was left to a break-glass change, and is not any longer.
    BreakGlass(Ended),
}

/// Compares what is seen with how the object looked right after it was applied by the Delivery with the uid `owner`.
///
/// `takes` says of which writers the fields are taken over. An object on its way out is undisturbed: what is to be done
/// about it is known once it is gone.
pub fn verdict(mark: &Mark, owner: &str, seen: Option<&Meta>, takes: &dyn Fn(&Writer) -> bool) -> Verdict {
    let Some(meta) = seen else { return Verdict::Drifted(Sign::Gone) };
    if meta.deleting {
        return Verdict::Undisturbed;
    }
    let Mark { uid, generation, fields, time, others } = mark;
    let now = &meta.mark;
    if now.uid != *uid {
        return Verdict::Drifted(Sign::Replaced);
    }
    if now.fields.is_none() {
        return Verdict::Drifted(Sign::Disowned);
    }
    if meta.delivery() != Some(owner) {
        return Verdict::Drifted(Sign::Unlabelled);
    }
    if now.fields != *fields {
        return Verdict::Drifted(Sign::OtherFields);
    }
    if let Some(writer) = meta.writers.iter().find(|writer| takes(writer)) {
        return Verdict::Drifted(Sign::Foreign(writer.manager.clone()));
    }
    if now.time != *time {
        return Verdict::LookCloser(Sign::AppliedAgain);
    }
    if now.generation != *generation {
        return Verdict::LookCloser(Sign::Generation);
    }
    if now.others != *others {
        return Verdict::LookCloser(Sign::Written);
    }
    Verdict::Undisturbed
}

/// Why an object that is gone is not made again for the same content, if that is so: who removed it did so on purpose.
///
/// `owned` says whether it had an owner of its own when it was last seen: then the cluster's garbage collection took it,
/// and would again.
pub fn stays_away(id: &ObjectId, owned: bool) -> Option<&'static str> {
    if runs_once(id) {
        Some("it ran and was removed since")
    } else if owned {
        Some("it went with the object that owned it")
    } else {
        None
    }
}

/// Kinds whose objects do their work once; many are removed some time after by a TTL or a cleaner.
fn runs_once(id: &ObjectId) -> bool {
    matches!(
        (id.group.as_str(), id.kind.as_str()),
        ("batch", "Job")
            | ("", "Pod")
            | ("argoproj.io", "Workflow" | "AnalysisRun")
            | ("tekton.dev", "PipelineRun" | "TaskRun")
    )
}

impl Sign {
    /// What was seen, in words.
    pub fn words(&self) -> String {
        match self {
            Self::Gone => "it was gone, or without its label".to_owned(),
            Self::Replaced => "another object had its name".to_owned(),
            Self::Unlabelled => "it carried no label of this Delivery".to_owned(),
            Self::Disowned => "none of its fields was owned by the release".to_owned(),
            Self::OtherFields => "fields of the release had changed hands".to_owned(),
            Self::Foreign(manager) => format!("{manager} had fields beside the release"),
            Self::AppliedAgain => "it was applied under the release's manager".to_owned(),
            Self::Generation => "its specification had changed".to_owned(),
            Self::Written => "it had been written to".to_owned(),
            Self::BreakGlass(ended) => ended.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{FIELD_MANAGER, api::OWNER_LABEL};

    const THEN: &str = "2026-01-01T00:00:00Z";
    const LATER: &str = "2026-01-01T00:05:00Z";

    fn entry(manager: &str, operation: &str, subresource: &str, time: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "subresource": subresource, "time": time,
            "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn ours(time: &str, fields: Value) -> Value {
        entry(FIELD_MANAGER, "Apply", "", time, fields)
    }

    fn image() -> Value {
        json!({"f:spec": {"f:image": {}}})
    }

    fn metadata(generation: Option<i64>, entries: Vec<Value>) -> Value {
        let mut metadata = json!({"name": "a", "uid": "o1", "resourceVersion": "5", "labels": {OWNER_LABEL: "d1"}, "managedFields": entries});
        if let Some(generation) = generation {
            metadata["generation"] = generation.into();
        }
        metadata
    }

    fn meta(value: &Value) -> Meta {
        Meta::of(&serde_json::from_value(value.clone()).unwrap())
    }

    fn kubectl(writer: &Writer) -> bool {
        writer.subresource.is_empty() && writer.manager.starts_with("kubectl")
    }

    fn judge(before: &Value, after: &Value) -> Verdict {
        verdict(&meta(before).mark, "d1", Some(&meta(after)), &kubectl)
    }

    #[test]
    fn says_of_each_change_what_it_means() {
        let status = entry("kube-controller-manager", "Update", "status", LATER, json!({"f:status": {}}));
        let scaled = entry("kubectl", "Update", "scale", LATER, json!({"f:spec": {"f:replicas": {}}}));
        let other = entry("istio", "Update", "", LATER, json!({"f:metadata": {"f:annotations": {"f:x": {}}}}));
        let patched = entry("kubectl-patch", "Update", "", LATER, json!({"f:spec": {"f:sidecar": {}}}));
        let by_name = entry(FIELD_MANAGER, "Update", "", LATER, image());
        let two = json!({"f:spec": {"f:image": {}, "f:x": {}}});
        let before = metadata(Some(1), vec![ours(THEN, image())]);
        let set = |path: &[&str], value: Value| {
            let mut metadata = before.clone();
            *path.iter().fold(&mut metadata, |at, key| &mut at[*key]) = value;
            metadata
        };
        let entries = |entries: Vec<Value>| set(&["managedFields"], json!(entries));
        use Sign::{AppliedAgain, Disowned, Foreign, Generation, OtherFields, Replaced, Unlabelled};
        use Verdict::{Drifted, LookCloser, Undisturbed};
        for (what, after, wanted) in [
            ("nothing", before.clone(), Undisturbed),
            ("its status", entries(vec![ours(THEN, image()), status]), Undisturbed),
            ("an annotation of others", entries(vec![ours(THEN, image()), other.clone()]), Undisturbed),
            ("on its way out", set(&["deletionTimestamp"], json!(LATER)), Undisturbed),
            ("made anew", set(&["uid"], json!("o2")), Drifted(Replaced)),
            ("another set", entries(vec![ours(THEN, two.clone())]), Drifted(OtherFields)),
            ("another set at another time", entries(vec![ours(LATER, two)]), Drifted(OtherFields)),
            ("no entry", entries(vec![other]), Drifted(Disowned)),
            ("an update by our name only", entries(vec![by_name]), Drifted(Disowned)),
            ("no label", set(&["labels"], json!({})), Drifted(Unlabelled)),
            ("another label", set(&["labels", OWNER_LABEL], json!("d2")), Drifted(Unlabelled)),
            ("applied by our name", entries(vec![ours(LATER, image())]), LookCloser(AppliedAgain)),
            ("rewritten by admission", set(&["generation"], json!(2)), LookCloser(Generation)),
            ("a container", entries(vec![ours(THEN, image()), patched]), Drifted(Foreign("kubectl-patch".into()))),
            ("scaled, where the release says nothing of it", entries(vec![ours(THEN, image()), scaled]), Undisturbed),
        ] {
            assert_eq!(judge(&before, &after), wanted, "{what}");
        }
        assert_eq!(verdict(&meta(&before).mark, "d1", None, &kubectl), Drifted(Sign::Gone));
        assert_eq!(verdict(&meta(&before).mark, "d2", Some(&meta(&before)), &kubectl), Drifted(Unlabelled));
    }

    #[test]
    fn a_kind_without_generation_is_looked_at_when_others_wrote_outside_status() {
        let writer = |time| entry("operator", "Update", "", time, json!({"f:data": {"f:x": {}}}));
        let status = |time| entry("operator", "Update", "status", time, json!({"f:status": {}}));
        let before = metadata(None, vec![ours(THEN, image()), writer(THEN), status(THEN)]);
        for (what, entries, wanted) in [
            ("nothing", vec![ours(THEN, image()), writer(THEN), status(THEN)], Verdict::Undisturbed),
            ("its status", vec![ours(THEN, image()), writer(THEN), status(LATER)], Verdict::Undisturbed),
            ("again", vec![ours(THEN, image()), writer(LATER)], Verdict::LookCloser(Sign::Written)),
            ("no more", vec![ours(THEN, image())], Verdict::LookCloser(Sign::Written)),
        ] {
            assert_eq!(judge(&before, &metadata(None, entries)), wanted, "{what}");
        }
    }

    #[test]
    fn what_was_removed_on_purpose_stays_away() {
        let id = |group: &str, kind: &str| ObjectId {
            group: group.into(),
            version: "v1".into(),
            kind: kind.into(),
            namespace: Some("apps".into()),
            name: "a".into(),
        };
        assert!(stays_away(&id("batch", "Job"), false).is_some());
        assert!(stays_away(&id("", "Pod"), false).is_some());
        assert!(stays_away(&id("jobs.example", "Job"), false).is_none(), "a kind of the same name elsewhere");
        assert_eq!(stays_away(&id("", "ConfigMap"), false), None);
        assert_eq!(stays_away(&id("", "ConfigMap"), true), Some("it went with the object that owned it"));
    }

    #[test]
    fn a_fingerprint_moves_with_what_is_written_and_not_with_status() {
        let writer = |time| entry("kubectl-label", "Update", "", time, json!({"f:metadata": {}}));
        let before = metadata(Some(1), vec![ours(THEN, image()), writer(THEN)]);
        let mut touched = before.clone();
        touched["resourceVersion"] = json!("6");
        assert_eq!(meta(&before).fingerprint(), meta(&touched).fingerprint());
        let after = metadata(Some(1), vec![ours(THEN, image()), writer(LATER)]);
        assert_ne!(meta(&before).fingerprint(), meta(&after).fingerprint());
    }
}
