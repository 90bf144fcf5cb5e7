//! Which entry of a configuration is for a repository, and what it holds.

use std::collections::BTreeMap;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use sealift_verify::reference::Repository;
use serde::Deserialize;

use crate::client::Credentials;

/// Why a pull secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PullSecretError {
    /// Not the JSON of a Docker configuration. The cause is withheld, since it may quote a secret.
    #[error("it is not the JSON of a Docker configuration (line {line}, column {column})")]
    Json {
        /// Where reading stopped.
        line: usize,
        /// Where reading stopped.
        column: usize,
    },
    /// The entry's `auth` is not `user:password` in base64.
    #[error("the entry for {0:?} holds no readable user name and password")]
    Auth(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigFile {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// The credentials that a pull secret (`.dockerconfigjson`) has for `repository`, from the entry with the longest
/// path that matches; anonymous if none does. Helpers are ignored: in a secret they would name programs to run.
///
/// # Errors
/// [`PullSecretError`] if the secret, or the entry that matches, cannot be read.
pub fn parse_pull_secret(dockerconfigjson: &[u8], repository: &Repository) -> Result<Credentials, PullSecretError> {
    Ok(ConfigFile::parse(dockerconfigjson)?.find(repository)?.unwrap_or_default())
}

/// The same for a secret of the older form (`.dockercfg`), which is the entries alone.
///
/// # Errors
/// As of [`parse_pull_secret`].
pub fn parse_legacy_pull_secret(dockercfg: &[u8], repository: &Repository) -> Result<Credentials, PullSecretError> {
    let auths = serde_json::from_slice(dockercfg).map_err(|error| unreadable(&error))?;
    let config = ConfigFile { auths, creds_store: None, cred_helpers: BTreeMap::new() };
    Ok(config.find(repository)?.unwrap_or_default())
}

fn unreadable(error: &serde_json::Error) -> PullSecretError {
    PullSecretError::Json { line: error.line(), column: error.column() }
}

impl ConfigFile {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, PullSecretError> {
        serde_json::from_slice(bytes).map_err(|error| unreadable(&error))
    }

    pub(super) fn has_helper(&self, server: &str) -> bool {
        self.cred_helpers.get(server).is_some_and(|name| !name.is_empty())
    }

    pub(super) fn credentials_store(&self) -> Option<&str> {
        self.creds_store.as_deref().filter(|name| !name.is_empty())
    }

    /// The best entry that holds something: longest path first, then a host without wildcards.
    pub(super) fn find(&self, repository: &Repository) -> Result<Option<Credentials>, PullSecretError> {
        let rank =
            |(key, entry): (&'_ String, &'_ Entry)| Some((matches(key, repository)?, key.clone(), entry.is_empty()));
        let mut ranked: Vec<_> = self.auths.iter().filter_map(rank).filter(|(_, _, is_empty)| !is_empty).collect();
        ranked.sort();
        let best = ranked.last().map(|(_, key, _)| (key, &self.auths[key]));
        best.map(|(key, entry)| entry.credentials().ok_or_else(|| PullSecretError::Auth(key.clone()))).transpose()
    }
}

impl Entry {
    /// Credential stores leave empty entries behind for what they hold.
    fn is_empty(&self) -> bool {
        let Self { auth, username, password, identitytoken, registrytoken } = self;
        [auth, username, password, identitytoken, registrytoken].iter().all(|field| text(field).is_none())
    }

    fn credentials(&self) -> Option<Credentials> {
        let Self { auth, username, password, identitytoken, registrytoken } = self;
        if let Some(token) = text(identitytoken) {
            return Some(Credentials::IdentityToken(token.into()));
        }
        if let Some(token) = text(registrytoken) {
            return Some(Credentials::RegistryToken(token.into()));
        }
        if let Some(auth) = text(auth) {
            let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
            let decoded = GeneralPurpose::new(&alphabet::STANDARD, config).decode(auth.trim()).ok()?;
            let decoded = String::from_utf8(decoded).ok()?;
            // Docker's own writer pads with NUL.
            let (username, password) = decoded.trim_end_matches('\0').split_once(':')?;
            return Some(Credentials::Basic { username: username.to_owned(), password: password.into() });
        }
        let (username, password) = (text(username)?, text(password)?);
        Some(Credentials::Basic { username: username.to_owned(), password: password.into() })
    }
}

fn text(field: &Option<String>) -> Option<&str> {
    field.as_deref().filter(|text| !text.is_empty())
}

/// The name under which tools keep credentials for a host: Docker Hub has an old one.
pub fn server_name(host: &str) -> &str {
    match host {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => "https://index.docker.io/v1/",
        _ => host,
    }
}

fn hub(host: &str) -> &str {
    match host {
        "docker.io" | "registry-1.docker.io" => "index.docker.io",
        _ => host,
    }
}

/// How well a key (`host`, `host/path`, `https://host/v1/`, `*.host`) matches: length of the path, then exactness.
pub(super) fn matches(key: &str, repository: &Repository) -> Option<(usize, bool)> {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let path = path.trim_end_matches('/');
    // What `docker login` of old wrote behind the host was the version of the API, not a path.
    let path = if path == "v1" || path == "v2" { "" } else { path };
    let is_inside = path.is_empty()
        || repository.path().strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let (host, wanted) = (hub(host), hub(repository.host()));
    let is_exact = host.eq_ignore_ascii_case(wanted);
    (is_inside && (is_exact || matches_labels(host, wanted))).then_some((path.len(), is_exact))
}

/// Label by label, as the kubelet matches: `*.example` covers `registry.example`, not `a.registry.example`.
fn matches_labels(pattern: &str, host: &str) -> bool {
    let (patterns, labels): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), host.split('.').collect());
    patterns.len() == labels.len() && patterns.iter().zip(labels).all(|(pattern, label)| matches_label(pattern, label))
}

fn matches_label(pattern: &str, label: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern.eq_ignore_ascii_case(label),
        Some((before, after)) => {
            let rest = label.get(..before.len()).filter(|start| start.eq_ignore_ascii_case(before));
            rest.is_some_and(|_| {
                let rest = &label[before.len()..];
                (0..=rest.len()).any(|at| rest.is_char_boundary(at) && matches_label(after, &rest[at..]))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn entry(user: &str) -> serde_json::Value {
        serde_json::json!({"auth": base64::prelude::BASE64_STANDARD.encode(format!("{user}:pass:word"))})
    }

    fn user(config: &serde_json::Value, repository: &str) -> Option<String> {
        match parse_pull_secret(config.to_string().as_bytes(), &repository.parse().unwrap()).unwrap() {
            Credentials::Basic { username, password } => {
                assert_eq!(password.expose_secret(), "pass:word");
                Some(username)
            }
            Credentials::Anonymous => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_longest_path_wins_and_ends_at_a_slash() {
        let config = serde_json::json!({"auths": {
            "ghcr.example": entry("host"), "ghcr.example/org": entry("org"), "https://ghcr.example/org/app/": entry("app"),
            "*.example": entry("any"), "other.example:5000": entry("port"),
        }});
        for (repository, expected) in [
            ("ghcr.example/org/app", Some("app")),
            ("ghcr.example/org/app/part", Some("app")),
            ("ghcr.example/org/other", Some("org")),
            ("ghcr.example/organisation/app", Some("host")),
            ("quay.example/a", Some("any")),
            ("deep.quay.example/a", None),
            ("other.example:5000/a", Some("port")),
            ("other.example:6000/a", None),
            ("elsewhere.test/a", None),
        ] {
            assert_eq!(user(&config, repository).as_deref(), expected, "{repository}");
        }
    }

    #[test]
    fn docker_hub_is_known_by_all_its_names() {
        let config = serde_json::json!({"auths": {"https://index.docker.io/v1/": entry("hub")}});
        for host in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
            assert_eq!(user(&config, &format!("{host}/library/busybox")).as_deref(), Some("hub"), "{host}");
        }
    }

    #[test]
    fn empty_entries_and_helpers_give_nothing() {
        let config = serde_json::json!({"auths": {"registry.example": {}}, "credsStore": "desktop",
            "credHelpers": {"registry.example": "evil"}});
        assert_eq!(user(&config, "registry.example/a"), None);
    }

    #[test]
    fn a_damaged_entry_is_an_error_that_quotes_nothing() {
        for config in
            [r#"{"auths":{"registry.example":{"auth":"!s3cret!"}}}"#, r#"{"auths":{"registry.example":"s3cret"}}"#]
        {
            let error = parse_pull_secret(config.as_bytes(), &"registry.example/a".parse().unwrap()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn the_older_form_is_the_entries_alone() {
        let config =
            serde_json::json!({"https://registry.example": entry("host"), "registry.example/org": entry("org")});
        let find = |repository: &str| {
            let found = parse_legacy_pull_secret(config.to_string().as_bytes(), &repository.parse().unwrap()).unwrap();
            match found {
                Credentials::Basic { username, .. } => Some(username),
                _ => None,
            }
        };
        assert_eq!(find("registry.example/app").as_deref(), Some("host"));
        assert_eq!(find("registry.example/org/app").as_deref(), Some("org"));
        assert_eq!(find("other.example/app"), None);
        let damaged = br#"{"registry.example":"s3cret"}"#;
        let error = parse_legacy_pull_secret(damaged, &"registry.example/a".parse().unwrap()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }

    #[test]
    fn tokens_are_told_from_passwords() {
        let config = br#"{"auths":{"registry.example":{"auth":"MDA6","identitytoken":"refresh"}}}"#;
        let found = parse_pull_secret(config, &"registry.example/a".parse().unwrap()).unwrap();
        assert!(matches!(found, Credentials::IdentityToken(_)));
    }
}
