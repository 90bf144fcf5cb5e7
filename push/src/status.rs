//! `sealift status`: Deliveries, their verdicts, and why one is not ready.

use jiff::Timestamp;
use sealift_apply::{
    api::{
        CheckRow, Condition, Delivery, DeliveryStatus, HistoryEntry, HoldStatus, LastApplied, WouldRefuse, condition,
    },
    cluster::{Class, ClusterError},
    freeze::Freezes,
};
use sealift_verify::evidence::THIRD_PARTY;
use serde_json::{Value, json};

use crate::{
    cli::status::StatusArgs,
    cluster::{self, Connected, resource},
    exit::Exit,
    failure::Failure,
    freeze,
    output::{Format, Output},
    table::{plain, table},
};

/// An answer that is no Delivery.
#[derive(Debug, thiserror::Error)]
#[error("a Delivery of this cluster cannot be read")]
struct Unreadable(#[source] serde_json::Error);

pub(crate) async fn run(args: &StatusArgs, output: &mut Output) -> Result<Exit, Failure> {
    let connected = cluster::connect(args.cluster.context.as_deref()).await?;
    let namespace = args.namespace.clone().unwrap_or_else(|| connected.namespace.clone());
    let freezes = freezes(&connected).await?;
    if let Some(name) = &args.name {
        let found = cluster::delivery(&connected, &namespace, name).await?;
        match output.format {
            Format::Text => {
                told(freezes.as_ref(), output);
                output.product(detail(&found))?;
            }
            Format::Json => output.json(&document(std::slice::from_ref(&found), freezes.as_ref()))?,
        }
        return Ok(Exit::Done);
    }
    let within = (!args.all_namespaces).then_some(namespace.as_str());
    let found = connected.cluster.list(&resource::<Delivery>(true), within, None).await?;
    let read = found.into_iter().map(serde_json::from_value).collect::<Result<Vec<Delivery>, _>>();
    let mut deliveries = read.map_err(|error| Failure::new(Exit::Failed, Unreadable(error)))?;
    deliveries.sort_by_key(name);
    match output.format {
        Format::Text if deliveries.is_empty() => {
            let place = within.map_or_else(|| "any namespace".to_owned(), |namespace| format!("namespace {namespace}"));
            output.note(format_args!("no Deliveries in {place} (context {})", connected.context));
        }
        Format::Text => {
            told(freezes.as_ref(), output);
            output.product(list(&deliveries))?;
        }
        Format::Json => output.json(&document(&deliveries, freezes.as_ref()))?,
    }
    Ok(Exit::Done)
}

/// The freezes of the cluster. They are beside the question, and those of a tenant may not be shown.
async fn freezes(connected: &Connected) -> Result<Option<Freezes>, Failure> {
    match freeze::listed(connected).await {
        Ok(freezes) => Ok(Some(freezes)),
        Err(ClusterError::Answer { class: Class::Forbidden | Class::NotFound | Class::NotServed, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn told(freezes: Option<&Freezes>, output: &mut Output) {
    let lines = freezes.map(|freezes| freeze::in_force(freezes, Timestamp::now())).unwrap_or_default();
    lines.into_iter().for_each(|line| output.note(line));
}

fn name(delivery: &Delivery) -> (String, String) {
    let metadata = &delivery.metadata;
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

fn ready(delivery: &Delivery) -> Option<&Condition> {
    condition(&delivery.status.as_ref()?.conditions, "Ready")
}

fn list(deliveries: &[Delivery]) -> String {
    let row = |delivery: &Delivery| {
        let (namespace, name) = name(delivery);
        let ready = ready(delivery);
        let applied = delivery.status.as_ref().and_then(|status| status.last_applied.as_ref());
        let verdict = delivery.status.as_ref().and_then(|status| status.verification.as_ref());
        let message = ready.filter(|ready| ready.status != "True").map(|ready| ready.message.clone());
        [
            namespace,
            name,
            ready.map_or_else(|| "Unknown".to_owned(), |ready| ready.status.clone()),
            ready.map_or_else(
                || if delivery.spec.suspend { "Suspended" } else { "Pending" }.to_owned(),
                |r| r.reason.clone(),
            ),
            verdict.map(|verdict| verdict.verdict.clone()).unwrap_or_default(),
            applied.map(release).unwrap_or_default(),
            applied.map(|applied| applied.short.clone()).unwrap_or_default(),
            plain(&message.unwrap_or_default()),
        ]
    };
    let rows: Vec<_> = deliveries.iter().map(row).collect();
    table(0, ["NAMESPACE", "NAME", "READY", "REASON", "VERDICT", "RELEASE", "DIGEST", "MESSAGE"], &rows)
}

/// Which release runs, as short as it can be said.
fn release(applied: &LastApplied) -> String {
    let position = || applied.position().map(|position| position.to_string());
    applied.version.clone().or_else(position).unwrap_or_else(|| "no statement".to_owned())
}

fn detail(delivery: &Delivery) -> String {
    let (namespace, name) = name(delivery);
    let mut lines = vec![format!("{namespace}/{name}"), format!("  repository  {}", delivery.spec.repository)];
    let Some(status) = &delivery.status else {
        lines.push("  not seen by a controller yet".to_owned());
        return lines.join("\n");
    };
    let DeliveryStatus {
        observed_generation,
        conditions,
        last_attempted,
        last_applied,
        verification,
        would_refuse_now,
        hold,
        objects,
        history,
        ..
    } = status;
    if delivery.spec.suspend {
        lines.push("  suspended   nothing is done until spec.suspend is false".to_owned());
    }
    if observed_generation.is_some_and(|seen| Some(seen) != delivery.metadata.generation) {
        lines.push("  outdated    the spec changed, and the controller has not looked at it yet".to_owned());
    }
    if let Some(attempted) = last_attempted {
        let tag = attempted.tag.as_ref().map(|tag| format!(" by tag {tag}")).unwrap_or_default();
        lines.push(format!("  attempted   {}{tag} at {}", attempted.digest, attempted.at));
    }
    if let Some(applied) = last_applied {
        let version = applied.version.as_ref().map(|version| format!(" version {version}")).unwrap_or_default();
        let release = match applied.position() {
            Some(position) => format!("release {position}"),
            None => THIRD_PARTY.to_owned(),
        };
        let variant = applied.variant.as_ref().map(|name| format!(" variant {}", plain(name))).unwrap_or_default();
        lines.push(format!("  applied     {}{version}{variant} {release} at {}", applied.digest, applied.at));
    }
    lines.extend(would_refuse_now.iter().map(|refused| {
        let WouldRefuse { reason, message, since } = refused;
        format!("  refused now {reason} since {since}, though it runs: {}", plain(message))
    }));
    lines.extend(hold.iter().map(|hold| {
        let HoldStatus { state, digest, until, reason, message, since } = hold;
        let what = format!("{state:?} since {since}, until {until}, at {digest} ({})", plain(reason));
        format!("  hold        {what}: {}", plain(message))
    }));
    lines.extend(objects.map(|objects| format!("  objects     {objects}")));
    lines.extend(conditions.iter().map(|c| {
        let Condition { type_, status, reason, message, .. } = c;
        format!("  {type_:<12}{status:<8}{reason:<20}{}", plain(message)).trim_end().to_owned()
    }));
    if let Some(verdict) = verification {
        let reason = verdict.reason.as_ref().map(|reason| format!(" {reason}")).unwrap_or_default();
        lines.push(format!(
            "  verdict     {}{reason}; policies [{}], authorities [{}]",
            verdict.verdict,
            verdict.policies.join(", "),
            verdict.authorities.join(", ")
        ));
        lines.extend(verdict.checks.iter().map(|CheckRow { check, result, detail }| {
            format!("    {result:<12} {check:<17}  {}", plain(detail.as_deref().unwrap_or_default()))
                .trim_end()
                .to_owned()
        }));
    }
    lines.extend(history.iter().map(|entry| format!("  history     {}", passed(entry))));
    lines.join("\n")
}

/// One line of the history.
fn passed(entry: &HistoryEntry) -> String {
    let HistoryEntry { digest, version, epoch, sequence, verdict, reason, at, milliseconds, changes, .. } = entry;
    let position = epoch.zip(*sequence).map(|(epoch, sequence)| format!("{epoch}.{sequence}"));
    let release = version.clone().or(position).unwrap_or_else(|| "no release statement".to_owned());
    let reason = reason.as_ref().map(|reason| format!(" {reason}")).unwrap_or_default();
    let took = milliseconds.map(|ms| format!(" in {}.{:03} s", ms / 1000, ms % 1000)).unwrap_or_default();
    let changes = changes.map(|c| {
        format!(
            ", {} created, {} configured, {} unchanged, {} deleted",
            c.created, c.configured, c.unchanged, c.deleted
        )
    });
    format!("{at} {release} ({}) {verdict}{reason}{took}{}", digest.short(), changes.unwrap_or_default())
}

fn document(deliveries: &[Delivery], freezes: Option<&Freezes>) -> Value {
    let one = |delivery: &Delivery| {
        let (namespace, name) = name(delivery);
        let ready = ready(delivery);
        json!({
            "namespace": namespace,
            "name": name,
            "repository": delivery.spec.repository,
            "suspended": delivery.spec.suspend,
            "ready": ready.is_some_and(|ready| ready.status == "True"),
            "reason": ready.map(|ready| &ready.reason),
            "message": ready.map(|ready| &ready.message),
            "status": delivery.status,
        })
    };
    json!({
        "schema": "sealift.dev/status/v1",
        "deliveries": deliveries.iter().map(one).collect::<Vec<_>>(),
        "freezes": freezes.map(|freezes| freeze::values(freezes, Timestamp::now())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(status: Value) -> Delivery {
        let value = json!({
            "apiVersion": "sealift.dev/v1alpha1",
            "kind": "Delivery",
            "metadata": {"namespace": "shop", "name": "web", "generation": 2},
            "spec": {"repository": "registry.example/acme/shop", "select": {"tag": "prod"}},
            "status": status,
        });
        serde_json::from_value(value).unwrap()
    }

    fn refused() -> Delivery {
        delivery(json!({
            "observedGeneration": 1,
            "conditions": [{
                "type": "Ready", "status": "False", "reason": "NoTrustedSignature",
                "message": "none of 1 signatures", "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
            "verification": {"verdict": "Refused", "reason": "NoTrustedSignature", "checks": [
                {"check": "signature", "result": "fail", "detail": "none of 1 signatures"},
            ]},
        }))
    }

    #[test]
    fn the_list_says_why_one_is_not_ready() {
        let text = list(&[refused()]);
        assert_eq!(
            text.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" "),
            "shop web False NoTrustedSignature Refused none of 1 signatures"
        );
    }

    #[test]
    fn the_detail_shows_checks_and_that_the_spec_is_newer() {
        let text = detail(&refused());
        assert!(text.contains("outdated") && text.contains("fail         signature"), "{text}");
        assert!(detail(&delivery(Value::Null)).contains("not seen"));
    }
}
