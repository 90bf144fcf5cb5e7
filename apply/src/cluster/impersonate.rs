//! Acting as a service account over the connections of the controller's own client.

use http::{HeaderName, HeaderValue, Request};
use kube::{Client, client::Body};

use super::ClusterError;

const USER: HeaderName = HeaderName::from_static("impersonate-user");

/// A client that adds the header by which the API server makes it `namespace/name`.
///
/// Only the user is named: the API server derives a service account's groups itself, so the controller needs no right
/// to impersonate groups.
pub(super) fn service_account(base: &Client, namespace: &str, name: &str) -> Result<Client, ClusterError> {
    let wrong = || ClusterError::ServiceAccountName { namespace: namespace.to_owned(), name: name.to_owned() };
    if !is_name(namespace) || !is_name(name) {
        return Err(wrong());
    }
    let user = format!("system:serviceaccount:{namespace}:{name}");
    let user = HeaderValue::from_str(&user).map_err(|_| wrong())?;
    let client = base.clone();
    let service = tower::service_fn(move |mut request: Request<Body>| {
        // Replaces what the base client was configured with, and never adds to it.
        request.headers_mut().remove("impersonate-group");
        request.headers_mut().insert(USER, user.clone());
        let client = client.clone();
        async move { client.send(request).await }
    });
    Ok(Client::new(service, namespace))
}

/// Names of namespaces and service accounts; a colon would make the user another one.
fn is_name(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    (1..=253).contains(&text.len()) && text.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn refuses_names_that_would_be_another_user() {
        assert!(is_name("team-a") && is_name("builder.1"));
        for name in ["", "a:b", "A", "a/b", "a\n", "é", &"a".repeat(254)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
