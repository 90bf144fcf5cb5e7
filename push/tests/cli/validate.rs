//! Manifests held against schemas: what is told, where, in which form, and what a push makes of it.

use crate::support::World;

const BROKEN: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  replicas: \"3\"
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      container: []
      containers:
      - name: web
        image: registry.example/web@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
        imagePullPolicy: Sometimes
---
apiVersion: batch/v1beta1
kind: CronJob
metadata: {name: tick, namespace: shop}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: shop}
stringData:
  token: hunter2
";

const DEFINITION: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gauges.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Gauge, plural: gauges}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, required: [limit], properties: {limit: {type: integer, maximum: 10}}}
";
const GAUGE: &str = "apiVersion: example.com/v1\nkind: Gauge\nmetadata: {name: g}\nspec:\n  limit: 11\n";

fn lines(text: &str) -> Vec<(String, String)> {
    let split = |line: &str| {
        let (at, rest) = line.split_once(": ").unwrap();
        (at.to_owned(), rest.to_owned())
    };
    text.lines().map(split).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_finding_has_its_line_rule_object_and_field() {
    let world = World::new().await;
    world.write("broken.yaml", BROKEN);
    let found = world.run(&["validate", "-f", "broken.yaml"]).exits(5);
    let expected = [
        ("broken.yaml:7", "error[wrong-type] Deployment.apps shop/web /spec/replicas: a string, not a whole number"),
        (
            "broken.yaml:12",
            "error[unknown-field] Deployment.apps shop/web /spec/template/spec/container: unknown field; did you mean containers?",
        ),
        (
            "broken.yaml:16",
            "error[invalid-value] Deployment.apps shop/web /spec/template/spec/containers/0/imagePullPolicy: \"Sometimes\" is none of \"Always\", \"Never\", \"IfNotPresent\"",
        ),
        (
            "broken.yaml:18",
            "error[removed-api] CronJob.batch shop/tick /apiVersion: batch/v1beta1 CronJob is gone since Kubernetes 1.25; use batch/v1 CronJob",
        ),
        (
            "broken.yaml:24",
            "warning[missing-namespace] Secret shop/token /metadata/namespace: 3 objects are in namespace shop, which the release does not hold",
        ),
        (
            "broken.yaml:25",
            "error[plaintext-secret] Secret shop/token /stringData: whoever can pull the release reads token",
        ),
    ];
    let expected: Vec<_> = expected.map(|(at, rest)| (at.to_owned(), rest.to_owned())).to_vec();
    assert_eq!(lines(&found.stdout), expected);
    assert_eq!(
        found.stderr,
        "3 objects against Kubernetes 1.37: 5 errors, 1 warning\nerror: 5 errors in the manifests\n\
         hint: `sealift validate --rules` says what each rule is about\n"
    );
    let skipped = ["--skip-validation", "unknown-field,wrong-type,invalid-value,removed-api", "--allow-secrets"];
    let left = world.run(&[&["validate", "-f", "broken.yaml", "--namespace-exists", "shop"][..], &skipped].concat());
    assert_eq!(left.exits(0).stdout, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_are_told_in_every_form() {
    let world = World::new().await;
    world.write("broken.yaml", BROKEN);
    let form = |form: &str| world.run(&["validate", "-f", "broken.yaml", "-o", form]).exits(5);
    let document = form("json").json();
    assert_eq!((&document["schema"], &document["kubernetes"]), (&"sealift.dev/validate/v1".into(), &"1.37".into()));
    assert_eq!(document["findings"].as_array().unwrap().len(), 6);
    assert_eq!(document["findings"][0]["field"], "/spec/replicas");
    assert_eq!(document["findings"][0]["line"], 7);
    let sarif = form("sarif").json();
    let run = &sarif["runs"][0];
    for result in run["results"].as_array().unwrap() {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    }
    let first = &run["results"][0];
    assert_eq!(first["locations"][0]["physicalLocation"]["region"]["startLine"], 7);
    assert_eq!((&first["ruleId"], &first["level"]), (&"wrong-type".into(), &"error".into()));
    let junit = form("junit").stdout;
    assert!(junit.contains("<testsuites name=\"sealift validate\" tests=\"15\" failures=\"5\""), "{junit}");
    let rules = world.run(&["validate", "--rules"]).exits(0).stdout;
    assert!(rules.contains("plaintext-secret"), "{rules}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_or_is_there_twice_is_a_finding_too() {
    let world = World::new().await;
    world.write("all/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n---\na: [\n");
    world.write("all/b.yaml", "# once more\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n");
    let found = world.run(&["validate", "-f", "all", "-o", "json"]).exits(5).json();
    let rules: Vec<_> =
        found["findings"].as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["unreadable-document", "duplicate-object"]);
    assert_eq!(
        (&found["findings"][1]["file"], &found["findings"][1]["also"]),
        (&"all/b.yaml".into(), &"all/a.yaml:1".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_resources_go_by_definitions_in_the_release_or_beside_it() {
    let world = World::new().await;
    world.write("gauge.yaml", GAUGE);
    world.write("crds/gauges.yaml", DEFINITION);
    let unknown = world.run(&["validate", "-f", "gauge.yaml"]).exits(0);
    assert!(unknown.stderr.contains("; no schema for 1 object: Gauge.example.com\n"), "{}", unknown.stderr);
    let told = "gauge.yaml:5: error[invalid-value] Gauge.example.com g /spec/limit: 11 is more than 10\n";
    assert_eq!(world.run(&["validate", "-f", "gauge.yaml", "-f", "crds"]).exits(5).stdout, told);
    assert_eq!(world.run(&["validate", "-f", "gauge.yaml", "--schemas", "crds"]).exits(5).stdout, told);
    let open_api = serde_json::json!({"openapi": "3.0.0", "components": {"schemas": {
        "example.v1.Gauge": {
            "type": "object",
            "x-kubernetes-group-version-kind": [{"group": "example.com", "kind": "Gauge", "version": "v1"}],
            "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object", "additionalProperties": true},
                "spec": {"allOf": [{"$ref": "#/components/schemas/example.v1.Spec"}], "default": {}},
            },
        },
        "example.v1.Spec": {"type": "object", "properties": {"limit": {"type": "integer", "maximum": 10}}},
    }}});
    world.write("openapi.json", &open_api.to_string());
    assert_eq!(world.run(&["validate", "-f", "gauge.yaml", "--schemas", "openapi.json"]).exits(5).stdout, told);
    world
        .run(&["validate", "-f", "gauge.yaml", "--schemas", "gauge.yaml"])
        .exits(5)
        .silent()
        .says(&["defines no kind"]);
    world.run(&["validate", "-f", "gauge.yaml", "--kubernetes-version", "1.12"]).exits(2).silent();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_refuses_what_does_not_hold_and_the_statement_says_what_was_not_looked_at() {
    let world = World::new().await;
    world.write("manifests/broken.yaml", BROKEN);
    let refused = world.push("prod", &[]).exits(5).silent();
    refused.says(&[
        "error: 5 errors in the manifests\n  manifests/broken.yaml:7: error[wrong-type]",
        "--skip-validation RULE",
    ]);
    world.write("manifests/broken.yaml", &BROKEN.replace("\"3\"", "${REPLICAS}").replace("hunter2", "${TOKEN}"));
    let rest = [
        "--var",
        "REPLICAS:int",
        "--var",
        "TOKEN",
        "--skip-validation",
        "unknown-field,removed-api",
        "--skip-validation",
        "invalid-value",
    ];
    world.push("prod", &rest).exits(0);
    let built = |tag: &str| {
        let shown = world.run(&["inspect", &world.oci(tag), "-o", "json"]).exits(0).json();
        shown["unverified"]["statements"][0]["predicate"]["build"]["validation"].clone()
    };
    assert_eq!(
        built(":prod"),
        serde_json::json!({"kubernetes": "1.37", "skipped": ["unknown-field", "invalid-value", "removed-api"]})
    );
    world.write("manifests/broken.yaml", BROKEN);
    world.push("all", &["--skip-validation", "all"]).exits(0);
    assert_eq!(built(":all"), serde_json::json!({"skipped": ["all"]}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_a_push_would_do_and_writes_nothing() {
    let world = World::new().await;
    let dry = world.push("prod", &["--dry-run", "--version", "1.4.2"]).exits(0);
    dry.says(&["would tag  1.4.2\n", "would move prod\n", "nothing was signed, and nothing was written\n"]);
    world.run(&["inspect", &world.oci("")]).exits(6);
    let pushed = world.push("prod", &["--sequence", "10"]).exits(0).stdout;
    let document = world.push("prod", &["--dry-run", "--sequence", "9", "-o", "json"]).exits(8).json();
    assert_eq!(
        (&document["schema"], &document["outcome"]),
        (&"sealift.dev/push-dry-run/v1".into(), &"superseded".into())
    );
    assert_eq!(pushed.trim(), document["reference"]);
    let tags = world.run(&["inspect", &world.oci("")]).exits(0).stdout;
    assert_eq!(tags, "prod\nseq-10\n");
}
