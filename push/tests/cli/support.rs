//! A registry, a folder and the binary, away from anybody's home and configuration.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use regex::Regex;
use sealift_registry::server::{self, Running, ServerOptions};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  containers:\n  - name: web\n    image: registry.example/web:1@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\n";
pub(crate) const SETTINGS: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n  namespace: shop\ndata:\n  colour: blue\n";

/// What a run of the binary came to.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is text");
        sealift_e2e::contract::check(&String::from_utf8_lossy(&output.stdout));
        let code = output.status.code().expect("not killed by a signal");
        Self { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Fails with everything printed unless the exit code is this one.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails unless the error said all of this, and nothing went to standard output.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is missing from\n{}", self.stderr);
        }
        self
    }

    #[track_caller]
    pub(crate) fn silent(self) -> Self {
        assert_eq!(self.stdout, "", "a failure has no product");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in\n{}", self.stdout))
    }
}

/// A folder with a key pair and a policy, and a registry of its own.
pub(crate) struct World {
    pub(crate) registry: Running,
    pub(crate) folder: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(ServerOptions::default()).await
    }

    pub(crate) async fn with(options: ServerOptions) -> Self {
        let registry = server::spawn(options).await.expect("a registry starts");
        let world = Self { registry, folder: tempfile::tempdir().expect("a folder can be made") };
        for name in ["cosign.key", "cosign.pub"] {
            fs::copy(keys().join(name), world.path(name)).expect("keys can be copied");
        }
        world.write("policy.yaml", &policy("shop", &world.read("cosign.pub"), "  require: {allOf: [ci]}\n"));
        world.write("manifests/pod.yaml", POD);
        world.write("manifests/settings.yaml", SETTINGS);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("folders can be made");
        fs::write(path, content).expect("files can be written");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("files can be read")
    }

    /// `oci://REGISTRY/acme/shop` and whatever follows.
    pub(crate) fn oci(&self, rest: &str) -> String {
        format!("oci://{}/acme/shop{rest}", self.registry.addr)
    }

    /// The binary with these arguments, in the folder, with no environment but a home of its own.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        command(self.folder.path(), arguments)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().expect("the binary starts"))
    }

    /// The binary with this on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Run {
        with_input(self.command(arguments), input)
    }

    /// Pushes the folder `manifests` to a tag, with more arguments.
    pub(crate) fn push(&self, tag: &str, more: &[&str]) -> Run {
        let to = self.oci(&format!(":{tag}"));
        let arguments =
            ["push", &to, "-f", "manifests", "--key", "cosign.key", "--env", "prod", "--namespace-exists", "shop"];
        self.run(&[&arguments[..], more].concat())
    }

    /// Judges a tag or digest by the policy, with more arguments.
    pub(crate) fn verify(&self, rest: &str, more: &[&str]) -> Run {
        let what = self.oci(rest);
        self.run(&[&["verify", &what, "--policy", "policy.yaml"], more].concat())
    }

    /// The output with everything that differs from run to run taken out.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let text = text.replace(&self.registry.addr.to_string(), "REGISTRY");
        let text = text.replace(&self.folder.path().display().to_string(), "FOLDER");
        [
            (r"sha256:[0-9a-f]{64}", "sha256:…"),
            (r"\b[0-9a-f]{12}\b", "…"),
            (r"\b1[0-9]{12}\b", "NOW"),
            (r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", "TIME"),
            (r"[0-9]+ bytes", "N bytes"),
        ]
        .iter()
        .fold(text, |text, (pattern, with)| {
            Regex::new(pattern).expect("a pattern").replace_all(&text, *with).into_owned()
        })
    }
}

/// A policy for `acme/**` of any loopback registry, with one authority `ci` and whatever follows.
pub(crate) fn policy(name: &str, public_key: &str, rest: &str) -> String {
    let key: String = public_key.lines().map(|line| format!("        {line}\n")).collect();
    format!(
        "apiVersion: sealift.dev/v1alpha1\nkind: SignaturePolicy\nmetadata: {{name: {name}}}\nspec:\n  \
         match: {{repositories: [\"127.0.0.1:*/acme/**\"]}}\n  authorities:\n  - name: ci\n    key:\n      pem: |\n{key}\
         {rest}  release: {{streams: [{{glob: \"acme/*\"}}], environment: prod}}\n"
    )
}

pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealift"));
    command.args(arguments).current_dir(folder).env_clear().env("HOME", folder).env("SEALIFT_PASSWORD", "");
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    command
}

pub(crate) fn with_input(mut command: Command, input: &str) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    // One that fails early does not read to the end.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    Run::of(child.wait_with_output().expect("the binary ends"))
}

/// A key pair made once, since deriving its key takes a while.
fn keys() -> &'static Path {
    static KEYS: OnceLock<TempDir> = OnceLock::new();
    KEYS.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let output = command(folder.path(), &["keygen"]).output().expect("the binary starts");
        Run::of(output).exits(0);
        folder
    })
    .path()
}
