//! A release's trace: begun by a CI run, gone on with by the push, ended in the cluster; and the log lines that name it.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{collections::BTreeSet, path::Path};

use sealift_e2e::{Collector, ControlPlane, Output, Span, World, binary};
use serde_json::{Value, json};

/// As a CI system gives it to each of its jobs.
const CI: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn map(world: &World<'_>, value: &str) -> std::path::PathBuf {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"value": value}});
    world.cli.write(&format!("{value}.json"), map.to_string())
}

/// A push in a CI job with these variables.
fn push(world: &World<'_>, file: &Path, to: &str, environment: &[(&str, &str)]) -> Output {
    let mut command = world.cli.program(binary("sealift"));
    command.args([
        "push",
        &format!("oci://{}", world.repository(to)),
        "--key",
        &world.key.private().display().to_string(),
    ]);
    command.args(["-f", &file.display().to_string()]).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap_or(-1);
    Output { stdout: text(output.stdout), stderr: text(output.stderr), code }
}

/// What the newest statement about an artifact says of its build.
fn build(world: &World<'_>, reference: &str) -> Value {
    let reference = format!("oci://{}", world.repository(reference));
    let document: Value = serde_json::from_str(&world.cli.succeed(&["inspect", &reference, "-o", "json"])).unwrap();
    let predicate = document.pointer("/unverified/statements/0/predicate").unwrap_or_else(|| panic!("{document:#}"));
    predicate["build"].clone()
}

fn named<'a>(spans: &'a [Span], service: &str, name: &str) -> Option<&'a Span> {
    spans.iter().find(|span| span.service == service && span.name == name)
}

#[tokio::test]
async fn a_release_is_one_trace_from_ci_into_the_cluster_and_an_outage_of_its_collector_stops_nothing() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "traces", async |world| {
        let collector = Collector::start();
        let address = collector.address();
        let (first, job) = (map(world, "one"), [("TRACEPARENT", CI), ("OTEL_EXPORTER_OTLP_ENDPOINT", &*address)]);

        // Without a collector, clusters go on from CI's own span; and the artifact is the same, whatever the run.
        let bare = push(world, &first, "bare:stable", &[("TRACEPARENT", CI)]);
        assert_eq!((bare.code, build(world, "bare:stable")["traceparent"].as_str()), (0, Some(CI)), "{}", bare.stderr);
        let plain = push(world, &first, "plain:stable", &[("TRACEPARENT", "nonsense")]);
        assert!(plain.stderr.contains("TRACEPARENT is no trace context"), "{}", plain.stderr);
        assert!(build(world, "plain:stable").get("traceparent").is_none());
        let pushed = push(world, &first, "app:stable", &job);
        assert_eq!(pushed.code, 0, "{}", pushed.stderr);
        assert_eq!((pushed.digest(), plain.digest()), (bare.digest(), bare.digest()));

        let spans = collector.spans();
        let whole = named(&spans, "sealift", "push").unwrap();
        assert_eq!((&*whole.trace_id, &*whole.parent_span_id), (&CI[3..35], &CI[36..52]));
        assert_eq!(whole.attribute("sealift.digest"), pushed.digest().to_string());
        let parts: BTreeSet<&str> =
            spans.iter().filter(|span| span.parent_span_id == whole.span_id).map(|span| &*span.name).collect();
        assert_eq!(parts, BTreeSet::from(["read", "channel", "sign", "upload", "attach", "tag"]));
        let handed = format!("00-{}-{}-01", whole.trace_id, whole.span_id);
        assert_eq!(build(world, "app:stable")["traceparent"], json!(handed));

        // Over TLS by an authority of one's own, and to nobody else.
        let (private, authority) = Collector::start_over_tls();
        let (authority, to) = (world.cli.write("authority.pem", authority), private.address());
        let authority = authority.display().to_string();
        let trusted = ("OTEL_EXPORTER_OTLP_CERTIFICATE", &*authority);
        for (trusts, arrives) in [(&[][..], false), (&[trusted], true)] {
            let job = [&[("OTEL_EXPORTER_OTLP_ENDPOINT", &*to)], trusts].concat();
            let output = push(world, &first, "private:stable", &job);
            assert_eq!(output.code, 0, "{}", output.stderr);
            assert_eq!(named(&private.spans(), "sealift", "push").is_some(), arrives, "{}", output.stderr);
        }

        // The cluster goes on from there, and its log names the trace.
        world.trust().await;
        let account = world.namespace_account(&world.namespace);
        world.set_controller_env("OTEL_EXPORTER_OTLP_ENDPOINT", &address);
        world.set_controller_env("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=eu-1");
        let port = world.launch_controller(&["--log-format=json"]).await;
        let of = (world.namespace.as_str(), "app");
        world.deliver(of.0, of.1, world.following("app", "stable", account)).await;
        world.delivered(of, pushed.digest()).await;
        let delivered = world
            .until("the cluster's spans", async || {
                let spans = collector.spans();
                let found = named(&spans, "sealift-controller", "deliver").cloned();
                found.map(|span| (span, spans.clone())).ok_or(format!("{spans:#?}"))
            })
            .await;
        let (deliver, spans) = delivered;
        assert_eq!((&deliver.trace_id, &deliver.parent_span_id), (&whole.trace_id, &whole.span_id));
        assert_eq!(deliver.attribute("k8s.namespace.name"), of.0);
        assert_eq!(deliver.attribute("sealift.delivery"), "app");
        assert_eq!(deliver.attribute("sealift.verdict"), "applied");
        let parts: BTreeSet<&str> =
            spans.iter().filter(|span| span.parent_span_id == deliver.span_id).map(|span| &*span.name).collect();
        assert_eq!(parts, BTreeSet::from(["resolve", "fetch", "verify", "plan", "apply", "prune", "health"]));
        assert!(spans.iter().all(|span| span.trace_id == whole.trace_id), "one trace");

        let line = world
            .until("the line of the decision", async || {
                let log = world.controller_log();
                let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
                let mut decisions = lines.filter(|line| line["reason"] == "Applied");
                decisions.next().ok_or_else(|| log.clone())
            })
            .await;
        for (field, value) in [
            ("delivery", format!("{}/app", of.0)),
            ("namespace", of.0.to_owned()),
            ("digest", pushed.digest().to_string()),
            ("stream", "app".to_owned()),
            ("verdict", "Verified".to_owned()),
            ("level", "INFO".to_owned()),
            ("trace_id", whole.trace_id.clone()),
        ] {
            assert_eq!(line[field], json!(value), "{field} of {line}");
        }
        for field in ["timestamp", "message", "target"] {
            assert!(line[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {line}");
        }

        // The collector is gone: pushes and deliveries are not held up, and what is lost is counted.
        drop(collector);
        let second = push(world, &map(world, "two"), "app:stable", &job);
        assert_eq!(second.code, 0, "{}", second.stderr);
        world.reconcile(of).await;
        world.delivered(of, second.digest()).await;
        world
            .until("lost spans to be counted", async || {
                let metrics = world.metrics(port).ok_or("no answer")?;
                let lost =
                    metrics.lines().find_map(|line| line.strip_prefix("sealift_spans_total{result=\"failed\"} "));
                if lost.is_some_and(|count| count != "0") { Ok(()) } else { Err(metrics) }
            })
            .await;
    })
    .await;
}
