//! How a registry wants to be convinced, as `WWW-Authenticate` says it.

use reqwest::{Response, header};

/// One way to convince a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A user name and a password.
    Basic,
    /// A token of the service at `realm`.
    Bearer {
        /// The token service.
        realm: String,
        /// The registry's name there.
        service: Option<String>,
    },
}

impl Challenge {
    /// The challenge of a 401. Bearer is preferred: its tokens are short-lived and narrow.
    pub(crate) fn of(response: &Response) -> Option<Self> {
        let headers = response.headers().get_all(header::WWW_AUTHENTICATE);
        let found: Vec<_> = headers.iter().filter_map(|header| Self::parse(header.to_str().ok()?)).collect();
        found.iter().find(|challenge| **challenge != Self::Basic).or(found.first()).cloned()
    }

    fn parse(header: &str) -> Option<Self> {
        let challenges = http_auth::parse_challenges(header).ok()?;
        let bearer = challenges.iter().filter(|c| c.scheme.eq_ignore_ascii_case("bearer")).find_map(|challenge| {
            let param = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            Some(Self::Bearer { realm: param("realm")?, service: param("service") })
        });
        bearer.or_else(|| challenges.iter().any(|c| c.scheme.eq_ignore_ascii_case("basic")).then_some(Self::Basic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_challenges_registries_send() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        for (header, challenge) in [
            (
                r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
                bearer("https://auth.example/token", Some("registry.example")),
            ),
            (r#"bearer realm="https://auth.example/t?a=b,c""#, bearer("https://auth.example/t?a=b,c", None)),
            (r#"Basic realm="registry""#, Some(Challenge::Basic)),
            (r#"Basic realm="x", Bearer realm="https://a.example/t""#, bearer("https://a.example/t", None)),
            (r#"Bearer service="no realm""#, None),
            (r#"Negotiate"#, None),
            ("\"", None),
        ] {
            assert_eq!(Challenge::parse(header), challenge, "{header}");
        }
    }
}
