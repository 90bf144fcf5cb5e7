//! Acting as a service account over the connections of the controller's own client, and saying for which Delivery.

use http::{HeaderName, HeaderValue, Request};
use kube::{Client, client::Body};

use super::ClusterError;

const USER: HeaderName = HeaderName::from_static("impersonate-user");
/// What the API server reads as the extra `sealift.dev/delivery`: in a header's name a slash is written so.
pub(super) const DELIVERY: HeaderName = HeaderName::from_static("impersonate-extra-sealift.dev%2fdelivery");

/// The value of the extra: `namespace/name`.
pub(super) fn delivery(namespace: &str, name: &str) -> Result<HeaderValue, ClusterError> {
    let wrong = || ClusterError::DeliveryName { namespace: namespace.to_owned(), name: name.to_owned() };
    if !is_name(namespace) || !is_name(name) {
        return Err(wrong());
    }
    HeaderValue::from_str(&format!("{namespace}/{name}")).map_err(|_| wrong())
}

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

/// Names of namespaces, service accounts and Deliveries; a colon would make the user another one.
fn is_name(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    (1..=253).contains(&text.len()) && text.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::{delivery, is_name};

    #[test]
    fn refuses_names_that_would_be_another_user() {
        assert!(is_name("team-a") && is_name("builder.1"));
        for name in ["", "a:b", "A", "a/b", "a\n", "é", &"a".repeat(254)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn names_one_delivery_and_refuses_what_could_be_read_as_another() {
        assert_eq!(delivery("team-a", "shop").unwrap(), "team-a/shop");
        for (namespace, name) in [("team-a/x", "shop"), ("team-a", "x/shop"), ("", "shop"), ("team-a", "shop\r\nx: y")]
        {
            assert!(delivery(namespace, name).is_err(), "{namespace}/{name}");
        }
    }
}
