//! Releases signed without keys, on a real private Sigstore: Fulcio, Rekor v2, a timestamp authority and cosign. Run by
//! `make interop`.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealift_e2e::{Attacker, Cli, ControlPlane, Cosign, Identity, KeyPair, Registry, Sigstore, World};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

/// The predicate type of release statements.
const RELEASE: &str = "https://sealift.dev/release/v1";

type Change = fn(&mut Value);

/// Who releases in these tests.
fn releaser() -> Identity {
    Identity::github("acme/shop", "refs/heads/main", Some("production"))
}

struct Ground {
    sigstore: &'static Sigstore,
    cosign: Cosign,
    registry: Registry,
    cli: Cli,
    /// Trusted by nobody.
    stranger: KeyPair,
}

impl Ground {
    fn new() -> Option<Self> {
        let sigstore = Sigstore::shared()?;
        let cosign = Cosign::find()?;
        let cli = Cli::new();
        let stranger = KeyPair::generate(&cli, "stranger");
        Some(Self { sigstore, cosign, registry: Registry::embedded(), cli, stranger })
    }

    fn repository(&self) -> String {
        format!("{}/acme/shop", self.registry.host())
    }

    fn attacker(&self) -> Attacker {
        Attacker::at(&self.repository())
    }

    /// A release of one object that a stranger signed.
    fn push(&self) -> Digest {
        let map = self.cli.write("map.yaml", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shop"}}"#);
        let (to, file) = (format!("oci://{}:prod", self.repository()), map.display().to_string());
        let key = self.stranger.private().display().to_string();
        let output = self.cli.run(&["push", &to, "-f", &file, "--key", &key, "--env", "prod"]);
        assert_eq!(output.code, 0, "{}", output.stderr);
        output.digest()
    }

    /// A bundle of this statement, signed by the real cosign as somebody.
    fn sign(&self, sigstore: &Sigstore, statement: &[u8], identity: &Identity) -> Value {
        sign(&self.cosign, &self.cli, sigstore, statement, identity)
    }

    /// Judges the release by a policy and the trust of some Sigstore, and gives the exit code with the evidence.
    fn verify(&self, policy: &Value, root: &Value) -> (i32, Value) {
        let policy = self.cli.write("policy.yaml", format!("{policy}\n---\n{root}\n")).display().to_string();
        let output =
            self.cli.run(&["verify", &format!("oci://{}:prod", self.repository()), "--policy", &policy, "-o", "json"]);
        let mut record: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}", output.stderr));
        (output.code, record["predicate"]["https://sealift.dev/evidence/v1"].take())
    }

    fn policy(&self, identity: &Identity) -> Value {
        self.sigstore.policy("lab", &[&format!("{}/**", self.registry.host())], identity)
    }

    fn root(&self) -> Value {
        self.sigstore.trust_root("lab")
    }

    /// `cosign` with these words, on the release.
    fn cosign(&self, words: &[&str], release: Digest) -> std::process::Output {
        let pinned = format!("{}@{release}", self.repository());
        let words: Vec<&str> = words.iter().copied().chain(["--allow-http-registry", &pinned]).collect();
        self.cosign.run(&words)
    }
}

/// The statement about a release that its only signer signed, and how it is attached.
async fn statement(attacker: &Attacker, release: Digest) -> (Value, Vec<u8>) {
    let (referrer, bundle) = attacker.bundles(release).await.swap_remove(0);
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    (referrer, STANDARD.decode(payload).unwrap())
}

/// A bundle of this statement, signed by the real cosign as somebody.
fn sign(cosign: &Cosign, cli: &Cli, sigstore: &Sigstore, statement: &[u8], identity: &Identity) -> Value {
    let file = cli.write("statement.json", statement).display().to_string();
    let bundle = cli.home().join("bundle.json");
    let (signing, out) = (signing(sigstore, identity), bundle.display().to_string());
    let output = cosign.run(&[&["attest-blob", "--statement", &file, "--bundle", &out][..], &words(&signing)].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", sigstore.log());
    serde_json::from_slice(&std::fs::read(bundle).unwrap()).unwrap()
}

/// The arguments with which cosign signs at this Sigstore as somebody.
fn signing(sigstore: &Sigstore, identity: &Identity) -> Vec<String> {
    let (root, config) = (sigstore.trusted_root_file(), sigstore.signing_config_file());
    let (root, config, token) = (root.display().to_string(), config.display().to_string(), sigstore.token(identity));
    ["-y", "--trusted-root", &root, "--signing-config", &config, "--identity-token", &token].map(str::to_owned).to_vec()
}

/// The arguments with which cosign verifies what somebody signed at this Sigstore. It has no certificate log.
fn verifying(sigstore: &Sigstore, identity: &Identity) -> Vec<String> {
    let (root, issuer) = (sigstore.trusted_root_file().display().to_string(), sigstore.issuer(identity));
    let identity = ["--certificate-identity", identity.subject(), "--certificate-oidc-issuer", &issuer];
    let root = ["--insecure-ignore-sct", "--use-signed-timestamps", "--trusted-root", &root];
    identity.into_iter().chain(root).map(str::to_owned).collect()
}

fn words(of: &[String]) -> Vec<&str> {
    of.iter().map(String::as_str).collect()
}

/// What came of one check.
fn row<'a>(evidence: &'a Value, check: &str) -> (&'a str, &'a str) {
    let rows = evidence["checks"].as_array().unwrap();
    let row = rows.iter().find(|row| row["check"] == check).unwrap();
    (row["result"].as_str().unwrap(), row["detail"].as_str().unwrap_or_default())
}

/// Why this referrer was passed over.
fn passed_over(evidence: &Value, referrer: Digest) -> String {
    let skipped = evidence["skipped"].as_array().into_iter().flatten();
    let reasons: Vec<&str> = skipped
        .filter(|one| one["referrer"] == referrer.to_string())
        .map(|one| one["reason"].as_str().unwrap())
        .collect();
    reasons.join("; ")
}

#[tokio::test]
async fn what_each_kind_of_identity_released_with_cosign_is_accepted_and_cosign_verifies_it() {
    let identities = [
        releaser(),
        Identity::gitlab("acme/shop", "main", Some("production")),
        Identity::email("releaser@acme.example"),
    ];
    for identity in identities {
        let Some(ground) = Ground::new() else { return };
        let release = ground.push();
        let (referrer, statement) = statement(&ground.attacker(), release).await;
        let policy = ground.policy(&identity);
        let (code, evidence) = ground.verify(&policy, &ground.root());
        assert_eq!((code, evidence["reason"].as_str()), (3, Some("NoTrustedSignature")), "{evidence}");

        let bundle = ground.sign(ground.sigstore, &statement, &identity);
        ground.attacker().attach(&referrer, &bundle).await;
        let (code, evidence) = ground.verify(&policy, &ground.root());
        assert_eq!(code, 0, "{evidence}");
        let issuer = ground.sigstore.issuer(&identity);
        let certificate = format!("{} by {issuer} (SCT not checked)", identity.subject());
        assert_eq!(row(&evidence, "certificate"), ("pass", certificate.as_str()));
        assert_eq!(row(&evidence, "transparency-log").0, "pass");
        assert_eq!(row(&evidence, "timestamp").0, "pass");
        let signed = &evidence["statement"]["signatures"][0];
        assert_eq!(signed["entries"][0]["kind"], "hashedrekord/0.0.2", "logged in Rekor v2");
        assert_eq!(signed["times"][0]["source"], "timestamp-authority");

        let as_signed = verifying(ground.sigstore, &identity);
        for command in [&["verify", "-a", "env=prod"][..], &["verify-attestation", "--type", RELEASE][..]] {
            let output = ground.cosign(&[command, &words(&as_signed)].concat(), release);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[tokio::test]
async fn a_policy_that_wants_another_identity_issuer_claim_or_root_refuses() {
    let Some(ground) = Ground::new() else { return };
    let release = ground.push();
    let (referrer, statement) = statement(&ground.attacker(), release).await;
    let bundle = ground.sign(ground.sigstore, &statement, &releaser());
    let referrer = ground.attacker().attach(&referrer, &bundle).await;
    let policy = |change: Change| {
        let mut policy = ground.policy(&releaser());
        change(&mut policy["spec"]["authorities"][0]["keyless"]);
        policy
    };
    let accepted: [Change; 4] = [
        |_| (),
        |k| k["claims"] = json!({"deploymentEnvironment": {"exact": "production"}}),
        |k| k["claims"] = json!({"sourceRepositoryUri": {"exact": "https://github.com/acme/shop"}, "sourceRepositoryRef": {"glob": "refs/heads/*"}}),
        |k| k["subject"] = json!({"glob": "https://github.com/acme/shop/.github/workflows/*@refs/heads/main"}),
    ];
    for change in accepted {
        let (code, evidence) = ground.verify(&policy(change), &ground.root());
        assert_eq!(code, 0, "{evidence}");
    }
    let refused: [(Change, &str); 5] = [
        (
            |k| {
                k["subject"] =
                    json!({"exact": "https://github.com/acme/shop/.github/workflows/release.yaml@refs/heads/dev"})
            },
            "differs in subject",
        ),
        (|k| k["issuer"] = json!({"exact": "https://token.actions.githubusercontent.com"}), "differs in issuer"),
        (|k| k["claims"] = json!({"deploymentEnvironment": {"exact": "staging"}}), "differs in deploymentEnvironment"),
        (
            |k| k["claims"] = json!({"sourceRepositoryUri": {"exact": "https://github.com/acme/other"}}),
            "differs in sourceRepositoryUri",
        ),
        (|k| k["claims"] = json!({"sourceRepositoryRef": {"exact": "refs/tags/v1"}}), "differs in sourceRepositoryRef"),
    ];
    for (change, wanted) in refused {
        let (code, evidence) = ground.verify(&policy(change), &ground.root());
        assert_eq!((code, evidence["reason"].as_str()), (3, Some("NoTrustedSignature")), "{wanted}: {evidence}");
        let why = passed_over(&evidence, referrer);
        assert!(why.contains(wanted), "{wanted}: {why}");
    }
    let other = Sigstore::start().unwrap();
    for (part, wanted) in [
        ("certificateAuthorities", "the certificate"),
        ("tlogs", "the transparency log entry does not verify"),
        ("timestampAuthorities", "the timestamp does not verify"),
    ] {
        let mut root = ground.sigstore.trusted_root().clone();
        root[part] = other.trusted_root()[part].clone();
        let mut document = ground.root();
        document["spec"]["trustedRoot"] = json!(root.to_string());
        let (code, evidence) = ground.verify(&policy(|_| ()), &document);
        assert_eq!((code, evidence["reason"].as_str()), (3, Some("NoTrustedSignature")), "{part}: {evidence}");
        let why = passed_over(&evidence, referrer);
        assert!(why.contains(wanted), "{part}: {why}");
    }
}

#[tokio::test]
async fn a_bundle_without_its_log_entry_or_timestamp_or_with_those_of_another_is_refused_and_hides_no_good_one() {
    let Some(ground) = Ground::new() else { return };
    let release = ground.push();
    let (referrer, statement) = statement(&ground.attacker(), release).await;
    let strangers = Sigstore::start().unwrap();
    let good = ground.sign(ground.sigstore, &statement, &releaser());
    let again = ground.sign(ground.sigstore, &statement, &releaser());
    let foreign = ground.sign(&strangers, &statement, &releaser());
    let with = |change: &dyn Fn(&mut Value)| {
        let mut bundle = good.clone();
        change(&mut bundle["verificationMaterial"]);
        bundle
    };
    let of = |bundle: &Value, part: &str| bundle["verificationMaterial"][part].clone();
    let (log, stamps, certificate) = ("tlogEntries", "timestampVerificationData", "certificate");
    let cases = [
        (
            "no log entry",
            with(&|material| material[log] = json!([])),
            "carries no transparency log entry, which is required",
        ),
        (
            "no timestamp",
            with(&|material| material[stamps] = json!({"rfc3161Timestamps": []})),
            "carries no RFC 3161 timestamp, which is required",
        ),
        (
            "neither",
            with(&|m| {
                m[log] = json!([]);
                m[stamps] = json!({});
            }),
            "carries no transparency log entry, which is required",
        ),
        (
            "the log entry of another signature",
            with(&|material| material[log] = of(&again, log)),
            "log entry does not match the bundle",
        ),
        (
            "the timestamp of another signature",
            with(&|material| material[stamps] = of(&again, stamps)),
            "Timestamp message hash mismatch",
        ),
        (
            "the certificate of another signature",
            with(&|material| material[certificate] = of(&again, certificate)),
            "does not verify",
        ),
        (
            "the log entry of another Sigstore",
            with(&|material| material[log] = of(&foreign, log)),
            "No matching Rekor key found",
        ),
        (
            "the timestamp of another Sigstore",
            with(&|material| material[stamps] = of(&foreign, stamps)),
            "the timestamp does not verify",
        ),
        ("all of another Sigstore", foreign.clone(), "differs in issuer"),
        (
            "no proof of inclusion",
            with(&|m| {
                m[log][0].as_object_mut().unwrap().remove("inclusionProof");
            }),
            "has no inclusion proof with a checkpoint",
        ),
    ];
    let mut attached = Vec::new();
    for (name, bundle, wanted) in &cases {
        attached.push((name, ground.attacker().attach(&referrer, bundle).await, wanted));
    }
    let (code, evidence) = ground.verify(&ground.policy(&releaser()), &ground.root());
    assert_eq!((code, evidence["reason"].as_str()), (3, Some("NoTrustedSignature")), "{evidence}");
    for (name, referrer, wanted) in attached {
        let why = passed_over(&evidence, referrer);
        assert!(why.contains(wanted), "{name}: {why}");
    }
    ground.attacker().attach(&referrer, &good).await;
    let (code, evidence) = ground.verify(&ground.policy(&releaser()), &ground.root());
    assert_eq!(code, 0, "{evidence}");
}

#[tokio::test]
async fn what_cosign_says_of_an_artifact_by_itself_is_no_release_statement() {
    let Some(ground) = Ground::new() else { return };
    let release = ground.push();
    let sign = signing(ground.sigstore, &releaser());
    let predicate =
        ground.cli.write("predicate.json", r#"{"stream": "acme/shop", "environment": "prod", "sequence": 1}"#);
    let predicate = predicate.display().to_string();
    let attest = ["attest", "--predicate", &predicate, "--type", RELEASE];
    for command in [&["sign"][..], &attest[..]] {
        let output = ground.cosign(&[command, &words(&sign)].concat(), release);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let verify = verifying(ground.sigstore, &releaser());
    let output = ground.cosign(&[&["verify"][..], &words(&verify)].concat(), release);
    assert!(output.status.success(), "cosign itself is content: {}", String::from_utf8_lossy(&output.stderr));
    let (code, evidence) = ground.verify(&ground.policy(&releaser()), &ground.root());
    assert_eq!(code, 3, "{evidence}");
    assert_eq!(evidence["reason"], "NoStatement", "the signature is trusted, and says nothing of a release");
    let message = evidence["message"].as_str().unwrap();
    assert!(message.contains("carries no release statement of theirs"), "{message}");
}

#[tokio::test]
async fn a_controller_applies_what_a_private_sigstore_vouches_for_as_long_as_its_trust_root_says_so() {
    let Some(sigstore) = Sigstore::shared() else { return };
    let (Some(control_plane), Some(cosign)) = (ControlPlane::shared(), Cosign::find()) else { return };
    World::run(control_plane, "sigstore", async |world| {
        let name = world.namespace.clone();
        let of = (name.as_str(), "app");
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
        let release = world.push("app:stable", &[&world.cli.write("map.yaml", map.to_string())], &[]);
        let trust = |sigstore: &Sigstore| {
            let file = world.cli.write("root.yaml", sigstore.trust_root(&name).to_string()).display().to_string();
            world.kubectl(&["apply", "--server-side", "-f", &file]);
        };
        trust(sigstore);
        let repositories = format!("{}/**", world.registry.host());
        let mut policy = sigstore.policy(&name, &[&repositories], &releaser());
        policy["spec"]["authorities"][0]["keyless"]["claims"] =
            json!({"deploymentEnvironment": {"exact": "production"}});
        world.put_policy(policy).await;
        let account = world.namespace_account(&name);
        world.start_controller().await;
        let mut spec = world.following("app", "stable", account);
        spec["interval"] = json!("1h");
        world.deliver(&name, "app", spec).await;
        world.refused(of, "NoTrustedSignature").await;

        let attacker = Attacker::at(&world.repository("app"));
        let (referrer, statement) = statement(&attacker, release).await;
        let bundle = sign(&cosign, &world.cli, sigstore, &statement, &releaser());
        attacker.attach(&referrer, &bundle).await;
        world.reconcile(of).await;
        world.delivered(of, release).await;

        let strangers = Sigstore::start().unwrap();
        trust(&strangers);
        world
            .wait_for(of, "told that it would be refused now", |delivery| {
                let status = delivery.status.as_ref().map(|status| format!("{:?}", status.would_refuse_now));
                status.is_some_and(|refusal| refusal.contains("NoTrustedSignature"))
            })
            .await;
        world.kubectl(&["delete", "trustroot", &name]);
    })
    .await;
}
