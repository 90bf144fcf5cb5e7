//! What `policies/` and `ci-examples/` promise, run: each policy against releases that must pass and releases that must
//! not, each example as it stands.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use sealift_e2e::{Attacker, Cli, ControlPlane, Cosign, KeyPair, Output, Registry, workspace};
use serde_json::{Value, json};

/// The logical repository that the policies speak of; its bytes lie in a registry of the test.
const LOGICAL: &str = "registry.example/acme/shop";

struct Shop {
    cli: Cli,
    registry: Registry,
}

impl Shop {
    fn open() -> Self {
        let shop = Self { cli: Cli::new().with_env("SEALIFT_PASSWORD", "a password"), registry: Registry::embedded() };
        shop.object("web", json!({"kind": "ConfigMap", "metadata": {"name": "web", "namespace": "acme-shop"}}));
        shop
    }

    /// One more object in the folder of this name, which is a release if nothing else is put there.
    fn object(&self, folder: &str, object: Value) {
        let mut whole = json!({"apiVersion": "v1"});
        whole.as_object_mut().unwrap().extend(object.as_object().unwrap().clone());
        self.cli.write(&format!("{folder}/object.yaml"), whole.to_string());
    }

    /// Pushes a folder as it is meant to be pushed, but for `more`.
    fn push(&self, folder: &str, key: &KeyPair, more: &[&str]) -> String {
        let to = format!("oci://{}/acme/shop:{folder}", self.registry.host());
        let key = key.private().display().to_string();
        let mut words = vec!["push", &to, "-f", folder, "--key", &key, "--repository", LOGICAL];
        words.extend(more);
        self.cli.succeed(&words)
    }

    /// The verdict of a policy on what was pushed, as the Delivery of a namespace gets it.
    fn verify(&self, pinned: &str, policy: &Path, as_repository: &str, namespace: &str) -> Output {
        let (reference, policy) = (format!("oci://{pinned}"), policy.display().to_string());
        let words = ["verify", &reference, "--as", as_repository, "--policy", &policy, "--namespace", namespace];
        self.cli.run(&words)
    }

    fn assert_passes(&self, pinned: &str, policy: &Path) {
        let output = self.verify(pinned, policy, LOGICAL, "acme-shop");
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    }

    fn assert_refused(&self, what: &str, output: &Output, reason: &str) {
        assert_eq!(output.code, 3, "{what}: {}{}", output.stdout, output.stderr);
        assert!(output.stderr.contains(&format!("error: {reason}:")), "{what}: {}", output.stderr);
    }
}

/// A policy of the repository with our keys in place of its own, authority by authority.
fn policy(cli: &Cli, name: &str, keys: &BTreeMap<&str, &KeyPair>) -> PathBuf {
    let text = fs::read_to_string(workspace().join("policies").join(name)).unwrap();
    let mut policy: Value = serde_saphyr::from_str(&text).unwrap();
    let authorities = policy["spec"]["authorities"].as_array_mut().unwrap();
    let named: BTreeSet<String> =
        authorities.iter().map(|authority| authority["name"].as_str().unwrap().into()).collect();
    assert_eq!(named, keys.keys().map(|name| (*name).to_owned()).collect(), "{name}");
    for authority in authorities {
        let key = keys[authority["name"].as_str().unwrap()];
        authority["key"]["pem"] = json!(key.public());
    }
    cli.write(&format!("policies/{name}"), policy.to_string())
}

#[test]
fn the_production_policy_passes_what_it_is_for_and_nothing_else() {
    let shop = Shop::open();
    let (release, stranger) = (KeyPair::generate(&shop.cli, "release"), KeyPair::generate(&shop.cli, "stranger"));
    let production = policy(&shop.cli, "production.yaml", &BTreeMap::from([("release", &release)]));
    let good = shop.push("web", &release, &["--env", "prod"]);
    shop.assert_passes(&good, &production);

    shop.object("outside", json!({"kind": "ConfigMap", "metadata": {"name": "web", "namespace": "kube-system"}}));
    shop.object(
        "role",
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "web"}}),
    );
    shop.object(
        "pod",
        json!({"kind": "Pod", "metadata": {"name": "web", "namespace": "acme-shop"}, "spec": {"containers": []}}),
    );
    for (what, folder, key, more, reason) in [
        ("another key", "web", &stranger, &["--env", "prod"][..], "NoTrustedSignature"),
        ("no environment", "web", &release, &[], "WrongEnvironment"),
        ("another environment", "web", &release, &["--env", "dev"], "WrongEnvironment"),
        ("another stream", "web", &release, &["--env", "prod", "--stream", "other/shop"], "WrongStream"),
        ("another namespace", "outside", &release, &["--env", "prod"], "ObjectNotAllowed"),
        ("a cluster-scoped object", "role", &release, &["--env", "prod"], "ObjectNotAllowed"),
        ("a kind that is not listed", "pod", &release, &["--env", "prod"], "ObjectNotAllowed"),
    ] {
        // an artifact of its own, which no good statement is about
        let annotation = format!("case={what}");
        let pinned = shop.push(folder, key, &[more, &["--annotation", &annotation]].concat());
        shop.assert_refused(what, &shop.verify(&pinned, &production, LOGICAL, "acme-shop"), reason);
    }
    for (what, repository, namespace) in [
        ("a repository of somebody else", "registry.example/other/shop", "acme-shop"),
        ("a Delivery in another namespace", LOGICAL, "other"),
    ] {
        shop.assert_refused(what, &shop.verify(&good, &production, repository, namespace), "NoPolicy");
    }
}

#[tokio::test]
async fn the_two_person_policy_wants_both_on_the_very_same_statement() {
    let shop = Shop::open();
    let [build, release] = ["build", "release"].map(|name| KeyPair::generate(&shop.cli, name));
    let two = policy(&shop.cli, "two-person.yaml", &BTreeMap::from([("build", &build), ("release", &release)]));
    let repository = format!("{}/acme/shop", shop.registry.host());
    let registry = Attacker::at(&repository);
    let digest = |pinned: &str| pinned.split_once('@').unwrap().1.parse().unwrap();

    // one signature is not two, whoever made it, nor are two by one key
    let by_build = shop.push("web", &build, &["--annotation", "case=one"]);
    shop.assert_refused("build alone", &shop.verify(&by_build, &two, LOGICAL, "acme-shop"), "NoTrustedSignature");
    let (like, bundle) = registry.bundles(digest(&by_build)).await.remove(0);
    registry.attach(&like, &build.sign_as_well(&bundle)).await;
    shop.assert_refused("build twice", &shop.verify(&by_build, &two, LOGICAL, "acme-shop"), "NoTrustedSignature");

    // two statements about one artifact, each signed once
    let first = shop.push("web", &build, &["--annotation", "case=two"]);
    let second = shop.push("web", &release, &["--annotation", "case=two"]);
    assert_eq!(first, second, "one artifact");
    shop.assert_refused("two statements", &shop.verify(&first, &two, LOGICAL, "acme-shop"), "NoTrustedSignature");

    // the second person signs what the first one signed
    registry.attach(&like, &release.sign_as_well(&bundle)).await;
    shop.assert_passes(&by_build, &two);
}

/// The commit that the release says it is of.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Provenance as SLSA has it.
fn provenance(builder: &str, source: &str, commit: &str, finished: &str) -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://ci.example/build/v1",
            "externalParameters": {"ref": "refs/heads/main"},
            "resolvedDependencies": [
                {"uri": "git+https://git.example/tools", "digest": {"gitCommit": "ff"}},
                {"uri": source, "digest": {"gitCommit": commit}},
            ],
        },
        "runDetails": {"builder": {"id": builder}, "metadata": {"invocationId": "1", "finishedOn": finished}},
    })
}

/// The real cosign attests; bad attestations stay beside good ones and never hide them.
#[test]
fn the_provenance_policy_wants_what_the_builder_attests_with_cosign_and_nothing_less() {
    let Some(cosign) = Cosign::find() else { return };
    let shop = Shop::open();
    let [release, builder, security] =
        ["release", "builder", "security"].map(|name| KeyPair::generate(&shop.cli, name));
    let keys = BTreeMap::from([("release", &release), ("builder", &builder), ("security", &security)]);
    let wanted = policy(&shop.cli, "slsa-provenance.yaml", &keys);
    let imported: BTreeMap<&str, PathBuf> = [("builder", &builder), ("release", &release)]
        .into_iter()
        .map(|(name, key)| {
            let (key, prefix) = (key.private().display().to_string(), format!("theirs-{name}"));
            let _ = cosign.succeed(&["import-key-pair", "--key", &key, "--output-key-prefix", &prefix]);
            (name, cosign.home().join(format!("{prefix}.key")))
        })
        .collect();
    let attest = |pinned: &str, by: &str, kind: &str, predicate: &Value| {
        let path = shop.cli.write("predicate.json", predicate.to_string()).display().to_string();
        let key = imported[by].display().to_string();
        let words = ["attest", "--key", &key, "--type", kind, "--predicate", &path, "--allow-http-registry"];
        let offline = ["--tlog-upload=false", "--use-signing-config=false", pinned];
        let _ = cosign.succeed(&[&words[..], &offline].concat());
    };
    let source = ["--source", "https://git.example/acme/shop", "--revision", COMMIT];
    let kind = "https://slsa.dev/provenance/v1";
    let (id, git) = ("https://ci.example/builder", "git+https://git.example/acme/shop");
    let now = jiff::Timestamp::now().to_string();
    let good = provenance(id, git, COMMIT, &now);

    let pinned = shop.push("web", &release, &source);
    let refused = |what: &str, reason: &str| {
        shop.assert_refused(what, &shop.verify(&pinned, &wanted, LOGICAL, "acme-shop"), reason);
    };
    refused("nothing attested", "AttestationMissing");
    attest(&pinned, "builder", "https://slsa.dev/provenance/v0.2", &good);
    refused("another type", "AttestationMissing");
    attest(&pinned, "release", kind, &good);
    refused("attested by who releases", "AttestationRefused");
    for (what, predicate) in [
        ("another builder", provenance("https://ci.example/laptop", git, COMMIT, &now)),
        ("another source", provenance(id, "git+https://git.example/other/shop", COMMIT, &now)),
        ("another commit", provenance(id, git, "1123456789abcdef0123456789abcdef01234567", &now)),
        ("long ago", provenance(id, git, COMMIT, "2020-01-01T00:00:00Z")),
        ("half of it", json!({"runDetails": {"builder": {"id": id}}})),
    ] {
        attest(&pinned, "builder", kind, &predicate);
        refused(what, "AttestationRefused");
    }
    attest(&pinned, "builder", kind, &good);
    let passed = shop.verify(&pinned, &wanted, LOGICAL, "acme-shop");
    assert_eq!(passed.code, 0, "{}{}", passed.stdout, passed.stderr);
    assert!(passed.stdout.contains("pass         attestations       provenance: sha256:"), "{}", passed.stdout);

    // what is attested of one artifact says nothing of another
    let other = shop.push("web", &release, &[&source[..], &["--annotation", "case=other"]].concat());
    shop.assert_refused("another artifact", &shop.verify(&other, &wanted, LOGICAL, "acme-shop"), "AttestationMissing");

    let explained = shop.cli.succeed(&[
        "policy",
        "explain",
        &format!("oci://{other}"),
        "--as",
        LOGICAL,
        "--policy",
        &wanted.display().to_string(),
    ]);
    assert!(explained.contains("decided by spec.attestations, check attestations"), "{explained}");
}

#[test]
fn every_policy_is_tried_here_and_taken_by_a_cluster_as_it_stands() {
    let folder = workspace().join("policies");
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = entries.filter(|name| name.ends_with(".yaml")).collect();
    assert_eq!(
        files,
        [
            "keyless.yaml",
            // e2e/tests/bootstrap.rs
            "platform.yaml",
            "production.yaml",
            "signed-images.yaml",
            "slsa-provenance.yaml",
            "third-party.yaml",
            "two-person.yaml"
        ]
        .map(str::to_owned)
        .into(),
        "a policy without a test"
    );
    let Some(control_plane) = ControlPlane::shared() else { return };
    let definition = workspace().join("deploy/crds/sealift.dev_signaturepolicies.yaml").display().to_string();
    control_plane.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &definition]).unwrap();
    control_plane
        .kubectl(&["wait", "--for=condition=Established", "crd/signaturepolicies.sealift.dev", "--timeout=60s"])
        .unwrap();
    for file in files {
        let path = folder.join(file).display().to_string();
        let words = ["create", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "-f", &path];
        control_plane.kubectl(&words).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

/// The production policy as whoever follows the examples has it: with his own key and registry in it.
fn own_production_policy(shop: &Shop, path: &str) {
    shop.cli.succeed(&["keygen"]);
    let text = fs::read_to_string(workspace().join("policies/production.yaml")).unwrap();
    let mut policy: Value = serde_saphyr::from_str(&text).unwrap();
    policy["spec"]["authorities"][0]["key"]["pem"] =
        json!(fs::read_to_string(shop.cli.home().join("cosign.pub")).unwrap());
    let text = policy.to_string().replace("registry.example", &shop.registry.host());
    shop.cli.write(path, text);
}

#[test]
fn the_shell_example_releases() {
    let shop = Shop::open();
    own_production_policy(&shop, "production.yaml");
    let script = workspace().join("ci-examples/shell/release.sh");
    let release = |version: &str, channel: &str| {
        let mut command = shop.cli.program(&script);
        command
            .env("REPOSITORY", format!("{}/acme/shop", shop.registry.host()))
            .env("CHANNEL", channel)
            .env("VERSION", version)
            .env("MANIFESTS", "web")
            .env("POLICY", "production.yaml")
            .env("SEALIFT_KEY", "cosign.key");
        command.output().unwrap()
    };
    let done = release("1.4.2", "prod");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    let released = said.lines().find_map(|line| line.strip_prefix("released ")).unwrap_or_else(|| panic!("{said}"));
    for tag in ["prod", "1.4.2"] {
        let reference = format!("oci://{}/acme/shop:{tag}", shop.registry.host());
        let seen: Value = serde_json::from_str(&shop.cli.succeed(&["inspect", &reference, "-o", "json"])).unwrap();
        assert!(released.ends_with(seen["digest"].as_str().unwrap()), "{tag}: {seen:#}");
    }

    // what the policy refuses ends the script too
    shop.object("web", json!({"kind": "ConfigMap", "metadata": {"name": "web", "namespace": "kube-system"}}));
    let refused = release("1.4.3", "next");
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(!String::from_utf8_lossy(&refused.stdout).contains("released"));
    let unset = shop.cli.program(&script).output().unwrap();
    assert!(!unset.status.success() && String::from_utf8_lossy(&unset.stderr).contains("REPOSITORY"));
}

/// What a runner of GitHub Actions does of a workflow: fills in expressions, runs `run` steps, collects their outputs.
struct Runner<'a> {
    shop: &'a Shop,
    known: BTreeMap<String, String>,
}

impl Runner<'_> {
    fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${{") {
            let (expression, after) = after.split_once("}}").expect("an expression ends");
            let value = self.known.get(expression.trim());
            filled += before;
            filled += value.unwrap_or_else(|| panic!("nothing is known of {expression}"));
            rest = after;
        }
        // the one thing that is not as it stands: no test pushes to ghcr.io
        (filled + rest).replace("ghcr.io", &self.shop.registry.host())
    }

    fn variables(&self, env: &Value) -> BTreeMap<String, String> {
        let pairs = env.as_object().into_iter().flatten();
        pairs.map(|(name, value)| (name.clone(), self.fill(value.as_str().unwrap()))).collect()
    }

    fn run(&mut self, step: &Value, job: &Value) {
        let name = step["name"].as_str().unwrap_or_default();
        let output = self.shop.cli.write("runner/output", "");
        let temp = self.shop.cli.home().join("runner");
        let script = self.fill(step["run"].as_str().unwrap());
        let mut command = self.shop.cli.program("bash");
        command
            .args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", &script])
            .envs([
                ("CI", "true"),
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_SERVER_URL", "https://github.com"),
                ("GITHUB_REPOSITORY", "acme/shop"),
                ("GITHUB_SHA", "0123456789abcdef0123456789abcdef01234567"),
                ("GITHUB_REF", "refs/tags/v1.4.2"),
                ("GITHUB_REF_NAME", "v1.4.2"),
                ("GITHUB_RUN_ID", "1"),
            ])
            .env("GITHUB_OUTPUT", &output)
            .env("RUNNER_TEMP", &temp)
            .env_remove("SEALIFT_PASSWORD")
            .envs(self.variables(&job["env"]))
            .envs(self.variables(&step["env"]));
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "step {name:?}: {}{said}", String::from_utf8_lossy(&done.stdout));
        let Some(id) = step["id"].as_str() else { return };
        for line in fs::read_to_string(&output).unwrap().lines() {
            let (name, value) = line.split_once('=').unwrap();
            self.known.insert(format!("steps.{id}.outputs.{name}"), value.to_owned());
        }
    }
}

#[test]
fn the_github_workflow_releases() {
    let shop = Shop::open();
    shop.object("manifests", json!({"kind": "ConfigMap", "metadata": {"name": "web", "namespace": "acme-shop"}}));
    own_production_policy(&shop, "policies/production.yaml");
    let text = fs::read_to_string(workspace().join("ci-examples/github-actions/release.yaml")).unwrap();
    let workflow: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(workflow["on"]["push"]["tags"], json!(["v*"]));
    let key = fs::read_to_string(shop.cli.home().join("cosign.key")).unwrap();
    let known = [
        ("github.repository", "acme/shop"),
        ("github.actor", "ci"),
        ("secrets.GITHUB_TOKEN", "unused"),
        ("secrets.SEALIFT_KEY", &key),
        ("secrets.SEALIFT_PASSWORD", "a password"),
    ];
    let known = known.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut runner = Runner { shop: &shop, known };
    let job = &workflow["jobs"]["release"];
    let mut ran = 0;
    for step in job["steps"].as_array().unwrap() {
        match step["uses"].as_str() {
            // the folder is checked out, and the registry of the test knows no users
            Some("actions/checkout@v4" | "docker/login-action@v3") => {}
            Some(other) => panic!("{other} is not played here"),
            None => {
                runner.run(step, job);
                ran += 1;
            }
        }
    }
    assert_eq!(ran, 3);
    let released = &runner.known["steps.push.outputs.reference"];
    assert!(released.starts_with(&format!("{}/acme/shop/", shop.registry.host())), "{released}");
    let seen: Value =
        serde_json::from_str(&shop.cli.succeed(&["inspect", &format!("oci://{released}"), "-o", "json"])).unwrap();
    let statement = &seen["unverified"]["statements"][0];
    assert!(
        statement.to_string().contains("0123456789abcdef0123456789abcdef01234567"),
        "the commit is signed: {statement:#}"
    );
}
