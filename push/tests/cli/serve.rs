use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use crate::support::{World, command};

/// A registry process; killed if a test fails before it is stopped.
struct Served(Child, String);

impl Served {
    fn start(folder: &std::path::Path, more: &[&str]) -> Self {
        let arguments = [&["registry", "serve", "--listen", "127.0.0.1:0"], more].concat();
        let mut child = command(folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self(child, address.trim().to_owned())
    }

    fn stop(mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_until_a_signal_and_keeps_a_folder() {
    let world = World::new().await;
    let registry = Served::start(world.folder.path(), &["--dir", "oci"]);
    let push = |address: &str| {
        let to = format!("oci://{address}/acme/shop:prod");
        world.run(&["push", &to, "-f", "manifests", "--key", "cosign.key", "--env", "prod"])
    };
    let pushed = push(&registry.1).exits(0).stdout;
    assert_eq!(registry.stop("-TERM"), Some(0));
    let registry = Served::start(world.folder.path(), &["--dir", "oci", "--read-only"]);
    let shown = world.run(&["inspect", &format!("oci://{}/acme/shop:prod", registry.1), "-o", "json"]).exits(0).json();
    assert!(pushed.trim().ends_with(shown["digest"].as_str().unwrap()));
    world.write("manifests/more.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n");
    assert_ne!(push(&registry.1).code, 0, "it is read-only");
    assert_eq!(registry.stop("-INT"), Some(0));
}

#[test]
fn says_why_it_cannot_listen() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = command(folder.path(), &["registry", "serve", "--listen", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&format!("error: cannot listen on {address}")), "{text}");
}

#[test]
fn prints_a_completion_script_for_every_shell() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let output = command(folder.path(), &["completion", shell]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("digest-file"), "{shell}");
    }
}
