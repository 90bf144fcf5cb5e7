//! `sealift freeze`: keeping a cluster from taking anything new, and which freezes there are.

use std::{future::Future, time::Duration};

use jiff::Timestamp;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use sealift_apply::{
    api,
    cluster::{Class, ClusterError},
    freeze::{Freeze, Freezes, State},
};
use serde_json::{Value, json};

use crate::{
    cli::freeze::{FreezeArgs, Until},
    cluster::{self, Connected, resource},
    exit::Exit,
    failure::{Failure, usage},
    output::{Format, Output},
    table::{plain, table},
};

/// Whose fields they are, in the Freeze's managed fields.
const MANAGER: &str = "sealift-freeze";
/// Longest wait for one answer of the API server.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// There is no such Freeze.
#[derive(Debug, thiserror::Error)]
#[error("there is no Freeze {name} in the cluster of context {context}")]
struct NoFreeze {
    name: String,
    context: String,
}

pub(crate) async fn run(args: &FreezeArgs, output: &mut Output) -> Result<Exit, Failure> {
    let connected = cluster::connect(args.cluster.context.as_deref()).await?;
    let now = Timestamp::now();
    match (&args.name, args.until) {
        (Some(name), Some(until)) => begin(&connected, name, until, args, now, output).await?,
        (Some(name), None) => end(&connected, name, output).await?,
        (None, _) => {
            let freezes = listed(&connected).await?;
            match output.format {
                Format::Text if freezes.iter().next().is_none() => {
                    output.note(format_args!("no freezes (context {})", connected.context));
                }
                Format::Text => output.product(list(&freezes, now))?,
                Format::Json => output.json(&document(&freezes, now))?,
            }
        }
    }
    Ok(Exit::Done)
}

/// All Freezes of a cluster.
pub(crate) async fn listed(connected: &Connected) -> Result<Freezes, ClusterError> {
    let found = connected.cluster.list(&resource::<api::Freeze>(false), None, None).await?;
    Ok(Freezes::read(&found))
}

async fn begin(
    connected: &Connected,
    name: &str,
    until: Until,
    args: &FreezeArgs,
    now: Timestamp,
    output: &mut Output,
) -> Result<(), Failure> {
    let until = until.end(now).ok_or_else(|| usage("--until is over already, or never comes"))?;
    let reason = args.reason.clone().unwrap_or_default();
    let namespaces = Some(args.namespace.clone()).filter(|namespaces| !namespaces.is_empty());
    let spec = api::FreezeSpec { until, reason, namespaces };
    let params = PatchParams::apply(MANAGER).force();
    let patch = Patch::Apply(api::Freeze::new(name, spec));
    let made: api::Freeze = within(freezes(connected).patch(name, &params, &patch)).await?;
    let made = serde_json::to_value(made).map_err(|error| Failure::new(Exit::Failed, error))?;
    let freezes = Freezes::read(&[made]);
    output.note(format_args!("nothing new is applied until {until}; what runs is kept in repair"));
    match output.format {
        Format::Text => output.product(name)?,
        Format::Json => output.json(&document(&freezes, now))?,
    }
    Ok(())
}

async fn end(connected: &Connected, name: &str, output: &mut Output) -> Result<(), Failure> {
    match within(freezes(connected).delete(name, &DeleteParams::default())).await {
        Ok(_) => {}
        Err(ClusterError::Answer { class: Class::NotFound, .. }) => {
            let error = NoFreeze { name: name.to_owned(), context: connected.context.clone() };
            return Err(Failure::new(Exit::NotFound, error).hint("`sealift freeze` lists all of them"));
        }
        Err(error) => return Err(error.into()),
    }
    output.note(format_args!("ended     {name}"));
    let left = listed(connected).await?;
    match output.format {
        Format::Text => output.product(name)?,
        Format::Json => output.json(&document(&left, Timestamp::now()))?,
    }
    Ok(())
}

fn freezes(connected: &Connected) -> Api<api::Freeze> {
    Api::all(connected.cluster.client().clone())
}

async fn within<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ClusterError> {
    let late = |_| ClusterError::Timeout { seconds: CALL_LIMIT.as_secs() };
    Ok(tokio::time::timeout(CALL_LIMIT, call).await.map_err(late)??)
}

fn list(freezes: &Freezes, now: Timestamp) -> String {
    let row = |freeze: &Freeze| {
        let (until, namespaces, reason) = match &freeze.terms {
            Ok(terms) => {
                let namespaces = terms.spec.namespaces.as_ref().map_or_else(|| "all".to_owned(), |n| n.join(" "));
                (terms.spec.until.to_string(), namespaces, plain(&terms.spec.reason))
            }
            Err(problem) => ("for ever".to_owned(), "all".to_owned(), plain(problem)),
        };
        [freeze.name.clone(), state(freeze, now).to_owned(), until, namespaces, reason]
    };
    let rows: Vec<_> = freezes.iter().map(row).collect();
    table(0, ["NAME", "STATE", "UNTIL", "NAMESPACES", "REASON"], &rows)
}

/// What documents say of the state.
fn state(freeze: &Freeze, now: Timestamp) -> &'static str {
    match freeze.state(now) {
        State::InForce => "InForce",
        State::Over => "Over",
        State::Unusable => "Unusable",
    }
}

/// Freezes as documents have them.
pub(crate) fn values(freezes: &Freezes, now: Timestamp) -> Vec<Value> {
    let one = |freeze: &Freeze| {
        let spec = freeze.terms.as_ref().ok().map(|terms| &terms.spec);
        json!({
            "name": freeze.name,
            "state": state(freeze, now),
            "until": spec.map(|spec| spec.until),
            "reason": spec.map(|spec| &spec.reason),
            "namespaces": spec.and_then(|spec| spec.namespaces.as_ref()),
            "problem": freeze.terms.as_ref().err(),
        })
    };
    freezes.iter().map(one).collect()
}

fn document(freezes: &Freezes, now: Timestamp) -> Value {
    json!({"schema": "sealift.dev/freeze/v1", "freezes": values(freezes, now)})
}

/// What `sealift status` says of freezes that are in force, one line each.
pub(crate) fn in_force(freezes: &Freezes, now: Timestamp) -> Vec<String> {
    let in_force = freezes.iter().filter(|freeze| freeze.state(now) != State::Over);
    let line = |freeze: &Freeze| match &freeze.terms {
        Ok(terms) => {
            let of = terms.spec.namespaces.as_ref().map(|n| format!(" in {}", n.join(", "))).unwrap_or_default();
            format!("frozen    until {}{of} by {}: {}", terms.spec.until, freeze.name, plain(&terms.spec.reason))
        }
        Err(problem) => format!("frozen    for ever by {}, which cannot be used: {}", freeze.name, plain(problem)),
    };
    in_force.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_which_are_in_force_and_which_cannot_be_used() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let freeze = |name: &str, spec: Value| json!({"metadata": {"name": name}, "spec": spec});
        let freezes = Freezes::read(&[
            freeze("a", json!({"until": at(100), "reason": "year end"})),
            freeze("b", json!({"until": at(9), "reason": "old", "namespaces": ["shop-*", "till"]})),
            freeze("c", json!({"until": "soon"})),
        ]);
        let text = list(&freezes, at(10));
        let words: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(words[1], "a InForce 1970-01-01T00:01:40Z all year end");
        assert_eq!(words[2], "b Over 1970-01-01T00:00:09Z shop-* till old");
        assert!(words[3].starts_with("c Unusable for ever all "), "{text}");
        assert_eq!(in_force(&freezes, at(10)).len(), 2, "what is over is no news");
    }
}
