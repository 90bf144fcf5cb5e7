//! Folders rendered at push, by the real kustomize, kubectl and helm.

use std::{fs, path::PathBuf};

use sealift_e2e::{Tool, shared_folder};
use sealift_verify::digest::Digest;
use serde_json::Value;

use crate::support::{POD, Run, SETTINGS, World};

/// A PATH on which there is nothing but these, and what `sh` is.
fn only(world: &World, tools: &[&Tool]) -> PathBuf {
    let names: Vec<_> = tools.iter().map(|tool| tool.path().file_name().unwrap().to_str().unwrap()).collect();
    let folder = world.path(&format!("bin-{}", names.join("-")));
    fs::create_dir_all(&folder).unwrap();
    for tool in tools {
        let _ = std::os::unix::fs::symlink(tool.path(), folder.join(tool.path().file_name().unwrap()));
    }
    folder
}

/// Pushes what these arguments name, with nothing but these tools.
fn push(world: &World, tools: &[&Tool], arguments: &[&str]) -> Run {
    let to = world.oci(":prod");
    let mut command = world.command(&["push", &to, "--key", "cosign.key", "--env", "prod"]);
    command.args(arguments).env("PATH", only(world, tools));
    Run::of(command.output().unwrap())
}

/// What the statement of the last push says about rendering.
fn render(world: &World) -> Value {
    let shown = world.run(&["inspect", &world.oci(":prod"), "-o", "json"]).exits(0).json();
    let statements = shown["unverified"]["statements"].as_array().unwrap();
    let newest = statements.iter().max_by_key(|statement| statement["predicate"]["sequence"].as_u64()).unwrap();
    newest["predicate"]["build"]["render"].clone()
}

fn overlays(world: &World) {
    world.write("base/kustomization.yaml", "resources: [pod.yaml, settings.yaml]\n");
    world.write("base/pod.yaml", POD);
    world.write("base/settings.yaml", SETTINGS);
    let overlay = "resources: [../../base]\nlabels: [{pairs: {ring: one}}]\n";
    world.write("overlays/one/kustomization.yaml", overlay);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlay_is_rendered_and_the_statement_says_from_what() {
    let (Some(kustomize), Some(kubectl)) = (Tool::find("kustomize"), Tool::find("kubectl")) else { return };
    let world = World::new().await;
    overlays(&world);
    let by_kustomize = push(&world, &[&kustomize], &["-f", "overlays/one"]).exits(0);
    assert!(by_kustomize.stderr.contains("rendered  overlays/one by kustomize v5."), "{}", by_kustomize.stderr);
    let how = render(&world);
    assert_eq!(how[0]["renderer"], "kustomize");
    assert_eq!(how[0]["arguments"], serde_json::json!(["build", "."]));
    assert_eq!(how[0]["bases"], serde_json::json!(["../../base"]));
    assert_eq!((&how[0]["inputs"]["files"], how[0]["inputs"]["top"].as_object().unwrap().len()), (&Value::from(4), 1));
    let text = world.run(&["inspect", &world.oci(":prod")]).exits(0).stdout;
    assert!(
        world.scrub(&text).contains("rendered     overlays/one by kustomize v5.8.2 from 4 files, inputs sha256:…"),
        "{text}"
    );
    let ring = world.run(&["inspect", &world.oci(":prod"), "--object", "ConfigMap/settings"]).exits(0).stdout;
    assert!(ring.contains("ring: one"), "{ring}");
    // The kustomize in kubectl makes the same of it.
    let by_kubectl = push(&world, &[&kubectl], &["-f", "overlays/one"]).exits(0);
    assert_eq!(by_kubectl.stdout, by_kustomize.stdout);
    assert_eq!(render(&world)[0]["inputs"], how[0]["inputs"]);
    // A file of the base is an input, whether or not it makes a difference.
    world.write("base/README.md", "more");
    let same = push(&world, &[&kustomize], &["-f", "overlays/one"]).exits(0);
    assert_eq!(same.stdout, by_kustomize.stdout);
    assert_ne!(render(&world)[0]["inputs"]["digest"], how[0]["inputs"]["digest"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_packed_alike_whoever_renders_it() {
    let Some(kustomize) = Tool::find("kustomize") else { return };
    let Some(demo) = shared_folder("corpus/microservices-demo/kustomize/base") else { return };
    let world = World::new().await;
    let rendered = kustomize.command().arg("build").arg(&demo).output().unwrap();
    fs::write(world.path("rendered.yaml"), rendered.stdout).unwrap();
    let before = push(&world, &[], &["-f", "rendered.yaml"]).exits(0);
    let now = push(&world, &[&kustomize], &["-f", demo.to_str().unwrap()]).exits(0);
    assert_eq!(before.stdout, now.stdout);
    assert_eq!(render(&world)[0]["folder"], "base", "not where this machine has it");
    let packed = |run: &Run| run.stderr.lines().find(|line| line.starts_with("packed")).unwrap().to_owned();
    assert_eq!(packed(&before), packed(&now));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_renderer_it_is_said_how_to_get_one() {
    let world = World::new().await;
    overlays(&world);
    push(&world, &[], &["-f", "overlays/one"]).exits(6).silent().says(&[
        "overlays/one needs kustomize or kubectl to be rendered, and PATH has none",
        "hint: install kustomize (https://",
        "push -f - what comes out",
    ]);
    world.write("chart/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n");
    push(&world, &[], &["-f", "chart"])
        .exits(6)
        .says(&["chart needs helm to be rendered", "https://helm.sh/docs/intro/install"]);
    world.write("chart/kustomization.yaml", "resources: []\n");
    push(&world, &[], &["-f", "chart"]).exits(2).says(&["a kustomization and a Chart.yaml", "--render helm"]);
    push(&world, &[], &["-f", "manifests", "--render", "helm"]).exits(2).says(&["manifests holds no Chart.yaml"]);
    push(&world, &[], &["-f", "manifests", "--values", "a"])
        .exits(2)
        .says(&["--values is for charts, and none is rendered"]);
    // As before, where nobody wants it rendered, and deeper in a folder of manifests.
    push(&world, &[], &["-f", "base", "--render", "none"]).exits(5).says(&["a kustomization, which is an input"]);
    world.write("manifests/base/kustomization.yaml", "resources: [a.yaml]\n");
    push(&world, &[], &["-f", "manifests"]).exits(5).says(&["name its folder itself to have it rendered"]);
}

/// A renderer may read it like any other file, so it is an input: what was rendered with another lock may be another thing.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_in_the_folder_is_one_of_its_inputs_and_gives_the_same_each_time() {
    let Some(kustomize) = Tool::find("kustomize") else { return };
    let world = World::new().await;
    overlays(&world);
    let inputs = |world: &World| render(world)[0]["inputs"].clone();
    let without = push(&world, &[&kustomize], &["-f", "overlays/one"]).exits(0).stdout;
    let before = inputs(&world);
    world.write("overlays/one/images.lock", "schema: sealift.dev/images-lock/v1\nimages: []\n");
    let with = push(&world, &[&kustomize], &["-f", "overlays/one"]).exits(0).stdout;
    let after = inputs(&world);
    assert_eq!(with, without, "the same objects, and so the same artifact");
    assert_ne!(before["digest"], after["digest"]);
    let lock = &after["top"]["images.lock"];
    assert_eq!(*lock, Digest::of(world.read("overlays/one/images.lock").as_bytes()).to_string());
    push(&world, &[&kustomize], &["-f", "overlays/one"]).exits(0);
    assert_eq!(inputs(&world), after);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_today_is_no_input_of_a_release() {
    let Some(kustomize) = Tool::find("kustomize") else { return };
    let world = World::new().await;
    overlays(&world);
    world.write("base/kustomization.yaml", "resources: [pod.yaml, 'github.com/acme/shop//deploy?ref=main']\n");
    push(&world, &[&kustomize], &["-f", "overlays/one"]).exits(5).silent().says(&[
        "base/kustomization.yaml refers to \"github.com/acme/shop//deploy?ref=main\", which is not a file here",
        "hint: what is signed must not depend on what a server says today",
    ]);
    world.write("base/kustomization.yaml", "helmCharts: [{name: redis}]\n");
    push(&world, &[&kustomize], &["-f", "overlays/one"]).exits(5).says(&["--enable-helm"]);
    world.write("base/kustomization.yaml", "resources: [nothing.yaml]\n");
    let failed = push(&world, &[&kustomize], &["-f", "overlays/one"]).exits(5);
    failed.says(&["overlays/one cannot be rendered", "kustomize failed (exit status: 1)", "nothing.yaml"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_program_renders_without_a_cluster_and_without_what_sealift_signs_with() {
    let world = World::new().await;
    let to = world.oci(":prod");
    let run = |command: &str| {
        let arguments = ["push", &to, "--key", "cosign.key", "-f", "manifests", "--render-cmd", command];
        world.run(&arguments)
    };
    let by_folder = world.push("plain", &[]).exits(0);
    let own = run("sh -c 'for f in *.yaml; do echo ---; cat $f; done'").exits(0);
    assert_eq!(own.stdout, by_folder.stdout);
    let how = render(&world);
    assert_eq!((&how[0]["renderer"], &how[0]["inputsMayBeIncomplete"]), (&Value::from("sh"), &Value::from(true)));
    assert!(how[0]["command"].as_str().unwrap().starts_with("sha256:") && how[0].get("arguments").is_none());
    // What is around it goes into an object that can be read again.
    let around = "printf 'apiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: a}\\ndata: {k: \"%s\", p: \"%s\"}\\n' \
                  \"$KUBECONFIG\" \"${SEALIFT_PASSWORD-none}\"";
    run(&format!("sh -c '{}'", around.replace('\'', "'\\''"))).exits(0);
    let shown = world.run(&["inspect", &to, "--object", "ConfigMap/a", "-o", "json"]).exits(0).json();
    assert_eq!(shown["data"], serde_json::json!({"k": "/nonexistent", "p": "none"}));
    run("sh -c 'echo half; echo no such thing >&2; exit 7'").exits(5).says(&["exit status: 7", "no such thing"]);
    run("cat pod.yaml | cat").exits(2).says(&["no shell runs the command"]);
    run("no-such-program").exits(6).says(&["no-such-program"]);
    let (file, command) = (["-f", "manifests/pod.yaml"], ["--render-cmd", "cat pod.yaml"]);
    push(&world, &[], &[file, command].concat()).exits(2).says(&["--render-cmd is for folders"]);
}

const TEMPLATES: &[(&str, &str)] = &[
    ("Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.2.3\n"),
    ("values.yaml", "colour: blue\n"),
    (
        "crds/berth.yaml",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: berths.harbour.example}\n\
         spec:\n  group: harbour.example\n  scope: Namespaced\n  names: {kind: Berth, plural: berths}\n\
         \x20 versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]\n",
    ),
    (
        "templates/settings.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-settings\n  namespace: {{ .Release.Namespace }}\n\
         data:\n  colour: {{ .Values.colour }}\n  kube: {{ .Capabilities.KubeVersion.Version }}\n\
         {{- $old := lookup \"v1\" \"Secret\" .Release.Namespace \"old\" }}\n  old: {{ if $old }}\"yes\"{{ else }}\"no\"{{ end }}\n",
    ),
    (
        "templates/hooks.yaml",
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: migrate\n  annotations: {helm.sh/hook: \"pre-install,pre-upgrade\"}\n\
         spec: {template: {spec: {restartPolicy: Never, containers: [{name: m, image: m:1}]}}}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {name: try, annotations: {helm.sh/hook: test}}\n\
         spec: {containers: [{name: t, image: t:1}]}\n",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_rendered_with_its_definitions_and_its_hooks_are_somebodys_decision() {
    let Some(helm) = Tool::for_interop("helm") else { return };
    let world = World::new().await;
    TEMPLATES.iter().for_each(|(name, text)| world.write(&format!("shop/{name}"), text));
    world.write("prod.yaml", "colour: red\n");
    push(&world, &[&helm], &["-f", "shop"]).exits(5).silent().says(&[
        "Job.batch migrate (pre-install,pre-upgrade) in shop/templates/hooks.yaml",
        "hint: --helm-hooks apply",
    ]);
    let more = ["--values", "prod.yaml", "--release-namespace", "shop", "--kube-version", "1.33.0"];
    let arguments = [&["-f", "shop"], &more[..]].concat();
    let dropped = push(&world, &[&helm], &[&arguments[..], &["--helm-hooks", "drop"]].concat()).exits(0);
    dropped.says(&[
        "rendered  shop by helm v4.",
        "left out  hook Job.batch migrate (pre-install,pre-upgrade): nothing runs it here",
        "left out  hook Pod try (test): for helm test",
        "lookup in templates/settings.yaml:9",
        "packed    2 objects",
    ]);
    let shown = world.run(&["inspect", &world.oci(":prod"), "--object", "ConfigMap/shop-settings", "-o", "json"]);
    let settings = shown.exits(0).json();
    assert_eq!(settings["data"], serde_json::json!({"colour": "red", "kube": "v1.33.0", "old": "no"}));
    let how = render(&world);
    assert_eq!(how[0]["values"][0]["file"], "prod.yaml");
    assert_eq!(how[0]["hooks"]["leftOut"].as_array().unwrap().len(), 2);
    assert_eq!(how[0]["lookup"][0], "lookup in templates/settings.yaml:9");
    let apply = || push(&world, &[&helm], &[&arguments[..], &["--helm-hooks", "apply"]].concat()).exits(0);
    let applied = apply();
    assert_eq!(applied.stdout, apply().stdout, "the same inputs and the same helm give the same artifact");
    applied.says(&[
        "packed    3 objects",
        "hook      Job.batch migrate (pre-install,pre-upgrade) is an object of the release",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_chart_depends_on_lies_in_it_or_is_not_rendered() {
    let Some(helm) = Tool::for_interop("helm") else { return };
    let world = World::new().await;
    let chart = "apiVersion: v2\nname: shop\nversion: 1.2.3\ndependencies: [{name: part, version: 1.0.0, repository: 'file://../part'}]\n";
    world.write("shop/Chart.yaml", chart);
    world.write("shop/templates/settings.yaml", SETTINGS);
    push(&world, &[&helm], &["-f", "shop"])
        .exits(5)
        .says(&["missing in charts/ directory: part", "hint: run `helm dependency build` in the chart first"]);
    // Packed as `helm dependency build` keeps it, and looked into.
    world.write("part/Chart.yaml", "apiVersion: v2\nname: part\nversion: 1.0.0\n");
    world.write("part/templates/a.yaml", "{{- $x := lookup \"v1\" \"Secret\" \"a\" \"b\" }}\n{{- printf \"\" }}");
    let built = helm.command().args(["dependency", "build", "shop"]).current_dir(world.folder.path()).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    push(&world, &[&helm], &["-f", "shop"])
        .exits(0)
        .says(&["lookup in charts/part-1.0.0.tgz!part/templates/a.yaml:1", "packed    1 objects"]);
}
