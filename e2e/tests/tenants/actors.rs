//! Who asks: each with rights that would do, so that whatever is denied is denied for who it is.

use std::fmt;

use http::{Method, Request};
use kube::Client;
use sealift_e2e::World;
use serde_json::Value;

/// The namespace and the service account of the controller.
pub(crate) const CONTROLLER: (&str, &str) = ("sealift-system", "sealift-controller");
/// A group that the admission policy names.
pub(crate) const ON_CALL: &str = "oncall";
/// A program that the admission policy names.
pub(crate) const OPERATOR: &str = "system:serviceaccount:operators:operator";

/// The header that says for which Delivery the controller works.
const EXTRA: &str = "Impersonate-Extra-sealift.dev%2Fdelivery";

/// Somebody with a name in tables.
pub(crate) struct Actor {
    pub(crate) name: &'static str,
    client: Client,
    headers: Vec<(&'static str, String)>,
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What is asked.
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) content: &'static str,
    pub(crate) body: Value,
}

/// What the API server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Allowed,
    /// By RBAC, which names the user who may not.
    Rights,
    /// By the schema of the kind: there is no way to write it.
    Schema,
    /// By the policy of this name.
    Policy(&'static str),
}

impl Answer {
    /// As tables say it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Allowed => "yes",
            Self::Rights => "no: RBAC",
            Self::Schema => "no: schema",
            Self::Policy(_) => "**no**",
        }
    }
}

impl Actor {
    /// A service account with a real token.
    pub(crate) async fn account(world: &World<'_>, name: &'static str, of: (&str, &str)) -> Self {
        let client = world.control_plane.service_account_client(of.0, of.1).await;
        Self { name, client, headers: vec![] }
    }

    /// A person or a program whose name an administrator takes: to admission it is the one.
    pub(crate) fn impersonated(world: &World<'_>, name: &'static str, user: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|group| ("Impersonate-Group", (*group).to_owned()));
        let headers = [("Impersonate-User", user.to_owned())].into_iter().chain(groups).collect();
        Self { name, client: world.client.clone(), headers }
    }

    /// A member of `system:masters`.
    pub(crate) fn admin(world: &World<'_>, name: &'static str) -> Self {
        Self { name, client: world.client.clone(), headers: vec![] }
    }

    /// The same, claiming to be this account.
    pub(crate) fn acting(self, account: (&str, &str)) -> Self {
        let user = ("Impersonate-User", format!("system:serviceaccount:{}:{}", account.0, account.1));
        Self { headers: vec![user], ..self }
    }

    /// The same, claiming to be this account at work for a Delivery.
    pub(crate) fn working(self, name: &'static str, account: (&str, &str), delivery: (&str, &str)) -> Self {
        let mut working = Self { name, ..self.acting(account) };
        working.headers.push((EXTRA, format!("{}/{}", delivery.0, delivery.1)));
        working
    }

    /// Asks, and tells a denial from whatever else goes wrong, which fails the test.
    pub(crate) async fn ask(&self, what: &str, ask: Ask) -> Answer {
        let Ask { method, path, content, body } = ask;
        let request = Request::builder().method(method).uri(&path).header("Content-Type", content);
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        let body = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
        match self.client.request::<Value>(request.body(body).unwrap()).await {
            Ok(_) => Answer::Allowed,
            Err(kube::Error::Api(status)) if status.code == 403 => {
                let by = |policy: &str| status.message.contains(&format!("ValidatingAdmissionPolicy '{policy}'"));
                match ["sealift-managed-objects", "sealift-records"].into_iter().find(|policy| by(policy)) {
                    Some(policy) => Answer::Policy(policy),
                    None if [" cannot ", "is attempting to grant"]
                        .iter()
                        .any(|words| status.message.contains(words)) =>
                    {
                        Answer::Rights
                    }
                    None => panic!("{what} as {self:?}: {}", status.message),
                }
            }
            Err(kube::Error::Api(status)) if status.code == 422 => Answer::Schema,
            Err(error) => panic!("{what} as {self:?}: {error}"),
        }
    }
}
