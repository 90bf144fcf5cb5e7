//! Which requests go through a proxy. The answer is data, so that the guard can ask it too.

use std::{env, fmt};

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Proxy, Url};
use secrecy::{ExposeSecret, SecretString};

use super::error::SetupError;

/// The proxies to use. An address may hold a user name and password for the proxy, so none of them prints.
///
/// Loopback and link-local hosts are never asked through a proxy: there they would be the proxy's own.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For `http` URLs.
    pub http: Option<SecretString>,
    /// For `https` URLs.
    pub https: Option<SecretString>,
    /// The hosts that are asked directly, as curl reads `NO_PROXY`: names with all below them, addresses, networks,
    /// or `*`.
    pub except: String,
}

impl Proxies {
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, in either case. `HTTP_PROXY` does not count
    /// where `REQUEST_METHOD` is set: in a CGI process a request's header could have set it.
    pub fn from_environment() -> Self {
        Self::of(|name| env::var(name).ok())
    }

    /// As [`Proxies::from_environment`], with the variables given.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| {
            [name.to_owned(), name.to_ascii_lowercase()]
                .iter()
                .find_map(|name| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()))
        };
        let all = either("ALL_PROXY");
        let http = either("HTTP_PROXY").filter(|_| variable("REQUEST_METHOD").is_none());
        Self {
            http: http.or_else(|| all.clone()).map(Into::into),
            https: either("HTTPS_PROXY").or(all).map(Into::into),
            except: either("NO_PROXY").unwrap_or_default(),
        }
    }

    fn is_empty(&self) -> bool {
        let Self { http, https, except: _ } = self;
        http.is_none() && https.is_none()
    }
}

/// The proxies, ready to be asked.
pub(crate) struct Detour {
    matcher: Matcher,
    proxies: Vec<Proxy>,
}

impl fmt::Debug for Detour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Detour(..)")
    }
}

impl Detour {
    /// `None` if there is no proxy at all.
    pub(crate) fn new(proxies: &Proxies) -> Result<Option<Self>, SetupError> {
        if proxies.is_empty() {
            return Ok(None);
        }
        let Proxies { http, https, except } = proxies;
        let (mut matcher, mut made) = (Matcher::builder(), Vec::new());
        if let Some(http) = http {
            let address = address(http)?;
            made.push(Proxy::http(address.clone()).map_err(|error| SetupError::Proxy(Some(error.without_url())))?);
            matcher = matcher.http(address);
        }
        if let Some(https) = https {
            let address = address(https)?;
            made.push(Proxy::https(address.clone()).map_err(|error| SetupError::Proxy(Some(error.without_url())))?);
            matcher = matcher.https(address);
        }
        Ok(Some(Self { matcher: matcher.no(except.clone()).build(), proxies: made }))
    }

    /// True if a request to `url` goes through a proxy.
    pub(crate) fn takes(&self, url: &Url) -> bool {
        url.as_str().parse().is_ok_and(|uri| self.matcher.intercept(&uri).is_some())
    }

    /// The proxies for a client that is only given requests which go through one.
    pub(crate) fn proxies(&self) -> impl Iterator<Item = Proxy> {
        self.proxies.iter().cloned()
    }
}

/// The address of a proxy. One without a scheme is spoken to in HTTP, as everywhere.
fn address(text: &SecretString) -> Result<String, SetupError> {
    let text = text.expose_secret();
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let fine =
        Url::parse(&with_scheme).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.host().is_some());
    if fine { Ok(with_scheme) } else { Err(SetupError::Proxy(None)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detour(variables: &'static [(&str, &str)]) -> Option<Detour> {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Detour::new(&Proxies::of(variable)).unwrap()
    }

    #[test]
    fn the_environment_says_what_goes_through_which_proxy() {
        let both = &[("HTTPS_PROXY", "http://proxy.example:3128"), ("no_proxy", "internal.example, 10.0.0.0/8,.corp")];
        for (variables, url, taken) in [
            (&both[..], "https://registry.example/v2/", true),
            (both, "http://registry.example/v2/", false),
            (both, "https://internal.example/v2/", false),
            (both, "https://a.internal.example:5000/v2/", false),
            (both, "https://notinternal.example/v2/", true),
            (both, "https://registry.corp/v2/", false),
            (both, "https://10.1.2.3/v2/", false),
            (both, "https://11.1.2.3/v2/", true),
            (&[("https_proxy", "proxy.example:3128")], "https://registry.example/v2/", true),
            (&[("ALL_PROXY", "http://proxy.example")], "http://registry.example/v2/", true),
            (&[("ALL_PROXY", "http://proxy.example"), ("NO_PROXY", "*")], "http://registry.example/v2/", false),
            (&[("HTTP_PROXY", "http://p.example"), ("HTTPS_PROXY", "http://q.example")], "http://a.example/", true),
        ] {
            let detour = detour(variables).unwrap();
            assert_eq!(detour.takes(&Url::parse(url).unwrap()), taken, "{variables:?} {url}");
        }
        assert!(detour(&[]).is_none());
        assert!(detour(&[("HTTPS_PROXY", ""), ("NO_PROXY", "a")]).is_none());
        assert!(detour(&[("HTTP_PROXY", "http://p.example"), ("REQUEST_METHOD", "GET")]).is_none());
    }

    #[test]
    fn an_address_that_is_no_proxy_is_an_error_that_does_not_show_it() {
        for wrong in ["socks5://me:hunter2@proxy.example", "http://", "me:hunter2@:x"] {
            let proxies = Proxies { https: Some(wrong.into()), ..Proxies::default() };
            let error = Detour::new(&proxies).unwrap_err();
            assert!(!format!("{error} {error:?} {proxies:?}").contains("hunter2"), "{error:?}");
        }
    }
}
