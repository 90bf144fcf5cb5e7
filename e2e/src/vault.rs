//! The real HashiCorp Vault with its transit engine, in memory: whoever signs with a key in it never sees that key.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    loopback,
    process::{HarnessError, Process, free_port, with_retry},
    reaper,
    tool::Tool,
};

/// A running Vault, gone when dropped.
#[derive(Debug)]
pub struct Vault {
    port: u16,
    token: String,
    process: Process, // dropped, hence killed, before its folder goes
    _folder: TempDir,
}

impl Vault {
    /// One with the transit engine at `transit/` and no key. `None` unless `make interop` runs the tests.
    ///
    /// # Panics
    /// Where it does not start or has not been built.
    #[must_use]
    pub fn start() -> Option<Self> {
        let program = Tool::for_interop("vault")?;
        let vault = with_retry(|| Self::launch(&program)).unwrap_or_else(|error| panic!("no Vault: {error}"));
        vault.put("sys/mounts/transit", &json!({"type": "transit"}));
        Some(vault)
    }

    fn launch(program: &Tool) -> Result<Self, HarnessError> {
        let folder = tempfile::tempdir().map_err(|source| HarnessError::File { path: std::env::temp_dir(), source })?;
        reaper::watch_folder(folder.path());
        let (port, token) = (free_port(), "root-token-of-a-test".to_owned());
        let mut command = program.command();
        command.arg(format!("127.0.0.1:{port}")).arg(&token);
        let mut process = Process::start("vault", command, &folder.path().join("log"))?;
        process.wait_until("unsealed", Duration::from_secs(120), || {
            loopback::get(port, "/v1/sys/health").is_some_and(|answer| answer.status == 200)
        })?;
        Ok(Self { port, token, process, _folder: folder })
    }

    /// Its address, for `VAULT_ADDR`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The token that may do everything, for `VAULT_TOKEN`.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Makes a key pair of this type (`ecdsa-p256`, `rsa-3072`, …) in the transit engine, and gives its public half as PEM.
    ///
    /// # Panics
    /// Where Vault refuses it.
    #[must_use]
    pub fn make_key(&self, name: &str, kind: &str) -> String {
        self.put(&format!("transit/keys/{name}"), &json!({"type": kind}));
        let key = self.call("GET", &format!("transit/keys/{name}"), &Value::Null);
        let versions = key["data"]["keys"].as_object().expect("Vault lists the versions of a key");
        let latest = versions.values().next_back().expect("a new key has a version");
        latest["public_key"].as_str().expect("a signing key has a public half").to_owned()
    }

    /// Makes the newest version of a key another pair.
    ///
    /// # Panics
    /// Where Vault refuses it.
    pub fn rotate_key(&self, name: &str) {
        self.put(&format!("transit/keys/{name}/rotate"), &Value::Null);
    }

    /// A token that may do no more than read and sign with one key.
    ///
    /// # Panics
    /// Where Vault refuses it.
    #[must_use]
    pub fn signer_token(&self, key: &str) -> String {
        let policy = format!(
            "path \"transit/keys/{key}\" {{ capabilities = [\"read\"] }}\n\
             path \"transit/sign/{key}\" {{ capabilities = [\"update\"] }}\n\
             path \"transit/sign/{key}/*\" {{ capabilities = [\"update\"] }}"
        );
        self.put(&format!("sys/policies/acl/{key}"), &json!({"policy": policy}));
        let answer = self.put("auth/token/create", &json!({"policies": [key], "ttl": "1h"}));
        answer["auth"]["client_token"].as_str().expect("Vault gives a token").to_owned()
    }

    /// Whether somebody with this token may have something signed by a key.
    #[must_use]
    pub fn signs(&self, token: &str, key: &str) -> bool {
        let path = format!("/v1/transit/sign/{key}");
        let answer =
            loopback::request(self.port, "PUT", &path, &[("X-Vault-Token", token)], br#"{"input":"aGVsbG8="}"#);
        answer.is_some_and(|answer| answer.status == 200)
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    fn put(&self, path: &str, body: &Value) -> Value {
        self.call("PUT", path, body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let path = format!("/v1/{path}");
        let answer = loopback::request(self.port, method, &path, &[("X-Vault-Token", &self.token)], &body);
        let answer = answer.unwrap_or_else(|| panic!("{method} {path}: no answer; its log:\n{}", self.log()));
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {text}", answer.status);
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }
}
