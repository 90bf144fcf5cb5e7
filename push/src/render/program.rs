//! Programs that render: found on PATH, run without a cluster, within bounds of time and output.

use std::{
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::timeout,
};

/// How much of what a program says on standard error is kept: its end, which has the error.
const SAID: usize = 16 << 10;
/// A place where nothing is, by the name that systems give to the home of nobody.
const NOWHERE: &str = "/nonexistent";
/// What sealift itself signs and pushes with; no renderer has any business with it. A cloud's own variables stay: those a
/// renderer may well need.
const SECRETS: &[&str] = &[
    "SEALIFT_REGISTRY_USER",
    "SEALIFT_REGISTRY_PASSWORD",
    "SEALIFT_REGISTRY_TOKEN",
    "SEALIFT_PASSWORD",
    "COSIGN_PASSWORD",
    "SIGSTORE_ID_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "BUILDKITE_AGENT_ACCESS_TOKEN",
    "CIRCLE_OIDC_TOKEN",
    "CIRCLE_OIDC_TOKEN_V2",
    "VAULT_TOKEN",
    "BAO_TOKEN",
];

/// A run of a program.
#[derive(Debug)]
pub(super) struct Run<'a> {
    /// Its file.
    pub(super) program: &'a Path,
    pub(super) arguments: &'a [OsString],
    /// Its working directory.
    pub(super) folder: &'a Path,
    pub(super) surroundings: Surroundings,
}

/// What a program finds around itself. A cluster in neither case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surroundings {
    /// Nothing of the person's: no home with plugins and repositories, no PATH to find other programs on (git among
    /// them), no way through a proxy, no time zone.
    Sealed,
    /// The person's own, without the passwords and tokens that sealift itself reads.
    Own,
}

/// What a run may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) time: Duration,
    /// Most bytes on standard output.
    pub(super) output: u64,
}

/// What a program said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) stdout: Vec<u8>,
    /// The end of it.
    pub(super) stderr: String,
}

/// Why a program gave no manifests.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// It could not be started, or what it said not be read.
    #[error("{program} cannot be run")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was not done in time.
    #[error("{program} was not done after {} s", after.as_secs())]
    Late {
        /// The program.
        program: String,
        /// How long it had.
        after: Duration,
    },
    /// It wrote without end.
    #[error("{program} wrote more than the {limit} bytes that manifests may have")]
    TooMuch {
        /// The program.
        program: String,
        /// The limit.
        limit: u64,
    },
    /// It failed.
    #[error("{program} failed ({status}){}", said(stderr))]
    Failed {
        /// The program.
        program: String,
        /// What it ended with.
        status: String,
        /// What it said.
        stderr: String,
    },
}

fn said(stderr: &str) -> String {
    stderr.lines().map(|line| format!("\n  {line}")).collect()
}

/// The file of a program, by its name on PATH, or by its path.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        use std::os::unix::fs::PermissionsExt as _;
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        // It is run in another folder.
        return std::path::absolute(name).ok().filter(is_program);
    }
    let path = env::var_os("PATH")?;
    let folders = env::split_paths(&path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(name)).find(is_program)
}

/// Runs a program to its end. It is killed where it goes past a bound.
pub(super) async fn run(run: &Run<'_>, bounds: Bounds) -> Result<Said, RunError> {
    let Run { program, arguments, folder, surroundings } = run;
    let name = || program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let start = |source| RunError::Start { program: name(), source };
    let mut command = Command::new(program);
    command.args(*arguments).current_dir(folder).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    surround(&mut command, *surroundings);
    let mut child = command.spawn().map_err(start)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let (stdout, stderr) = tokio::join!(beginning(stdout, bounds.output), end(stderr));
        match stdout? {
            None => Ok(None),
            Some(stdout) => Ok(Some((child.wait().await?, stdout, stderr?))),
        }
    };
    let done = timeout(bounds.time, work).await;
    let done = done.map_err(|_| RunError::Late { program: name(), after: bounds.time })?.map_err(start)?;
    let (status, stdout, stderr) = done.ok_or_else(|| RunError::TooMuch { program: name(), limit: bounds.output })?;
    match status.success() {
        true => Ok(Said { stdout, stderr }),
        false => Err(RunError::Failed { program: name(), status: status.to_string(), stderr }),
    }
}

fn surround(command: &mut Command, surroundings: Surroundings) {
    match surroundings {
        Surroundings::Sealed => {
            command.env_clear().envs(env::var_os("TMPDIR").map(|folder| ("TMPDIR", folder)));
            command.env("PATH", NOWHERE).env("HOME", NOWHERE).env("LC_ALL", "C").env("TZ", "UTC");
            // What is fetched while rendering is pinned by nobody: whoever tries is sent to the discard port.
            for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
                command.env(proxy, "http://127.0.0.1:9");
            }
        }
        Surroundings::Own => {
            for name in SECRETS.iter().chain(&["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"]) {
                command.env_remove(name);
            }
        }
    }
    command.env("KUBECONFIG", NOWHERE);
}

/// All of it, or nothing where it is longer than the limit.
async fn beginning(from: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(limit + 1).read_to_end(&mut bytes).await?;
    }
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// The end of it, as text.
async fn end(from: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut kept = Vec::new();
    if let Some(mut from) = from {
        let mut buffer = [0; 8192];
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            kept.extend_from_slice(&buffer[..read]);
            kept.drain(..kept.len().saturating_sub(SAID));
        }
    }
    Ok(String::from_utf8_lossy(&kept).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, surroundings: Surroundings, bounds: Bounds) -> Result<Said, RunError> {
        let arguments = ["-c".into(), script.into()];
        let program = find("sh").unwrap();
        let folder = Path::new("/");
        run(&Run { program: &program, arguments: &arguments, folder, surroundings }, bounds).await
    }

    const BOUNDS: Bounds = Bounds { time: Duration::from_secs(60), output: 1 << 20 };

    #[tokio::test]
    async fn gives_what_is_written_and_says_what_went_wrong() {
        let said = sh("echo out; echo err >&2; pwd", Surroundings::Own, BOUNDS).await.unwrap();
        assert_eq!((said.stdout.as_slice(), said.stderr.as_str()), (&b"out\n/\n"[..], "err"));
        let failed = sh("echo half; echo 'no such chart' >&2; exit 3", Surroundings::Own, BOUNDS).await.unwrap_err();
        let text = failed.to_string();
        assert!(text.starts_with("sh failed (exit status: 3)") && text.contains("\n  no such chart"), "{text}");
    }

    #[tokio::test]
    async fn time_and_output_are_bounded_and_the_end_of_a_long_complaint_is_kept() {
        let short = Bounds { time: Duration::from_millis(50), ..BOUNDS };
        assert!(matches!(sh("exec sleep 600", Surroundings::Own, short).await, Err(RunError::Late { .. })));
        let small = Bounds { output: 10, ..BOUNDS };
        assert!(matches!(sh("exec yes", Surroundings::Own, small).await, Err(RunError::TooMuch { limit: 10, .. })));
        let long = "i=0; while [ $i -lt 3000 ]; do echo line $i >&2; i=$((i+1)); done";
        let said = sh(long, Surroundings::Own, BOUNDS).await.unwrap();
        assert!(said.stderr.ends_with("line 2999") && said.stderr.len() <= SAID, "{}", said.stderr.len());
    }

    #[tokio::test]
    async fn no_cluster_is_in_sight_and_nothing_of_the_persons_in_sealed_surroundings() {
        for surroundings in [Surroundings::Own, Surroundings::Sealed] {
            let said = sh("echo $KUBECONFIG", surroundings, BOUNDS).await.unwrap();
            assert_eq!(said.stdout, format!("{NOWHERE}\n").into_bytes());
        }
        let listed = sh("env", Surroundings::Own, BOUNDS).await.unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let is_secret = |line: &&str| SECRETS.iter().any(|name| line.split_once('=').is_some_and(|(n, _)| n == *name));
        assert_eq!(listed.lines().find(is_secret), None);
        let said = sh("echo $HOME $PATH; command -v git || echo none", Surroundings::Sealed, BOUNDS).await.unwrap();
        assert_eq!(String::from_utf8(said.stdout).unwrap(), format!("{NOWHERE} {NOWHERE}\nnone\n"));
    }
}
