//! Credentials: tried, kept where every tool looks, used, forgotten.

use std::{fs, os::unix::fs::PermissionsExt};

use sealift_registry::server::{Credentials, ServerOptions};
use serde_json::{Value, json};

use crate::support::{Run, World};

impl World {
    async fn locked() -> Self {
        let credentials = Credentials { user: "ci".into(), password: "s3cret".to_owned().into() };
        Self::with(ServerOptions { credentials: Some(credentials), ..Default::default() }).await
    }

    fn host(&self) -> String {
        self.registry.addr.to_string()
    }

    fn login(&self, password: &str, more: &[&str]) -> Run {
        let host = self.host();
        self.run_with(&[&["login", &host, "-u", "ci", "--password-stdin"], more].concat(), password)
    }

    fn config(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// A credential helper `docker-credential-test` on a `PATH` of its own, which keeps what it is given in a file.
    fn helper(&self) -> String {
        let kept = self.path("kept");
        let script = format!(
            "#!/bin/sh\ninput=$(cat)\ncase $1 in\nstore) echo \"$input\" > {0};;\nget) test -f {0} || {{ echo credentials not found in native keychain; exit 1; }}; cat {0};;\n\
             erase) rm {0};;\nesac\n",
            kept.display()
        );
        self.write("bin/docker-credential-test", &script);
        fs::set_permissions(self.path("bin/docker-credential-test"), fs::Permissions::from_mode(0o755)).unwrap();
        format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_registry_takes_is_kept_for_every_command() {
    let world = World::locked().await;
    world.push("prod", &[]).exits(7).silent().says(&["hint: log in with `sealift login"]);
    world.write(".docker/config.json", r#"{"auths": {"other.example": {"auth": "YTpi"}}, "psFormat": "table"}"#);
    world.login("wrong\n", &[]).exits(7).silent().says(&["were refused", "nothing was kept"]);
    assert_eq!(world.config(".docker/config.json")["auths"].as_object().unwrap().len(), 1);

    let run = world.login("s3cret\n", &[]).exits(0).silent();
    assert_eq!(
        world.scrub(&run.stderr),
        "logged in to REGISTRY as ci: kept in FOLDER/.docker/config.json\n\
         the file holds the password unencrypted, readable by you only\n"
    );
    let config = world.config(".docker/config.json");
    assert_eq!((&config["psFormat"], &config["auths"]["other.example"]["auth"]), (&json!("table"), &json!("YTpi")));
    let mode = fs::metadata(world.path(".docker/config.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    world.push("prod", &[]).exits(0);

    let host = world.host();
    let gone = world.run(&["logout", &host, "-o", "json"]).exits(0).json();
    assert_eq!((&gone["schema"], &gone["outcome"]), (&json!("sealift.dev/logout/v1"), &json!("logged-out")));
    assert_eq!(world.config(".docker/config.json")["auths"], json!({"other.example": {"auth": "YTpi"}}));
    world.push("prod", &[]).exits(7).silent();
    let again = world.run(&["logout", &host, "-o", "json"]).exits(0).json();
    assert_eq!(again["outcome"], "not-logged-in");
}

#[tokio::test(flavor = "multi_thread")]
async fn podmans_file_and_any_other_file_are_written_in_the_same_form() {
    let world = World::locked().await;
    world.write(".config/containers/auth.json", "{}");
    world.login("s3cret", &[]).exits(0);
    assert!(world.config(".config/containers/auth.json")["auths"][world.host()]["auth"].is_string());
    assert!(!world.path(".docker/config.json").exists());
    world.push("prod", &[]).exits(0);

    let done = world.login("s3cret", &["--auth-file", "ci/auth.json", "-o", "json"]).exits(0).json();
    assert_eq!(done["kept"], json!({"file": "ci/auth.json"}));
    assert_eq!((&done["schema"], &done["checked"]), (&json!("sealift.dev/login/v1"), &json!(true)));
    let what = world.oci(":prod");
    let mut inspect = world.command(&["inspect", &what]);
    fs::remove_file(world.path(".config/containers/auth.json")).unwrap();
    Run::of(inspect.env("REGISTRY_AUTH_FILE", world.path("ci/auth.json")).output().unwrap()).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_helper_keeps_the_secret_and_the_file_does_not() {
    let world = World::locked().await;
    let (path, host) = (world.helper(), world.host());
    let with_helper = |arguments: &[&str], input: &str| {
        // The binary finds helpers on its PATH.
        let mut command = world.command(arguments);
        command.env("PATH", &path);
        crate::support::with_input(command, input)
    };
    for config in [json!({"credsStore": "test"}), json!({"credHelpers": {&host: "test"}})] {
        world.write(".docker/config.json", &config.to_string());
        let login = ["login", &host, "-u", "ci", "--password-stdin"];
        with_helper(&login, "s3cret").exits(0).says(&["kept by docker-credential-test"]);
        let kept: Value = serde_json::from_str(&world.read("kept")).unwrap();
        assert_eq!(kept, json!({"ServerURL": host, "Username": "ci", "Secret": "s3cret"}));
        assert!(!world.read(".docker/config.json").contains("auth\""), "{}", world.read(".docker/config.json"));
        let to = world.oci(":prod");
        with_helper(&["push", &to, "-f", "manifests", "--key", "cosign.key"], "").exits(0);
        with_helper(&["logout", &host], "").exits(0).says(&["forgotten by docker-credential-test"]);
        assert!(!world.path("kept").exists());
        with_helper(&["logout", &host], "").exits(0).says(&["there are no credentials for"]);
    }
    world.write(".docker/config.json", &json!({"credsStore": "missing"}).to_string());
    with_helper(&["login", &host, "-u", "ci", "--password-stdin"], "s3cret")
        .exits(7)
        .silent()
        .says(&["docker-credential-missing cannot be run"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_comes_from_standard_input_or_a_terminal_only() {
    let world = World::new().await;
    let host = world.host();
    world.run(&["login", &host, "-u", "ci"]).exits(2).silent().says(&["--password-stdin"]);
    world.run(&["login", &host, "--password-stdin"]).exits(2).silent();
    world.run(&["login", &host, "-u", "ci", "--password", "x"]).exits(2).silent();
    world.login("", &[]).exits(5).silent().says(&["the password is empty"]);
    world.run(&["login", "registry.example/acme", "-u", "ci", "--password-stdin"]).exits(2).silent();
    // Whoever lets everybody in says nothing about a password.
    world.login("any", &[]).exits(0).says(&["warning: ", "could not be tried"]);
    world.write(".docker/config.json", "{ s3cret");
    let broken = world.login("any", &[]).exits(5).silent().says(&["is not the JSON of a Docker configuration"]);
    assert!(!broken.stderr.contains("s3cret"));
    assert_eq!(world.read(".docker/config.json"), "{ s3cret");
}
