//! Running the attempts, and asking what the controller itself may do.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sealift_e2e::{
    Login, World,
    faulty::{Behaviour, FaultyRegistry, Gate},
    may, policy,
};
use serde_json::{Value, json};

use crate::{
    actors::{Actor, Answer, CONTROLLER},
    attempts::{ATTEMPTS, Attempt, Place},
};

const LOGIN: Login = Login { user: "theirs", password: "their-password" };

/// The tenant: an account with the ClusterRole `admin` in its namespace, as platform teams give it.
const TENANT: &str = "tenant";

/// The other tenant has a Secret, a ConfigMap, a private artifact, and a Delivery that runs it.
async fn other_tenant(world: &World<'_>, elsewhere: &str, registry: &FaultyRegistry) -> String {
    let login = BASE64_STANDARD.encode(format!("{}:{}", LOGIN.user, LOGIN.password));
    let config = json!({"auths": {registry.host(): {"auth": login}}}).to_string();
    world.cli.write(".docker/config.json", config.clone());
    let secret = format!("--from-literal=.dockerconfigjson={config}");
    let words = ["create", "secret", "generic", "pull", "--type=kubernetes.io/dockerconfigjson", &secret];
    world.kubectl(&[&words[..], &["-n", elsewhere]].concat());
    world.kubectl(&["create", "secret", "generic", "theirs", "--from-literal=key=secret", "-n", elsewhere]);
    world.kubectl(&["create", "configmap", "theirs", "--from-literal=key=theirs", "-n", elsewhere]);

    let private = format!("{}/team/private", registry.host());
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "private"}, "data": {"key": "1"}});
    let file = world.cli.write("private.yaml", map.to_string()).display().to_string();
    let (reference, key) = (format!("oci://{private}:prod"), world.key.private().display().to_string());
    let pushed = world.cli.run(&["push", &reference, "--key", &key, "-f", &file]);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    let name = format!("{}-private", world.namespace);
    world.put_policy(policy(&name, &[&format!("{}/**", registry.host())], &world.key)).await;
    let account = world.namespace_account(elsewhere);
    let spec = json!({"repository": private, "select": {"tag": "prod"}, "serviceAccountName": account, "pullSecretName": "pull"});
    world.deliver(elsewhere, "app", spec).await;
    world.delivered((elsewhere, "app"), pushed.digest()).await;
    private
}

/// Makes the Delivery of an attempt.
async fn attempt(world: &World<'_>, at: &Place, number: usize, attempt: &Attempt) {
    let Some(delivered) = &attempt.delivered else { return };
    let own = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("try-{number}")},
        "data": {"key": "${VALUE}"}});
    // What is tried stands alone: beside something that may be applied first it would be refused later.
    let (objects, more) = match (delivered.objects)(at) {
        objects if objects.is_empty() => (vec![own], &["--var", "VALUE=own"][..]),
        objects => (objects, &[][..]),
    };
    let text: Vec<String> = objects.iter().map(Value::to_string).collect();
    let file = world.cli.write(&format!("try-{number}.yaml"), text.join("\n---\n"));
    world.push(&format!("tries/try-{number}:prod"), &[&file], more);
    let mut spec = world.following(&format!("tries/try-{number}"), "prod", TENANT);
    (delivered.spec)(at, &mut spec);
    world.deliver(&at.here, &format!("try-{number}"), spec).await;
}

/// Everything a tenant tries, as a table.
pub(crate) async fn attempts(world: &World<'_>) -> String {
    let elsewhere = world.another_namespace("theirs").await;
    let registry = FaultyRegistry::start(Behaviour { gate: Gate::Basic(LOGIN), ..Behaviour::default() });
    world.trust().await;
    world.start_controller_with(&[&format!("--plain-http-host={}", registry.host())]).await;
    let private = other_tenant(world, &elsewhere, &registry).await;
    let at = Place { here: world.namespace.clone(), elsewhere, private };
    world.kubectl(&["create", "serviceaccount", TENANT, "-n", &at.here]);
    let account = format!("--serviceaccount={}:{TENANT}", at.here);
    world.kubectl(&["create", "rolebinding", TENANT, "--clusterrole=admin", &account, "-n", &at.here]);
    for (number, one) in ATTEMPTS.iter().enumerate() {
        attempt(world, &at, number, one).await;
    }

    let tenant = Actor::account(world, "tenant", (&at.here, TENANT)).await;
    let mut text = "| What a tenant tries | Asked of the API server | Through a Delivery |\n|---|---|---|\n".to_owned();
    for (number, Attempt { what, direct, delivered }) in ATTEMPTS.iter().enumerate() {
        let asked = match direct {
            Some((ask, wanted)) => {
                let answer = tenant.ask(what, ask(&at)).await;
                assert_eq!(answer, *wanted, "{what}");
                answer.word()
            }
            None => "",
        };
        let of = format!("try-{number}");
        let came = match delivered {
            Some(delivered) if delivered.reason.is_empty() => {
                world.wait_for((&at.here, &of), "what it may have", sealift_e2e::is_ready).await;
                "yes".to_owned()
            }
            Some(delivered) => {
                let message = world.refused((&at.here, &of), delivered.reason).await;
                assert!(message.contains(delivered.says), "{what}: {message}");
                assert!(!message.contains(LOGIN.password), "{what}: {message}");
                format!("no: {} (`{}`)", delivered.by, delivered.reason)
            }
            None => String::new(),
        };
        text += &format!("| {what} | {asked} | {came} |\n");
    }
    text + &acting(world, &at).await
}

/// As whom a tenant may speak.
async fn acting(world: &World<'_>, at: &Place) -> String {
    let mut text = String::new();
    let tenant = async || Actor::account(world, "tenant", (&at.here, TENANT)).await;
    for (what, actor) in [
        ("impersonate an account of another namespace", tenant().await.acting((&at.elsewhere, "deployer"))),
        ("impersonate the controller", tenant().await.acting(CONTROLLER)),
        (
            "claim to be the controller at work for its own Delivery",
            tenant().await.working("claims", (&at.here, TENANT), (&at.here, "try-0")),
        ),
    ] {
        let ask = crate::attempts::list(&at.here);
        let answer = actor.ask(what, ask).await;
        assert_eq!(answer, Answer::Rights, "{what}");
        text += &format!("| {what} | {} | |\n", answer.word());
    }
    text
}

/// What the controller's own account may do, and may not: verbs, then group, resource and subresource.
const RIGHTS: &[(&str, (&str, &str, &str), bool)] = &[
    ("impersonate", ("", "serviceaccounts", ""), true),
    ("impersonate", ("authentication.k8s.io", "userextras", "sealift.dev/delivery"), true),
    ("patch", ("sealift.dev", "deliveries", "status"), true),
    ("watch", ("sealift.dev", "signaturepolicies", ""), true),
    ("create", ("sealift.dev", "acceptedreleases", ""), true),
    ("delete", ("sealift.dev", "inventories", ""), true),
    ("create", ("events.k8s.io", "events", ""), true),
    ("watch", ("apps", "deployments", ""), true),
    ("impersonate", ("", "users", ""), false),
    ("impersonate", ("", "groups", ""), false),
    ("impersonate", ("authentication.k8s.io", "uids", ""), false),
    ("impersonate", ("authentication.k8s.io", "userextras", "scopes"), false),
    ("get", ("", "secrets", ""), false),
    ("list", ("", "secrets", ""), false),
    ("watch", ("", "secrets", ""), false),
    ("get", ("", "configmaps", ""), false),
    ("create", ("", "pods", ""), false),
    ("create", ("", "pods", "exec"), false),
    ("get", ("", "pods", "log"), false),
    ("create", ("", "serviceaccounts", "token"), false),
    ("create", ("apps", "deployments", ""), false),
    ("patch", ("apps", "deployments", ""), false),
    ("delete", ("apps", "deployments", ""), false),
    ("create", ("sealift.dev", "deliveries", ""), false),
    ("delete", ("sealift.dev", "deliveries", ""), false),
    ("create", ("sealift.dev", "signaturepolicies", ""), false),
    ("patch", ("sealift.dev", "signaturepolicies", ""), false),
    ("delete", ("sealift.dev", "signaturepolicies", ""), false),
    ("create", ("sealift.dev", "trustroots", ""), false),
    ("patch", ("sealift.dev", "trustroots", ""), false),
    ("delete", ("sealift.dev", "acceptedreleases", ""), false),
    ("deletecollection", ("sealift.dev", "acceptedreleases", ""), false),
    ("create", ("rbac.authorization.k8s.io", "clusterrolebindings", ""), false),
    ("bind", ("rbac.authorization.k8s.io", "clusterroles", ""), false),
    ("escalate", ("rbac.authorization.k8s.io", "clusterroles", ""), false),
    ("patch", ("admissionregistration.k8s.io", "validatingadmissionpolicies", ""), false),
    ("delete", ("admissionregistration.k8s.io", "validatingadmissionpolicybindings", ""), false),
];

/// The controller's rights as a table: one row a resource, with the verbs that were asked about.
pub(crate) async fn rights(world: &World<'_>) -> String {
    let client = world.control_plane.service_account_client(CONTROLLER.0, CONTROLLER.1).await;
    let mut rows: Vec<(String, [Vec<&str>; 2])> = vec![];
    for &(verb, what, wanted) in RIGHTS {
        // Rights to watch are aggregated by the controller manager, a moment after the control plane began.
        world
            .until(&format!("{verb} {what:?}: {wanted}"), async || {
                if may(&client, verb, what, None).await == wanted { Ok(()) } else { Err("it is otherwise".to_owned()) }
            })
            .await;
        let (group, resource, subresource) = what;
        let name = [resource, subresource].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        let name = if group.is_empty() { name } else { format!("{name} ({group})") };
        let at = rows.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            rows.push((name, [vec![], vec![]]));
            rows.len() - 1
        });
        rows[at].1[usize::from(!wanted)].push(verb);
    }
    let head = "| The controller as itself | may | may not |\n|---|---|---|\n".to_owned();
    rows.iter()
        .fold(head, |text, (name, [yes, no])| format!("{text}| {name} | {} | {} |\n", yes.join(", "), no.join(", ")))
}
