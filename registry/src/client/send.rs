//! Sending one request: authorisation, redirects, limits, and trying again.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use futures::stream;
use oci_distribution::errors::{OciEnvelope, OciErrorCode};
use reqwest::{
    Body, Method, Response, StatusCode, Url,
    header::{self, HeaderName},
};
use sealift_verify::reference::Repository;
use tokio::time::Instant;

use super::{
    At, Client, ClientError, Fault, Refusal, Reply,
    auth::{Authorization, Scope},
};

/// Registries send a blob request on to object storage in one or two steps.
const MOST_REDIRECTS: usize = 5;
/// How much of an error's body is read, and how much of its message is shown.
const LARGEST_COMPLAINT: u64 = 16 << 10;
const LONGEST_MESSAGE: usize = 300;
/// A registry that asks for more is taken to ask for this: nobody can add `Duration::MAX` to a time.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A transfer that breaks off more often, however far it got each time, is given up.
const MOST_FRESH_STARTS: u32 = 32;

/// What is wanted of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    Pull,
    Push,
}

/// One request, as often as it takes.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) at: At,
    pub(crate) access: Access,
    pub(crate) accept: &'static str,
    pub(crate) body: Option<(String, Bytes)>,
    /// Who is told how much of the body is on its way.
    pub(crate) sent: Option<Sent>,
    /// A header that says which part is asked for or sent.
    pub(crate) range: Option<(HeaderName, String)>,
    /// Another repository that is read from.
    pub(crate) source: Option<String>,
    pub(crate) timeout: Duration,
}

/// Told how many bytes of an upload are on their way.
pub type Sent = Arc<dyn Fn(u64) + Send + Sync>;

/// In what pieces a body goes whose sender wants to be told.
const TOLD_PIECE: usize = 256 << 10;

/// A body that tells how much of it has been taken.
fn telling(body: Bytes, sent: &Sent) -> Body {
    let sent = Arc::clone(sent);
    let pieces = (0..body.len()).step_by(TOLD_PIECE).map(move |from| {
        sent(from as u64);
        Ok::<_, Infallible>(body.slice(from..body.len().min(from + TOLD_PIECE)))
    });
    Body::wrap_stream(stream::iter(pieces))
}

/// Told how many bytes of a transfer have arrived.
pub(crate) type Progress<'a> = &'a (dyn Fn(u64) + Send + Sync);

impl Client {
    /// A request to read `rest` of `repository`.
    pub(crate) fn call(&self, method: Method, repository: &Repository, rest: &str) -> Result<Call, ClientError> {
        let url = self.url(repository, rest)?;
        let (at, access, timeout) = (self.at(&url, repository), Access::Pull, self.timeouts.request);
        Ok(Call { method, url, at, access, accept: "*/*", body: None, sent: None, range: None, source: None, timeout })
    }

    /// Sends `call` and gives back a success, its body unread. Answers a challenge once.
    pub(crate) async fn send(&self, call: &Call) -> Result<Response, ClientError> {
        let Call { at: At { repository, .. }, access, source, .. } = call;
        let scope = Scope { repository: repository.clone(), access: *access, source: source.clone() };
        let presented = self.authorization(&scope, None).await?;
        let mut response = self.follow(call, presented.as_ref()).await?;
        if response.status() == StatusCode::UNAUTHORIZED && response.url().origin() == self.base.origin() {
            self.auth.learn(repository, &response);
            if let Some(other) = self.authorization(&scope, presented.as_ref()).await? {
                response = self.follow(call, Some(&other)).await?;
            }
        }
        if response.status().is_success() { Ok(response) } else { Err(failure(call.at.clone(), response).await) }
    }

    /// Sends `call` along its redirects. Credentials stay behind at the first step to another origin and are not
    /// picked up again if a later one leads back. Only reads are redirected.
    async fn follow(&self, call: &Call, authorization: Option<&Authorization>) -> Result<Response, ClientError> {
        let (mut url, mut authorization) = (call.url.clone(), authorization);
        for _ in 0..=MOST_REDIRECTS {
            let at = At { host: super::authority(&url), path: url.path().to_owned(), ..call.at.clone() };
            let request = self.transport.request(call.method.clone(), &url).await;
            let request = request.map_err(|refusal| ClientError::refused(at.clone(), refusal))?;
            let mut request = request.timeout(call.timeout).header(header::ACCEPT, call.accept);
            if url.origin() != self.base.origin() {
                authorization = None;
            }
            if let Some(authorization) = authorization {
                request = authorization.apply(request);
            }
            if let Some((media_type, body)) = &call.body {
                request = request.header(header::CONTENT_TYPE, media_type);
                request = match call.sent.as_ref().filter(|_| body.len() > TOLD_PIECE) {
                    // Its length is said all the same: not every registry takes chunks of unknown number.
                    Some(sent) => request.header(header::CONTENT_LENGTH, body.len()).body(telling(body.clone(), sent)),
                    None => request.body(body.clone()),
                };
            }
            if let Some((name, value)) = &call.range {
                request = request.header(name, value);
            }
            let response = request.send().await.map_err(|error| ClientError::network(at.clone(), error))?;
            let may_move = [Method::GET, Method::HEAD].contains(&call.method);
            if !may_move || ![301, 302, 303, 307, 308].contains(&response.status().as_u16()) {
                return Ok(response);
            }
            let target = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
            let target = target.and_then(|location| url.join(location).ok());
            url = target.ok_or_else(|| ClientError::protocol(at, Fault::Redirect))?;
        }
        Err(ClientError::refused(call.at.clone(), Refusal::TooManyRedirects))
    }

    /// Runs `attempt` until it succeeds, fails for good, or time is up. Only for what may be done twice.
    pub(crate) async fn retry<T, F, A>(&self, attempt: A) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
        A: Fn() -> F,
    {
        self.retry_while(attempt, || false).await
    }

    /// The same for what goes on where it broke off: an attempt that got further, as `advanced` says once, sets time
    /// and patience back to the beginning.
    pub(crate) async fn retry_while<T, F, A>(&self, attempt: A, advanced: impl Fn() -> bool) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
        A: Fn() -> F,
    {
        let (mut begun, mut pauses, mut fresh_starts) = (Instant::now(), pauses(), 0);
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if fresh_starts < MOST_FRESH_STARTS && advanced() {
                (begun, pauses, fresh_starts) = (Instant::now(), self::pauses(), fresh_starts + 1);
            }
            let pause = error.pause().and_then(|asked| Some(pauses.next()?.max(asked)));
            match pause.filter(|pause| begun.elapsed() + *pause <= self.timeouts.retry) {
                None => return Err(error),
                Some(pause) => {
                    tracing::debug!(at = %error.at(), ?pause, %error, "trying again");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(10))
        .with_max_times(5)
        .with_jitter()
        .build()
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn bounded(response: Response, limit: u64, at: &At) -> Result<Bytes, ClientError> {
    let mut body = Vec::new();
    append(response, &mut body, limit, at, None).await?;
    Ok(body.into())
}

/// Reads a body behind what `body` holds, at most up to `limit` bytes in all. What arrived stays there when it breaks off.
pub(crate) async fn append(
    mut response: Response,
    body: &mut Vec<u8>,
    limit: u64,
    at: &At,
    progress: Option<Progress<'_>>,
) -> Result<(), ClientError> {
    let too_large = || ClientError::TooLarge { at: Box::new(at.clone()), limit };
    let announced = response.content_length().unwrap_or_default();
    if announced > limit.saturating_sub(body.len() as u64) {
        return Err(too_large());
    }
    // An announcement reserves at most a mebibyte; the rest has to arrive first.
    body.reserve(usize::try_from(announced.min(1 << 20)).unwrap_or_default());
    while let Some(piece) = response.chunk().await.map_err(|error| ClientError::network(at.clone(), error))? {
        if body.len() as u64 + piece.len() as u64 > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&piece);
        if let Some(progress) = progress {
            progress(body.len() as u64);
        }
    }
    Ok(())
}

/// The error of an unsuccessful answer, with the registry's words as far as they can be read.
pub(crate) async fn failure(at: At, mut response: Response) -> ClientError {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|value| wait(value, jiff::Timestamp::now()));
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() as u64 > LARGEST_COMPLAINT {
            break;
        }
    }
    ClientError::of_status(at, Reply { retry_after, ..complaint(status, &body) })
}

/// What an error body says, cut to one printable line.
pub(crate) fn complaint(status: u16, body: &[u8]) -> Reply {
    let first =
        serde_json::from_slice::<OciEnvelope>(body).ok().and_then(|envelope| envelope.errors.into_iter().next());
    let (code, message) = first.map_or_else(Default::default, |error| (code_text(error.code), error.message));
    Reply { status, code: line(&code), message: line(&message), retry_after: None }
}

fn code_text(code: OciErrorCode) -> String {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(code)) => code,
        _ => String::new(),
    }
}

fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_MESSAGE).collect()
}

/// The pause a `Retry-After` header asks for, in seconds or as a date.
pub(crate) fn wait(value: &str, now: jiff::Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST_WAIT));
    }
    let then = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value.trim()).ok()?;
    Some(Duration::try_from(then.duration_since(now)).unwrap_or_default().min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms_of_retry_after() {
        let now = "2015-10-21T07:27:00Z".parse().unwrap();
        assert_eq!(wait("120", now), Some(Duration::from_secs(120)));
        assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(wait("Wed, 21 Oct 2015 07:20:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(wait("soon", now), None);
        assert_eq!(wait(&u64::MAX.to_string(), now), Some(LONGEST_WAIT), "time can be added to it");
        assert_eq!(wait("Mon, 21 Oct 2115 07:20:00 GMT", now), Some(LONGEST_WAIT));
    }

    #[test]
    fn a_complaint_is_cut_to_one_printable_line() {
        let body = format!(r#"{{"errors":[{{"code":"DENIED","message":"a\nb\u001b[31m{}"}}]}}"#, "x".repeat(1000));
        let reply = complaint(403, body.as_bytes());
        assert_eq!(reply.code, "DENIED");
        assert!(reply.message.starts_with("a b [31mxx") && reply.message.len() == LONGEST_MESSAGE);
        assert_eq!(complaint(500, b"<html>").to_string(), "the registry answered 500 ");
    }
}
