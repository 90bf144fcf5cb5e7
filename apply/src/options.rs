//! How a Delivery wants its objects applied, and what single objects of the signed release say for themselves.

use sealift_verify::objects::ObjectId;
use serde_json::Value;

use crate::{
    api::{
        ADOPT_ANNOTATION, APPLY_ANNOTATION, Adopt, DeliverySpec, IMMUTABLE_ANNOTATION, Immutable, PRUNE_ANNOTATION,
        Validation,
    },
    change::Why,
    drift::{Limit, Rules},
    takeover::Managers,
};

/// What a Delivery says about every object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What the API server is asked before anything is written.
    pub validation: Validation,
    /// What happens to objects that another tool manages.
    pub adopt: Adopt,
    /// Whose fields become the Delivery's own.
    pub take_over: Managers,
    /// What happens to an object of which a field that must change is immutable.
    pub immutable: Immutable,
    /// What becomes of drift.
    pub drift: Rules,
    /// How far the platform holds break-glass changes; `None` if it does not.
    pub break_glass: Option<Limit>,
}

impl Options {
    /// What the spec says.
    pub fn of(spec: &DeliverySpec) -> Self {
        let DeliverySpec { validation, adopt, take_over, immutable, drift, .. } = spec;
        Self {
            validation: *validation,
            adopt: *adopt,
            take_over: Managers::new(take_over.clone()),
            immutable: *immutable,
            drift: Rules::of(drift),
            break_glass: None,
        }
    }
}

/// How an object is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// Fields of the release are set, and fields of managers that are taken over go.
    #[default]
    Override,
    /// Fields of the release are set, and everybody else's stay, those of managers that are taken over among them.
    Merge,
    /// It is created where it is not there, and left alone where it is.
    IfNotPresent,
    /// It is left alone.
    Ignore,
}

/// What an object of a release says for itself. Only the signed manifest is asked: who may annotate the live object gets
/// no say in what a release does to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// How it is applied.
    pub manner: Manner,
    /// Whether it is created anew where a field that must change is immutable.
    pub recreate: bool,
    /// Whether it is taken over from another tool.
    pub adopt: bool,
}

impl Own {
    /// What the annotations say.
    ///
    /// # Errors
    /// [`Why::Annotation`] for a value that means nothing: a typo must not become the default.
    pub fn of(value: &Value) -> Result<Self, Why> {
        let manner = [("ignore", Manner::Ignore), ("ifNotPresent", Manner::IfNotPresent), ("merge", Manner::Merge)];
        word(value, PRUNE_ANNOTATION, &[("disabled", ()), ("enabled", ())])?;
        Ok(Self {
            manner: word(value, APPLY_ANNOTATION, &manner)?.unwrap_or_default(),
            recreate: word(value, IMMUTABLE_ANNOTATION, &[("recreate", true), ("refuse", false)])?.unwrap_or(false),
            adopt: word(value, ADOPT_ANNOTATION, &[("enabled", true), ("disabled", false)])?.unwrap_or(false),
        })
    }

    /// Whether the object may be deleted to be created anew.
    pub fn may_recreate(self, id: &ObjectId, options: &Options) -> bool {
        self.recreate || options.immutable == Immutable::Recreate && !holds_others(id)
    }

    /// Why it may not.
    pub fn not_recreated(self, id: &ObjectId, message: String) -> Why {
        if holds_others(id) { Why::Held { message } } else { Why::Immutable { message } }
    }
}

/// Kinds whose deletion takes along what was never in the release: data, or objects of others.
fn holds_others(id: &ObjectId) -> bool {
    matches!(
        (id.group.as_str(), id.kind.as_str()),
        ("", "Namespace" | "PersistentVolumeClaim" | "PersistentVolume")
            | ("apiextensions.k8s.io", "CustomResourceDefinition")
    )
}

fn word<T: Copy>(value: &Value, annotation: &'static str, words: &[(&'static str, T)]) -> Result<Option<T>, Why> {
    let Some(text) = value["metadata"]["annotations"][annotation].as_str() else { return Ok(None) };
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    let wanted = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
    match found {
        Some((_, meaning)) => Ok(Some(*meaning)),
        None => Err(Why::Annotation { annotation, value: text.to_owned(), wanted: wanted() }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn annotated(annotations: Value) -> Result<Own, String> {
        Own::of(&json!({"metadata": {"annotations": annotations}})).map_err(|why| why.to_string())
    }

    fn id(group: &str, kind: &str) -> ObjectId {
        let (group, kind) = (group.to_owned(), kind.to_owned());
        ObjectId { group, kind, version: "v1".into(), namespace: None, name: "a".into() }
    }

    #[test]
    fn reads_what_an_object_says_for_itself() {
        assert_eq!(annotated(json!({})), Ok(Own::default()));
        for (text, manner) in
            [("ignore", Manner::Ignore), ("IfNotPresent", Manner::IfNotPresent), ("Merge", Manner::Merge)]
        {
            assert_eq!(annotated(json!({APPLY_ANNOTATION: text})).unwrap().manner, manner);
        }
        let both = annotated(json!({IMMUTABLE_ANNOTATION: "recreate", ADOPT_ANNOTATION: "enabled"})).unwrap();
        assert!(both.recreate && both.adopt);
    }

    #[test]
    fn a_word_that_means_nothing_is_refused() {
        for (annotation, text) in [
            (APPLY_ANNOTATION, "ignored"),
            (IMMUTABLE_ANNOTATION, "true"),
            (ADOPT_ANNOTATION, ""),
            (PRUNE_ANNOTATION, "false"),
        ] {
            let error = annotated(json!({annotation: text})).unwrap_err();
            assert!(error.contains(annotation) && error.contains(" or "), "{error}");
        }
    }

    #[test]
    fn what_holds_others_is_created_anew_only_on_its_own_word() {
        let options = Options { immutable: Immutable::Recreate, ..Options::default() };
        let own = Own { recreate: true, ..Own::default() };
        for (group, kind, by_delivery) in [
            ("apps", "Deployment", true),
            ("", "Service", true),
            ("", "PersistentVolumeClaim", false),
            ("", "PersistentVolume", false),
            ("", "Namespace", false),
            ("apiextensions.k8s.io", "CustomResourceDefinition", false),
        ] {
            assert_eq!(Own::default().may_recreate(&id(group, kind), &options), by_delivery, "{kind}");
            assert!(own.may_recreate(&id(group, kind), &Options::default()), "{kind}");
        }
        assert!(!Own::default().may_recreate(&id("apps", "Deployment"), &Options::default()));
    }
}
