//! What RBAC gives somebody, as the API server says when it is asked by him.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};

/// Whether whoever the client is may do this to a group, resource and subresource, in a namespace or everywhere.
///
/// # Panics
/// Where the API server does not answer.
pub async fn may(client: &Client, verb: &str, what: (&str, &str, &str), namespace: Option<&str>) -> bool {
    let (group, resource, subresource) = what;
    let attributes = ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: Some(subresource.to_owned()).filter(|name| !name.is_empty()),
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    let answer = answer.unwrap_or_else(|error| panic!("{verb} {what:?}: {error}"));
    answer.status.expect("an answered review has a status").allowed
}
