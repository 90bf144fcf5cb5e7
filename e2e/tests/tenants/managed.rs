//! Changing what Sealift manages, under the admission policy.

use http::Method;
use sealift_e2e::World;
use serde_json::{Value, json};

use crate::actors::{Actor, Answer, Ask, CONTROLLER, ON_CALL, OPERATOR};

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// What is there before somebody tries something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A ConfigMap that a Delivery of the first namespace manages.
    Managed,
    /// One that says that others may write to it.
    Merged,
    /// A Deployment that it manages.
    Workload,
    /// A ConfigMap that nobody manages.
    Foreign,
}

/// One row: what is tried, on what, and by whom it may be done (`y`), in the order of [`actors`].
struct Row {
    what: &'static str,
    before: Before,
    ask: fn(&str, &str) -> Ask,
    may: &'static str,
}

fn at(namespace: &str, plural: &str, name: &str) -> String {
    let group = if plural.starts_with("deployments") { "apis/apps/v1" } else { "api/v1" };
    format!("/{group}/namespaces/{namespace}/{plural}/{name}")
}

fn patch(path: String, content: &'static str, body: Value) -> Ask {
    Ask { method: Method::PATCH, path, content, body }
}

fn create(namespace: &str, name: &str, metadata: Value) -> Ask {
    let mut metadata = metadata;
    metadata["name"] = name.into();
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    Ask { method: Method::POST, path: format!("/api/v1/namespaces/{namespace}/configmaps"), content: JSON, body }
}

/// An object as the controller applies it.
fn applied(namespace: &str, plural: &str, name: &str, manner: &str) -> Ask {
    let annotations = json!({"sealift.dev/delivery-name": format!("{namespace}/shop"), "sealift.dev/apply": manner});
    let metadata =
        json!({"name": name, "annotations": annotations, "labels": {"sealift.dev/delivery": "u1", "cell": name}});
    let mut body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": "released"}});
    if plural == "deployments" {
        let template = json!({"metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": "registry.invalid/app:1"}]}});
        let spec = json!({"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template});
        body = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec});
    }
    patch(format!("{}?fieldManager=sealift&force=true", at(namespace, plural, name)), APPLY, body)
}

const ROWS: &[Row] = &[
    Row {
        what: "change a value (merge patch)",
        before: Before::Managed,
        ask: |n, name| patch(at(n, "configmaps", name), MERGE, json!({"data": {"key": "mine"}})),
        may: "nnynyn",
    },
    Row {
        what: "the same, saying until when (`sealift.dev/break-glass-until`)",
        before: Before::Managed,
        ask: |n, name| {
            let metadata = json!({"annotations": {"sealift.dev/break-glass-until": "2026-01-31T18:00:00Z"}});
            patch(at(n, "configmaps", name), MERGE, json!({"metadata": metadata, "data": {"key": "mine"}}))
        },
        may: "nnnyyn",
    },
    Row {
        what: "change an image (strategic merge patch)",
        before: Before::Workload,
        ask: |n, name| {
            let containers = json!([{"name": "main", "image": "registry.invalid/evil"}]);
            let body = json!({"spec": {"template": {"spec": {"containers": containers}}}});
            patch(at(n, "deployments", name), STRATEGIC, body)
        },
        may: "nnynyn",
    },
    Row {
        what: "apply as the field manager `sealift`",
        before: Before::Managed,
        ask: |n, name| applied(n, "configmaps", name, "override"),
        may: "nnyyyn",
    },
    Row {
        what: "take the label off (JSON patch)",
        before: Before::Managed,
        ask: |n, name| {
            let body = json!([{"op": "remove", "path": "/metadata/labels/sealift.dev~1delivery"}]);
            patch(at(n, "configmaps", name), PATCH, body)
        },
        may: "nnnyyn",
    },
    Row {
        what: "name another Delivery as its owner",
        before: Before::Managed,
        ask: |n, name| {
            let body = json!({"metadata": {"annotations": {"sealift.dev/delivery-name": "elsewhere/app"}}});
            patch(at(n, "configmaps", name), MERGE, body)
        },
        may: "nnnnnn",
    },
    Row {
        what: "forget that it was applied (`managedFields: [{}]`)",
        before: Before::Managed,
        ask: |n, name| patch(at(n, "configmaps", name), MERGE, json!({"metadata": {"managedFields": [{}]}})),
        may: "nnnnyn",
    },
    Row {
        what: "name another Delivery as its owner, through `status`",
        before: Before::Workload,
        ask: |n, name| {
            let body = json!({"metadata": {"annotations": {"sealift.dev/delivery-name": "elsewhere/app"}}});
            patch(at(n, "deployments", &format!("{name}/status")), MERGE, body)
        },
        may: "nnnynn",
    },
    Row {
        what: "delete it",
        before: Before::Managed,
        ask: |n, name| Ask {
            method: Method::DELETE,
            path: at(n, "configmaps", name),
            content: JSON,
            body: Value::Null,
        },
        may: "nnyyyn",
    },
    Row {
        what: "delete it among others (`deletecollection`)",
        before: Before::Managed,
        ask: |n, name| {
            let path = format!("/api/v1/namespaces/{n}/configmaps?labelSelector=cell%3D{name}");
            Ask { method: Method::DELETE, path, content: JSON, body: Value::Null }
        },
        may: "nnyyyn",
    },
    Row {
        what: "write to one whose release says `sealift.dev/apply: merge`",
        before: Before::Merged,
        ask: |n, name| patch(at(n, "configmaps", name), MERGE, json!({"data": {"more": "mine"}})),
        may: "yyyyyy",
    },
    Row {
        what: "let such a change stand (`sealift.dev/break-glass-until`)",
        before: Before::Merged,
        ask: |n, name| {
            let metadata = json!({"annotations": {"sealift.dev/break-glass-until": "2026-01-31T18:00:00Z"}});
            patch(at(n, "configmaps", name), MERGE, json!({"metadata": metadata}))
        },
        may: "nnnyyn",
    },
    Row {
        what: "let others write to one whose release does not",
        before: Before::Managed,
        ask: |n, name| {
            patch(
                at(n, "configmaps", name),
                MERGE,
                json!({"metadata": {"annotations": {"sealift.dev/apply": "merge"}}}),
            )
        },
        may: "nnnnyn",
    },
    Row {
        what: "scale it (`scale`)",
        before: Before::Workload,
        ask: |n, name| patch(at(n, "deployments", &format!("{name}/scale")), MERGE, json!({"spec": {"replicas": 1}})),
        may: "yyyyyy",
    },
    Row {
        what: "write its `status`",
        before: Before::Workload,
        ask: |n, name| {
            patch(at(n, "deployments", &format!("{name}/status")), MERGE, json!({"status": {"observedGeneration": 1}}))
        },
        may: "yyyyyy",
    },
    Row {
        what: "try a change (`dryRun=All`)",
        before: Before::Managed,
        ask: |n, name| {
            patch(format!("{}?dryRun=All", at(n, "configmaps", name)), MERGE, json!({"data": {"key": "mine"}}))
        },
        may: "yyyyyn",
    },
    Row {
        what: "put the label on somebody else's object",
        before: Before::Foreign,
        ask: |n, name| {
            patch(at(n, "configmaps", name), MERGE, json!({"metadata": {"labels": {"sealift.dev/delivery": "u1"}}}))
        },
        may: "nnyynn",
    },
    Row {
        what: "create an object with the label",
        before: Before::Nothing,
        ask: |n, name| create(n, name, json!({"labels": {"sealift.dev/delivery": "u1"}})),
        may: "nnyynn",
    },
    Row {
        what: "create one that something with the label owns (as operators do)",
        before: Before::Nothing,
        ask: |n, name| {
            let owner =
                json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "parent", "uid": "1", "controller": true});
            create(n, name, json!({"labels": {"sealift.dev/delivery": "u1"}, "ownerReferences": [owner]}))
        },
        may: "yyyyyy",
    },
    Row {
        what: "change an object without the label",
        before: Before::Foreign,
        ask: |n, name| patch(at(n, "configmaps", name), MERGE, json!({"data": {"key": "mine"}})),
        may: "yyyyyy",
    },
];

/// Who tries, in the order of columns. `elsewhere` has a Delivery of its own, and an account that may do anything anywhere.
async fn actors(world: &World<'_>, elsewhere: &str) -> [Actor; 6] {
    let here = world.namespace.as_str();
    let controller = async || Actor::account(world, "the controller", CONTROLLER).await;
    [
        Actor::account(world, "tenant", (here, "deployer")).await,
        Actor::admin(world, "cluster administrator"),
        Actor::impersonated(world, "named operator", OPERATOR, &["system:serviceaccounts"]),
        Actor::impersonated(world, "break-glass group", "dana", &[ON_CALL]),
        controller().await.working("its Delivery", (here, "deployer"), (here, "shop")),
        controller().await.working("Delivery of another namespace", (elsewhere, "deployer"), (elsewhere, "app")),
    ]
}

/// Tries everything as everybody, and gives the table.
pub(crate) async fn table(world: &World<'_>, elsewhere: &str) -> String {
    let actors = actors(world, elsewhere).await;
    let (owner, admin) = (&actors[4], &actors[1]);
    let names: Vec<_> = actors.iter().map(|actor| actor.name).collect();
    let mut text = format!("| | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for (number, row) in ROWS.iter().enumerate() {
        let mut answers = vec![];
        for (column, actor) in actors.iter().enumerate() {
            let (n, name) = (world.namespace.as_str(), format!("cell-{number}-{column}"));
            let made = match row.before {
                Before::Nothing => None,
                Before::Managed => Some((owner, applied(n, "configmaps", &name, "override"))),
                Before::Merged => Some((owner, applied(n, "configmaps", &name, "merge"))),
                Before::Workload => Some((owner, applied(n, "deployments", &name, "override"))),
                Before::Foreign => Some((admin, create(n, &name, json!({})))),
            };
            if let Some((maker, ask)) = made {
                assert_eq!(maker.ask("to prepare", ask).await, Answer::Allowed, "{}", row.what);
            }
            answers.push(actor.ask(row.what, (row.ask)(n, &name)).await);
        }
        let may: String = answers.iter().map(|answer| if *answer == Answer::Allowed { 'y' } else { 'n' }).collect();
        assert_eq!(may, row.may, "{}: {answers:?}", row.what);
        let words: Vec<_> = answers.iter().map(|answer| answer.word()).collect();
        text += &format!("| {} | {} |\n", row.what, words.join(" | "));
    }
    text
}
