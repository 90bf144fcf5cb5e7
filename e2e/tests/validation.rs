//! `sealift validate` beside the API server, which is right: what it refuses offline the server refuses too, what the server
//! takes it lets pass.

#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use http::{Request, header};
use kube::{
    Client,
    core::GroupVersionKind,
    discovery::{Discovery, Scope},
};
use sealift_e2e::{Cli, ControlPlane, Tool, corpus, workspace};
use sealift_verify::{
    artifact::Limits,
    objects::yaml::{self, Source},
};
use serde_json::{Value, json};

/// Whether the server takes an object by a server-side apply that writes nothing and is strict about fields.
async fn server_says(client: &Client, object: &Value, namespace: &str, kinds: &Discovery) -> Result<(), String> {
    let (api_version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let Some((resource, capabilities)) = kinds.resolve_gvk(&gvk) else {
        return Err(format!("no kind {api_version} {kind} is served"));
    };
    let mut object = object.clone();
    let namespaced = capabilities.scope == Scope::Namespaced;
    if namespaced {
        object["metadata"]["namespace"] = json!(namespace);
    }
    let root = if group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{group}/{version}") };
    let within = if namespaced { format!("/namespaces/{namespace}") } else { String::new() };
    let name = object["metadata"]["name"].as_str().unwrap();
    let path = format!(
        "{root}{within}/{}/{name}?dryRun=All&fieldValidation=Strict&fieldManager=test&force=true",
        resource.plural
    );
    let request = Request::patch(path).header(header::CONTENT_TYPE, "application/apply-patch+yaml");
    let answer = client.request::<Value>(request.body(object.to_string().into_bytes()).unwrap()).await;
    answer.map(drop).map_err(|error| error.to_string())
}

/// What the command line finds, by the name of the object.
fn validate(cli: &Cli, paths: &[PathBuf], more: &[&str]) -> (i32, BTreeMap<String, Vec<Value>>) {
    let mut words: Vec<String> = ["validate", "-o", "json"].map(str::to_owned).to_vec();
    words.extend(paths.iter().flat_map(|path| ["-f".to_owned(), path.display().to_string()]));
    words.extend(more.iter().map(|&word| word.to_owned()));
    let output = cli.run(&words);
    let document: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}", output.stderr));
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for finding in document["findings"].as_array().unwrap() {
        let name = finding["object"].as_str().unwrap().rsplit([' ', '/']).next().unwrap();
        found.entry(name.to_owned()).or_default().push(finding.clone());
    }
    (output.code, found)
}

fn errors(found: &[Value]) -> Vec<String> {
    let errors = found.iter().filter(|finding| finding["level"] == "error");
    errors.map(|e| format!("{} {} {}", e["rule"], e["field"], e["message"])).collect()
}

/// The version of the control plane, if there are schemas for it.
async fn version(client: &Client) -> Option<String> {
    let info = client.apiserver_version().await.unwrap();
    let version = format!("{}.{}", info.major, info.minor);
    let schemas: Value =
        serde_json::from_str(&fs::read_to_string(workspace().join("push/schemas/kubernetes.json")).unwrap()).unwrap();
    schemas["versions"].as_array().unwrap().contains(&json!(version)).then_some(version)
}

const POD: &str = "{containers: [{name: web, image: web, ports: [{containerPort: 80, name: http}], env: [{name: A, value: b}], \
    resources: {requests: {cpu: 100m}}, volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, emptyDir: {}}]}";

/// Whole objects of many kinds, each of which the server takes.
fn whole() -> Vec<Value> {
    let labels = "{matchLabels: {app: web}}";
    let template = format!("{{metadata: {{labels: {{app: web}}}}, spec: {POD}}}");
    let texts = [
        format!("{{apiVersion: v1, kind: Pod, spec: {POD}}}"),
        format!("{{apiVersion: apps/v1, kind: Deployment, spec: {{replicas: 1, selector: {labels}, strategy: {{type: RollingUpdate, rollingUpdate: {{maxSurge: 25%}}}}, template: {template}}}}}"),
        format!("{{apiVersion: apps/v1, kind: StatefulSet, spec: {{serviceName: web, selector: {labels}, template: {template}}}}}"),
        "{apiVersion: batch/v1, kind: CronJob, spec: {schedule: '* * * * *', concurrencyPolicy: Forbid, jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}}}".to_owned(),
        "{apiVersion: v1, kind: Service, spec: {selector: {app: web}, type: ClusterIP, ports: [{port: 80, targetPort: http, name: http}, {port: 81, name: more}]}}".to_owned(),
        "{apiVersion: v1, kind: ConfigMap, data: {a: b}, binaryData: {c: YQ==}, immutable: true}".to_owned(),
        "{apiVersion: v1, kind: ServiceAccount, automountServiceAccountToken: false, imagePullSecrets: [{name: a}]}".to_owned(),
        "{apiVersion: v1, kind: PersistentVolumeClaim, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}".to_owned(),
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}".to_owned(),
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}, subjects: [{kind: ServiceAccount, name: s, namespace: x}]}".to_owned(),
        "{apiVersion: networking.k8s.io/v1, kind: Ingress, spec: {rules: [{host: a.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}}".to_owned(),
        format!("{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, spec: {{podSelector: {labels}, policyTypes: [Ingress], ingress: [{{from: [{{podSelector: {labels}}}], ports: [{{port: 80, protocol: TCP}}]}}]}}}}"),
        "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, minReplicas: 1, maxReplicas: 3, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]}}".to_owned(),
        format!("{{apiVersion: policy/v1, kind: PodDisruptionBudget, spec: {{minAvailable: 50%, selector: {labels}}}}}"),
        "{apiVersion: storage.k8s.io/v1, kind: StorageClass, provisioner: example.com/disk, reclaimPolicy: Delete, parameters: {a: b}}".to_owned(),
        "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, webhooks: [{name: a.example.com, sideEffects: None, admissionReviewVersions: [v1], clientConfig: {service: {name: s, namespace: x}}, rules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}]}".to_owned(),
        "{apiVersion: validation.sealift.test/v1, kind: Gauge, spec: {limit: 3, mode: fast, when: '2026-11-01T00:00:00Z', port: 80, free: {a: {b: c}}, steps: [{name: a, weight: 1}], tags: [a, b], inner: {apiVersion: v1, kind: Pod, metadata: {name: x}}}}".to_owned(),
    ];
    texts.iter().map(|text| parsed(text)).collect()
}

fn parsed(text: &str) -> Value {
    let metadata = "{metadata: {name: x, labels: {a: b}, annotations: {c: d}}, apiVersion";
    let bytes = text.replacen("{apiVersion", metadata, 1).into_bytes();
    let objects = yaml::read(&[Source { name: "t".into(), bytes }], &Limits::default());
    objects.unwrap_or_else(|errors| panic!("{text}: {errors:?}")).into_vec().remove(0).value
}

/// A kind with every sort of constraint.
fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gauges.validation.sealift.test"},
        "spec": {
            "group": "validation.sealift.test", "scope": "Namespaced", "names": {"kind": "Gauge", "plural": "gauges"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "required": ["spec"],
                "properties": {"spec": {
                    "type": "object", "required": ["limit", "mode"],
                    "properties": {
                        "limit": {"type": "integer", "minimum": 1, "maximum": 10},
                        "mode": {"type": "string", "enum": ["fast", "slow"]},
                        "when": {"type": "string", "format": "date-time"},
                        "label": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 5},
                        "port": {"x-kubernetes-int-or-string": true},
                        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                        "steps": {"type": "array", "maxItems": 3, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "weight": {"type": "number"}}}},
                        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                        "inner": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
                        "labels": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 2},
                        "one": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
                        "maybe": {"type": "string", "nullable": true},
                        "late": {"type": "string", "default": "x"},
                    },
                }},
            }}}],
        },
    })
}

/// Every object that differs from a whole one in one place, with what was done.
fn mutants(whole: &Value) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    walk(whole, &mut String::new(), &mut places);
    let mut mutants = Vec::new();
    for pointer in places {
        let fixed = ["/apiVersion", "/kind", "/metadata", "/metadata/name"].contains(&pointer.as_str());
        let mut change = |what: &str, change: &dyn Fn(&mut Value)| {
            let mut mutant = whole.clone();
            change(mutant.pointer_mut(&pointer).unwrap());
            if mutant != *whole {
                mutants.push((format!("{what} {pointer}"), mutant));
            }
        };
        if !fixed {
            for (what, value) in [
                ("null", json!(null)),
                ("number", json!(7)),
                ("text", json!("~other~")),
                ("list", json!([])),
                ("object", json!({"zz": 1})),
                ("large", json!(1_u64 << 40)),
            ] {
                change(what, &|place| *place = value.clone());
            }
        }
        change("more", &|place| match place {
            Value::Object(fields) => drop(fields.insert("zzUnknown".to_owned(), json!("x"))),
            Value::Array(items) => items.extend(items.first().cloned()),
            _ => {}
        });
        let parent = pointer.rsplit_once('/').filter(|_| !fixed);
        if let Some((parent, field)) = parent {
            let mut mutant = whole.clone();
            if let Some(Value::Object(fields)) = mutant.pointer_mut(parent) {
                fields.remove(field);
                mutants.push((format!("without {pointer}"), mutant));
            }
        }
    }
    mutants
}

fn walk(value: &Value, pointer: &mut String, places: &mut Vec<String>) {
    let mut inner = |step: &str, value: &Value, pointer: &mut String| {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(step);
        places.push(pointer.clone());
        walk(value, pointer, places);
        pointer.truncate(length);
    };
    match value {
        Value::Object(fields) => {
            fields.iter().filter(|(name, _)| !name.contains('/')).for_each(|(name, value)| inner(name, value, pointer))
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(at, value)| inner(&at.to_string(), value, pointer)),
        _ => {}
    }
}

#[tokio::test]
async fn what_is_refused_offline_the_server_refuses_and_no_unknown_field_gets_by() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    control_plane
        .in_namespace("validation", async |client, namespace| {
            let Some(version) = version(&client).await else { return };
            let cli = Cli::new();
            let definition = definition();
            let written = cli.write("definition.json", definition.to_string());
            server_defines(&client, &definition).await;
            let kinds = Discovery::new(client.clone()).run().await.unwrap();

            let mut all = Vec::new();
            for (at, whole) in whole().into_iter().enumerate() {
                for (number, (what, mut mutant)) in
                    std::iter::once(("whole".to_owned(), whole.clone())).chain(mutants(&whole)).enumerate()
                {
                    mutant["metadata"]["name"] = json!(format!("m-{at}-{number}"));
                    all.push((what, mutant));
                }
            }
            let gone = [
                ("batch/v1beta1", "CronJob"),
                ("extensions/v1beta1", "Ingress"),
                ("policy/v1beta1", "PodSecurityPolicy"),
                ("apps/v1", "Deploymnt"),
                ("validation.sealift.test/v2", "Gauge"),
            ];
            for (at, (api_version, kind)) in gone.into_iter().enumerate() {
                let object =
                    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": format!("gone-{at}")}});
                all.push(("gone".to_owned(), object));
            }
            let text: String = all.iter().map(|(_, object)| format!("{object}\n")).collect();
            let file = cli.write("all.json", text);
            let options = ["--kubernetes-version", &version, "--namespace-exists", "x"];
            let (_, found) = validate(&cli, &[written, file], &options);
            let none = Vec::new();
            let (mut wrong, mut both) = (Vec::new(), 0);
            for (what, object) in &all {
                let name = object["metadata"]["name"].as_str().unwrap();
                let errors = errors(found.get(name).unwrap_or(&none));
                let answer = server_says(&client, object, &namespace, &kinds).await;
                let kind = object["kind"].as_str().unwrap();
                match (errors.is_empty(), answer) {
                    (true, Ok(())) => {}
                    (false, Err(_)) if what == "whole" => wrong.push(format!("{kind}: {errors:?}")),
                    (false, Err(_)) => both += 1,
                    // A server-side apply cuts what is too large to 32 bits, and any other write refuses it.
                    (false, Ok(())) if what.starts_with("large") && errors[0].contains("32 bits") => {}
                    (false, Ok(())) => wrong.push(format!("{kind} {what}: the server takes it, not so: {errors:?}")),
                    (true, Err(error)) if ["whole", "gone"].contains(&what.as_str()) => {
                        wrong.push(format!("{kind} {what}: {error}"));
                    }
                    (true, Err(error)) => {
                        if error.contains("unknown field") || error.contains("field not declared in schema") {
                            wrong.push(format!("{kind} {what}: passed by, and the server says {error}"));
                        }
                    }
                }
            }
            assert!(wrong.is_empty(), "{} disagreements:\n{}", wrong.len(), wrong.join("\n"));
            assert!(both > 1000, "only {both} of {} were refused by both", all.len());
        })
        .await;
}

async fn server_defines(client: &Client, definition: &Value) {
    let name = definition["metadata"]["name"].as_str().unwrap();
    let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
    let request = Request::patch(format!("{path}?fieldManager=test&force=true"));
    let request = request.header(header::CONTENT_TYPE, "application/apply-patch+yaml");
    client.request::<Value>(request.body(definition.to_string().into_bytes()).unwrap()).await.unwrap();
    for _ in 0..600 {
        let found: Value = client.request(Request::get(&path).body(Vec::new()).unwrap()).await.unwrap();
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if conditions.iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{name} is not established");
}

#[tokio::test]
async fn every_kind_is_served_by_default_exactly_where_no_alpha_or_beta_is_in_its_version() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    let client = control_plane.client().await;
    let Some(version) = version(&client).await else { return };
    let minor: u32 = version.split_once('.').unwrap().1.parse().unwrap();
    let schemas: Value =
        serde_json::from_str(&fs::read_to_string(workspace().join("push/schemas/kubernetes.json")).unwrap()).unwrap();
    let kinds = Discovery::new(client).run().await.unwrap();
    // What is only ever written into another object's subresource.
    let subresources = ["Eviction", "Scale", "TokenRequest"];
    let mut wrong = BTreeSet::new();
    for (kind, definition) in schemas["kinds"].as_object().unwrap() {
        let ranges = schemas["definitions"][definition.as_str().unwrap()].as_object().unwrap();
        let now = ranges.keys().any(|range| {
            let (first, last) = range.split_once('-').unwrap();
            (first.parse().unwrap()..=last.parse().unwrap()).contains(&minor)
        });
        let (api_version, name) = kind.split_once(' ').unwrap();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        if !now || subresources.contains(&name) {
            continue;
        }
        let served = kinds.resolve_gvk(&GroupVersionKind::gvk(group, version, name)).is_some();
        if served == (version.contains("alpha") || version.contains("beta")) {
            wrong.insert(format!("{kind}: served {served}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn real_manifests_have_no_findings_but_their_secrets() {
    let cli = Cli::new();
    for (name, paths, options) in [
        ("kube-prometheus", vec!["kube-prometheus/manifests".to_owned()], &["--allow-secrets"][..]),
        ("microservices-demo", vec!["microservices-demo/release".to_owned()], &[]),
        ("podinfo", ["deployment", "hpa", "service"].map(|file| ["podinfo/kustomize/", file].concat()).to_vec(), &[]),
    ] {
        let paths: Option<Vec<PathBuf>> = paths.iter().map(|path| found(path)).collect();
        let Some(paths) = paths else { return };
        for version in ["1.33", "1.34", "1.35", "1.36", "1.37"] {
            let (code, found) = validate(&cli, &paths, &[options, &["--kubernetes-version", version]].concat());
            assert_eq!((code, found.len()), (0, 0), "{name} {version}: {found:#?}");
        }
    }
}

/// A folder of the corpus, or a YAML file in one.
fn found(path: &str) -> Option<PathBuf> {
    match path.rsplit_once('/') {
        Some((folder, file)) if folder.ends_with("kustomize") => Some(corpus(folder)?.join(format!("{file}.yaml"))),
        _ => corpus(path),
    }
}

#[test]
fn generated_kubernetes_schemas_are_what_the_published_modules_say() {
    let Some(tool) = Tool::for_interop("kubernetes-schemas") else { return };
    let output = tool.command().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written = fs::read(workspace().join("push/schemas/kubernetes.json")).unwrap();
    assert!(output.stdout == written, "push/schemas/kubernetes.json is stale: make kubernetes-schemas");
}
