//! A release from objects to cluster: signed and verified with a real key, applied to a real API server.

#![allow(clippy::unwrap_used, reason = "all of it is test code, which clippy does not see outside of tests")]

use std::{collections::BTreeMap, sync::OnceLock};

use sealift_apply::{
    api::DeliveryReference,
    apply::{Access, ApplyError, apply, prepare},
    change::{Action, ChangeSet},
    cluster::Cluster,
    inventory::{Inventory, store},
    observe::{Unknown, observe},
    options::Options,
    plan::plan,
    presume::presume,
    prune::{Pruned, Until, prune},
};
use sealift_e2e::ControlPlane;
use sealift_verify::{
    artifact::{Format, Manifest},
    digest::Digest,
    keys::PublicKey,
    layer,
    objects::{Object, Objects, Origin, identity},
    policy::{Policy, PolicySpec},
    reference::Repository,
    render::Rendering,
    signature::Candidate,
    statement::{Content, PAYLOAD_TYPE, Release, Scope, Statement},
    verify::{Facts, Unverified, Verified, admit, verify},
};
use serde_json::{Value, json};
use sigstore_bundle::{BundleV03, builder::VerificationMaterialV03};
use sigstore_crypto::KeyPair;
use sigstore_types::{
    bundle::SignatureContent,
    dsse::{DsseEnvelope, DsseSignature, pae},
};

const NOW: &str = "2026-06-01T00:00:00Z";
const REPOSITORY: &str = "registry.example/acme/shop";

/// Objects as tests write them.
pub(crate) fn objects(values: &[Value]) -> Objects {
    let object =
        |value: &Value| Object { id: identity::of(value).unwrap(), value: value.clone(), origin: Origin::default() };
    Objects::new(values.iter().map(object).collect()).unwrap()
}

/// The objects after they were packed, signed and verified: the only way to a plan.
pub(crate) fn release(values: &[Value]) -> Verified {
    let objects = objects(values);
    let key = KeyPair::generate_ecdsa_p256().unwrap();
    let packed = layer::pack(&objects, Format::Sealift).unwrap();
    let manifest = Manifest::release(Format::Sealift, packed.descriptor.clone(), BTreeMap::new()).to_bytes();
    let release = Release {
        stream: "acme/shop".into(),
        environment: None,
        repositories: vec![REPOSITORY.parse().unwrap()],
        version: None,
        epoch: 0,
        sequence: 1,
        previous: None,
        rollback_of: None,
        promoted_from: None,
        issued_at: NOW.parse().unwrap(),
        not_before: None,
        expires_at: None,
        content: Content {
            layer: packed.descriptor.digest,
            uncompressed: packed.uncompressed,
            files: packed.files,
            objects: objects.len(),
            inventory: layer::inventory(&objects),
        },
        parameters: vec![],
        scope: Scope::default(),
        images: vec![],
        unpinned_images: vec![],
        variants: vec![],
        source: None,
        build: None,
        critical: vec![],
    };
    let statement = Statement { name: REPOSITORY.into(), artifact: Digest::of(&manifest), release };
    let bundle = bundle(&statement.to_payload(), &key);
    let unverified = Unverified {
        reference: REPOSITORY.parse::<Repository>().unwrap().pin(statement.artifact),
        transport: None,
        manifest,
        candidates: vec![Candidate::bundle(Digest::of(&bundle), bundle)],
        skipped: vec![],
        truncated: false,
    };
    let admitted = admit(&unverified, &[policy(&key).into()], &Facts::at(NOW.parse().unwrap())).outcome.unwrap();
    verify(&admitted, &packed.bytes, &Rendering::default()).outcome.unwrap()
}

fn pem_of(key: &KeyPair) -> String {
    pem::encode(&pem::Pem::new("PUBLIC KEY", key.public_key_der().unwrap().as_bytes().to_vec()))
}

fn bundle(payload: &[u8], key: &KeyPair) -> Vec<u8> {
    let signature = key.sign(&pae(PAYLOAD_TYPE, payload)).unwrap();
    let envelope = DsseEnvelope::new(
        PAYLOAD_TYPE.to_owned(),
        payload.to_vec().into(),
        DsseSignature::new(signature, Default::default()),
    );
    let hint = PublicKey::from_pem(&pem_of(key)).unwrap().hint();
    let material = VerificationMaterialV03::PublicKey { hint };
    BundleV03::new(material, SignatureContent::DsseEnvelope(envelope)).into_bundle().to_json().unwrap().into_bytes()
}

/// Everything these tests deliver is allowed: what a policy refuses is tested where policies are.
fn policy(key: &KeyPair) -> Policy {
    let spec: PolicySpec = serde_json::from_value(json!({
        "match": {"repositories": ["registry.example/acme/*"]},
        "authorities": [{"name": "release", "key": {"pem": pem_of(key)}}],
        "require": {"anyOf": ["release"]},
        "release": {"streams": [{"exact": "acme/shop"}]},
    }))
    .unwrap();
    Policy::new("test".into(), spec).unwrap()
}

/// A Delivery on the shared control plane, with a namespace of its own.
pub(crate) struct Delivery {
    pub(crate) control_plane: &'static ControlPlane,
    pub(crate) controller: Cluster,
    pub(crate) account: Cluster,
    pub(crate) namespace: String,
    pub(crate) owner: DeliveryReference,
    pub(crate) options: Options,
    /// Whether a plan takes the inventory's word, as the controller does for a new release.
    pub(crate) presumes: bool,
}

impl Delivery {
    /// Two of the same namespace and other names are two owners.
    pub(crate) async fn new(control_plane: &'static ControlPlane, namespace: &str, name: &str) -> Self {
        install_definitions(control_plane);
        let controller = Cluster::new(control_plane.client().await);
        let uid = format!("{namespace}-{name}");
        let owner = DeliveryReference { namespace: namespace.into(), name: name.into(), uid };
        Self {
            control_plane,
            account: controller.clone(),
            controller,
            namespace: namespace.into(),
            owner,
            options: Options::default(),
            presumes: false,
        }
    }

    pub(crate) fn access(&self) -> Access<'_> {
        Access { account: &self.account, controller: &self.controller }
    }

    pub(crate) async fn inventory(&self) -> Inventory {
        store::read(&self.controller, &self.owner).await.unwrap()
    }

    /// Everything a reconcile does between verdict and health.
    pub(crate) async fn deliver(&self, values: &[Value]) -> Result<ChangeSet, ApplyError> {
        self.deliver_verified(&release(values)).await
    }

    pub(crate) async fn deliver_verified(&self, release: &Verified) -> Result<ChangeSet, ApplyError> {
        let mut inventory = self.inventory().await;
        let (account, controller, objects) = (&self.account, &self.controller, release.objects());
        let live = match self.presumes {
            true => presume(account, controller, objects, &inventory, &Unknown).await.unwrap(),
            false => observe(account, controller, objects, Some(&inventory), &Unknown).await.unwrap(),
        };
        let plan = plan(release, &inventory, live, &self.options);
        let prunes = plan.prunes().to_vec();
        let prepared = prepare(self.access(), plan, &mut inventory).await?;
        let mut done = apply(self.access(), prepared, &mut inventory).await?;
        store::write(&self.controller, &mut inventory).await.unwrap();
        let pruned = prune(self.access(), &prunes, &mut inventory, Until::Accepted).await.unwrap();
        assert!(pruned.is_complete(), "{pruned:?}");
        done.extend(pruned.changes);
        Ok(done)
    }

    /// What a finalizer does.
    pub(crate) async fn delete_all(&self, until: Until) -> Pruned {
        let mut inventory = self.inventory().await;
        let rows: Vec<_> = inventory.rows().cloned().collect();
        prune(self.access(), &rows, &mut inventory, until).await.unwrap()
    }

    /// What kubectl says, in this Delivery's namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let arguments: Vec<_> = ["-n", &self.namespace].into_iter().chain(arguments.iter().copied()).collect();
        self.control_plane.kubectl(&arguments).unwrap()
    }

    /// A field of an object; empty if either is not there.
    pub(crate) fn field(&self, object: &str, path: &str) -> String {
        self.kubectl(&["get", object, "--ignore-not-found", "-o", &format!("jsonpath={{{path}}}")])
    }

    pub(crate) fn exists(&self, object: &str) -> bool {
        !self.field(object, ".metadata.uid").is_empty()
    }

    pub(crate) fn config_map(&self, name: &str, value: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": self.namespace}, "data": {"key": value}})
    }

    /// A Deployment whose Pods become ready, or never do.
    pub(crate) fn deployment(&self, name: &str, ready: bool) -> Value {
        let labels =
            if ready { json!({"app": name}) } else { json!({"app": name, "testenv.sealift.dev/pod": "never-ready"}) };
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "registry.invalid/app:1"}]}}}})
    }

    /// A definition of a kind nobody else has, and its group.
    pub(crate) fn definition(&self) -> (Value, String) {
        let group = format!("{}.example.com", self.namespace);
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}});
        let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("widgets.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
        (definition, group)
    }

    /// As kubectl names it: other tests define widgets too.
    pub(crate) fn widget_named(&self, name: &str) -> String {
        format!("widgets.{}/{name}", self.definition().1)
    }

    pub(crate) fn widget(&self, name: &str, spec: Value) -> Value {
        let (_, group) = self.definition();
        json!({"apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": {"name": name, "namespace": self.namespace}, "spec": spec})
    }
}

/// `created 2, unchanged 1` as pairs.
pub(crate) fn counts(changes: &ChangeSet) -> Vec<(Action, usize)> {
    let actions = [Action::Created, Action::Configured, Action::Unchanged, Action::Deleted, Action::Skipped];
    actions.into_iter().map(|action| (action, changes.count(action))).filter(|(_, count)| *count > 0).collect()
}

/// The generated files, by kubectl, as a person would: a definition the server does not take fails here.
fn install_definitions(control_plane: &ControlPlane) {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let folder = format!("{}/../deploy/crds", env!("CARGO_MANIFEST_DIR"));
        control_plane.kubectl(&["apply", "--server-side", "-f", &folder]).unwrap();
        control_plane.kubectl(&["wait", "--for=condition=Established", "-f", &folder, "--timeout=60s"]).unwrap();
    });
}
