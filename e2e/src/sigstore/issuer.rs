//! An OpenID issuer: discovery, its key, tokens, and GitHub's way for a job to ask for one.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
    thread,
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::identity::{Identity, Kind};

/// Seconds that a token holds.
const LIFETIME: i64 = 600;

/// A running issuer; it ends when dropped.
#[derive(Debug)]
pub(super) struct Issuer {
    signer: Arc<Signer>,
    _until_dropped: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Signer {
    port: u16,
    key: KeyPair,
}

#[derive(Debug, serde::Deserialize)]
struct Asked {
    audience: String,
}

impl Issuer {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a socket can be set so");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        // as the issuers of CI systems have it: cosign takes a token of another kind for the name of a file
        let key = KeyPair::generate(KeySize::Rsa2048).expect("a key pair can be made");
        let signer = Arc::new(Signer { port, key });
        let routes = Router::new()
            .route("/{kind}/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/actions/token", get(github_token))
            .with_state(Arc::clone(&signer));
        let (until_dropped, dropped) = oneshot::channel::<()>();
        // a thread and runtime of its own: tests with and without one use it
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a bound socket can be taken over");
                let serve = axum::serve(listener, routes).with_graceful_shutdown(async { drop(dropped.await) });
                let _ = serve.await;
            });
        });
        Self { signer, _until_dropped: until_dropped }
    }

    /// Its address; the issuers below it have one each.
    pub(super) fn url(&self) -> String {
        self.signer.url()
    }

    pub(super) fn of(&self, identity: &Identity) -> String {
        format!("{}/{}", self.url(), identity.kind.path())
    }

    pub(super) fn token(&self, identity: &Identity, audience: &str) -> String {
        self.signer.token(identity.kind, &identity.claims, audience)
    }

    /// What the job has to show for a token is, base64url, what the token will say.
    pub(super) fn github_variables(&self, identity: &Identity) -> Vec<(String, String)> {
        let request = URL_SAFE_NO_PAD.encode(identity.claims.to_string());
        let variables = [
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/actions/token?api-version=2.0", self.url())),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", request),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// The configuration of a Fulcio that believes it: for the CI systems which claim becomes which extension of a
    /// certificate, as the public instance has it.
    pub(super) fn fulcio_config(&self) -> Value {
        let mut issuers = json!({});
        for kind in Kind::ALL {
            let address = format!("{}/{}", self.url(), kind.path());
            issuers[&address] = match kind {
                Kind::Email => json!({"issuer-url": address, "client-id": "sigstore", "type": "email"}),
                Kind::Jenkins => json!({
                    "issuer-url": address, "client-id": "sigstore", "type": "uri", "subject-domain": "http://127.0.0.1",
                }),
                Kind::Kubernetes => json!({"issuer-url": address, "client-id": "sigstore", "type": "kubernetes"}),
                Kind::Github | Kind::Gitlab => json!({
                    "issuer-url": address, "client-id": "sigstore", "type": "ci-provider", "ci-provider": kind.path(),
                }),
            };
        }
        json!({"oidc-issuers": issuers, "ci-issuer-metadata": {
            "github": {
                "default-template-values": {"url": "https://github.com", "environment": ""},
                "subject-alternative-name-template": "{{ .url }}/{{ .job_workflow_ref }}",
                "extension-templates": {
                    "github-workflow-trigger": "event_name", "github-workflow-sha": "sha",
                    "github-workflow-name": "workflow", "github-workflow-repository": "repository",
                    "github-workflow-ref": "ref",
                    "build-signer-uri": "{{ .url }}/{{ .job_workflow_ref }}", "build-signer-digest": "job_workflow_sha",
                    "runner-environment": "runner_environment",
                    "source-repository-uri": "{{ .url }}/{{ .repository }}", "source-repository-digest": "sha",
                    "source-repository-ref": "ref", "source-repository-identifier": "repository_id",
                    "source-repository-owner-uri": "{{ .url }}/{{ .repository_owner }}",
                    "source-repository-owner-identifier": "repository_owner_id",
                    "build-config-uri": "{{ .url }}/{{ .workflow_ref }}", "build-config-digest": "workflow_sha",
                    "build-trigger": "event_name",
                    "run-invocation-uri": "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}",
                    "source-repository-visibility-at-signing": "repository_visibility",
                    "deployment-environment": "environment",
                },
            },
            "gitlab": {
                "default-template-values": {"url": "https://gitlab.com", "environment": ""},
                "subject-alternative-name-template": "https://{{ .ci_config_ref_uri }}",
                "extension-templates": {
                    "build-signer-uri": "https://{{ .ci_config_ref_uri }}", "build-signer-digest": "ci_config_sha",
                    "runner-environment": "runner_environment",
                    "source-repository-uri": "{{ .url }}/{{ .project_path }}", "source-repository-digest": "sha",
                    "source-repository-ref": "refs/{{ if eq .ref_type \"branch\" }}heads/{{ else }}tags/{{ end }}{{ .ref }}",
                    "source-repository-identifier": "project_id",
                    "source-repository-owner-uri": "{{ .url }}/{{ .namespace_path }}",
                    "source-repository-owner-identifier": "namespace_id",
                    "build-config-uri": "https://{{ .ci_config_ref_uri }}", "build-config-digest": "ci_config_sha",
                    "build-trigger": "pipeline_source",
                    "run-invocation-uri": "{{ .url }}/{{ .project_path }}/-/jobs/{{ .job_id }}",
                    "source-repository-visibility-at-signing": "project_visibility",
                    "deployment-environment": "environment",
                },
            },
        }})
    }
}

impl Signer {
    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A JSON Web Token with these claims and the ones that every token has.
    fn token(&self, kind: Kind, claims: &Value, audience: &str) -> String {
        let now = Timestamp::now().as_second();
        let mut claims = claims.clone();
        claims["iss"] = json!(format!("{}/{}", self.url(), kind.path()));
        claims["aud"] = json!(audience);
        claims["iat"] = json!(now);
        claims["nbf"] = json!(now);
        claims["exp"] = json!(now + LIFETIME);
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": "tests"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).expect("a key can sign");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

async fn discovery(State(signer): State<Arc<Signer>>, Path(kind): Path<String>) -> Json<Value> {
    let url = signer.url();
    Json(json!({
        "issuer": format!("{url}/{kind}"), "jwks_uri": format!("{url}/keys"),
        "authorization_endpoint": format!("{url}/none"), "token_endpoint": format!("{url}/none"),
        "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }))
}

async fn keys(State(signer): State<Arc<Signer>>) -> Json<Value> {
    let key = signer.key.public_key();
    let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    Json(json!({"keys": [{
        "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "tests",
        "n": number(key.modulus().big_endian_without_leading_zero()),
        "e": number(key.exponent().big_endian_without_leading_zero()),
    }]}))
}

async fn github_token(
    State(signer): State<Arc<Signer>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or(StatusCode::UNAUTHORIZED)?;
    let (scheme, token) = shown.split_once(' ').ok_or(StatusCode::UNAUTHORIZED)?;
    let claims = URL_SAFE_NO_PAD.decode(token).ok().and_then(|claims| serde_json::from_slice::<Value>(&claims).ok());
    match claims {
        Some(claims) if scheme.eq_ignore_ascii_case("bearer") && claims.is_object() => {
            Ok(Json(json!({"count": 1, "value": signer.token(Kind::Github, &claims, &asked.audience)})))
        }
        _ => Err(StatusCode::UNAUTHORIZED),
    }
}
