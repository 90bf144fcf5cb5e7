//! `deploy/chart`: what Helm makes of it is `deploy/install.yaml`, each value does what it says, and a real API server and
//! the real controller take the result.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{collections::BTreeMap, env, fs, process::Command};

use sealift_e2e::{ControlPlane, Tool, World, binary, workspace};
use serde_json::{Value, json};

/// Every value set to something else than its default.
const ALL: &str = include_str!("data/chart-values.yaml");

type Objects = BTreeMap<(String, String), Value>;

fn read(text: &str) -> Objects {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    let objects = documents.into_iter().filter(|document| !document.is_null());
    let named = |object: Value| {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
        ((text("/kind"), text("/metadata/name")), object)
    };
    objects.map(named).collect()
}

/// Makes every number a float: what is `1.0` in one and `1` in the other is the same to the API server.
fn as_floats(value: &mut Value) {
    match value {
        Value::Number(number) => *value = json!(number.as_f64()),
        Value::Array(items) => items.iter_mut().for_each(as_floats),
        Value::Object(fields) => fields.values_mut().for_each(as_floats),
        _ => {}
    }
}

/// What `helm template` writes, or what it says against it.
fn template(helm: &Tool, arguments: &[&str]) -> Result<String, String> {
    let mut command = helm.command();
    command.args(["template", "sealift"]).arg(workspace().join("deploy/chart"));
    let output = command.args(["--namespace", "sealift-system"]).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn the_chart_with_its_own_values_is_the_plain_manifest() {
    let Some(helm) = Tool::for_interop("helm") else { return };
    let mut made = read(&template(&helm, &["--set", "namespace.create=true"]).unwrap());
    for definition in made.values_mut().filter(|object| object["kind"] == "CustomResourceDefinition") {
        // Helm would delete them, and with them every Delivery, when the chart is uninstalled.
        let metadata = definition["metadata"].as_object_mut().unwrap();
        let annotations = metadata["annotations"].as_object_mut().unwrap();
        assert_eq!(annotations.remove("helm.sh/resource-policy"), Some(json!("keep")));
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    let plain = read(&fs::read_to_string(workspace().join("deploy/install.yaml")).unwrap());
    assert!(plain.len() > 15);
    assert_eq!(made.keys().collect::<Vec<_>>(), plain.keys().collect::<Vec<_>>());
    for (name, mut object) in plain {
        let made = made.get_mut(&name).unwrap();
        as_floats(made);
        as_floats(&mut object);
        assert!(*made == object, "{name:?}:\n{made}\n{object}");
    }
}

#[test]
fn the_admission_policy_of_the_chart_is_the_generated_one_with_the_names_of_its_values() {
    let Some(helm) = Tool::for_interop("helm") else { return };
    let made = read(&template(&helm, &["--set", "admissionPolicy.enabled=true"]).unwrap());
    let plain = read(&fs::read_to_string(workspace().join("deploy/admission.yaml")).unwrap());
    assert_eq!(plain.len(), 4);
    for (name, object) in plain {
        assert_eq!(made.get(&name), Some(&object), "{name:?}");
    }
    let names = ["admissionPolicy.enabled=true", "admissionPolicy.breakGlassGroups={oncall,it's \"us\"}"];
    let operators = "admissionPolicy.operators={system:serviceaccount:a:b}";
    let made = template(&helm, &["--set", names[0], "--set", names[1], "--set", operators, "--namespace", "delivery"]);
    let options = ["--namespace=delivery", "--break-glass-group=oncall", "--break-glass-group=it's \"us\""];
    let mut command = Command::new(binary("sealift-controller"));
    let output = command.arg("admission-policy").args(options).arg("--operator=system:serviceaccount:a:b").output();
    let generated = read(&String::from_utf8(output.unwrap().stdout).unwrap());
    let made = read(&made.unwrap());
    for (name, object) in generated {
        assert_eq!(made.get(&name), Some(&object), "{name:?}");
    }
}

#[test]
fn helm_finds_nothing_wrong_with_the_chart_and_refuses_values_that_are() {
    let Some(helm) = Tool::for_interop("helm") else { return };
    let chart = workspace().join("deploy/chart");
    let lint = helm.command().args(["lint", "--strict"]).arg(chart).output().unwrap();
    assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
    for (wrong, says) in [
        (r#"image={"repo":"a"}"#, "repo"),
        (r#"image.digest="sha256:abc""#, "/image/digest"),
        (r#"controller.concurrent=0"#, "/controller/concurrent"),
        (r#"rbac.watch=[{"apiGroups":[""],"resources":["secrets"]}]"#, "/rbac/watch/0/resources/0"),
        (r#"rbac.watch=[{"apiGroups":["*"],"resources":["widgets"]}]"#, "/rbac/watch/0/apiGroups/0"),
        (r#"rbac.watch=[{"apiGroups":["a.example"],"resources":["*"]}]"#, "/rbac/watch/0/resources/0"),
        (r#"replicas=2,cache.existingClaim="a""#, "replicas cannot share"),
        (r#"replicas=-1"#, "/replicas"),
        (r#"registries.identities=["oracle"]"#, "/registries/identities/0"),
    ] {
        let error = template(&helm, &["--set-json", wrong]).unwrap_err();
        assert!(error.contains(says), "{wrong}: {error}");
    }
}

#[tokio::test]
async fn every_value_reaches_the_controller_and_the_cluster_takes_it() {
    let Some(helm) = Tool::for_interop("helm") else { return };
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "chart", async |world| {
        let values = world.cli.write("values.yaml", ALL).display().to_string();
        let made = template(&helm, &["--values", &values]).unwrap();
        let objects = read(&made);
        let deployment = &objects[&("Deployment".to_owned(), "sealift-controller".to_owned())];
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let arguments: Vec<&str> = container["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        for argument in [
            "--default-service-account=deployer",
            "--lease-duration=30s",
            "--break-glass=4h",
            "--watch-namespace=team-b",
            "--audit-log=-",
            "--mirror=registry.example=s3://releases/mirror",
            "--registry-cert=registry.example=/etc/sealift/tls/0/tls.crt,/etc/sealift/tls/0/tls.key",
            "--registry-identity=registry.example=gcp",
            "--fetch-timeout=2m",
            "--cluster-name=eu-1",
            "--receiver-listen=0.0.0.0:9292",
            "--plain-http-service=alertmanager.monitoring.svc:9093",
        ] {
            assert!(arguments.contains(&argument), "{argument} is not among {arguments:?}");
        }
        assert_eq!(deployment["spec"]["strategy"], json!({"type": "Recreate"}), "one volume goes from pod to pod");
        let three = read(&template(&helm, &["--set", "replicas=3"]).unwrap());
        assert_eq!(three[&("Deployment".to_owned(), "sealift-controller".to_owned())]["spec"]["replicas"], 3);

        // The real controller reads the arguments: it gets as far as a kubeconfig that is not there.
        let filled =
            arguments.iter().map(|word| word.replace("$(POD_NAME)", "pod-a").replace("$(POD_NAMESPACE)", "system"));
        let mut command = Command::new(binary("sealift-controller"));
        let output = command.args(filled).args(["--kubeconfig", "/nowhere"]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains("the kubeconfig cannot be used"), "{stderr}");

        // Of kinds whose definitions are somebody else's.
        let foreign = [("PodMonitor", "sealift-controller"), ("PrometheusRule", "sealift")]
            .map(|(kind, name)| (kind.to_owned(), name.to_owned()));
        for name in &foreign {
            assert_eq!(objects[name]["metadata"]["labels"]["release"], "prometheus");
        }
        let monitoring = workspace().join("deploy/monitoring");
        let read = |name: &str| fs::read_to_string(monitoring.join(name)).unwrap();
        let rules: Value = serde_saphyr::from_str(&read("rules.yaml")).unwrap();
        assert_eq!(objects[&foreign[1]]["spec"], rules);
        let dashboards = &objects[&("ConfigMap".to_owned(), "sealift-dashboards".to_owned())];
        assert_eq!(dashboards["metadata"]["labels"]["grafana_dashboard"], "here");
        for name in ["cluster.json", "fleet.json"] {
            assert_eq!(dashboards["data"][name], read(&format!("dashboards/{name}")));
        }
        let served: Vec<&Value> =
            objects.iter().filter(|(name, _)| !foreign.contains(name)).map(|(_, object)| object).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": served}).to_string();
        let file = world.cli.write("made.json", list).display().to_string();
        let dry_run =
            ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--warnings-as-errors", "-f", &file];
        let applied = world.kubectl(&dry_run);
        assert_eq!(applied.lines().count(), served.len(), "{applied}");
    })
    .await;
}

/// A row of the table of values.
fn row(path: &str, default: &str, says: &str) -> String {
    let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
    format!("| `{path}` | {default} | {says} |\n")
}

/// The table of `values.yaml`: keys, defaults and the comment above each.
fn table(values: &str) -> String {
    let mut rows = "| Value | Default | What it does |\n|---|---|---|\n".to_owned();
    let (mut path, mut says) = (Vec::<String>::new(), Vec::<&str>::new());
    // The head of the file is about all of them.
    for line in values.lines().skip_while(|line| !line.is_empty()) {
        let text = line.trim_start();
        if let Some(comment) = text.strip_prefix("# ") {
            says.push(comment);
        } else if let Some((key, default)) = text.split_once(':') {
            path.truncate((line.len() - text.len()) / 2);
            path.push(key.to_owned());
            if !says.is_empty() {
                rows += &row(&path.join("."), default.trim(), &says.join(" "));
            }
            says.clear();
        }
    }
    rows
}

#[test]
fn generated_table_of_values_is_up_to_date() {
    let chart = workspace().join("deploy/chart");
    let path = chart.join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once("<!-- values: make generate -->\n").unwrap();
    let (_, tail) = rest.split_once("<!-- end -->").unwrap();
    let values = fs::read_to_string(chart.join("values.yaml")).unwrap();
    let made = format!("{head}<!-- values: make generate -->\n{}<!-- end -->{tail}", table(&values));
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, &made).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap() == made, "deploy/chart/README.md is stale: make generate");
}
