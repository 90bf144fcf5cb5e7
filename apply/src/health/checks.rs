//! A Delivery's own expressions about the health of objects.

use std::sync::Arc;

use sealift_verify::{
    cel::{CelError, Expression},
    objects::ObjectId,
};
use serde_json::{Map, Value};

use super::{Health, generic::settled};
use crate::api::HealthCheck;

/// What an expression may speak of: the fields that objects have at their top.
const VARIABLES: [&str; 6] = ["apiVersion", "kind", "metadata", "spec", "status", "data"];

/// The expressions of a Delivery, read and found usable.
#[derive(Clone, Debug, Default)]
pub struct HealthChecks(Vec<Arc<Check>>);

/// An expression that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec.healthChecks[{at}].{field} cannot be used")]
pub struct BadHealthCheck {
    /// Which of the list, from zero.
    pub at: usize,
    /// Which of its expressions.
    pub field: &'static str,
    /// Why.
    pub source: CelError,
}

impl HealthChecks {
    /// Reads the expressions.
    ///
    /// # Errors
    /// [`BadHealthCheck`] about the first that cannot be used.
    pub fn parse(checks: &[HealthCheck]) -> Result<Self, BadHealthCheck> {
        let read = |(at, check)| Check::parse(at, check).map(Arc::new);
        checks.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The first that is about an object.
    pub fn about(&self, id: &ObjectId) -> Option<&Arc<Check>> {
        self.0.iter().find(|check| check.is_about(id))
    }
}

/// Expressions about some objects.
#[derive(Debug)]
pub struct Check {
    api_version: String,
    kind: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    in_progress: Option<Expression>,
    failed: Option<Expression>,
    current: Expression,
}

impl Check {
    fn parse(at: usize, check: &HealthCheck) -> Result<Self, BadHealthCheck> {
        let HealthCheck { api_version, kind, name, namespace, current, failed, in_progress } = check;
        let read = |field, source: &str| {
            Expression::parse(source, &VARIABLES).map_err(|source| BadHealthCheck { at, field, source })
        };
        Ok(Self {
            api_version: api_version.clone(),
            kind: kind.clone().filter(|kind| !kind.is_empty()),
            name: name.clone(),
            namespace: namespace.clone(),
            in_progress: in_progress.as_deref().map(|source| read("inProgress", source)).transpose()?,
            failed: failed.as_deref().map(|source| read("failed", source)).transpose()?,
            current: read("current", current)?,
        })
    }

    fn is_about(&self, id: &ObjectId) -> bool {
        let given = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        self.api_version == id.api_version()
            && given(&self.kind, Some(&id.kind))
            && given(&self.name, Some(&id.name))
            && given(&self.namespace, id.namespace.as_deref())
    }

    /// The health of an object by these expressions. Synchronous, and not for threads that serve others: see
    /// [`Expression::holds`].
    pub fn judge(&self, value: &Value) -> Health {
        if let Err(health) = settled(value) {
            return health;
        }
        let none = Value::Object(Map::new());
        let values = VARIABLES.map(|name| (name, value.get(name).filter(|field| !field.is_null()).unwrap_or(&none)));
        let in_order = [
            ("inProgress", self.in_progress.as_ref()),
            ("failed", self.failed.as_ref()),
            ("current", Some(&self.current)),
        ];
        for (field, expression) in in_order {
            let Some(expression) = expression else { continue };
            let says = || format!("its health check says {field}: {}", expression.source());
            match (expression.holds(&values), field) {
                (Ok(false), _) => {}
                (Ok(true), "current") => return Health::Healthy,
                (Ok(true), "failed") => return Health::Degraded(says()),
                (Ok(true), _) => return Health::Progressing(says()),
                (Err(error), _) => return Health::Progressing(format!("its health check {field}: {error}")),
            }
        }
        Health::Progressing(format!("its health check does not hold: {}", self.current.source()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id(kind: &str, name: &str) -> ObjectId {
        ObjectId {
            group: "example.com".into(),
            version: "v1".into(),
            kind: kind.into(),
            namespace: Some("apps".into()),
            name: name.into(),
        }
    }

    fn check(value: Value) -> HealthCheck {
        serde_json::from_value(value).unwrap()
    }

    fn judged(expressions: Value, status: Value) -> String {
        let mut spec = json!({"apiVersion": "example.com/v1", "kind": "Widget"});
        spec.as_object_mut().unwrap().extend(expressions.as_object().unwrap().clone());
        let checks = HealthChecks::parse(&[check(spec)]).unwrap();
        let value = json!({"metadata": {"generation": 2}, "spec": {"size": 3}, "status": status});
        checks.about(&id("Widget", "one")).unwrap().judge(&value).to_string()
    }

    #[test]
    fn what_holds_first_counts() {
        let all = json!({"inProgress": "status.phase == 'Busy'", "failed": "status.phase == 'Broken'", "current": "status.size == spec.size"});
        for (status, expected) in [
            (
                json!({"phase": "Busy", "size": 3}),
                "progressing, its health check says inProgress: status.phase == 'Busy'",
            ),
            (json!({"phase": "Broken", "size": 3}), "degraded, its health check says failed: status.phase == 'Broken'"),
            (json!({"phase": "Other", "size": 3}), "healthy"),
            (
                json!({"phase": "Other", "size": 2}),
                "progressing, its health check does not hold: status.size == spec.size",
            ),
            (
                json!({"phase": "Other", "size": 3, "observedGeneration": 1}),
                "progressing, its controller has seen generation 1 of 2",
            ),
        ] {
            assert_eq!(judged(all.clone(), status.clone()), expected, "{status}");
        }
    }

    #[test]
    fn what_cannot_be_evaluated_is_in_progress_and_says_why() {
        let current = json!({"current": "status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')"});
        let told = judged(current.clone(), Value::Null);
        assert!(told.starts_with("progressing, its health check current: it cannot be evaluated"), "{told}");
        assert_eq!(judged(current, json!({"conditions": [{"type": "Ready", "status": "True"}]})), "healthy");
        assert!(judged(json!({"current": "spec.size"}), json!({})).contains("neither true nor false"));
    }

    #[test]
    fn the_first_check_about_an_object_judges_it() {
        let of = |more: Value| {
            let mut value = json!({"apiVersion": "example.com/v1", "current": "true"});
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            HealthChecks::parse(&[check(value)]).unwrap()
        };
        for (more, one, other) in [
            (json!({}), true, true),
            (json!({"kind": ""}), true, true),
            (json!({"kind": "Widget"}), true, false),
            (json!({"kind": "Widget", "name": "two"}), false, false),
            (json!({"namespace": "apps"}), true, true),
            (json!({"namespace": "elsewhere"}), false, false),
        ] {
            let checks = of(more.clone());
            let about = |kind: &str| checks.about(&id(kind, "one")).is_some();
            assert_eq!((about("Widget"), about("Gadget")), (one, other), "{more}");
        }
        assert!(of(json!({"apiVersion": "example.com/v2"})).about(&id("Widget", "one")).is_none());
    }

    #[test]
    fn an_expression_that_cannot_be_used_is_named() {
        let good = check(json!({"apiVersion": "v1", "current": "true"}));
        for (field, bad) in [
            ("current", json!({"current": "status."})),
            ("failed", json!({"current": "true", "failed": "nothing.here"})),
        ] {
            let mut value = json!({"apiVersion": "v1"});
            value.as_object_mut().unwrap().extend(bad.as_object().unwrap().clone());
            let error = HealthChecks::parse(&[good.clone(), check(value)]).unwrap_err();
            assert_eq!(error.to_string(), format!("spec.healthChecks[1].{field} cannot be used"));
        }
    }
}
