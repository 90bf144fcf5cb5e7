//! Telling one service of one event: its Secret as its account, the request, and what the answer means. *cluster*, *services*

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use sealift_apply::api::{Notification, NotificationSpec, NotificationType};
use sealift_registry::client::{Incoming, Outbound, OutboundError, Outgoing};
use tokio::time::timeout;

use super::{
    super::{
        context::Context,
        secrets::{SecretError, Secrets, Which, bytes},
        stop::chain,
    },
    book::Standing,
    payload::{About, Access, Post, Unfit, post},
    table::{Job, Outcome},
    template,
};

/// How long a service may take to answer, and to be told of one event in all.
const ANSWER: Duration = Duration::from_secs(15);
const IN_ALL: Duration = Duration::from_secs(40);
/// Of an answer, so much is read.
const LARGEST: u64 = 16 << 10;

/// Why a service was not told.
#[derive(Debug, thiserror::Error)]
enum NotSent {
    #[error("there are no credentials to send it with")]
    Secret(#[source] Arc<SecretError>),
    #[error("it cannot be told")]
    Unfit(#[from] Unfit),
    #[error("it was not sent")]
    Outbound(#[from] OutboundError),
    #[error("it took more than {} seconds", IN_ALL.as_secs())]
    Late,
    #[error("the service answered {0}")]
    Answer(u16),
}

/// Tells it, and says what came of it.
pub(super) async fn tell(
    context: &Context,
    outbound: &Outbound,
    secrets: &Secrets,
    cluster: &str,
    job: &Job,
) -> (Outcome, Standing) {
    let told = timeout(IN_ALL, attempt(context, outbound, secrets, cluster, job)).await.unwrap_or(Err(NotSent::Late));
    let error = match told {
        Ok(answer) if is_taken(job.notification.spec.kind, &answer) => {
            let message = "the service took the last notification".to_owned();
            return (Outcome::Took, Standing { works: true, reason: "Sent", message });
        }
        Ok(answer) => {
            // A token that is wrong may have been replaced meanwhile.
            which(&job.notification).iter().for_each(|which| secrets.forget(which));
            let outcome = of_status(job.notification.spec.kind, &answer);
            return (outcome, failing("NotTaken", &NotSent::Answer(answer.status)));
        }
        Err(error) => error,
    };
    let uncertain = match &error {
        // What a success was followed by does not matter.
        NotSent::Outbound(OutboundError::TooLarge { .. }) => {
            let message = "the service took the last notification".to_owned();
            return (Outcome::Took, Standing { works: true, reason: "Sent", message });
        }
        NotSent::Outbound(error) => !error.was_never_sent(),
        NotSent::Late => true,
        _ => false,
    };
    let reason = match &error {
        NotSent::Secret(_) => "SecretUnusable",
        NotSent::Unfit(_) => "InvalidSpec",
        NotSent::Outbound(OutboundError::Refused { .. }) => "HostNotAllowed",
        _ => "Unreachable",
    };
    which(&job.notification).iter().for_each(|which| secrets.forget(which));
    (Outcome::Failed { wish: None, uncertain }, failing(reason, &error))
}

fn failing(reason: &'static str, error: &NotSent) -> Standing {
    Standing { works: false, reason, message: chain(error) }
}

async fn attempt(
    context: &Context,
    outbound: &Outbound,
    secrets: &Secrets,
    cluster: &str,
    job: &Job,
) -> Result<Incoming, NotSent> {
    let access = match which(&job.notification) {
        Some(which) => of_secret(&*secrets.get(context, &which).await.map_err(NotSent::Secret)?),
        None => Access::default(),
    };
    let about = About { cluster, namespace: &job.of.namespace, name: &job.of.name, uid: &job.uid, event: &job.event };
    let Post { url, headers, body } = post(&job.notification.spec, &access, &about)?;
    let outgoing = Outgoing { url, headers, body: Some(body.into()), timeout: ANSWER, largest: LARGEST };
    Ok(outbound.send(outgoing).await?)
}

/// The Secret that a Notification names.
fn which(notification: &Notification) -> Option<Which<'_>> {
    let NotificationSpec { secret_name, service_account_name, .. } = &notification.spec;
    let namespace = notification.metadata.namespace.as_deref().unwrap_or_default();
    Some(Which { namespace, account: service_account_name.as_deref(), name: secret_name.as_deref()? })
}

fn of_secret(secret: &Secret) -> Access {
    let text = |key: &str| bytes(secret, key).and_then(|bytes| String::from_utf8(bytes).ok()).map(Into::into);
    Access { address: text("address"), token: text("token"), hmac_key: bytes(secret, "hmacKey").map(Into::into) }
}

/// Whether a specification can be used at all, before anything is sent by it.
pub(super) fn check(notification: &Notification, platform: Option<&str>) -> Standing {
    let spec = &notification.spec;
    let invalid = |message: String| Standing { works: false, reason: "InvalidSpec", message };
    if let Some(Err(error)) = spec.template.as_deref().map(template::check) {
        return invalid(chain(&Unfit::Template(error)));
    }
    let home = notification.namespace().unwrap_or_default();
    if platform != Some(home.as_str()) && spec.filter.namespaces.iter().any(|named| *named != home) {
        let message = "spec.filter.namespaces counts in the platform's own namespace only: nothing of others is told";
        return Standing { works: false, reason: "NamespacesNotAllowed", message: message.to_owned() };
    }
    let message = if spec.suspend { "suspended" } else { "nothing was sent yet" };
    Standing { works: true, reason: "Accepted", message: message.to_owned() }
}

fn is_taken(kind: NotificationType, answer: &Incoming) -> bool {
    // GitLab refuses a state that the commit has already.
    let has_it = kind == NotificationType::Gitlab
        && answer.status == 400
        && String::from_utf8_lossy(&answer.body).contains("Cannot transition status");
    (200..300).contains(&answer.status) || has_it
}

/// What a service that did not take it means by that.
fn of_status(kind: NotificationType, answer: &Incoming) -> Outcome {
    let of_commit = matches!(kind, NotificationType::Github | NotificationType::Gitlab);
    match answer.status {
        400 | 409 | 413 | 415 | 422 => Outcome::Refused,
        // A commit that is not there; what is not there for others is the service.
        404 | 410 if of_commit => Outcome::Refused,
        _ => Outcome::Failed { wish: answer.retry_after, uncertain: false },
    }
}

#[cfg(test)]
mod tests {
    use super::{super::filter::tests::notification, *};
    use serde_json::json;

    #[test]
    fn an_answer_says_whether_it_is_taken_refused_or_to_be_tried_again() {
        use NotificationType::{Generic, Github, Gitlab, Slack};
        let failed =
            |wish: Option<u64>| Some(Outcome::Failed { wish: wish.map(Duration::from_secs), uncertain: false });
        for (kind, status, body, wish, wanted) in [
            (Generic, 200, "", None, None),
            (Generic, 202, "", None, None),
            (Generic, 302, "", None, failed(None)),
            (Generic, 400, "Cannot transition status", None, Some(Outcome::Refused)),
            (Generic, 401, "", None, failed(None)),
            (Slack, 404, "no_service", None, failed(None)),
            (Slack, 429, "", Some(30), failed(Some(30))),
            (Slack, 503, "", None, failed(None)),
            (Github, 201, "", None, None),
            (Github, 404, "", None, Some(Outcome::Refused)),
            (Github, 422, "", None, Some(Outcome::Refused)),
            (Gitlab, 400, "Cannot transition status via :run from :running", None, None),
            (Gitlab, 400, "bad", None, Some(Outcome::Refused)),
            (Gitlab, 403, "", None, failed(None)),
        ] {
            let answer =
                Incoming { status, retry_after: wish.map(Duration::from_secs), body: body.as_bytes().to_vec().into() };
            let outcome = (!is_taken(kind, &answer)).then(|| of_status(kind, &answer));
            assert_eq!(outcome, wanted, "{kind:?} {status} {body}");
        }
    }

    #[test]
    fn a_specification_is_judged_before_anything_is_sent() {
        for (home, more, reason) in [
            ("apps", json!({}), "Accepted"),
            ("apps", json!({"template": "{reason}"}), "Accepted"),
            ("apps", json!({"template": "{raeson}"}), "InvalidSpec"),
            ("apps", json!({"filter": {"namespaces": ["apps"]}}), "Accepted"),
            ("apps", json!({"filter": {"namespaces": ["*"]}}), "NamespacesNotAllowed"),
            ("platform", json!({"filter": {"namespaces": ["*"]}}), "Accepted"),
        ] {
            let mut spec = json!({"type": "generic", "address": "https://a.example"});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(check(&notification(home, "n", spec.clone()), Some("platform")).reason, reason, "{spec}");
        }
    }
}
