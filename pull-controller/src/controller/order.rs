//! What a Delivery asks for, once its fields are known to be usable. *pure*

use sealift_apply::{
    api::{Delivery, DeliveryReference, DeliverySpec, Selection},
    health::HealthChecks,
};
use sealift_verify::reference::Repository;

use super::stop::Stop;

/// What is asked for, and by whom.
#[derive(Clone, Debug)]
pub(super) struct Order<'a> {
    pub(super) owner: DeliveryReference,
    pub(super) repository: Repository,
    pub(super) selection: Selection<'a>,
    /// The service account of the Delivery's namespace as which everything is read and applied.
    pub(super) account: &'a str,
    /// The Delivery's own judgement of health.
    pub(super) checks: HealthChecks,
}

/// Reads the spec. The API server validates the same; a controller does not rely on who validated.
pub(super) fn read<'a>(delivery: &'a Delivery, default_account: Option<&'a str>) -> Result<Order<'a>, Stop> {
    let DeliverySpec { repository, select, service_account_name, health_checks, .. } = &delivery.spec;
    let owner =
        delivery.reference().ok_or_else(|| Stop::Spec("the Delivery has no namespace, name or uid".to_owned()))?;
    let repository =
        repository.parse().map_err(|error| Stop::Spec(format!("spec.repository cannot be used: {error}")))?;
    let selection = select
        .selection()
        .ok_or_else(|| Stop::Spec("spec.select must hold exactly one of tag, semver and digest".to_owned()))?;
    let checks =
        HealthChecks::parse(health_checks).map_err(|error| Stop::Spec(format!("{error}: {}", error.source)))?;
    let account = service_account_name.as_deref().filter(|name| !name.is_empty()).or(default_account);
    Ok(Order { owner, repository, selection, account: account.ok_or(Stop::NoServiceAccount)?, checks })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn reason(spec: Value, default: Option<&str>) -> Result<String, &'static str> {
        let metadata = json!({"namespace": "apps", "name": "shop", "uid": "u1"});
        let value =
            json!({"apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery", "metadata": metadata, "spec": spec});
        let delivery: Delivery = serde_json::from_value(value).unwrap();
        read(&delivery, default).map(|order| order.account.to_owned()).map_err(|stop| stop.reason())
    }

    #[test]
    fn nothing_is_applied_as_the_controller_itself() {
        let spec = |account: Value| json!({"repository": "a.example/b", "select": {"tag": "stable"}, "serviceAccountName": account});
        assert_eq!(reason(spec(json!("deployer")), Some("default")), Ok("deployer".into()));
        assert_eq!(reason(spec(Value::Null), Some("default")), Ok("default".into()));
        assert_eq!(reason(spec(Value::Null), None), Err("NoServiceAccount"));
        assert_eq!(reason(spec(json!("")), None), Err("NoServiceAccount"));
    }

    #[test]
    fn a_spec_that_cannot_be_used_is_refused() {
        for spec in [
            json!({"repository": "https://a.example/b", "select": {"tag": "stable"}}),
            json!({"repository": "a.example/b", "select": {}}),
            json!({"repository": "a.example/b", "select": {"tag": "stable", "semver": "1"}}),
            json!({"repository": "a.example/b", "select": {"tag": "stable"}, "healthChecks": [{"apiVersion": "v1", "current": "size("}]}),
        ] {
            assert_eq!(reason(spec, Some("default")), Err("InvalidSpec"));
        }
    }
}
