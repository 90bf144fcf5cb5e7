//! Real manifests of other projects, from push to pruned: what a first user does with Sealift in the first hour.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use kube::api::ObjectMeta;
use sealift_e2e::{AuditMark, ControlPlane, Name, Request, World, corpus, expected};
use sealift_verify::{digest::Digest, objects::Objects};
use serde_json::{Value, json};

/// True of a CustomResourceDefinition that is deleted and waits for the API server alone, which clears the kind's
/// objects away first. After an attempt of it that failed it waits, minutes in the end, before the next.
fn awaits_api_server(metadata: &ObjectMeta) -> bool {
    let finalizers = metadata.finalizers.as_deref().unwrap_or_default();
    metadata.deletion_timestamp.is_some() && finalizers == ["customresourcecleanup.apiextensions.k8s.io"]
}

/// Names of objects, for messages that can be read.
fn listed(names: &BTreeSet<Name>) -> String {
    names.iter().map(|name| format!("\n  {name}")).collect()
}

fn assert_same(what: &str, found: &BTreeSet<Name>, wanted: &BTreeSet<Name>) {
    let missing: BTreeSet<_> = wanted.difference(found).cloned().collect();
    let surplus: BTreeSet<_> = found.difference(wanted).cloned().collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{what}\nmissing:{}\nsurplus:{}",
        listed(&missing),
        listed(&surplus)
    );
}

fn names(objects: &Objects, namespace: &str) -> BTreeSet<Name> {
    objects.iter().map(|object| Name::placed(&object.id, namespace)).collect()
}

/// One application on its way through a cluster.
struct Journey<'a, 'b> {
    world: &'a World<'b>,
    name: &'static str,
    paths: Vec<PathBuf>,
    uid: String,
    objects: Objects,
}

impl<'a, 'b> Journey<'a, 'b> {
    /// Pushes the files as they are, verifies the result on the command line and makes a Delivery of it.
    async fn begin(
        world: &'a World<'b>,
        name: &'static str,
        paths: Vec<PathBuf>,
        account: &str,
        more: Value,
    ) -> (Self, Digest) {
        let files: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        let objects = expected(&files);
        let policy = world.trust().await;
        let digest = world.push(&format!("acme/{name}:prod"), &files, &["--version", "1.0.0"]);
        let pinned = format!("oci://{}@{digest}", world.repository(&format!("acme/{name}")));
        let policy = policy.display().to_string();
        world.cli.succeed(&["verify", &pinned, "--policy", &policy, "--namespace", &world.namespace]);
        world.start_controller().await;
        let mut spec = world.following(&format!("acme/{name}"), "prod", account);
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let uid = world.deliver(&world.namespace, name, spec).await;
        (Self { world, name, paths, uid, objects }, digest)
    }

    fn of(&self) -> (&str, &str) {
        (&self.world.namespace, self.name)
    }

    fn wanted(&self) -> BTreeSet<Name> {
        names(&self.objects, &self.world.namespace)
    }

    /// Every object is there, labelled, applied by us and in the inventory; and nothing else is.
    async fn assert_exact(&self, wanted: &BTreeSet<Name>) {
        let owned = self.world.owned(&self.uid).await;
        assert_same("in the cluster", &owned.keys().cloned().collect(), wanted);
        assert_same("in the inventory", &self.world.inventory_names(&self.uid).await, wanted);
        let named = format!("{}/{}", self.world.namespace, self.name);
        for (name, metadata) in owned {
            let annotations = metadata.annotations.unwrap_or_default();
            assert_eq!(annotations.get("sealift.dev/delivery-name"), Some(&named), "{name}");
        }
    }

    /// Reconciles once more and sends no write of any sort, not even a dry-run. The controller is a new one, so nothing
    /// that it remembers hides what it would write.
    async fn assert_quiet(&self) {
        self.world.stop_controller();
        let mark = self.world.control_plane.audit().mark();
        let asked = self.world.request(self.of()).await;
        self.world.start_controller().await;
        self.world.handled(self.of(), &asked).await;
        let writes: Vec<Request> = self.requests(mark).into_iter().filter(Request::is_write).collect();
        // that the annotation was acted on is said in the status, and nothing else is
        let answer =
            |request: &Request| (request.resource.as_str(), request.subresource.as_str()) == ("deliveries", "status");
        assert!(writes.len() == 1 && answer(&writes[0]), "{}: nothing was to be done: {writes:#?}", self.name);
    }

    fn requests(&self, mark: AuditMark) -> Vec<Request> {
        self.world.requests(self.of(), &self.uid, mark)
    }

    /// Pushes again without these objects, and exactly these are deleted.
    async fn assert_prunes(&self, leaving: &BTreeSet<Name>, settle: impl AsyncFnOnce(Digest)) {
        let namespace = &self.world.namespace;
        let folder = self.world.cli.home().join(format!("{}-without", self.name));
        fs::create_dir_all(&folder).unwrap();
        let staying = self.objects.iter().filter(|object| !leaving.contains(&Name::placed(&object.id, namespace)));
        for (at, object) in staying.enumerate() {
            fs::write(folder.join(format!("{at:04}.json")), object.value.to_string()).unwrap();
        }
        let digest = self.world.push(&format!("acme/{}:prod", self.name), &[&folder], &["--version", "1.1.0"]);
        let mark = self.world.control_plane.audit().mark();
        self.world.reconcile(self.of()).await;
        settle(digest).await;
        let wanted: BTreeSet<Name> = self.wanted().difference(leaving).cloned().collect();
        self.world
            .until("the pruned objects to be gone", async || {
                let left = self.world.owned_names(&self.uid).await;
                if left.is_disjoint(leaving) {
                    Ok(())
                } else {
                    Err(listed(&left.intersection(leaving).cloned().collect()))
                }
            })
            .await;
        self.assert_exact(&wanted).await;

        let requests = self.requests(mark);
        let deleted: Vec<&Request> = requests.iter().filter(|request| request.verb == "delete").collect();
        let deleted_names: BTreeSet<&str> = deleted.iter().map(|request| request.name.as_str()).collect();
        let leaving_names: BTreeSet<&str> = leaving.iter().map(|name| name.name.as_str()).collect();
        assert_eq!((deleted.len(), deleted_names), (leaving.len(), leaving_names), "one deletion each, of these alone");
        let rewritten: Vec<&Request> = requests
            .iter()
            .filter(|request| request.is_write() && request.verb != "delete" && request.group != "sealift.dev")
            .filter(|request| request.resource != "events")
            .collect();
        assert!(rewritten.is_empty(), "what did not change was written again: {rewritten:#?}");
    }

    /// Deletes the Delivery, and every object of it goes.
    async fn assert_undelivers(&self) {
        self.world.undeliver(self.of()).await;
        self.world
            .until("everything to be gone", async || {
                let owned = self.world.owned(&self.uid).await;
                let left: BTreeSet<Name> = owned
                    .into_iter()
                    .filter(|(_, metadata)| !awaits_api_server(metadata))
                    .map(|(name, _)| name)
                    .collect();
                if left.is_empty() { Ok(()) } else { Err(listed(&left)) }
            })
            .await;
        assert!(self.world.inventory(&self.uid).await.is_empty(), "the inventory goes last");
        assert!(self.world.accepted(self.of()).await.is_some(), "what was accepted is remembered all the same");
    }
}

/// Every `step`th object that nothing else lives in.
fn leaving(journey: &Journey<'_, '_>, count: usize) -> BTreeSet<Name> {
    let holds_others = ["Namespace", "CustomResourceDefinition"];
    let candidates: Vec<Name> =
        journey.wanted().into_iter().filter(|name| !holds_others.contains(&name.kind.as_str())).collect();
    let step = candidates.len() / count;
    candidates.into_iter().step_by(step).take(count).collect()
}

#[tokio::test]
async fn kube_prometheus_goes_in_at_once_loses_ten_objects_and_leaves_nothing() {
    // Its APIService has nobody behind it here, which keeps every namespace of a control plane from ending.
    let (Some(folder), Some(control_plane)) = (corpus("kube-prometheus/manifests"), ControlPlane::start()) else {
        return;
    };
    World::run(&control_plane, "prometheus", async |world| {
        let account = world.cluster_account(&world.namespace);
        let (journey, digest) = Journey::begin(world, "kube-prometheus", vec![folder], account, json!({})).await;
        assert!(journey.objects.len() > 100, "the corpus has shrunk to {} objects", journey.objects.len());
        world.applied(journey.of(), digest).await;
        journey.assert_exact(&journey.wanted()).await;
        journey.assert_quiet().await;
        let ten = leaving(&journey, 10);
        assert_eq!(ten.len(), 10);
        journey.assert_prunes(&ten, async |digest| drop(world.applied(journey.of(), digest).await)).await;
        journey.assert_undelivers().await;
    })
    .await;
}

#[tokio::test]
async fn microservices_demo_becomes_ready_loses_ten_objects_and_leaves_nothing() {
    let (Some(folder), Some(control_plane)) = (corpus("microservices-demo/release"), ControlPlane::shared()) else {
        return;
    };
    World::run(control_plane, "boutique", async |world| {
        let account = world.namespace_account(&world.namespace);
        let (journey, digest) = Journey::begin(world, "boutique", vec![folder], account, json!({})).await;
        world.applied(journey.of(), digest).await;
        // no cloud is here to give the load balancer an address, and until somebody does the release is not healthy
        let address = r#"{"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}"#;
        let service = ["patch", "service", "frontend-external", "-n", &world.namespace];
        world.kubectl(&[&service[..], &["--subresource=status", "--type=merge", "-p", address]].concat());
        world.delivered(journey.of(), digest).await;
        journey.assert_exact(&journey.wanted()).await;
        journey.assert_quiet().await;
        let ten = leaving(&journey, 10);
        assert_eq!(ten.len(), 10);
        journey.assert_prunes(&ten, async |digest| drop(world.delivered(journey.of(), digest).await)).await;
        journey.assert_undelivers().await;
    })
    .await;
}

/// kustomize's own file beside them is an input of a build, and refused as a manifest.
fn podinfo() -> Option<Vec<PathBuf>> {
    let folder = corpus("podinfo/kustomize")?;
    Some(["deployment.yaml", "hpa.yaml", "service.yaml"].map(|name| folder.join(name)).to_vec())
}

#[tokio::test]
async fn podinfo_becomes_ready_and_its_objects_outlive_a_delivery_that_says_orphan() {
    let (Some(files), Some(control_plane)) = (podinfo(), ControlPlane::shared()) else { return };
    World::run(control_plane, "podinfo", async |world| {
        let account = world.namespace_account(&world.namespace);
        let more = json!({"deletionPolicy": "Orphan"});
        let (journey, digest) = Journey::begin(world, "podinfo", files, account, more).await;
        world.delivered(journey.of(), digest).await;
        journey.assert_exact(&journey.wanted()).await;
        // The autoscaler raises the replicas to its minimum some time after it was made, which moves the generation.
        let deployments = world.objects("apps/v1", "Deployment", "deployments", Some(&world.namespace));
        world
            .until("the autoscaler to have scaled", async || {
                let deployment = deployments.get("podinfo").await.map_err(|error| error.to_string())?;
                let replicas = &deployment.data["spec"]["replicas"];
                if replicas == 2 { Ok(()) } else { Err(format!("{replicas} replicas")) }
            })
            .await;
        world.reconcile(journey.of()).await;
        journey.assert_quiet().await;
        let one = leaving(&journey, 1);
        journey.assert_prunes(&one, async |digest| drop(world.delivered(journey.of(), digest).await)).await;
        let before = world.owned(&journey.uid).await;
        world.undeliver(journey.of()).await;
        let after = world.owned(&journey.uid).await;
        assert_eq!(after.len(), 2, "{after:#?}");
        for (name, metadata) in after {
            assert_eq!(metadata.uid, before[&name].uid, "{name}");
            assert_eq!(metadata.deletion_timestamp, None, "{name}");
        }
        assert!(journey.paths.len() == 3 && world.inventory(&journey.uid).await.is_empty());
    })
    .await;
}
