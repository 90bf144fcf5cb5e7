use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::command;

fn run(folder: &tempfile::TempDir, arguments: &[&str], password: Option<&str>) -> (i32, String, String) {
    let mut command = command(folder.path(), arguments);
    command.env_remove("SEALIFT_PASSWORD");
    command.envs(password.map(|password| ("COSIGN_PASSWORD", password)));
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn makes_a_pair_that_only_its_owner_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = run(&folder, &["keygen", "--output-prefix", "prod"], Some("secret"));
    assert_eq!((code, stdout.as_str()), (0, "prod.pub\n"), "{stderr}");
    assert!(stderr.starts_with("private key: prod.key (encrypted; keep it secret)\nkey id:      sha256:"), "{stderr}");
    let private = fs::metadata(folder.path().join("prod.key")).unwrap();
    assert_eq!(private.permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(folder.path().join("prod.key")).unwrap();
    assert!(text.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"));
    let public = fs::read_to_string(folder.path().join("prod.pub")).unwrap();
    assert!(public.starts_with("-----BEGIN PUBLIC KEY-----\n"));
}

#[test]
fn tells_the_pair_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, _) = run(&folder, &["keygen", "-o", "json"], Some(""));
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, document["schema"].as_str()), (0, Some("sealift.dev/keygen/v1")));
    assert_eq!(document["pem"], fs::read_to_string(folder.path().join("cosign.pub")).unwrap());
}

#[test]
fn never_overwrites_a_key() {
    for taken in ["cosign.key", "cosign.pub"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(taken), "precious").unwrap();
        let (code, stdout, stderr) = run(&folder, &["keygen"], Some(""));
        assert_eq!((code, stdout.as_str()), (5, ""));
        let expected = format!(
            "error: {taken} exists, and keys are never overwritten\nhint: choose another --output-prefix, or move the old key away\n"
        );
        assert_eq!(stderr, expected);
        assert_eq!(fs::read_to_string(folder.path().join(taken)).unwrap(), "precious");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "half a pair was left behind");
    }
}

#[test]
fn an_empty_password_is_never_assumed() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, stderr) = run(&folder, &["keygen"], None);
    assert_eq!(code, 5);
    assert!(stderr.contains("no terminal to ask at") && stderr.contains("hint: set SEALIFT_PASSWORD"), "{stderr}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
