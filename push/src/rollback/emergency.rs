//! `sealift rollback --emergency`: an earlier release for a time, in one cluster and signed by nobody.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use sealift_apply::{
    api::{Delivery, DeliveryStatus, HistoryEntry, HoldSpec, HoldState, HoldStatus},
    cluster::ClusterError,
};
use sealift_verify::{
    hold::{Hold, NotHeld},
    memory::{Mark, Memory},
};
use serde_json::{Value, json};

use super::{is_named, is_previous};
use crate::{
    cli::rollback::RollbackArgs,
    cluster::{self, Connected},
    delivery::accepted_record,
    exit::Exit,
    failure::{Failure, usage},
    output::{Format, Output},
    table::plain,
};

/// Whose fields the hold is, in the Delivery's managed fields.
const MANAGER: &str = "sealift-rollback";
/// Longest wait for the controller's answer.
const ANSWER: Duration = Duration::from_secs(60);
/// Pause between looks at it.
const LOOK: Duration = Duration::from_secs(1);
/// Longest wait for one answer of the API server.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// Why there is no hold.
#[derive(Debug, thiserror::Error)]
enum HoldError {
    #[error("Delivery {0} has accepted nothing before what it accepted last")]
    NothingBefore(String),
    #[error("{1} is none of the releases that Delivery {0} has accepted before")]
    NotBefore(String, String),
    #[error("Delivery {whose} cannot be held")]
    Not {
        whose: String,
        #[source]
        why: NotHeld,
    },
    #[error("the controller does not hold Delivery {0}: {1}")]
    Answered(String, String),
    #[error("the controller has not answered within {} seconds; the hold is asked for", ANSWER.as_secs())]
    Silent,
}

pub(super) async fn run(args: &RollbackArgs, output: &mut Output) -> Result<Exit, Failure> {
    let connected = cluster::connect(args.cluster.context.as_deref()).await?;
    let namespace = args.namespace.as_ref().unwrap_or(&connected.namespace);
    let whose = format!("{namespace}/{}", args.name);
    let delivery = cluster::delivery(&connected, namespace, &args.name).await?;
    if args.end {
        write(&connected, namespace, &delivery, None).await?;
        output.note(format_args!("ended     the hold of Delivery {whose}; what was accepted last runs again"));
        if output.format == Format::Json {
            output.json(&json!({"schema": "sealift.dev/hold/v1", "delivery": whose, "hold": null}))?;
        }
        return Ok(Exit::Done);
    }
    let (Some(length), Some(reason)) = (args.length, &args.reason) else {
        return Err(usage("a hold needs --for and --reason"));
    };
    let record = accepted_record(&connected.cluster, namespace, &args.name).await?;
    let memory = record.map(|record| record.spec.memory()).unwrap_or_default();
    let history = delivery.status.as_ref().map(|status| status.history.as_slice()).unwrap_or_default();
    let mark = goal(&memory, history, &whose, args.to.as_deref())?;
    let now = Timestamp::now();
    let hold = asked(&memory, mark, length.get(), reason, now)?;
    let refused = |why| Failure::new(Exit::Refused, HoldError::Not { whose: whose.clone(), why });
    memory.held(&hold, now).map_err(refused)?;

    let spec = HoldSpec { digest: hold.digest, until: hold.until, reason: hold.reason };
    let written = write(&connected, namespace, &delivery, Some(&spec)).await?;
    output.note(format_args!("asked     {} for release {} until {}", spec.digest, mark.position, spec.until));
    output.progress("waiting for the controller");
    let answer = answer(&connected, namespace, &written, &spec).await?;
    output.clear_status();
    match output.format {
        Format::Text => output.product(spec.digest)?,
        Format::Json => output.json(&json!({
            "schema": "sealift.dev/hold/v1",
            "delivery": whose,
            "release": mark.position.to_string(),
            "hold": spec,
            "answer": answer,
        }))?,
    }
    said(&whose, answer, output)
}

/// The earlier release that is named by its place, digest or version; the last one unless one is.
fn goal<'a>(memory: &'a Memory, history: &[HistoryEntry], whose: &str, to: Option<&str>) -> Result<&'a Mark, Failure> {
    let Some(to) = to.filter(|to| !is_previous(to)) else {
        let nothing = || Failure::new(Exit::NotFound, HoldError::NothingBefore(whose.to_owned()));
        return memory.earlier.first().ok_or_else(nothing);
    };
    let named = |mark: &&Mark| {
        let is_it = |entry: &HistoryEntry| entry.statement == Some(mark.statement) && is_named(entry, to);
        let digests = [mark.artifact, mark.statement].map(|digest| digest.to_string());
        let begins = |digest: &String| digest.starts_with(to) || digest.trim_start_matches("sha256:").starts_with(to);
        mark.position.to_string() == to
            || mark.position.sequence.to_string() == to
            || to.len() >= 12 && digests.iter().any(begins)
            || history.iter().any(is_it)
    };
    memory.earlier.iter().find(named).ok_or_else(|| {
        let known: Vec<_> =
            memory.earlier.iter().map(|mark| format!("{} ({})", mark.position, mark.artifact)).collect();
        let error = Failure::new(Exit::NotFound, HoldError::NotBefore(whose.to_owned(), to.to_owned()));
        match known.is_empty() {
            true => error.hint("it has accepted nothing before what it accepted last"),
            false => error.hint(format!("it has accepted {}", known.join(", "))),
        }
    })
}

/// The hold on this release. Where several are about one artifact, the statement says which is meant.
fn asked(memory: &Memory, mark: &Mark, length: Duration, reason: &str, now: Timestamp) -> Result<Hold, Failure> {
    let long = || usage("--for is too long");
    let length = SignedDuration::try_from(length).map_err(|_| long())?;
    let until = Timestamp::from_second(now.as_second()).and_then(|now| now.checked_add(length)).map_err(|_| long())?;
    let hold = |digest| Hold { digest, until, reason: reason.to_owned() };
    let by_artifact = hold(mark.artifact);
    let is_it = match memory.held(&by_artifact, now) {
        Ok(found) => found == mark,
        Err(why) => !matches!(why, NotHeld::Newest { .. }),
    };
    Ok(if is_it { by_artifact } else { hold(mark.statement) })
}

/// Writes the hold over the very Delivery that was looked at, or takes it away.
async fn write(
    connected: &Connected,
    namespace: &str,
    delivery: &Delivery,
    hold: Option<&HoldSpec>,
) -> Result<Delivery, Failure> {
    let meta = &delivery.metadata;
    let patch: Value = json!({
        "metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
        "spec": {"hold": hold},
    });
    let api: Api<Delivery> = Api::namespaced(connected.cluster.client().clone(), namespace);
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let name = meta.name.as_deref().unwrap_or_default();
    let patch = Patch::Merge(patch);
    let call = api.patch(name, &params, &patch);
    let late = |_| ClusterError::Timeout { seconds: CALL_LIMIT.as_secs() };
    let written = tokio::time::timeout(CALL_LIMIT, call).await.map_err(late)?;
    Ok(written.map_err(ClusterError::from)?)
}

/// What the controller says of this hold, if it says anything in time.
async fn answer(
    connected: &Connected,
    namespace: &str,
    delivery: &Delivery,
    hold: &HoldSpec,
) -> Result<Option<HoldStatus>, Failure> {
    let name = delivery.metadata.name.as_deref().unwrap_or_default();
    let mut looks = tokio::time::interval(LOOK);
    let asking = async {
        loop {
            looks.tick().await;
            let found = cluster::delivery(connected, namespace, name).await?;
            if let Some(answer) = found.status.and_then(|status| about(status, delivery.metadata.generation, hold)) {
                return Ok(answer);
            }
        }
    };
    tokio::time::timeout(ANSWER, asking).await.map_or(Ok(None), |answer| answer.map(Some))
}

fn about(status: DeliveryStatus, generation: Option<i64>, hold: &HoldSpec) -> Option<HoldStatus> {
    let told = status.hold.filter(|_| status.observed_generation >= generation)?;
    ((told.digest, told.until) == (hold.digest, hold.until)).then_some(told)
}

fn said(whose: &str, answer: Option<HoldStatus>, output: &mut Output) -> Result<Exit, Failure> {
    let Some(HoldStatus { state, message, .. }) = answer else {
        let error = Failure::new(Exit::CouldNotCheck, HoldError::Silent);
        return Err(error.hint("`sealift status` shows what becomes of it"));
    };
    let message = plain(&message);
    let exit = match state {
        HoldState::InForce => {
            output.note(format_args!("held      {message}"));
            output
                .note("then sign the way back with `sealift rollback`, or release something newer: both end the hold");
            return Ok(Exit::Done);
        }
        HoldState::Pending => Exit::CouldNotCheck,
        HoldState::Refused | HoldState::Ended => Exit::Refused,
    };
    Err(Failure::new(exit, HoldError::Answered(whose.to_owned(), message)))
}

#[cfg(test)]
mod tests {
    use sealift_verify::{digest::Digest, statement::Position};

    use super::*;

    fn mark(artifact: &str, sequence: u64) -> Mark {
        Mark {
            stream: "shop".into(),
            environment: None,
            position: Position { epoch: 0, sequence },
            statement: Digest::of(&sequence.to_be_bytes()),
            artifact: Digest::of(artifact.as_bytes()),
            first_seen: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_release_before_the_last_is_meant_unless_another_is_named() {
        let memory = Memory { marks: vec![mark("c", 3)], earlier: vec![mark("b", 2), mark("a", 1)], holding: None };
        fn place(memory: &Memory, to: Option<&str>) -> Result<u64, Exit> {
            goal(memory, &[], "shop/web", to).map(|mark| mark.position.sequence).map_err(|failure| failure.exit)
        }
        for to in [None, Some("previous"), Some("PREVIOUS")] {
            assert_eq!(place(&memory, to), Ok(2), "{to:?}");
        }
        let a = Digest::of(b"a");
        for name in ["1", "0.1", &a.to_string(), &a.short(), &mark("a", 1).statement.to_string()] {
            assert_eq!(place(&memory, Some(name)), Ok(1), "{name}");
        }
        for name in ["3", "0.3", &Digest::of(b"c").to_string(), "sha256:", "9"] {
            assert_eq!(place(&memory, Some(name)), Err(Exit::NotFound), "{name}");
        }
        assert_eq!(place(&Memory::default(), None), Err(Exit::NotFound));
    }

    #[test]
    fn a_statement_is_named_only_where_the_artifact_does_not_tell() {
        let hour = Duration::from_secs(3600);
        let asked =
            |memory: &Memory, mark: &Mark| asked(memory, mark, hour, "x", Timestamp::UNIX_EPOCH).unwrap().digest;
        let plain = Memory { marks: vec![mark("c", 3)], earlier: vec![mark("b", 2), mark("a", 1)], holding: None };
        assert_eq!(asked(&plain, &plain.earlier[1]), Digest::of(b"a"));
        let one = Memory { marks: vec![mark("a", 3)], earlier: vec![mark("a", 2), mark("a", 1)], holding: None };
        assert_eq!(asked(&one, &one.earlier[1]), mark("a", 1).statement);
        let two = Memory { marks: vec![mark("c", 3)], earlier: vec![mark("a", 2), mark("a", 1)], holding: None };
        assert_eq!(
            [asked(&two, &two.earlier[0]), asked(&two, &two.earlier[1])],
            [Digest::of(b"a"), mark("a", 1).statement]
        );
    }
}
