//! Workload identity against stand-ins of the clouds' endpoints, which check what they are asked, and a registry that takes
//! nothing but what they gave.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_lc_rs::{digest, hmac};
use axum::{body::Body, http::Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use sealift_e2e::{
    Login,
    faulty::{Accepts, Behaviour, Fault, FaultyRegistry, Gate, TokenService, What},
};
use sealift_registry::{
    client::{ClientError, Credentials, Proxies},
    identity::{Identity, IdentityError, Provider},
};
use sealift_verify::reference::Repository;
use serde_json::json;

use crate::{
    fake::{Fake, Seen, reply},
    flavours::client,
};

fn identity(provider: Provider, variables: &[(&str, &str)]) -> Credentials {
    let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Credentials::Workload(Arc::new(Identity::of(provider, variable, None, &Proxies::default()).unwrap()))
}

fn form(bytes: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(bytes).into_owned().collect()
}

fn file(content: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, content).unwrap();
    (folder, path.display().to_string())
}

/// Uploads and lists several times, as several clients would.
async fn works(registry: &FaultyRegistry, credentials: Credentials) {
    let client = client(registry, credentials);
    let repository: Repository = format!("{}/acme/shop", registry.host()).parse().unwrap();
    client.push_blob(&repository, "text/plain", "content".into()).await.unwrap();
    for tag in ["a", "b"] {
        let missing = client.resolve(&repository, tag).await.unwrap_err();
        assert!(matches!(missing, ClientError::NotFound { .. }), "{missing:?}");
    }
}

async fn fails(registry: &FaultyRegistry, credentials: Credentials) -> ClientError {
    let client = client(registry, credentials);
    let repository: Repository = format!("{}/acme/shop", registry.host()).parse().unwrap();
    client.resolve(&repository, "v1").await.unwrap_err()
}

const AWS: Login = Login { user: "AWS", password: "a-password-of-ecr" };
const KEY_ID: &str = "ASIAEXAMPLE";
const KEY: &str = "a+secret/key";
const SESSION: &str = "a/session+token==";

/// The signature that a request must carry, computed from what arrived and from the description of the algorithm.
fn aws_signature(seen: &Seen, signed: &str, scope: &str) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let hash = |text: &[u8]| hex(digest::digest(&digest::SHA256, text).as_ref());
    let mac =
        |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec();
    let mut canonical = format!("{}\n{}\n{}\n", seen.method, seen.path, seen.query);
    for name in signed.split(';') {
        canonical += &format!("{name}:{}\n", seen.headers[name].to_str().unwrap());
    }
    canonical += &format!("\n{signed}\n{}", hash(&seen.body));
    let time = seen.headers["x-amz-date"].to_str().unwrap();
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(canonical.as_bytes()));
    let mut key = format!("AWS4{KEY}").into_bytes();
    for part in scope.split('/') {
        key = mac(&key, part);
    }
    hex(&mac(&key, &text))
}

/// ECR: gives the password to whoever has signed as the role.
fn ecr(seen: &Seen, seconds: i64) -> Response<Body> {
    let authorization = seen.authorization().unwrap().strip_prefix("AWS4-HMAC-SHA256 ").unwrap();
    let parts: BTreeMap<&str, &str> = authorization.split(", ").map(|part| part.split_once('=').unwrap()).collect();
    let (id, scope) = parts["Credential"].split_once('/').unwrap();
    let day = &seen.headers["x-amz-date"].to_str().unwrap()[..8];
    assert_eq!((id, scope), (KEY_ID, &*format!("{day}/eu-west-1/ecr/aws4_request")));
    assert_eq!(parts["SignedHeaders"], "content-type;host;x-amz-date;x-amz-security-token;x-amz-target");
    assert_eq!(parts["Signature"], aws_signature(seen, parts["SignedHeaders"], scope));
    assert_eq!(seen.headers["x-amz-security-token"], SESSION);
    assert_eq!(seen.headers["content-type"], "application/x-amz-json-1.1");
    assert_eq!(seen.headers["x-amz-target"], "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");
    assert_eq!((seen.line(), &seen.body[..]), ("POST /".to_owned(), &b"{}"[..]));
    let token = BASE64_STANDARD.encode(format!("{}:{}", AWS.user, AWS.password));
    let expires = jiff::Timestamp::now().as_second() + seconds;
    let data =
        json!({"authorizationToken": token, "expiresAt": expires as f64 + 0.5, "proxyEndpoint": "https://1.dkr.ecr"});
    reply(200, &[], json!({"authorizationData": [data]}).to_string())
}

/// STS: takes the token of the cluster for the role.
fn sts(seen: &Seen, token: &str) -> Response<Body> {
    let asked = form(&seen.body);
    assert_eq!((seen.line(), seen.authorization()), ("POST /".to_owned(), None));
    assert_eq!((&*asked["Action"], &*asked["Version"]), ("AssumeRoleWithWebIdentity", "2011-06-15"));
    assert_eq!((&*asked["RoleArn"], &*asked["RoleSessionName"]), ("arn:aws:iam::1:role/puller", "sealift"));
    if asked["WebIdentityToken"] != token {
        let said =
            "<Code>AccessDenied</Code><Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message>";
        return reply(403, &[], format!("<ErrorResponse><Error>{said}</Error></ErrorResponse>"));
    }
    let credentials = format!(
        "<Credentials><AccessKeyId>{KEY_ID}</AccessKeyId><SecretAccessKey>{KEY}</SecretAccessKey>\
         <SessionToken>{SESSION}</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration></Credentials>"
    );
    let result = format!("<AssumeRoleWithWebIdentityResult>{credentials}</AssumeRoleWithWebIdentityResult>");
    reply(200, &[], format!("<AssumeRoleWithWebIdentityResponse>{result}</AssumeRoleWithWebIdentityResponse>"))
}

#[tokio::test]
async fn aws_by_web_identity() {
    for (seconds, times) in [(12 * 60 * 60, 1), (-1, 4)] {
        let service = Fake::start(|seen| sts(seen, "a.cluster.token")).await;
        let password = Fake::start(move |seen| ecr(seen, seconds)).await;
        let registry = FaultyRegistry::start(Behaviour { gate: Gate::Basic(AWS), ..Behaviour::default() });
        let (_folder, path) = file("a.cluster.token\n");
        let (sts, ecr) = (format!("http://{}", service.host), format!("http://{}/", password.host));
        let variables = [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", &*path),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/puller"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL_STS", &*sts),
            ("AWS_ENDPOINT_URL_ECR", &*ecr),
        ];
        works(&registry, identity(Provider::Aws, &variables)).await;
        let asked = password.seen().len();
        assert!(if times == 1 { asked == 1 } else { asked >= times }, "asked {asked} times for {seconds} s");

        // The platform rotates the token in its file; one that is refused is told in the service's words.
        std::fs::write(&path, "another.token").unwrap();
        let before = service.seen().len();
        let error = fails(&registry, identity(Provider::Aws, &variables)).await;
        let ClientError::Identity { source, .. } = &error else { panic!("{error:?}") };
        assert!(
            source.to_string().ends_with("403: Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            "{source}"
        );
        assert!(!error.is_transient() && service.seen().len() == before + 1);
        assert!(!format!("{error:?}").contains("another.token"));
    }
}

#[tokio::test]
async fn aws_by_pod_identity() {
    let agent = Fake::start(|seen| {
        assert_eq!((seen.line(), seen.authorization()), ("GET /v1/credentials".to_owned(), Some("a.pod.token")));
        let keys = json!({"AccessKeyId": KEY_ID, "SecretAccessKey": KEY, "Token": SESSION, "Expiration": "2030-01-01T00:00:00Z"});
        reply(200, &[], keys.to_string())
    })
    .await;
    let count = AtomicUsize::new(0);
    let password = Fake::start(move |seen| match count.fetch_add(1, Ordering::SeqCst) {
        0 => reply(503, &[], ""),
        _ => ecr(seen, 3600),
    })
    .await;
    let registry = FaultyRegistry::start(Behaviour { gate: Gate::Basic(AWS), ..Behaviour::default() });
    let (_folder, path) = file("a.pod.token");
    let (agent_url, ecr) = (format!("http://{}/v1/credentials", agent.host), format!("http://{}", password.host));
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*agent_url),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &*path),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL_ECR", &*ecr),
    ];
    works(&registry, identity(Provider::Aws, &variables)).await;
    assert_eq!(password.seen().len(), 2, "a service that is out of order is asked again");
}

fn gar() -> FaultyRegistry {
    let service = TokenService {
        elsewhere: false,
        path: "/v2/token",
        service: "europe-docker.pkg.dev",
        field: "token",
        lifetime: Some(300),
        accepts: Accepts::Password(Login { user: "oauth2accesstoken", password: "ya29.token" }),
        public: false,
    };
    FaultyRegistry::start(Behaviour { gate: Gate::Token(service), ..Behaviour::default() })
}

#[tokio::test]
async fn gcp_by_the_metadata_server() {
    let metadata = Fake::start(|seen| {
        assert_eq!(seen.line(), "GET /computeMetadata/v1/instance/service-accounts/default/token");
        assert_eq!(seen.headers["metadata-flavor"], "Google");
        reply(200, &[], json!({"access_token": "ya29.token", "expires_in": 3599, "token_type": "Bearer"}).to_string())
    })
    .await;
    works(&gar(), identity(Provider::Gcp, &[("GCE_METADATA_HOST", &*metadata.host)])).await;
    assert_eq!(metadata.seen().len(), 1);

    // A token that lasts is not asked for again because a registry refuses it.
    let stranger = FaultyRegistry::start(Behaviour { gate: Gate::Basic(AWS), ..Behaviour::default() });
    let refused = fails(&stranger, identity(Provider::Gcp, &[("GCE_METADATA_HOST", &*metadata.host)])).await;
    assert!(matches!(refused, ClientError::Unauthorized { .. }), "{refused:?}");
    assert_eq!(metadata.seen().len(), 2);
}

#[tokio::test]
async fn gcp_by_federation() {
    for impersonates in [false, true] {
        let service = Fake::start(move |seen| {
            let asked: serde_json::Value = serde_json::from_slice(&seen.body).unwrap_or_default();
            match seen.path.as_str() {
                "/subject" => {
                    assert_eq!(seen.headers["x-who"], "ci");
                    reply(200, &[], json!({"value": "a.cluster.token"}).to_string())
                }
                "/v1/token" => {
                    let wanted = json!({
                        "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
                        "requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
                        "scope": "https://www.googleapis.com/auth/cloud-platform",
                        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/c",
                        "subjectToken": "a.cluster.token",
                        "subjectTokenType": "urn:ietf:params:oauth:token-type:jwt",
                    });
                    assert_eq!((&asked, seen.authorization()), (&wanted, None));
                    let token = if impersonates { "federated" } else { "ya29.token" };
                    reply(200, &[], json!({"access_token": token, "expires_in": 3599}).to_string())
                }
                "/v1/projects/-/serviceAccounts/puller:generateAccessToken" => {
                    assert_eq!(seen.authorization(), Some("Bearer federated"));
                    assert_eq!(asked, json!({"scope": ["https://www.googleapis.com/auth/cloud-platform"]}));
                    let expires = jiff::Timestamp::now() + std::time::Duration::from_secs(3600);
                    reply(200, &[], json!({"accessToken": "ya29.token", "expireTime": expires}).to_string())
                }
                other => panic!("{other}"),
            }
        })
        .await;
        let (_folder, token) = file("a.cluster.token\n");
        let here = format!("http://{}", service.host);
        let mut config = json!({
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/c",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{here}/v1/token"),
            "credential_source": {"file": token},
        });
        if impersonates {
            let path = "/v1/projects/-/serviceAccounts/puller:generateAccessToken";
            config["service_account_impersonation_url"] = format!("{here}{path}").into();
            let format = json!({"type": "json", "subject_token_field_name": "value"});
            config["credential_source"] =
                json!({"url": format!("{here}/subject"), "headers": {"x-who": "ci"}, "format": format});
        }
        let (_other, path) = file(&config.to_string());
        works(&gar(), identity(Provider::Gcp, &[("GOOGLE_APPLICATION_CREDENTIALS", &*path)])).await;
        assert_eq!(service.seen().len(), if impersonates { 3 } else { 1 });
    }
    let (_folder, key) = file(r#"{"type":"service_account","private_key":"hunter2"}"#);
    let error = fails(&gar(), identity(Provider::Gcp, &[("GOOGLE_APPLICATION_CREDENTIALS", &*key)])).await;
    let ClientError::Identity { source, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**source, IdentityError::Unusable { .. }) && !format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn azure_by_a_federated_token() {
    let entra = Fake::start(|seen| {
        let asked = form(&seen.body);
        assert_eq!((seen.line(), seen.authorization()), ("POST /tenant-1/oauth2/v2.0/token".to_owned(), None));
        assert_eq!((&*asked["grant_type"], &*asked["client_id"]), ("client_credentials", "client-1"));
        assert_eq!(asked["scope"], "https://containerregistry.azure.net/.default");
        assert_eq!(asked["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        assert_eq!(asked["client_assertion"], "a.cluster.token");
        reply(200, &[], json!({"access_token": "entra", "expires_in": "3599"}).to_string())
    })
    .await;
    let service = TokenService {
        elsewhere: false,
        path: "/oauth2/token",
        service: "acme.azurecr.io",
        field: "access_token",
        lifetime: Some(300),
        accepts: Accepts::Refresh("a refresh&token"),
        public: false,
    };
    let exchange = |status, body| Fault {
        method: "POST",
        path: "/oauth2/exchange",
        spare: 0,
        times: usize::MAX,
        what: What::Answer { status, headers: vec![], body },
    };
    let (_folder, path) = file("a.cluster.token");
    let authority = format!("http://{}/", entra.host);
    let variables = [
        ("AZURE_AUTHORITY_HOST", &*authority),
        ("AZURE_TENANT_ID", "tenant-1"),
        ("AZURE_CLIENT_ID", "client-1"),
        ("AZURE_FEDERATED_TOKEN_FILE", &*path),
    ];
    let fine = exchange(200, r#"{"refresh_token":"a refresh&token"}"#);
    let behaviour = || Behaviour { gate: Gate::Token(service), ..Behaviour::default() };
    let registry = FaultyRegistry::start(Behaviour { faults: vec![fine], ..behaviour() });
    works(&registry, identity(Provider::Azure, &variables)).await;
    let seen = registry.seen();
    let exchanged: Vec<_> = seen.iter().filter(|seen| seen.path == "/oauth2/exchange").collect();
    let asked = form(&exchanged[0].body);
    assert_eq!((exchanged.len(), &*asked["grant_type"], &*asked["access_token"]), (1, "access_token", "entra"));
    assert_eq!((&*asked["service"], &*asked["tenant"]), (registry.host(), "tenant-1"));

    let refused = exchange(403, r#"{"errors":[{"code":"DENIED","message":"no role at this registry"}]}"#);
    let registry = FaultyRegistry::start(Behaviour { faults: vec![refused], ..behaviour() });
    let error = fails(&registry, identity(Provider::Azure, &variables)).await;
    let ClientError::Identity { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().ends_with("403: no role at this registry"), "{source}");
}

#[test]
fn an_environment_that_says_nobody_is_an_error_and_identities_differ() {
    let of = |provider, variables: &[(&str, &str)]| {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Identity::of(provider, variable, None, &Proxies::default())
    };
    for provider in [Provider::Aws, Provider::Azure] {
        let error = of(provider, &[]).unwrap_err();
        assert!(error.to_string().starts_with(&format!("an identity of {provider} needs ")), "{error}");
    }
    assert!(of(Provider::Gcp, &[]).is_ok(), "the metadata server needs no variable");
    assert!(of(Provider::Gcp, &[("GCE_METADATA_HOST", "evil.example")]).is_err(), "plain HTTP stays local");
    let fingerprint = |role| {
        let variables = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"), ("AWS_ROLE_ARN", role)];
        Credentials::Workload(Arc::new(of(Provider::Aws, &variables).unwrap())).fingerprint()
    };
    assert_eq!(fingerprint("a"), fingerprint("a"));
    assert_ne!(fingerprint("a"), fingerprint("b"));
}
