//! Admission webhooks in the way of an apply: they deny, say nothing, or take no part in dry-runs.

#![allow(clippy::unwrap_used, reason = "all of it is test code, which clippy does not see outside of tests")]

use std::time::Duration;

use sealift_e2e::{Says, Webhook};
use serde_json::Value;

use crate::{applying::tempfile, with_delivery, world::Delivery};

/// The webhook is in force some time after its configuration was taken: until then it is not asked.
async fn in_force(delivery: &Delivery, webhook: &Webhook, seconds: u8) {
    let file = tempfile(&webhook.configuration(&delivery.namespace, seconds));
    delivery.kubectl(&["create", "-f", file.path().to_str().unwrap()]);
    for _ in 0..600 {
        let probe = ["create", "configmap", "probe", "--dry-run=server", "-n", &delivery.namespace];
        let _ = delivery.control_plane.kubectl(&probe);
        if !webhook.asked().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the webhook is never asked");
}

fn remove(delivery: &Delivery) {
    let name = format!("guard.{}.example.com", delivery.namespace);
    delivery.kubectl(&["delete", "validatingwebhookconfiguration", &name]);
}

#[tokio::test]
async fn a_webhook_that_denies_is_named_and_nothing_is_applied() {
    with_delivery("denied", async |delivery| {
        let webhook = Webhook::serve(Says::Deny("not on a Friday"));
        in_force(&delivery, &webhook, 10).await;
        let error =
            delivery.deliver(&[delivery.config_map("a", "1"), delivery.config_map("b", "1")]).await.unwrap_err();
        remove(&delivery);
        assert_eq!(error.objects().len(), 2, "all are told at once");
        let text = error.to_string();
        assert!(
            text.contains("not on a Friday") && text.contains(&format!("guard.{}.example.com", delivery.namespace)),
            "{text}"
        );
        assert!(!error.is_transient() && !delivery.exists("configmap/a"));
        assert!(webhook.asked().iter().all(|(_, dry)| *dry), "{:?}", webhook.asked());
    })
    .await;
}

#[tokio::test]
async fn a_webhook_that_says_nothing_is_named_once_and_tried_again_later() {
    with_delivery("silent", async |delivery| {
        let webhook = Webhook::serve(Says::Nothing);
        in_force(&delivery, &webhook, 1).await;
        let before = webhook.asked().len();
        let error = delivery.deliver(&[delivery.config_map("a", "1")]).await.unwrap_err();
        let asked = webhook.asked().len() - before;
        remove(&delivery);
        assert!(
            error.is_transient() && error.to_string().contains(&format!("guard.{}.example.com", delivery.namespace)),
            "{error}"
        );
        assert_eq!(asked, 1, "asked again at once it would only cost its time again");
        drop(webhook);
        for _ in 0..600 {
            if delivery.deliver(&[delivery.config_map("a", "1")]).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it is never applied");
    })
    .await;
}

#[tokio::test]
async fn a_webhook_that_takes_no_dry_run_is_applied_under_all_the_same() {
    with_delivery("sideeffects", async |delivery| {
        let webhook = Webhook::serve(Says::Allow);
        in_force(&delivery, &webhook, 10).await;
        // No API takes this any more, but objects from before it was forbidden are still in force.
        let name = format!("guard.{}.example.com", delivery.namespace);
        let resource = format!("validatingwebhookconfiguration/{name}");
        let text = delivery.kubectl(&["get", &resource, "-o", "json"]);
        let mut old: Value = serde_json::from_str(&text).unwrap();
        old["webhooks"][0]["sideEffects"] = "Unknown".into();
        old["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        delivery.control_plane.store(&format!("/registry/validatingwebhookconfigurations/{name}"), &old).await;
        let mut done = None;
        for n in 0..600 {
            let change = delivery.deliver(&[delivery.config_map("a", &n.to_string())]).await.unwrap().entries.remove(0);
            if change.reason.is_some() {
                done = Some(change);
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        remove(&delivery);
        let reason = done.unwrap().reason.unwrap();
        assert!(reason.starts_with("not dry-run: a webhook"), "{reason}");
        assert!(delivery.exists("configmap/a"));
    })
    .await;
}
