//! Ends what a test process left running when it could not do so itself.
//!
//! A shared control plane lives in a static, which Rust never drops, and a killed process drops nothing at all. So one
//! small shell per test process holds the list of process groups and temp folders, told over a pipe; when the pipe closes,
//! because the process ended in whatever way, it kills the groups and removes the folders.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

const SCRIPT: &str = r#"
groups=" "
while read -r word argument; do
    case $word in
    group) groups="$groups$argument " ;;
    forget) groups=$(printf %s "$groups" | sed "s/ $argument / /") ;;
    folder) set -- "$@" "$argument" ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
[ "$groups" = " " ] || sleep 1
for folder; do rm -rf -- "$folder"; done
"#;

static REAPER: OnceLock<Mutex<(ChildStdin, Child)>> = OnceLock::new();

fn tell(line: &str) {
    let reaper = REAPER.get_or_init(|| {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // Ctrl-C is for the tests; it outlives them
            .spawn()
            .expect("every Unix has /bin/sh");
        Mutex::new((shell.stdin.take().expect("the pipe was asked for"), shell))
    });
    let mut reaper = reaper.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(reaper.0, "{line}").expect("the reaper reads until this process ends");
}

/// Kill this process group when the test process is gone.
pub(crate) fn watch_group(id: u32) {
    tell(&format!("group {id}"));
}

/// The group has ended: its id may belong to somebody else soon.
pub(crate) fn forget_group(id: u32) {
    tell(&format!("forget {id}"));
}

/// Remove this temp folder when the test process is gone.
pub(crate) fn watch_folder(folder: &Path) {
    tell(&format!("folder {}", folder.display()));
}
