//! Signing with keys that never leave a real HashiCorp Vault, whose transit engine OpenBao shares. Run by `make interop`.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use sealift_e2e::{Cli, Cosign, KeyPair, Output, Registry, Vault};
use serde_json::{Value, json};

struct Ground {
    vault: Vault,
    registry: Registry,
    cli: Cli,
}

impl Ground {
    fn new() -> Option<Self> {
        let (vault, registry) = (Vault::start()?, Registry::embedded());
        let cli = Cli::new().with_env("VAULT_ADDR", &vault.address());
        cli.write("map.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: shop}}\n");
        Some(Self { vault, registry, cli })
    }

    fn to(&self) -> String {
        format!("oci://{}/acme/shop:prod", self.registry.host())
    }

    /// `sealift` with a token for the server.
    fn with(&self, token: &str, words: &[&str]) -> Output {
        let mut command = self.cli.program(sealift_e2e::binary("sealift"));
        command.args(words).env("VAULT_TOKEN", token);
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert!(!stderr.contains(token) && !stdout.contains(token), "{stderr}");
        Output { stdout, stderr, code: output.status.code().unwrap() }
    }

    fn done(&self, token: &str, words: &[&str]) -> Value {
        let output = self.with(token, &[words, &["-o", "json"]].concat());
        assert_eq!(output.code, 0, "{}\n{}", output.stderr, self.vault.log());
        serde_json::from_str(&output.stdout).unwrap()
    }

    fn push(&self, token: &str, key: &str) -> Value {
        self.done(token, &["push", &self.to(), "-f", "map.yaml", "--env", "prod", "--key", key])
    }

    /// The verdict of a policy that wants every one of these keys.
    fn verify(&self, keys: &[&str]) -> Output {
        let authorities = keys.iter().enumerate();
        let authorities: Vec<Value> =
            authorities.map(|(nth, pem)| json!({"name": format!("key-{nth}"), "key": {"pem": pem}})).collect();
        let names: Vec<&Value> = authorities.iter().map(|authority| &authority["name"]).collect();
        let policy = json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "SignaturePolicy", "metadata": {"name": "p"},
            "spec": {
                "match": {"repositories": [format!("{}/**", self.registry.host())]},
                "authorities": authorities, "require": {"allOf": names},
                "release": {"streams": [{"glob": "acme/*"}], "environment": "prod"},
            },
        });
        let policy = self.cli.write("policy.yaml", policy.to_string()).display().to_string();
        self.cli.run(&["verify", &self.to(), "--policy", &policy])
    }
}

#[test]
fn a_key_in_vault_pushes_signs_and_renews_and_cosign_verifies_it() {
    let (Some(ground), Some(cosign)) = (Ground::new(), Cosign::find()) else { return };
    let made = ground.vault.make_key("release", "ecdsa-p256");
    // A token that may read and use this key, and nothing else.
    let token = ground.vault.signer_token("release");
    let public = ground.with(&token, &["public-key", "--key", "hashivault://release"]);
    assert_eq!((public.code, public.stdout.trim()), (0, made.trim()), "{}", public.stderr);

    let first = ground.push(&token, "hashivault://release");
    assert!(first["signature"]["keyId"].as_str().unwrap().starts_with("sha256:"));
    let accepted = ground.verify(&[&made]);
    assert_eq!(accepted.code, 0, "{}{}", accepted.stdout, accepted.stderr);
    let key = ground.cli.write("cosign.pub", &public.stdout).display().to_string();
    let verify = |env: &str| {
        let words = ["verify", "--key", &key, "--private-infrastructure", "--allow-http-registry", "-a", env];
        cosign.run(&[&words[..], &[first["reference"].as_str().unwrap()]].concat())
    };
    let good = verify("env=prod");
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    assert!(!verify("env=dev").status.success());
    let mut theirs = cosign.command(&["public-key", "--key", "hashivault://release"]);
    let theirs = theirs.env("VAULT_ADDR", ground.vault.address()).env("VAULT_TOKEN", &token).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&theirs.stdout).trim(),
        made.trim(),
        "cosign means the same key by the same name"
    );

    // the next release follows it, under OpenBao's name for the same
    ground.cli.write("map.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: shop}, data: {a: b}}\n");
    let second = ground.push(&token, "openbao://release");
    assert_eq!(second["statement"]["previous"]["statement"], first["statement"]["digest"]);
    let refresh = ["refresh", &ground.to(), "--expires-in", "720h", "--key", "hashivault://release"];
    let renewed = ground.done(&token, &refresh);
    assert_eq!(renewed["statement"]["previous"]["statement"], second["statement"]["digest"]);
}

#[test]
fn a_key_in_vault_and_one_in_a_file_sign_the_very_same_statement() {
    let Some(ground) = Ground::new() else { return };
    let made = ground.vault.make_key("release", "ecdsa-p256");
    let token = ground.vault.signer_token("release");
    let file = KeyPair::generate(&ground.cli, "build");
    let pushed = ground.push(&token, &file.private().display().to_string());
    assert_eq!(ground.verify(&[&made, file.public()]).code, 3, "one of two");
    let sign = ["sign", &ground.to(), "--key", "hashivault://release"];
    let signed = ground.done(&token, &sign);
    assert_eq!(
        (&signed["outcome"], &signed["statement"]["digest"]),
        (&json!("signed"), &pushed["statement"]["digest"])
    );
    let accepted = ground.verify(&[&made, file.public()]);
    assert_eq!(accepted.code, 0, "{}{}", accepted.stdout, accepted.stderr);
    assert_eq!(ground.done(&token, &sign)["outcome"], "already-signed");

    // rotation makes another key of it: a policy with the old public half does not take what the new one signs
    ground.vault.rotate_key("release");
    let rotated = ground.with(&token, &["public-key", "--key", "hashivault://release"]).stdout;
    assert_ne!(rotated.trim(), made.trim());
    assert_eq!(ground.done(&token, &sign)["outcome"], "signed");
    assert_eq!(ground.verify(&[&rotated, file.public()]).code, 0);
}

#[test]
fn a_key_that_cannot_sign_says_why_and_nothing_is_published() {
    let Some(ground) = Ground::new() else { return };
    for (name, kind) in [("release", "ecdsa-p256"), ("other", "ecdsa-p256"), ("rsa", "rsa-3072")] {
        let _ = ground.vault.make_key(name, kind);
    }
    let (root, token) = (ground.vault.token().to_owned(), ground.vault.signer_token("release"));
    for (what, token, key, code, said) in [
        ("another token", "hvs.nobody", "release", 7, "answered 403: "),
        ("no right to the key", &token, "other", 7, "the token needs `read` on keys/KEY"),
        ("no such key", &root, "nowhere", 6, "there is no key \"nowhere\" in the transit engine at \"transit\""),
        ("another type", &root, "rsa", 5, "is of type \"rsa-3072\", not ecdsa-p256"),
    ] {
        let key = format!("hashivault://{key}");
        let output = ground.with(token, &["push", &ground.to(), "-f", "map.yaml", "--key", &key]);
        assert_eq!(output.code, code, "{what}: {}", output.stderr);
        assert!(output.stderr.contains(said), "{what}: {}", output.stderr);
    }
    let left = ground.cli.run(&["inspect", &format!("oci://{}/acme/shop", ground.registry.host())]);
    assert_eq!(left.code, 6, "nothing is there\n{}", left.stdout);
}
