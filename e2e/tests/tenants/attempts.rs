//! What a tenant tries beyond its rights: the table of attempts.

use http::Method;
use serde_json::{Value, json};

use crate::actors::{Answer, Ask};

/// Where it is tried.
pub(crate) struct Place {
    /// The tenant's namespace.
    pub(crate) here: String,
    /// Another tenant's.
    pub(crate) elsewhere: String,
    /// A repository that only the other one has credentials for.
    pub(crate) private: String,
}

/// One attempt, asked of the API server by the tenant's account, and put into a Delivery of his that acts as that account.
pub(crate) struct Attempt {
    pub(crate) what: &'static str,
    pub(crate) direct: Option<Asked>,
    pub(crate) delivered: Option<Delivered>,
}

/// What is asked, and the answer to it.
type Asked = (fn(&Place) -> Ask, Answer);

pub(crate) struct Delivered {
    /// What the release holds; a ConfigMap of its own where this is nothing.
    pub(crate) objects: fn(&Place) -> Vec<Value>,
    /// What the Delivery says beside repository, tag and account.
    pub(crate) spec: fn(&Place, &mut Value),
    /// The reason it is not ready for.
    pub(crate) reason: &'static str,
    /// Words of the message.
    pub(crate) says: &'static str,
    /// Who kept it from happening, for the table.
    pub(crate) by: &'static str,
}

fn ask(method: Method, path: String, body: Value) -> Ask {
    let content = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    Ask { method, path, content, body }
}

fn core(namespace: &str, rest: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{rest}")
}

fn map(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"key": "evil"}})
}

fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "evil"}})
}

const RBAC: &str = "rbac.authorization.k8s.io";

fn role(place: &Place) -> Value {
    let rule = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
    let metadata = json!({"name": "evil", "namespace": place.here});
    json!({"apiVersion": format!("{RBAC}/v1"), "kind": "Role", "metadata": metadata, "rules": [rule]})
}

fn binding(place: &Place) -> Value {
    let role = json!({"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"});
    let subject = json!({"kind": "ServiceAccount", "name": "tenant", "namespace": place.here});
    json!({"apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding", "metadata": {"name": "evil", "namespace": place.here},
        "roleRef": role, "subjects": [subject]})
}

fn sealift(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "sealift.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn delivery(namespace: &str, account: &str) -> Value {
    let spec = json!({"repository": "registry.example/evil", "select": {"tag": "prod"}, "serviceAccountName": account});
    let mut delivery = sealift("Delivery", "evil", spec);
    delivery["metadata"]["namespace"] = namespace.into();
    delivery
}

fn records(kind: &str) -> Value {
    sealift(kind, "evil", json!({}))
}

/// A policy that can be used and is about nobody's repository here: one that cannot be, or that refuses the release which
/// brings it, is told before the API server is asked.
fn policy() -> Value {
    const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEIyHKpL7Wh9qswk7hhJyem5ZoCGiG\n\
        p3zXnZkA197i8VG2TbRIni3fBAdxSQIICQoHXYKdNUTLLW13sZjy8rm/Ug==\n\
        -----END PUBLIC KEY-----\n";
    let spec = json!({
        "match": {"repositories": ["registry.example/evil/**"]},
        "authorities": [{"name": "evil", "key": {"pem": KEY}}],
        "require": {"anyOf": ["evil"]},
        "release": {"streams": [{"glob": "evil/**"}], "environment": "prod"},
    });
    sealift("SignaturePolicy", "evil", spec)
}

fn at(plural: &str) -> String {
    format!("/apis/sealift.dev/v1alpha1/{plural}")
}

/// What everybody may do who is let in.
pub(crate) fn list(namespace: &str) -> Ask {
    ask(Method::GET, core(namespace, "configmaps"), Value::Null)
}

fn nothing(_: &Place) -> Vec<Value> {
    vec![]
}

fn plain(_: &Place, _: &mut Value) {}

const fn refused(objects: fn(&Place) -> Vec<Value>) -> Delivered {
    Delivered { objects, spec: plain, reason: "ApplyFailed", says: "is forbidden: User", by: "RBAC" }
}

pub(crate) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        what: "read a Secret of another namespace; as a value",
        direct: Some((|at| ask(Method::GET, core(&at.elsewhere, "secrets/theirs"), Value::Null), Answer::Rights)),
        delivered: Some(Delivered {
            objects: nothing,
            spec: |_, spec| {
                let key = json!({"name": "theirs", "key": "key"});
                spec["parameters"] = json!([{"name": "VALUE", "valueFrom": {"secretKeyRef": key}}]);
            },
            reason: "BadParameter",
            says: "Secret theirs",
            by: "there is no way to name it",
        }),
    },
    Attempt {
        what: "use another tenant's pull secret",
        direct: Some((|at| ask(Method::GET, core(&at.elsewhere, "secrets/pull"), Value::Null), Answer::Rights)),
        delivered: Some(Delivered {
            objects: nothing,
            spec: |at, spec| {
                spec["repository"] = at.private.as_str().into();
                spec["pullSecretName"] = "pull".into();
            },
            reason: "AuthenticationFailed",
            says: "pull secret pull",
            by: "there is no way to name it",
        }),
    },
    Attempt {
        what: "run another tenant's private artifact, which is in the controller's cache",
        direct: None,
        delivered: Some(Delivered {
            objects: nothing,
            spec: |at, spec| spec["repository"] = at.private.as_str().into(),
            reason: "AuthenticationFailed",
            says: "",
            by: "the registry",
        }),
    },
    Attempt {
        what: "create an object in another namespace",
        direct: Some((
            |at| ask(Method::POST, core(&at.elsewhere, "configmaps"), map(&at.elsewhere, "evil")),
            Answer::Rights,
        )),
        delivered: Some(refused(|at| vec![map(&at.elsewhere, "evil")])),
    },
    Attempt {
        what: "change or take over an object of another namespace",
        direct: Some((
            |at| ask(Method::PATCH, core(&at.elsewhere, "configmaps/theirs"), json!({"data": {"key": "evil"}})),
            Answer::Rights,
        )),
        delivered: Some(refused(|at| vec![map(&at.elsewhere, "theirs")])),
    },
    Attempt {
        what: "delete an object of another namespace",
        direct: Some((|at| ask(Method::DELETE, core(&at.elsewhere, "configmaps/theirs"), Value::Null), Answer::Rights)),
        delivered: None,
    },
    Attempt {
        what: "create a Namespace",
        direct: Some((|_| ask(Method::POST, "/api/v1/namespaces".into(), namespace()), Answer::Rights)),
        delivered: Some(refused(|_| vec![namespace()])),
    },
    Attempt {
        what: "give itself every right in its namespace",
        direct: Some((
            |at| ask(Method::POST, format!("/apis/{RBAC}/v1/namespaces/{}/roles", at.here), role(at)),
            Answer::Rights,
        )),
        delivered: Some(Delivered { says: "is attempting to grant", ..refused(|at| vec![role(at)]) }),
    },
    Attempt {
        what: "bind itself to `cluster-admin`",
        direct: Some((
            |at| ask(Method::POST, format!("/apis/{RBAC}/v1/namespaces/{}/rolebindings", at.here), binding(at)),
            Answer::Rights,
        )),
        delivered: Some(Delivered { says: "is attempting to grant", ..refused(|at| vec![binding(at)]) }),
    },
    Attempt {
        what: "name another namespace's account in a Delivery",
        direct: Some((
            |at| {
                let account = format!("{}:deployer", at.elsewhere);
                let path = format!("/apis/sealift.dev/v1alpha1/namespaces/{}/deliveries", at.here);
                ask(Method::POST, path, delivery(&at.here, &account))
            },
            Answer::Schema,
        )),
        delivered: None,
    },
    Attempt {
        what: "make a Delivery in another namespace",
        direct: Some((
            |at| {
                let path = format!("/apis/sealift.dev/v1alpha1/namespaces/{}/deliveries", at.elsewhere);
                ask(Method::POST, path, delivery(&at.elsewhere, "deployer"))
            },
            Answer::Rights,
        )),
        delivered: Some(refused(|at| vec![delivery(&at.elsewhere, "deployer")])),
    },
    Attempt {
        what: "write the status of its own Delivery",
        direct: Some((
            |at| {
                let path = format!("/apis/sealift.dev/v1alpha1/namespaces/{}/deliveries/try-0/status", at.here);
                ask(Method::PATCH, path, json!({"status": {"lastApplied": null}}))
            },
            Answer::Rights,
        )),
        delivered: None,
    },
    Attempt {
        what: "write a SignaturePolicy",
        direct: Some((|_| ask(Method::POST, at("signaturepolicies"), policy()), Answer::Rights)),
        delivered: Some(refused(|_| vec![policy()])),
    },
    Attempt {
        what: "write a TrustRoot",
        direct: Some((|_| ask(Method::POST, at("trustroots"), records("TrustRoot")), Answer::Rights)),
        delivered: Some(refused(|_| vec![records("TrustRoot")])),
    },
    Attempt {
        what: "write an AcceptedRelease, to go back to an older release",
        direct: Some((|_| ask(Method::POST, at("acceptedreleases"), records("AcceptedRelease")), Answer::Rights)),
        delivered: Some(Delivered {
            objects: |_| vec![records("AcceptedRelease")],
            spec: plain,
            reason: "ApplyFailed",
            says: "only the controller writes objects of this kind",
            by: "Sealift",
        }),
    },
    Attempt {
        what: "delete every AcceptedRelease",
        direct: Some((|_| ask(Method::DELETE, at("acceptedreleases"), Value::Null), Answer::Rights)),
        delivered: None,
    },
    Attempt {
        what: "write an Inventory, to have objects of others pruned",
        direct: Some((|_| ask(Method::POST, at("inventories"), records("Inventory")), Answer::Rights)),
        delivered: Some(Delivered {
            objects: |_| vec![records("Inventory")],
            spec: plain,
            reason: "ApplyFailed",
            says: "only the controller writes objects of this kind",
            by: "Sealift",
        }),
    },
    Attempt {
        what: "depend on a Delivery of another namespace that does not let it",
        direct: None,
        delivered: Some(Delivered {
            objects: nothing,
            spec: |at, spec| spec["dependsOn"] = json!([{"name": "app", "namespace": at.elsewhere}]),
            reason: "DependencyNotReady",
            says: "does not let namespace",
            by: "Sealift",
        }),
    },
    Attempt {
        what: "get a token of the controller's account",
        direct: Some((
            |_| {
                let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
                ask(Method::POST, core("sealift-system", "serviceaccounts/sealift-controller/token"), body)
            },
            Answer::Rights,
        )),
        delivered: None,
    },
    Attempt {
        what: "run a command in the controller's Pod",
        direct: Some((
            |_| ask(Method::POST, core("sealift-system", "pods/sealift-controller/exec?command=sh"), Value::Null),
            Answer::Rights,
        )),
        delivered: None,
    },
    Attempt {
        what: "switch the admission policy off",
        direct: Some((
            |_| {
                let bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
                ask(Method::DELETE, format!("{bindings}/sealift-managed-objects"), Value::Null)
            },
            Answer::Rights,
        )),
        delivered: None,
    },
    // So that whatever is denied above is not denied for want of any right at all.
    Attempt {
        what: "create an object in its own namespace",
        direct: Some((|at| ask(Method::POST, core(&at.here, "configmaps"), map(&at.here, "mine")), Answer::Allowed)),
        delivered: Some(Delivered {
            objects: |at| vec![map(&at.here, "delivered")],
            spec: plain,
            reason: "",
            says: "",
            by: "",
        }),
    },
];
