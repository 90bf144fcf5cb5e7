//! Releases where no network leads: copied out of a registry, carried over, and delivered from what was carried, under
//! the very statements that were signed at home.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use sealift_e2e::{Attacker, Cli, ControlPlane, Cosign, Edge, KeyPair, ObjectStorage, Output, Registry, World, policy};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

/// Where releases are made, and the ways from there.
struct Home<'a> {
    world: &'a World<'a>,
    cli: Cli,
    registry: Registry,
    policy: String,
    /// How the places are reached, for every command.
    access: Vec<String>,
}

impl<'a> Home<'a> {
    /// With a policy, there and in the cluster, for what the key of the world signed for this home's registry, changed.
    async fn of(world: &'a World<'a>, cli: Cli, change: impl FnOnce(&mut Value)) -> Self {
        let registry = Registry::embedded();
        let mut policy = policy(&world.namespace, &[&format!("{}/acme/*", registry.host())], &world.key);
        change(&mut policy);
        let policy = world.put_policy(policy).await.display().to_string();
        Self { world, cli, registry, policy, access: Vec::new() }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let access = self.access.iter().map(String::as_str);
        self.cli.run(&arguments.iter().copied().chain(access).collect::<Vec<_>>())
    }

    /// The logical repository, whose name stays the same wherever its bytes are.
    fn repository(&self, app: &str) -> String {
        format!("{}/acme/{app}", self.registry.host())
    }

    /// The same as the place that it is at home.
    fn place(&self, app: &str) -> String {
        format!("oci://{}", self.repository(app))
    }

    /// What a release of an application puts into the cluster.
    fn manifest(&self, app: &str, value: &str) -> String {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": app}, "data": {"value": value},
        });
        self.cli.write(&format!("{app}-{value}.json"), map.to_string()).display().to_string()
    }

    /// Signs and pushes to a place, as the repository of the application.
    fn push(&self, app: &str, value: &str, place: &str) -> Digest {
        let (file, key) = (self.manifest(app, value), self.world.key.private().display().to_string());
        let to = format!("{place}:prod");
        let pushed = self.run(&["push", &to, "--as", &self.repository(app), "-f", &file, "--key", &key]);
        assert_eq!(pushed.code, 0, "{}", pushed.stderr);
        pushed.digest()
    }

    /// Releases to the registry at home.
    fn release(&self, app: &str, value: &str) -> Digest {
        self.push(app, value, &self.place(app))
    }

    /// Copies `from:prod` to a place where the policy accepts it.
    fn copied(&self, app: &str, from: &str, to: &str) -> Value {
        let from = format!("{from}:prod");
        let copy = ["copy", &from, to, "--as", &self.repository(app), "--policy", &self.policy, "-o", "json"];
        let done = self.run(&copy);
        assert_eq!(done.code, 0, "{}", done.stderr);
        let copied: Value = serde_json::from_str(&done.stdout).unwrap();
        assert_eq!(copied["verified"], true);
        copied
    }

    /// The same, of a release; gives the digest of its statement.
    fn copy(&self, app: &str, from: &str, to: &str) -> Digest {
        let copied = self.copied(app, from, to);
        copied["artifacts"][0]["claimedStatements"][0]["digest"].as_str().unwrap().parse().unwrap()
    }

    /// Makes a Delivery of an application, which looks only when it is asked to.
    async fn deliver(&self, app: &str, account: &str) {
        let mut spec = self.world.following(app, "prod", account);
        (spec["repository"], spec["interval"]) = (json!(self.repository(app)), json!("1h"));
        self.world.deliver(&self.world.namespace, app, spec).await;
    }

    /// Waits until a release runs, and gives the digest of the statement it was verified by.
    async fn delivered(&self, app: &str, release: Digest) -> Digest {
        let delivery = self.world.delivered((&self.world.namespace, app), release).await;
        delivery.status.unwrap().last_applied.unwrap().statement.unwrap()
    }

    /// What runs of an application.
    async fn value(&self, app: &str) -> Option<String> {
        let maps: Api<ConfigMap> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        maps.get_opt(app).await.unwrap().and_then(|map| map.data?.remove("value"))
    }
}

/// The file of content in a layout.
fn blob(layout: &Path, digest: Digest) -> PathBuf {
    layout.join("blobs/sha256").join(digest.hex())
}

/// The layer of an artifact in a layout.
fn layer(layout: &Path, artifact: Digest) -> Digest {
    let manifest: Value = serde_json::from_slice(&fs::read(blob(layout, artifact)).unwrap()).unwrap();
    manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_was_carried_over_is_delivered_from_a_served_tar_and_from_a_folder() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "airgap", async |world| {
        let mut home = Home::of(world, Cli::new(), |_| ()).await;
        let here = home.cli.home().to_owned();
        let there = |name: &str| here.join("there").join(name);
        let folder = |name: &str| format!("oci-layout:{}", there("oci").join(name).display());
        let tar = |name: &str| here.join(format!("{name}.tar")).display().to_string();

        let (shop, tools) = (home.release("shop", "1"), home.release("tools", "1"));
        let signed = ["shop", "tools"].map(|app| home.copy(app, &home.place(app), &tar(app)));
        let next = home.release("tools", "2");
        home.copy("tools", &home.place("tools"), &tar("next"));
        home.registry.stop();

        // Nothing but these files comes over.
        fs::create_dir(there("")).unwrap();
        let carried = ["shop", "tools", "next"].map(|name| {
            let file = there(&format!("{name}.tar"));
            fs::rename(tar(name), &file).unwrap();
            file
        });
        let [shop_tar, tools_tar, next_tar] = carried.each_ref().map(|file| file.display().to_string());
        let edge = Edge::serve(&carried[0], &home.repository("shop"));
        assert_eq!(home.copy("tools", &tools_tar, &folder("tools")), signed[1], "copied on, and not signed anew");
        let mirrors = [
            format!("--mirror={}={}/acme/shop", home.repository("shop"), edge.host()),
            format!("--mirror={}/acme={}", home.registry.host(), folder("").trim_end_matches('/')),
            format!("--plain-http-host={}", edge.host()),
        ];
        let account = world.namespace_account(&world.namespace);
        world.start_controller_with(&mirrors.each_ref().map(String::as_str)).await;
        for (app, release, statement) in [("shop", shop, signed[0]), ("tools", tools, signed[1])] {
            home.deliver(app, account).await;
            assert_eq!(home.delivered(app, release).await, statement, "{app}: the statement of home");
            assert_eq!(home.value(app).await.as_deref(), Some("1"));
        }

        // Damaged on the disk: what runs stays, until the disk has what was signed again.
        home.copy("tools", &next_tar, &folder("tools"));
        let layer = layer(&there("oci/tools"), next);
        let whole = fs::read(blob(&there("oci/tools"), layer)).unwrap();
        Attacker::corrupt(&there("oci/tools"), layer);
        let of = (world.namespace.as_str(), "tools");
        world.reconcile(of).await;
        world.refused(of, "DigestMismatch").await;
        assert_eq!(home.value("tools").await.as_deref(), Some("1"));
        fs::write(blob(&there("oci/tools"), layer), whole).unwrap();
        world.reconcile(of).await;
        home.delivered("tools", next).await;
        assert_eq!(home.value("tools").await.as_deref(), Some("2"));

        // As another repository it is not copied, and brought there all the same it is not believed.
        let (from, other) = (format!("{shop_tar}:prod"), folder("other"));
        let refused = home.cli.run(&["copy", &from, &other, "--as", &home.repository("other")]);
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("error: WrongRepository:"), "{}", refused.stderr);
        assert!(!there("oci/other").exists(), "nothing was written");
        home.copy("shop", &shop_tar, &other);
        home.deliver("other", account).await;
        world.refused((of.0, "other"), "WrongRepository").await;
        let other = world.deliveries(of.0).get("other").await.unwrap().status.unwrap();
        assert!(other.last_applied.is_none(), "nothing of it was applied");
    })
    .await;
}

/// By the real cosign, who knows nothing of Sealift: in a bundle, and under a tag of the artifact's digest as it was done
/// before there were referrers.
#[tokio::test]
async fn what_cosign_signed_is_carried_over_and_believed_there_by_cosign_and_by_the_cluster() {
    let Some(cosign) = Cosign::find() else { return };
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "vendor", async |world| {
        let _ = cosign.succeed(&["generate-key-pair", "--output-key-prefix", "vendor"]);
        let public = fs::read_to_string(cosign.home().join("vendor.pub")).unwrap();
        let mut home = Home::of(world, Cli::new(), |policy| {
            policy["spec"]["authorities"] = json!([{"name": "vendor", "key": {"pem": public}}]);
            policy["spec"]["require"] = json!({"anyOf": ["vendor"]});
            policy["spec"]["release"]["statement"] = json!("optional");
            policy["spec"]["transparency"] = json!({"legacySignatures": true});
        })
        .await;
        // Nobody has stated anything about either of these.
        for (app, form) in [("older", "false"), ("newer", "true")] {
            home.release(app, "1");
            let artifact = Attacker::at(&home.repository(app)).unsigned_twin("prod").await;
            let form = format!("--new-bundle-format={form}");
            let pinned = format!("{}@{artifact}", home.repository(app));
            let sign = ["sign", "--key", "vendor.key", "--allow-http-registry", "--tlog-upload=false"];
            let _ = cosign.succeed(&[&sign[..], &["--use-signing-config=false", &form, &pinned]].concat());
        }
        let artifacts = ["older", "newer"].map(|app| {
            let copied = home.copied(app, &home.place(app), &format!("{app}.tar"));
            let artifact: Digest = copied["artifacts"][0]["digest"].as_str().unwrap().parse().unwrap();
            let tags = match app {
                "older" => json!([format!("sha256-{}.sig", artifact.hex())]),
                _ => json!([]),
            };
            assert_eq!(copied["legacyTags"], tags, "{copied:#}");
            artifact
        });
        home.registry.stop();

        let mut options = Vec::new();
        let edges = ["older", "newer"].map(|app| {
            let edge = Edge::serve(&home.cli.home().join(format!("{app}.tar")), &home.repository(app));
            options.push(format!("--mirror={}={}/acme/{app}", home.repository(app), edge.host()));
            options.push(format!("--plain-http-host={}", edge.host()));
            edge
        });
        let account = world.namespace_account(&world.namespace);
        world.start_controller_with(&options.iter().map(String::as_str).collect::<Vec<_>>()).await;
        for ((app, artifact), edge) in ["older", "newer"].into_iter().zip(artifacts).zip(&edges) {
            let pinned = format!("{}/acme/{app}@{artifact}", edge.host());
            let verify = ["verify", "--key", "vendor.pub", "--allow-http-registry", "--insecure-ignore-tlog", &pinned];
            let _ = cosign.succeed(&[&verify[..], &[&format!("--new-bundle-format={}", app == "newer")]].concat());
            home.deliver(app, account).await;
            let delivery = world.delivered((&world.namespace, app), artifact).await;
            assert_eq!(delivery.status.unwrap().last_applied.unwrap().statement, None);
            assert_eq!(home.value(app).await.as_deref(), Some("1"));
        }
    })
    .await;
}

/// Run by `make interop`. The command line alone, and storage on this machine.
#[test]
fn releases_go_through_object_storage_to_every_other_kind_of_place_and_back() {
    let Some(storage) = ObjectStorage::start("releases") else { return };
    let cli = storage.environment().iter().fold(Cli::new(), |cli, (name, value)| cli.with_env(name, value));
    let (registry, other, key) = (Registry::embedded(), Registry::embedded(), KeyPair::generate(&cli, "release"));
    let logical = format!("{}/acme/shop", registry.host());
    let policy = cli.write("policy.json", policy("home", &[&logical], &key).to_string()).display().to_string();
    let home = format!("oci://{logical}");
    let push = |value: &str| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"value": value}});
        let file = cli.write("map.json", map.to_string()).display().to_string();
        let key = key.private().display().to_string();
        let to = format!("{home}:prod");
        let push = ["push", &to, "-f", &file, "--key", &key, "--version", value, "--skip-validation", "all"];
        cli.run(&push).digest()
    };
    let first = push("1.0.0");
    let mirror = format!("oci://{}/mirror/shop", other.host());
    let places =
        [&home, "s3://releases/a", "oci-layout:there", "s3://releases/b/c", "there.tar", "s3://releases", &mirror];
    let copy = |from: &str, to: &str| {
        let copy = ["copy", &format!("{from}:prod"), to, "--as", &logical, "--policy", &policy, "-o", "json"];
        serde_json::from_str::<Value>(&cli.succeed(&copy)).unwrap()
    };
    let all = |release: Digest| {
        for way in places.windows(2) {
            let copied = copy(way[0], way[1]);
            assert_eq!(copied["artifacts"][0]["digest"], release.to_string(), "{way:?}");
            assert_eq!(copied["referrers"], 1, "{way:?}");
            let again = copy(way[0], way[1]);
            assert_eq!((&again["blobs"]["sent"], &again["tags"][0]["moved"]), (&json!(0), &json!(false)), "{way:?}");
        }
    };
    all(first);
    let diff = |from: &str, to: &str| {
        let diff = ["diff", from, to, "--as", &logical, "--policy", &policy, "-o", "json"];
        serde_json::from_str::<Value>(&cli.succeed(&diff)).unwrap()
    };
    let second = push("2.0.0");
    let differs = diff("s3://releases/a:prod", &format!("{home}:prod"));
    assert_eq!((&differs["verified"], &differs["changes"]), (&json!(true), &json!(true)), "{differs:#}");
    all(second);
    assert_eq!(diff("s3://releases/a:prod", "s3://releases:prod")["changes"], false);
    // What is under a prefix is a layout of its own, and a tag goes forward only.
    let back = ["copy", &format!("{mirror}@{first}"), "s3://releases/a:prod", "--as", &logical];
    assert_eq!(cli.run(&back).code, 8);
    let listed = cli.succeed(&["list", "s3://releases/a"]);
    assert!(listed.contains("2.0.0"), "{listed}");
    let older = format!("s3://releases/a@{first}");
    cli.succeed(&["verify", &older, "--as", &logical, "--policy", &policy]);
    assert_eq!(cli.run(&["list", "s3://releases/nothing"]).code, 6);
}

/// Run by `make interop`.
#[tokio::test]
async fn object_storage_holds_releases_as_a_registry_does() {
    let Some(storage) = ObjectStorage::over_tls("releases") else { return };
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "bucket", async |world| {
        let mut cli = Cli::new();
        for (name, value) in storage.environment() {
            world.set_controller_env(name, &value);
            cli = cli.with_env(name, &value);
        }
        let mut home = Home::of(world, cli, |_| ()).await;
        let ca_file = storage.ca_file().display().to_string();
        // The registry of home speaks no TLS.
        home.access = ["--ca-file", &ca_file, "--plain-http"].map(str::to_owned).into();
        let place = |app: &str| format!("s3://releases/mirror/{app}");
        let verify = |home: &Home<'_>, place: &str, app: &str| {
            let (place, logical) = (format!("{place}:prod"), home.repository(app));
            home.run(&["verify", &place, "--as", &logical, "--policy", &home.policy])
        };

        // Pushed into the bucket, and copied into it, and from there to a tar.
        let shop = home.push("shop", "1", &place("shop"));
        assert_eq!(verify(&home, &place("shop"), "shop").code, 0, "{}", storage.log());
        let listed = home.run(&["list", &place("shop")]);
        assert!(listed.stdout.contains("prod"), "{}{}", listed.stdout, listed.stderr);
        let untrusted = home.cli.run(&["list", &place("shop")]);
        assert_eq!(untrusted.code, 4, "nobody trusts this certificate by himself: {}", untrusted.stderr);
        let tools = home.release("tools", "1");
        let signed = home.copy("tools", &home.place("tools"), &place("tools"));
        assert_eq!(home.copy("tools", &place("tools"), "tools.tar"), signed);
        assert_eq!(verify(&home, "tools.tar", "tools").code, 0);
        let strange = home.run(&["copy", &format!("{}:prod", place("tools")), &home.place("other")]);
        assert_eq!(strange.code, 3, "{}", strange.stderr);

        home.registry.stop();
        let account = world.namespace_account(&world.namespace);
        let mirror = format!("--mirror={}/acme=s3://releases/mirror", home.registry.host());
        world.start_controller_with(&[&mirror, "--registry-ca", &ca_file]).await;
        for (app, release) in [("shop", shop), ("tools", tools)] {
            home.deliver(app, account).await;
            let statement = home.delivered(app, release).await;
            assert!(app != "tools" || statement == signed, "the statement of home");
            assert_eq!(home.value(app).await.as_deref(), Some("1"));
        }
        let of = (world.namespace.as_str(), "shop");
        let second = home.push("shop", "2", &place("shop"));
        world.reconcile(of).await;
        home.delivered("shop", second).await;
        assert_eq!(home.value("shop").await.as_deref(), Some("2"));

        let third = home.push("shop", "3", &place("shop"));
        let layout = storage.bucket("releases").join("mirror/shop");
        Attacker::corrupt(&layout, layer(&layout, third));
        assert_eq!(verify(&home, &place("shop"), "shop").code, 3);
        world.reconcile(of).await;
        world.refused(of, "DigestMismatch").await;
        assert_eq!(home.value("shop").await.as_deref(), Some("2"));
        assert!(!world.controller_log().contains(&storage.environment()[3].1), "no secret is logged");
    })
    .await;
}
