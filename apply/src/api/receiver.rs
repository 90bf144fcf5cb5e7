//! `Receiver`: who may say that a repository has something new, so that it is looked at before the interval is over.

#![allow(unreachable_pub, reason = "KubeSchema copies the struct, visibility and all, into a function")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may say that something is new. What is said is a hint and nothing more: the registry is asked, and what it answers is
/// judged as ever.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "sealift.dev",
    version = "v1alpha1",
    kind = "Receiver",
    plural = "receivers",
    category = "sealift",
    namespaced,
    status = "ReceiverStatus",
    derive = "PartialEq",
    doc = "Lets a registry or a pipeline say that what Deliveries of its namespace follow has moved.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Path", type_ = "string", json_path = ".status.path"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("(self.type == 'generic-oidc') == has(self.oidc)")
    .message("oidc belongs to the type generic-oidc, and to no other"))]
#[x_kube(validation = kube::core::Rule::new("self.type == 'generic-oidc' || has(self.secretName)")
    .message("secretName must be given"))]
pub struct ReceiverSpec {
    /// Who speaks, and in which words.
    #[serde(rename = "type")]
    pub kind: ReceiverType,
    /// A Secret of this namespace whose key `token` both sides know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret_name: Option<String>,
    /// The service account of this namespace as which the Secret is read; the platform's default if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub service_account_name: Option<String>,
    /// Whose tokens are taken, for `generic-oidc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcSpec>,
    /// The repositories it may speak of, such as `registry.example/acme/shop`, where a `*` at the end stands for anything; all
    /// that are followed if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 3, max = 512)))]
    pub repositories: Vec<String>,
    /// Nobody is listened to.
    #[serde(default)]
    pub suspend: bool,
}

/// Who speaks, how it is known that it does, and in which words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiverType {
    /// CNCF distribution, and what speaks like it: the token stands in `Authorization`.
    Distribution,
    /// Anything that signs the body: `X-Signature: sha256=<HMAC of the body with the token>`.
    GenericHmac,
    /// Anything that shows a token of an OpenID issuer, such as a CI job.
    GenericOidc,
    /// Harbor: the token is its webhook's auth header.
    Harbor,
    /// GitHub's packages: the token is its webhook's secret.
    Github,
    /// Quay, which can only be told a URL: the token is the last part of the path.
    Quay,
    /// Azure's container registry: the token stands in the custom header `Authorization`.
    Acr,
}

/// Whose tokens are taken, and which of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OidcSpec {
    /// The issuer's URL, exactly as tokens have it.
    #[schemars(length(min = 9, max = 512), regex(pattern = r"^https?://[^\s@?#]+$"))]
    pub issuer: String,
    /// The audience that a token must be for.
    #[schemars(length(min = 1, max = 512))]
    pub audience: String,
    /// Claims that a token must have, each with exactly this text. At least one: an issuer has many customers.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16))]
    pub claims: BTreeMap<String, String>,
}

/// Where it is listened to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverStatus {
    /// The generation this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The path to send to, at the address of the receiver's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What was said last, where several replicas share the Deliveries: only one of them was told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heard: Vec<Said>,
}

/// Something that was said to be new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Said {
    /// The repository; any if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The tag; any if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// When.
    #[schemars(with = "String")]
    pub at: jiff::Timestamp,
}
