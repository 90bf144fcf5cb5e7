//! Requests to the services that take part in signing, and to those that say whom to trust: encrypted or on this machine, timed, bounded, and tried again
//! where that may help. Whatever is asked of them may be asked twice.

use std::{fmt, net::IpAddr, time};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{
    Client, Method, Response, Url,
    header::{self, HeaderMap},
    redirect,
};
use sealift_verify::duration::Duration;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::Instant;

use crate::{exit::Exit, failure::Failure};

/// Certificates, log entries and timestamps have a few kilobytes; a log entry repeats the statement's hash only.
const LARGEST_ANSWER: usize = 1 << 20;
/// How much of an error's body is read, and how much of its message is shown.
const LARGEST_COMPLAINT: usize = 16 << 10;
const LONGEST_MESSAGE: usize = 300;
const LONGEST_CONNECT: time::Duration = time::Duration::from_secs(10);

/// One service at its address.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    at: At,
    base: Url,
    http: Client,
    timeout: Duration,
}

/// Which service, and where: for errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    service: &'static str,
    host: String,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.service, self.host)
    }
}

/// Why a service did not do its part.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    /// Not an address.
    #[error("{text:?} is no http or https address of {service}")]
    Address {
        /// Whose.
        service: &'static str,
        /// As it was given.
        text: String,
    },
    /// Tokens and signatures are sent there, and anybody on the way could read and change them.
    #[error("{0} would be spoken to without TLS, and is not on this machine")]
    PlainHttp(At),
    /// CA certificates that cannot be used, or no TLS at all.
    #[error("no client for {service} can be made")]
    Client {
        /// For what.
        service: &'static str,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// A file that was to hold them holds none, and the system's would be trusted alone.
    #[error("the CA certificates for {0} are none")]
    NoCertificates(At),
    /// No connection, or one that broke.
    #[error("{at} cannot be reached")]
    Unreachable {
        /// Who.
        at: At,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Nothing came in time.
    #[error("{at} did not answer within {limit}")]
    TimedOut {
        /// Who.
        at: At,
        /// How long was waited.
        limit: Duration,
    },
    /// It said no.
    #[error("{at} answered {status}{message}")]
    Status {
        /// Who.
        at: At,
        /// The HTTP status.
        status: u16,
        /// `: ` and its words, if it had any.
        message: String,
        /// How long it asks to wait.
        pause: Option<time::Duration>,
    },
    /// It goes on and on.
    #[error("{at} answered with more than {limit} bytes")]
    TooLarge {
        /// Who.
        at: At,
        /// The limit.
        limit: usize,
    },
    /// It said something else than was asked for.
    #[error("the answer of {at} cannot be used")]
    Answer {
        /// Who.
        at: At,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ServiceError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            // 499 is what Rekor says where it ended its own wait for the log.
            Self::Status { status, .. } => matches!(status, 429 | 499 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    fn pause(&self) -> Option<time::Duration> {
        match self {
            Self::Status { pause, .. } => *pause,
            _ => None,
        }
    }

    /// What it means for scripts, and what to try.
    pub(super) fn meaning(&self) -> (Exit, Option<&'static str>) {
        match self {
            Self::Address { .. } => (Exit::Usage, Some("give an address such as https://fulcio.example")),
            Self::PlainHttp(_) => (Exit::Usage, Some("give an https address; plain HTTP is for loopback only")),
            Self::Client { .. } | Self::NoCertificates(_) => (Exit::InvalidInput, None),
            Self::Unreachable { .. } => (Exit::CouldNotCheck, Some("is it up, and the address right?")),
            Self::TimedOut { .. } => {
                (Exit::CouldNotCheck, Some("try again; --signing-timeout sets how long is waited"))
            }
            Self::Status { status: 401 | 403, .. } => (Exit::Credentials, None),
            Self::Status { .. } if self.may_pass() => {
                (Exit::CouldNotCheck, Some("nothing is wrong with the command: try again"))
            }
            Self::Status { status: 404 | 405, .. } | Self::TooLarge { .. } | Self::Answer { .. } => {
                (Exit::Failed, Some("is that the address of this service, in the version that is meant?"))
            }
            Self::Status { .. } => (Exit::Failed, None),
        }
    }

    /// The status it answered with.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let (exit, hint) = error.meaning();
        Self { hint: hint.map(str::to_owned), ..Self::new(exit, error) }
    }
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(super) method: Method,
    /// Below the service's address; empty for the address itself.
    pub(super) path: &'a str,
    pub(super) headers: HeaderMap,
    /// The media type and what is sent.
    pub(super) body: Option<(&'static str, Vec<u8>)>,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(path: &'a str, headers: HeaderMap) -> Self {
        Self { method: Method::GET, path, headers, body: None }
    }

    pub(super) fn post(path: &'a str, headers: HeaderMap, media_type: &'static str, body: Vec<u8>) -> Self {
        Self { method: Method::POST, path, headers, body: Some((media_type, body)) }
    }
}

impl Service {
    /// A service at its address, with CA certificates to trust beside the system's.
    pub(crate) fn new(
        service: &'static str,
        address: &str,
        ca: Option<&[u8]>,
        timeout: Duration,
    ) -> Result<Self, ServiceError> {
        let wrong = || ServiceError::Address { service, text: address.to_owned() };
        let base: Url = address.parse().map_err(|_| wrong())?;
        let host = base.host_str().filter(|_| base.username().is_empty() && base.password().is_none());
        let host = host.ok_or_else(wrong)?;
        let port = base.port().map(|port| format!(":{port}")).unwrap_or_default();
        let at = At { service, host: format!("{host}{port}") };
        let loopback = is_loopback(host);
        match base.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(ServiceError::PlainHttp(at)),
            _ => return Err(wrong()),
        }
        let client = |source| ServiceError::Client { service, source };
        let mut http = Client::builder()
            .user_agent(concat!("sealift/", env!("CARGO_PKG_VERSION")))
            // A token that is sent to one address is not for another.
            .redirect(redirect::Policy::none())
            .connect_timeout(timeout.get().min(LONGEST_CONNECT))
            .timeout(timeout.get());
        if loopback {
            http = http.no_proxy();
        }
        if let Some(pem) = ca {
            let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(client)?;
            if certificates.is_empty() {
                return Err(ServiceError::NoCertificates(at));
            }
            http = http.tls_certs_merge(certificates);
        }
        Ok(Self { at, base, http: http.build().map_err(client)?, timeout })
    }

    /// The address, as reports name it.
    pub(super) fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// An answer that is no use.
    pub(super) fn unusable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ServiceError {
        ServiceError::Answer { at: self.at.clone(), source: source.into() }
    }

    /// [`Self::ask`], and reads the answer as JSON.
    pub(super) async fn ask_json<T: DeserializeOwned>(&self, ask: &Ask<'_>) -> Result<T, ServiceError> {
        let body = self.ask(ask).await?;
        serde_json::from_slice(&body).map_err(|error| self.unusable(error))
    }

    /// The body of a successful answer. What may pass is tried again with growing pauses, for twice the time-out.
    pub(crate) async fn ask(&self, ask: &Ask<'_>) -> Result<Vec<u8>, ServiceError> {
        let begun = Instant::now();
        let mut pauses = ExponentialBuilder::new()
            .with_min_delay(time::Duration::from_millis(250))
            .with_max_delay(time::Duration::from_secs(10))
            .with_max_times(4)
            .with_jitter()
            .build();
        loop {
            let error = match self.once(ask).await {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            let pause = error.may_pass().then(|| pauses.next()).flatten();
            let pause = pause.map(|pause| pause.max(error.pause().unwrap_or_default()));
            match pause.filter(|pause| begun.elapsed().saturating_add(*pause) <= self.timeout.get().saturating_mul(2)) {
                None => return Err(error),
                Some(pause) => {
                    tracing::debug!(at = %self.at, ?pause, %error, "trying again");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn once(&self, ask: &Ask<'_>) -> Result<Vec<u8>, ServiceError> {
        let url = match ask.path {
            "" => self.base.clone(),
            path => {
                let joined = format!("{}{path}", self.address());
                joined.parse().map_err(|_| ServiceError::Address { service: self.at.service, text: joined })?
            }
        };
        let mut request = self.http.request(ask.method.clone(), url).headers(ask.headers.clone());
        if let Some((media_type, body)) = &ask.body {
            request = request.header(header::CONTENT_TYPE, *media_type).body(body.clone());
        }
        let response = request.send().await.map_err(|error| self.network(error))?;
        match response.status().is_success() {
            true => self.bounded(response).await,
            false => Err(self.complaint(response).await),
        }
    }

    async fn bounded(&self, mut response: Response) -> Result<Vec<u8>, ServiceError> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.network(error))? {
            if body.len() + piece.len() > LARGEST_ANSWER {
                return Err(ServiceError::TooLarge { at: self.at.clone(), limit: LARGEST_ANSWER });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    async fn complaint(&self, mut response: Response) -> ServiceError {
        let status = response.status().as_u16();
        let pause = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            body.extend_from_slice(&piece);
            if body.len() > LARGEST_COMPLAINT {
                break;
            }
        }
        let pause = pause.map(time::Duration::from_secs);
        ServiceError::Status { at: self.at.clone(), status, message: words(&body), pause }
    }

    /// reqwest would print the address with its query.
    fn network(&self, error: reqwest::Error) -> ServiceError {
        let at = self.at.clone();
        match error.is_timeout() {
            true => ServiceError::TimedOut { at, limit: self.timeout },
            false => ServiceError::Unreachable { at, source: error.without_url() },
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address: Result<IpAddr, _> = host.trim_start_matches('[').trim_end_matches(']').parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The words of an error's body, on one line after a colon: Fulcio and Rekor say `message`, Vault says `errors`.
fn words(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Complaint {
        message: Option<String>,
        #[serde(default)]
        errors: Vec<String>,
    }
    let text = match serde_json::from_slice::<Complaint>(body) {
        Ok(Complaint { message: Some(message), .. }) => message,
        Ok(Complaint { errors, .. }) => errors.join(", "),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    let line: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_MESSAGE).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::stand_in::{Answer, StandIn};

    fn service(address: &str) -> Result<Service, ServiceError> {
        Service::new("Fulcio", address, None, Duration::from_secs(1))
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        for good in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost", "https://fulcio.example/below/"] {
            assert!(service(good).is_ok(), "{good}");
        }
        for plain in ["http://fulcio.example", "http://10.0.0.1", "http://127.0.0.1.example"] {
            assert!(matches!(service(plain), Err(ServiceError::PlainHttp(_))), "{plain}");
        }
        for wrong in ["", "fulcio.example", "ftp://127.0.0.1", "unix:///x", "https://user:secret@fulcio.example"] {
            assert!(matches!(service(wrong), Err(ServiceError::Address { .. })), "{wrong}");
        }
        assert_eq!(service("https://fulcio.example/below/").unwrap().address(), "https://fulcio.example/below");
    }

    #[test]
    fn an_errors_words_are_shown_on_one_line() {
        for (body, shown) in [
            (r#"{"code":16,"message":"no\nsuch token","details":[]}"#, ": no such token"),
            (r#"{"errors":["permission denied","and more"]}"#, ": permission denied, and more"),
            (r#"{"errors":[]}"#, ""),
            ("  not found \u{1b}[2J ", ": not found  [2J"),
            ("", ""),
        ] {
            assert_eq!(words(body.as_bytes()), shown, "{body}");
        }
        assert_eq!(words("x".repeat(1000).as_bytes()).len(), LONGEST_MESSAGE + 2);
    }

    async fn requests(answers: Vec<Answer>) -> (Result<Vec<u8>, ServiceError>, usize) {
        let stand_in = StandIn::new(answers);
        let service = service(&stand_in.address).unwrap();
        let result = service.ask(&Ask::post("/x", HeaderMap::new(), "text/plain", b"body".to_vec())).await;
        (result, stand_in.asked())
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
        let (result, asked) =
            requests(vec![Answer::Status(503, ""), Answer::Status(429, ""), Answer::Status(201, "done")]).await;
        assert_eq!((result.unwrap(), asked), (b"done".to_vec(), 3));
        for status in [400, 401, 403, 404, 409] {
            let (result, asked) = requests(vec![Answer::Status(status, r#"{"message":"no"}"#)]).await;
            let Err(ServiceError::Status { status: answered, message, .. }) = result else { panic!("{result:?}") };
            assert_eq!((answered, message.as_str(), asked), (status, ": no", 1));
        }
    }

    #[tokio::test]
    async fn attempts_waits_and_answers_have_an_end() {
        let (result, asked) = requests(vec![Answer::Status(500, "")]).await;
        assert!(matches!(result, Err(ServiceError::Status { status: 500, .. })) && asked > 1, "{result:?} {asked}");
        let (result, _) = once(Answer::Silence).await;
        assert!(matches!(result, Err(ServiceError::TimedOut { .. })), "{result:?}");
        let (result, asked) = once(Answer::Endless).await;
        assert!(matches!(result, Err(ServiceError::TooLarge { .. })) && asked == 1, "{result:?} {asked}");
        let (result, _) = once(Answer::Broken).await;
        assert!(matches!(result, Err(ServiceError::Unreachable { .. })), "{result:?}");
        let nobody = service("http://127.0.0.1:1").unwrap().ask(&Ask::get("", HeaderMap::new())).await;
        assert!(matches!(nobody, Err(ServiceError::Unreachable { .. })), "{nobody:?}");
    }

    async fn once(answer: Answer) -> (Result<Vec<u8>, ServiceError>, usize) {
        requests(vec![answer]).await
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let (result, asked) = requests(vec![Answer::Status(307, "")]).await;
        assert!(matches!(result, Err(ServiceError::Status { status: 307, .. })) && asked == 1, "{result:?} {asked}");
    }

    #[test]
    fn scripts_can_tell_could_not_from_no() {
        let at = || At { service: "Fulcio", host: "h".to_owned() };
        let status = |status| ServiceError::Status { at: at(), status, message: String::new(), pause: None };
        for (error, exit) in [
            (ServiceError::TimedOut { at: at(), limit: Duration::from_secs(1) }, Exit::CouldNotCheck),
            (status(429), Exit::CouldNotCheck),
            (status(503), Exit::CouldNotCheck),
            (status(401), Exit::Credentials),
            (status(403), Exit::Credentials),
            (status(400), Exit::Failed),
            (status(404), Exit::Failed),
            (ServiceError::PlainHttp(at()), Exit::Usage),
        ] {
            assert_eq!(error.meaning().0, exit, "{error}");
        }
    }
}
