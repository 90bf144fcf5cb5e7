//! Progress: for a person at a terminal, and for nobody else.

use std::{path::Path, process::Command};

use crate::support::World;

/// The part of a bar that is the same in each frame.
const BAR: &str = "uploading [";

/// The command in a terminal of its own; all that the terminal was sent.
fn in_terminal(world: &World, arguments: &[&str], ci: bool) -> Option<String> {
    let script = Path::new("/usr/bin/script");
    if !script.exists() {
        sealift_e2e::skip("`script` of util-linux is not installed");
        return None;
    }
    let words: Vec<_> = arguments.iter().map(|word| format!("'{word}'")).collect();
    let command = format!("'{}' {}", env!("CARGO_BIN_EXE_sealift"), words.join(" "));
    let mut terminal = Command::new(script);
    terminal.args(["-q", "-e", "-c", &command, "/dev/null"]).current_dir(world.folder.path()).env_clear();
    terminal.env("HOME", world.folder.path()).env("SEALIFT_PASSWORD", "").env("TERM", "xterm").env("SHELL", "/bin/sh");
    if ci {
        terminal.env("CI", "true");
    }
    let output = terminal.stdin(std::process::Stdio::null()).output().expect("script starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    Some(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bar_is_drawn_on_a_terminal_and_taken_away_again() {
    let world = World::new().await;
    let to = world.oci(":prod");
    let push = ["push", &to, "-f", "manifests", "--key", "cosign.key", "--env", "prod", "--namespace-exists", "shop"];
    let Some(text) = in_terminal(&world, &push, false) else { return };
    let (_, after) = text.split_once(BAR).unwrap_or_else(|| panic!("no bar in {text:?}"));
    assert!(after.contains("] 0 B of "), "{text:?}");
    // Whatever is said next begins on an empty line.
    assert!(after.contains("\r\u{1b}[K"), "{text:?}");
    let last = text.lines().rev().find(|line| line.contains("@sha256:")).unwrap_or_default();
    assert!(!last.contains(BAR), "{text:?}");

    let verify = ["verify", &to, "--policy", "policy.yaml"];
    let shown = in_terminal(&world, &verify, false).unwrap();
    assert!(shown.contains("downloading ["), "{shown:?}");
    let copy = ["copy", &to, "copied.tar"];
    let shown = in_terminal(&world, &copy, false).unwrap();
    assert!(shown.contains("copying and reading back ["), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_moves_in_documents_in_quiet_in_ci_or_where_there_is_no_terminal() {
    let world = World::new().await;
    let to = world.oci(":prod");
    let push = ["push", &to, "-f", "manifests", "--key", "cosign.key", "--env", "prod", "--namespace-exists", "shop"];
    for (more, ci) in [(&["-o", "json"][..], false), (&["-q"], false), (&["--color", "never"], true)] {
        let Some(text) = in_terminal(&world, &[&push[..], more].concat(), ci) else { return };
        assert!(!text.contains(BAR) && !text.contains("\u{1b}[K"), "{more:?}: {text:?}");
    }
    let plain = world.push("prod", &[]).exits(0);
    assert!(!plain.stderr.contains('\r') && !plain.stderr.contains("uploading"), "{}", plain.stderr);
}
