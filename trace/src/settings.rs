//! Where spans go, by the environment variables that OpenTelemetry names.

use std::{fmt, path::PathBuf, time::Duration};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::otlp::Resource;

/// How long one request may take where nobody says.
const TIMEOUT: Duration = Duration::from_secs(10);
/// And at most.
const LONGEST: Duration = Duration::from_secs(60);

/// Where spans go, and as whose.
#[derive(Clone)]
pub struct Settings {
    /// The address that takes them.
    pub endpoint: Url,
    /// What is sent along; values are not shown.
    pub headers: HeaderMap,
    /// How long one request may take.
    pub timeout: Duration,
    /// A file with certificates of authorities to trust beside those of the machine.
    pub authorities: Option<PathBuf>,
    /// Who sends.
    pub resource: Resource,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, headers, timeout, authorities, resource } = self;
        let names: Vec<_> = headers.keys().collect();
        let place = (endpoint.host_str(), endpoint.port_or_known_default(), endpoint.path());
        let mut shown = f.debug_struct("Settings");
        shown.field("endpoint", &place).field("headers", &names).field("timeout", timeout);
        shown.field("authorities", authorities).field("resource", resource).finish()
    }
}

/// Why spans cannot be sent as the environment says. Values are left out: they may hold tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The address is none.
    #[error("{0} is not an http or https address")]
    Endpoint(&'static str),
    /// Something between commas is no pair.
    #[error("{0} is not a list of NAME=VALUE, separated by commas")]
    Pairs(&'static str),
    /// The time is none.
    #[error("{0} is not a number of milliseconds")]
    Timeout(&'static str),
    /// Another protocol is asked for.
    #[error("OTEL_EXPORTER_OTLP_PROTOCOL asks for {0:?}, and spans are sent by HTTP only (http/json)")]
    Protocol(String),
}

const OF_TRACES: [&str; 5] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
];
const OF_ALL: [&str; 5] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];

impl Settings {
    /// What these variables say for a program of this name; `None` where they name no endpoint, or say that nothing is to be sent.
    ///
    /// # Errors
    /// [`SettingsError`] for a value that cannot be meant.
    pub fn of(service: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, SettingsError> {
        let variable =
            |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let either = |which: usize| {
            let pick = |name: &'static str| variable(name).map(|value| (name, value));
            pick(OF_TRACES[which]).or_else(|| pick(OF_ALL[which]))
        };
        let is_off = |name: &str, word: &str| variable(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
        let Some((name, address)) = either(0) else { return Ok(None) };
        if is_off("OTEL_SDK_DISABLED", "true") || is_off("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        let mut endpoint = Url::parse(&address).map_err(|_| SettingsError::Endpoint(name))?;
        if !matches!(endpoint.scheme(), "http" | "https") || endpoint.host_str().is_none() {
            return Err(SettingsError::Endpoint(name));
        }
        if name == OF_ALL[0] {
            let base = endpoint.path().trim_end_matches('/').to_owned();
            endpoint.set_path(&format!("{base}/v1/traces"));
        }
        if let Some((_, protocol)) = either(4).filter(|(_, protocol)| !protocol.starts_with("http/")) {
            return Err(SettingsError::Protocol(protocol));
        }
        let timeout = match either(2) {
            Some((name, text)) => Duration::from_millis(text.parse().map_err(|_| SettingsError::Timeout(name))?),
            None => TIMEOUT,
        };
        let headers = either(1).map(|(name, text)| headers(name, &text)).transpose()?.unwrap_or_default();
        let attributes = "OTEL_RESOURCE_ATTRIBUTES";
        let mut resource = variable(attributes).map(|text| pairs(attributes, &text)).transpose()?.unwrap_or_default();
        let named = variable("OTEL_SERVICE_NAME");
        if named.is_some() || resource.iter().all(|(name, _)| name != "service.name") {
            resource.retain(|(name, _)| name != "service.name");
            resource.push(("service.name".to_owned(), named.unwrap_or_else(|| service.to_owned())));
        }
        resource.push(("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
        let authorities = either(3).map(|(_, path)| PathBuf::from(path));
        Ok(Some(Self { endpoint, headers, timeout: timeout.min(LONGEST), authorities, resource }))
    }
}

fn headers(variable: &'static str, text: &str) -> Result<HeaderMap, SettingsError> {
    let wrong = || SettingsError::Pairs(variable);
    let header = |(name, value): (String, String)| {
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
    };
    pairs(variable, text)?.into_iter().map(|pair| header(pair).ok_or_else(wrong)).collect()
}

/// `NAME=VALUE,…`, as W3C Baggage has it: values are percent-encoded.
fn pairs(variable: &'static str, text: &str) -> Result<Vec<(String, String)>, SettingsError> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').filter(|(name, _)| !name.trim().is_empty())?;
        Some((name.trim().to_owned(), decoded(value.trim())?))
    };
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    parts.map(|part| pair(part).ok_or(SettingsError::Pairs(variable))).collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after.split_at_checked(2)) {
            (b'%', Some((digits, after))) => {
                bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                rest = after;
            }
            (b'%', None) => return None,
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(set: &[(&str, &str)]) -> Result<Option<Settings>, SettingsError> {
        Settings::of("sealift", |name| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_is_sent_where_nobody_asks_for_it() {
        for set in [
            &[][..],
            &[("OTEL_SERVICE_NAME", "x")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318"), ("OTEL_SDK_DISABLED", "TRUE")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318"), ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert!(of(set).unwrap().is_none(), "{set:?}");
        }
    }

    #[test]
    fn the_address_of_all_signals_gets_a_path_and_that_of_traces_is_taken_as_it_is() {
        let endpoint = |set: &[(&str, &str)]| of(set).unwrap().unwrap().endpoint.to_string();
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
        assert_eq!(endpoint(&[all]), "http://collector:4318/v1/traces");
        assert_eq!(endpoint(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://a/otlp")]), "https://a/otlp/v1/traces");
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b:1/spans");
        assert_eq!(endpoint(&[all, traces]), "http://b:1/spans");
    }

    #[test]
    fn headers_are_sent_and_never_shown() {
        let address = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318");
        let set = [
            address,
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2, x-tenant = acme"),
            ("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=eu%2D1,service.name=other"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ];
        let settings = of(&set).unwrap().unwrap();
        assert_eq!(settings.headers["authorization"], "Bearer hunter2");
        assert_eq!(settings.timeout, Duration::from_millis(2500));
        assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
        let named = |settings: &Settings, name: &str| {
            settings
                .resource
                .iter()
                .filter(|(known, _)| known == name)
                .map(|(_, value)| value.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(named(&settings, "k8s.cluster.name"), ["eu-1"]);
        assert_eq!(named(&settings, "service.name"), ["other"]);
        let told = of(&[address, ("OTEL_SERVICE_NAME", "mine"), set[2]]).unwrap().unwrap();
        assert_eq!(
            (named(&told, "service.name"), named(&of(&[address]).unwrap().unwrap(), "service.name")),
            (vec!["mine".to_owned()], vec!["sealift".to_owned()])
        );
    }

    #[test]
    fn refuses_what_cannot_be_meant_without_showing_it() {
        let address = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318");
        for set in [
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")][..],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://hunter2")],
            &[address, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
            &[address, ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2")],
            &[address, ("OTEL_EXPORTER_OTLP_HEADERS", "a=hunter2%4")],
            &[address, ("OTEL_EXPORTER_OTLP_HEADERS", "a b=hunter2")],
            &[address, ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")],
        ] {
            let error = of(set).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
