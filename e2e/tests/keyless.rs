//! `sealift` signing as identities, on a real private Sigstore: Fulcio, Rekor v2, a timestamp authority. Run by
//! `make interop`.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealift_e2e::{Attacker, Cli, Cosign, Identity, Output, Registry, Sigstore};
use serde_json::{Value, json};

struct Ground {
    sigstore: &'static Sigstore,
    registry: Registry,
    cli: Cli,
    manifests: String,
}

impl Ground {
    fn new() -> Option<Self> {
        let sigstore = Sigstore::shared()?;
        let (registry, cli) = (Registry::embedded(), Cli::new());
        let manifests = cli.write("map.yaml", map("blue")).display().to_string();
        Some(Self { sigstore, registry, cli, manifests })
    }

    fn changed(&self, colour: &str) {
        self.cli.write("map.yaml", map(colour));
    }

    fn to(&self) -> String {
        format!("oci://{}/acme/shop:prod", self.registry.host())
    }

    /// The arguments with which this Sigstore signs, address by address, and whom it believes.
    fn services(&self) -> Vec<String> {
        let root = self.sigstore.trusted_root_file().display().to_string();
        [self.addresses(), vec!["--trusted-root".to_owned(), root]].concat()
    }

    fn addresses(&self) -> Vec<String> {
        let (fulcio, rekor, timestamps) = (self.sigstore.fulcio(), self.sigstore.rekor(), self.sigstore.timestamps());
        ["--fulcio-url", &fulcio, "--rekor-url", &rekor, "--timestamp-url", &timestamps].map(str::to_owned).to_vec()
    }

    /// `sealift` with these words and services, as somebody, with JSON for a product.
    fn run(&self, words: &[&str], services: &[String], identity: &Identity) -> Output {
        let token = self.sigstore.token(identity);
        let services = services.iter().map(String::as_str);
        let signing = ["-o", "json", "--keyless", "--identity-token", &token].into_iter().chain(services);
        self.cli.run(&words.iter().copied().chain(signing).collect::<Vec<_>>())
    }

    fn push(&self, more: &[&str], services: &[String], identity: &Identity) -> Output {
        let to = self.to();
        let words = ["push", &to, "-f", &self.manifests, "--env", "prod"];
        self.run(&[&words[..], more].concat(), services, identity)
    }

    /// The exit code of a policy's verdict on the channel, one authority an identity, all of them required.
    fn verify(&self, identities: &[&Identity]) -> (i32, String) {
        let mut policy = self.sigstore.policy("lab", &[&format!("{}/**", self.registry.host())], identities[0]);
        let others = identities.iter().map(|identity| {
            let other = self.sigstore.policy("lab", &["unused.example/**"], identity);
            other["spec"]["authorities"][0].clone()
        });
        let mut authorities: Vec<Value> = others.collect();
        for (nth, authority) in authorities.iter_mut().enumerate() {
            authority["name"] = json!(format!("who-{nth}"));
        }
        let names: Vec<Value> = authorities.iter().map(|authority| authority["name"].clone()).collect();
        policy["spec"]["require"] = json!({"allOf": names});
        policy["spec"]["authorities"] = json!(authorities);
        let text = format!("{policy}\n---\n{}\n", self.sigstore.trust_root("lab"));
        let file = self.cli.write("policy.yaml", text).display().to_string();
        let output = self.cli.run(&["verify", &self.to(), "--policy", &file]);
        (output.code, format!("{}{}", output.stdout, output.stderr))
    }

    /// Everything that lies in the registry.
    fn inspect(&self) -> Output {
        self.cli.run(&["inspect", &format!("oci://{}/acme/shop", self.registry.host()), "-o", "json"])
    }
}

fn map(colour: &str) -> String {
    format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: shop}}, data: {{colour: {colour}}}}}\n")
}

fn job() -> Identity {
    Identity::github("acme/shop", "refs/heads/main", Some("production"))
}

fn person() -> Identity {
    Identity::email("releaser@acme.example")
}

#[track_caller]
fn done(output: &Output) -> Value {
    assert_eq!(output.code, 0, "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

#[test]
fn what_an_identity_pushes_is_accepted_reported_and_recognised_by_the_next_push() {
    let Some(ground) = Ground::new() else { return };
    let first = ground.push(&[], &ground.services(), &job());
    let document = done(&first);
    let signature = &document["signature"];
    assert_eq!(signature["identity"], job().subject());
    assert_eq!(signature["issuer"], ground.sigstore.issuer(&job()));
    assert_eq!(signature["log"]["url"], ground.sigstore.rekor());
    assert!(signature["log"]["index"].is_u64(), "{signature}");
    assert_eq!(signature["times"][0]["source"], "timestamp-authority");
    assert_eq!(signature["verified"], true);
    for said in ["signed    stream acme/shop for prod", "logged    entry ", "time      ", job().subject()] {
        assert!(first.stderr.contains(said), "{said:?} in\n{}", first.stderr);
    }
    let (code, said) = ground.verify(&[&job()]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = ground.verify(&[&person()]);
    assert_eq!(code, 3, "{said}");

    ground.changed("green");
    let second = done(&ground.push(&[], &ground.services(), &job()));
    assert_eq!(second["statement"]["previous"]["statement"], document["statement"]["digest"], "recognised");
    assert_eq!(second["channel"]["moved"], true);
    ground.changed("red");
    let late = ground.push(&["--sequence", "1"], &ground.services(), &job());
    assert_eq!(late.code, 8, "the tag never moves back\n{}", late.stderr);
    // Another identity is somebody else, as another key is: what it finds does not hold its release up.
    let other = done(&ground.push(&["--sequence", "2"], &ground.services(), &person()));
    assert_eq!((&other["statement"]["previous"], &other["channel"]["moved"]), (&Value::Null, &json!(true)));
}

#[test]
fn several_identities_sign_the_very_same_bytes_and_renew_only_their_own() {
    let Some(ground) = Ground::new() else { return };
    let config = ["--signing-config".to_owned(), ground.sigstore.signing_config_file().display().to_string()];
    let services = &ground.services()[6..];
    let services = [&config[..], services].concat();
    let pushed = done(&ground.push(&["--expires-in", "1h"], &services, &job()));
    let (code, _) = ground.verify(&[&job(), &person()]);
    assert_eq!(code, 3, "one of two");
    let signed = done(&ground.run(&["sign", &ground.to()], &services, &person()));
    assert_eq!(
        (&signed["outcome"], &signed["statement"]["digest"]),
        (&json!("signed"), &pushed["statement"]["digest"])
    );
    let (code, said) = ground.verify(&[&job(), &person()]);
    assert_eq!(code, 0, "{said}");
    let again = done(&ground.run(&["sign", &ground.to()], &services, &person()));
    assert_eq!(again["outcome"], "already-signed");

    let renewed = done(&ground.run(&["refresh", &ground.to(), "--expires-in", "720h"], &services, &job()));
    assert_eq!(renewed["statement"]["previous"]["statement"], pushed["statement"]["digest"]);
    let stranger = Identity::email("stranger@acme.example");
    let refused = ground.run(&["refresh", &ground.to(), "--expires-in", "720h"], &services, &stranger);
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    assert!(refused.stderr.contains("is signed by identity \"stranger@acme.example\""), "{}", refused.stderr);
}

#[test]
fn cosign_verifies_what_an_identity_pushed() {
    let (Some(ground), Some(cosign)) = (Ground::new(), Cosign::find()) else { return };
    for identity in [job(), Identity::gitlab("acme/shop", "main", None), person()] {
        ground.changed(identity.subject().rsplit('/').next().unwrap());
        let pushed = done(&ground.push(&[], &ground.services(), &identity));
        let (root, issuer) = (ground.sigstore.trusted_root_file(), ground.sigstore.issuer(&identity));
        let root = root.display().to_string();
        let words = |env: &'static str, subject: &str| {
            let words = ["verify", "-a", env, "--certificate-identity", subject, "--certificate-oidc-issuer", &issuer];
            let trust = ["--insecure-ignore-sct", "--use-signed-timestamps", "--trusted-root", &root];
            let what = ["--allow-http-registry", pushed["reference"].as_str().unwrap()];
            cosign.run(&[&words[..], &trust, &what].concat())
        };
        let good = words("env=prod", identity.subject());
        assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
        assert!(!words("env=dev", identity.subject()).status.success(), "another environment");
        assert!(!words("env=prod", "somebody@else.example").status.success(), "another identity");
    }
}

#[test]
fn a_job_on_github_asks_for_its_token_itself() {
    let Some(ground) = Ground::new() else { return };
    let mut cli = Cli::new().with_env("GITHUB_ACTIONS", "true");
    for (name, value) in ground.sigstore.github_variables(&job()) {
        cli = cli.with_env(&name, &value);
    }
    let (to, services) = (ground.to(), ground.services());
    let words = ["push", &to, "-f", &ground.manifests, "--env", "prod", "--keyless"].into_iter();
    let output = cli.run(&words.chain(services.iter().map(String::as_str)).collect::<Vec<_>>());
    assert_eq!(output.code, 0, "{}", output.stderr);
    let (code, said) = ground.verify(&[&job()]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn without_a_trusted_root_it_says_so_believes_nothing_and_never_moves_back() {
    let Some(ground) = Ground::new() else { return };
    let services = ground.addresses();
    let first = ground.push(&[], &services, &job());
    assert_eq!(done(&first)["signature"]["verified"], false);
    for said in ["without --trusted-root, what the channel names", "only signature and identity were verified"] {
        assert!(first.stderr.contains(said), "{said:?} in\n{}", first.stderr);
    }
    let (code, said) = ground.verify(&[&job()]);
    assert_eq!(code, 0, "what was published is good all the same\n{said}");
    ground.changed("green");
    let next = done(&ground.push(&[], &services, &job()));
    assert_eq!((&next["statement"]["previous"], &next["channel"]["moved"]), (&Value::Null, &json!(true)));
    ground.changed("red");
    let late = ground.push(&["--sequence", "1"], &services, &job());
    assert_eq!(late.code, 8, "{}", late.stderr);
    let refresh = ground.run(&["refresh", &ground.to(), "--expires-in", "1h"], &services, &job());
    assert_eq!(refresh.code, 2, "{}", refresh.stderr);
    assert!(refresh.stderr.contains("--trusted-root"), "{}", refresh.stderr);
}

#[tokio::test]
async fn an_earlier_release_forged_in_the_registry_lifts_no_sequence_and_is_not_renewed() {
    let Some(ground) = Ground::new() else { return };
    let pushed = done(&ground.push(&[], &ground.services(), &job()));
    let sequence = pushed["statement"]["sequence"].as_u64().unwrap();
    // The same certificate, log entry and timestamp, and a statement of the attacker's, an hour ahead.
    let attacker = Attacker::at(&format!("{}/acme/shop", ground.registry.host()));
    let release = pushed["digest"].as_str().unwrap().parse().unwrap();
    let (referrer, mut bundle) = attacker.bundles(release).await.remove(0);
    let payload = STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
    let ahead = sequence + 3_600_000;
    let payload = String::from_utf8(payload).unwrap().replace(&sequence.to_string(), &ahead.to_string());
    bundle["dsseEnvelope"]["payload"] = json!(STANDARD.encode(payload));
    attacker.attach(&referrer, &bundle).await;

    ground.changed("green");
    let blind = ground.push(&[], &ground.addresses(), &job());
    assert_eq!(blind.code, 8, "what may be newer is not overtaken backwards\n{}", blind.stderr);
    let document: Value = serde_json::from_str(&blind.stdout).unwrap();
    assert!(document["statement"]["sequence"].as_u64().unwrap() < ahead, "{document}");
    assert_eq!(document["statement"]["previous"], Value::Null);

    let renewed = done(&ground.run(&["refresh", &ground.to(), "--expires-in", "1h"], &ground.services(), &job()));
    assert_eq!(renewed["statement"]["previous"]["statement"], pushed["statement"]["digest"]);
    ground.changed("red");
    let seeing = done(&ground.push(&[], &ground.services(), &job()));
    assert_eq!(seeing["channel"]["moved"], true, "a trusted root tells the forgery from the release");
    assert_eq!(seeing["statement"]["previous"]["statement"], renewed["statement"]["digest"]);
    assert!(seeing["statement"]["sequence"].as_u64().unwrap() < ahead, "{seeing}");
}

#[test]
fn nothing_is_published_where_a_part_fails_or_the_result_would_not_verify() {
    let Some(ground) = Ground::new() else { return };
    let other = Sigstore::start().unwrap();
    let rekor = ground.sigstore.rekor();
    let with = |option: &str, value: &str| {
        let mut services = ground.services();
        let place = services.iter().position(|word| word == option).unwrap();
        services[place + 1] = value.to_owned();
        services.extend(["--signing-timeout".to_owned(), "5s".to_owned()]);
        services
    };
    let root = other.trusted_root_file().display().to_string();
    let first_version = [ground.services(), vec!["--rekor-version".to_owned(), "1".to_owned()]].concat();
    for (what, services, code, said) in [
        (
            "another trusted root",
            with("--trusted-root", &root),
            3,
            "the new signature does not verify, and was not published",
        ),
        ("no log", with("--rekor-url", "http://127.0.0.1:1"), 4, "Rekor at 127.0.0.1:1 cannot be reached"),
        ("no timestamps", with("--timestamp-url", "http://127.0.0.1:1"), 4, "the timestamp authority at 127.0.0.1:1"),
        ("the log as timestamp authority", with("--timestamp-url", &rekor), 1, "the timestamp authority at"),
        ("the log of another version", first_version, 1, "Rekor at"),
        ("the log of another Sigstore", with("--rekor-url", &other.rekor()), 3, "does not vouch for it"),
        ("the stamps of another Sigstore", with("--timestamp-url", &other.timestamps()), 3, "does not vouch for it"),
        // It does not know the issuer.
        (
            "another Fulcio",
            with("--fulcio-url", &other.fulcio()),
            7,
            "no certificate is issued for this identity token",
        ),
    ] {
        let output = ground.push(&[], &services, &job());
        assert_eq!(output.code, code, "{what}: {}", output.stderr);
        assert!(output.stderr.contains(said), "{what}: {}", output.stderr);
        assert_eq!(output.stdout, "", "{what}");
    }
    let left = ground.inspect();
    assert_eq!(left.code, 6, "nothing is there\n{}", left.stdout);
}
