//! Who is let in: anybody, a user with a password, or who holds a token of a service.

use std::collections::HashMap;

use axum::{
    body::Body,
    http::{Method, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::{super::Login, Seen, Shared, complain, locked, reply};

/// Who is let in.
#[derive(Clone, Copy, Debug, Default)]
pub enum Gate {
    /// Anybody.
    #[default]
    Open,
    /// This user.
    Basic(Login),
    /// Who holds a token.
    Token(TokenService),
}

/// A service that gives tokens.
#[derive(Clone, Copy, Debug)]
pub struct TokenService {
    /// True if it is on the other host.
    pub elsewhere: bool,
    /// Its path. `{repository}` stands for the first part of the repository that is asked for: a service for each.
    pub path: &'static str,
    /// The registry's name there.
    pub service: &'static str,
    /// The field of the answer that holds the token.
    pub field: &'static str,
    /// How long the answer says that it lasts, in seconds.
    pub lifetime: Option<u64>,
    /// What it takes.
    pub accepts: Accepts,
    /// True if it gives tokens for reading to anybody.
    pub public: bool,
}

/// What a token service takes.
#[derive(Clone, Copy, Debug)]
pub enum Accepts {
    /// A user name and password, by GET.
    Password(Login),
    /// A refresh token, by POST.
    Refresh(&'static str),
}

/// The scopes of the tokens given.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    given: HashMap<String, Vec<String>>,
    count: usize,
}

impl Tokens {
    pub(super) fn clear(&mut self) {
        self.given.clear();
    }
}

/// What a request may do.
pub(super) struct Granted(Option<Vec<String>>);

impl Granted {
    pub(super) fn everything() -> Self {
        Self(None)
    }

    pub(super) fn may(&self, repository: &str, action: &str) -> bool {
        let grants = |scope: &String| {
            let parts: Vec<_> = scope.splitn(3, ':').collect();
            parts[1] == repository && parts[2].split(',').any(|one| one == action)
        };
        self.0.as_ref().is_none_or(|scopes| scopes.iter().any(grants))
    }
}

/// The repository that a path is about.
pub(super) fn repository(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v2/")?;
    ["/manifests/", "/blobs/", "/tags/", "/referrers/"].iter().find_map(|part| Some(rest.split_once(part)?.0))
}

fn shows(seen: &Seen, login: &Login) -> bool {
    let expected = BASE64_STANDARD.encode(format!("{}:{}", login.user, login.password));
    seen.authorization() == Some(&format!("Basic {expected}"))
}

impl Shared {
    /// The answer of the token service, if that was asked.
    pub(super) fn token(&self, seen: &Seen, body: &[u8]) -> Option<Response<Body>> {
        let Gate::Token(service) = &self.behaviour.gate else { return None };
        let (before, after) = service.path.split_once("{repository}").unwrap_or((service.path, ""));
        let whose = seen.path.strip_prefix(before)?.strip_suffix(after)?;
        let is_path = if service.path.contains('{') { !whose.contains('/') } else { whose.is_empty() };
        if !is_path || seen.elsewhere != service.elsewhere {
            return None;
        }
        let form = if seen.method == Method::POST { body } else { seen.query.as_bytes() };
        let asked: Vec<(String, String)> = form_of(form);
        let all = |name: &str| -> Vec<&str> {
            asked.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
        };
        let scopes: Vec<String> = all("scope").iter().flat_map(|scope| scope.split(' ')).map(str::to_owned).collect();
        let is_someone = match service.accepts {
            Accepts::Password(login) => seen.method == Method::GET && shows(seen, &login),
            Accepts::Refresh(token) => {
                let granted = all("grant_type") == ["refresh_token"] && all("refresh_token") == [token];
                seen.method == Method::POST && granted && seen.authorization().is_none()
            }
        };
        let only_reads = scopes.iter().all(|scope| scope.ends_with(":pull"));
        let is_anybody = service.public && only_reads && seen.method == Method::GET && seen.authorization().is_none();
        let is_here = service.path.contains('{').then_some(whose);
        let is_its_own =
            is_here.is_none_or(|whose| scopes.iter().all(|scope| scope.starts_with(&format!("repository:{whose}/"))));
        if !(is_someone || is_anybody) || all("service") != [service.service] || !is_its_own {
            return Some(complain(401, "UNAUTHORIZED", "authentication required"));
        }
        let mut tokens = locked(&self.tokens);
        tokens.count += 1;
        let token = format!("opaque-{}", tokens.count);
        tokens.given.insert(token.clone(), scopes);
        let mut answer = serde_json::json!({service.field: token});
        if let Some(lifetime) = service.lifetime {
            answer["expires_in"] = lifetime.into();
        }
        Some(reply(200, &[("content-type", "application/json")], answer.to_string()))
    }

    /// What the request may do, or the refusal.
    pub(super) fn judge(&self, seen: &Seen) -> Result<Granted, Box<Response<Body>>> {
        let unauthorized = |challenge: &str| {
            let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
            Box::new(reply(401, &[("www-authenticate", challenge), ("content-type", "application/json")], body))
        };
        let name = repository(&seen.path).unwrap_or_default();
        match &self.behaviour.gate {
            Gate::Open => Ok(Granted::everything()),
            Gate::Basic(login) if shows(seen, login) => Ok(Granted::everything()),
            Gate::Basic(_) => Err(unauthorized("Basic realm=\"registry\"")),
            Gate::Token(service) => {
                let host = if service.elsewhere { &self.elsewhere } else { &self.host };
                let path = service.path.replace("{repository}", name.split('/').next().unwrap_or_default());
                let reads = [Method::GET, Method::HEAD].contains(&seen.method);
                let actions = if reads { "pull" } else { "pull,push" };
                let challenge = format!(
                    "Bearer realm=\"http://{host}{path}\",service=\"{}\",scope=\"repository:{name}:{actions}\"",
                    service.service
                );
                let shown = seen.authorization().and_then(|value| value.strip_prefix("Bearer "));
                let scopes = shown.and_then(|token| locked(&self.tokens).given.get(token).cloned());
                let granted = Granted(Some(scopes.ok_or_else(|| unauthorized(&challenge))?));
                let wanted = if reads { "pull" } else { "push" };
                if granted.may(name, wanted) { Ok(granted) } else { Err(unauthorized(&challenge)) }
            }
        }
    }
}

/// The pairs of a form or query.
pub(super) fn form_of(bytes: &[u8]) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&format!("http://form/?{}", String::from_utf8_lossy(bytes)));
    url.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default()
}
