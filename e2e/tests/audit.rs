//! What an auditor finds: in the cluster why each Delivery took what it runs, in the log every decision.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use sealift_apply::api::{AcceptedRelease, accepted_release_name};
use sealift_e2e::{Cli, ControlPlane, World};
use sealift_verify::{
    digest::Digest,
    evidence::{CheckId, CheckResult, Outcome, packed, record},
};
use serde_json::{Value, json};

/// A release in the cluster, the Delivery that took it and the controller's log.
async fn audited(test: impl AsyncFnOnce(&World<'_>, &Cli, Digest, &str)) {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "audit", async |world| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"value": "x"}});
        let map = world.cli.write("map.json", map.to_string());
        let log = world.cli.home().join("audit.jsonl").display().to_string();
        let digest = world.push("app:stable", &[&map], &["--version", "1.0.0"]);
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        world.start_controller_with(&["--audit-log", &log]).await;
        world.deliver(&world.namespace, "web", world.following("app", "stable", account)).await;
        world.delivered((&world.namespace, "web"), digest).await;
        let auditor = Cli::new().with_env("KUBECONFIG", &control_plane.kubeconfig().display().to_string());
        test(world, &auditor, digest, &log).await;
    })
    .await;
}

#[tokio::test]
async fn a_cluster_keeps_why_a_delivery_took_what_it_runs_and_the_log_says_the_same() {
    audited(async |world, auditor, digest, log| {
        let namespace = world.namespace.as_str();
        let pinned = format!("oci://{}@{digest}", world.repository("app"));
        let by_delivery = ["audit", "delivery/web", "-n", namespace];
        let by_artifact = ["audit", &pinned];
        let document: Value =
            serde_json::from_str(&auditor.succeed(&[&by_delivery[..], &["-o", "json"]].concat())).unwrap();
        let evidence = record::read(&document).unwrap();
        assert_eq!((evidence.artifact, evidence.outcome), (digest, Outcome::Accepted));
        let row = evidence.check(CheckId::Memory);
        assert_eq!((row.result, row.detail.as_str()), (CheckResult::Pass, "first seen"), "the facts of that moment");

        let text = auditor.succeed(&by_delivery);
        assert!(text.starts_with(&format!("Delivery {namespace}/web (selected)\n")), "{text}");
        assert!(text.ends_with("ACCEPTED"), "{text}");
        assert_eq!(auditor.succeed(&by_artifact), text, "one Delivery took it");
        let logged: Value =
            serde_json::from_str(&auditor.succeed(&[&by_delivery[..], &["--records", log, "-o", "json"]].concat()))
                .unwrap();
        assert_eq!(record::read(&logged).unwrap(), evidence, "one decision, one record");
        assert_eq!(auditor.succeed(&[&by_artifact[..], &["--records", log]].concat()), text);
        assert!(auditor.succeed(&[&by_delivery[..], &["-o", "junit"]].concat()).contains("failures=\"0\""));

        // What is refused afterwards changes nothing about why the other was taken.
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}});
        let map = world.cli.write("moon.json", map.to_string());
        world.push("app:stable", &[&map], &["--env", "moon"]);
        world.reconcile((namespace, "web")).await;
        world.refused((namespace, "web"), "WrongEnvironment").await;
        assert_eq!(auditor.succeed(&by_delivery), text);
        // The log has a writer of its own, which nobody waits for.
        world
            .until("the refusal to be logged", async || {
                let logged = auditor.succeed(&[&by_delivery[..], &["--records", log]].concat());
                assert!(logged.starts_with(&text), "{logged}");
                if logged.contains("REFUSED WrongEnvironment") { Ok(()) } else { Err(logged) }
            })
            .await;

        for (line, code) in [
            (&["audit", "delivery/nobody", "-n", namespace][..], 6),
            (&["audit", &pinned.replace(&digest.to_string(), &Digest::of(b"other").to_string())], 6),
            (&["audit", "delivery/nobody", "-n", namespace, "--records", log], 6),
            (&["audit", "delivery/web", "--records", log], 2),
            (&["audit", log, "--records", log], 2),
        ] {
            let refused = auditor.run(line);
            assert_eq!((refused.code, refused.stdout.as_str()), (code, ""), "{line:?} {}", refused.stderr);
        }
    })
    .await;
}

#[tokio::test]
async fn a_record_that_somebody_changed_in_the_cluster_is_refused() {
    audited(async |world, auditor, _, _| {
        let namespace = world.namespace.as_str();
        let releases: Api<AcceptedRelease> = Api::all(world.client.clone());
        let name = accepted_release_name(namespace, "web");
        let kept = releases.get(&name).await.unwrap().spec.evidence.unwrap();
        let put = async |evidence: &str| {
            let patch = json!({"spec": {"evidence": evidence}});
            releases.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
            auditor.run(&["audit", "delivery/web", "-n", namespace])
        };
        // Another release's record, whole and good in itself.
        let mut other = packed::unpack(&kept).unwrap();
        let digest = Digest::of(b"another release");
        other.reference = other.reference.replace(&other.artifact.to_string(), &digest.to_string());
        other.artifact = digest;
        let refused = put(&packed::pack(&other).unwrap()).await;
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("about another release than the memory beside it"), "{}", refused.stderr);
        let refused = put("bm9uc2Vuc2U=").await;
        assert_eq!((refused.code, refused.stdout.as_str()), (5, ""), "{}", refused.stderr);
        assert_eq!(put(&kept).await.code, 0);
    })
    .await;
}
