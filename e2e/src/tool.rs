//! Where the programs are that tests run.

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A program that `testenv/build` installs.
#[derive(Debug, Clone)]
pub struct Tool {
    path: PathBuf,
}

impl Tool {
    /// The tool of that name: from `KUBEBUILDER_ASSETS` if that has it, else from the cache folder of `testenv/build`.
    ///
    /// Without it the test is skipped, loudly, by answering `None`.
    ///
    /// # Panics
    /// With `CI=true`, where a skipped test is a failure.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let found = Self::candidates(name).into_iter().find(|path| path.is_file());
        if found.is_none() {
            skip(&format!("{name} is not installed; run: testenv/build test"));
        }
        found.map(|path| Self { path })
    }

    /// A tool that only `make interop` needs; `None` unless that runs the tests.
    ///
    /// # Panics
    /// Where `make interop` runs the tests and the tool is missing: it has just built it.
    #[must_use]
    pub fn for_interop(name: &str) -> Option<Self> {
        interop().then(|| Self::find(name).unwrap_or_else(|| panic!("no {name}; testenv/build interop makes it")))
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs it.
    #[must_use]
    pub fn command(&self) -> Command {
        Command::new(&self.path)
    }

    /// The same places, in the same order, as `testenv/build`.
    fn candidates(name: &str) -> Vec<PathBuf> {
        let assets = env::var_os("KUBEBUILDER_ASSETS").map(|folder| PathBuf::from(folder).join(name));
        let tools = env::var_os("SEALIFT_TOOLS").map(PathBuf::from).or_else(|| {
            let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let cache = cache.or_else(|| env::home_dir().map(|home| home.join(".cache")));
            cache.map(|cache| cache.join("sealift/tools"))
        });
        assets.into_iter().chain(tools.map(|folder| folder.join("bin").join(name))).collect()
    }
}

/// Our own binary of that name (`sealift`, `sealift-controller`): from `SEALIFT_BIN_DIR`, else from the folder cargo
/// built this test into.
///
/// # Panics
/// Where it has not been built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let folder = env::var_os("SEALIFT_BIN_DIR").map_or_else(cargo_output, PathBuf::from);
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} does not exist; run `cargo build -p {name}` first (`make test` does) or set SEALIFT_BIN_DIR",
        path.display()
    );
    path
}

/// `target/debug` or the like: a test runs as `target/debug/deps/NAME-HASH`, a binary as `target/debug/NAME`.
fn cargo_output() -> PathBuf {
    let this = env::current_exe().expect("the running program has a path");
    let folder = this.parent().expect("a file lies in a folder");
    if folder.ends_with("deps") { folder.parent().unwrap_or(folder).to_owned() } else { folder.to_owned() }
}

/// The root of the workspace, for tests that read `policies/`, `deploy/` and the like.
#[must_use]
pub fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("e2e/ lies in the workspace").to_owned()
}

/// A folder of `../shared` (corpora, conformance cases), which lies beside the workspace where it is there at all.
///
/// # Panics
/// With `CI=true` where it is missing.
#[must_use]
pub fn shared_folder(name: &str) -> Option<PathBuf> {
    let path = workspace().parent()?.join("shared").join(name);
    if !path.exists() {
        skip(&format!("../shared/{name} is not there"));
        return None;
    }
    Some(path)
}

/// Whether a missing tool is a failure.
#[must_use]
pub fn on_ci() -> bool {
    env::var("CI").is_ok_and(|value| value == "true")
}

/// Whether `make interop` runs the tests, with heavier programs than the rest of them needs. Says so where it does not,
/// which is no skip that CI refuses.
#[must_use]
pub fn interop() -> bool {
    let asked = env::var_os("SEALIFT_INTEROP").is_some();
    if !asked {
        let _ = writeln!(std::io::stderr(), "this is tried by `make interop` only");
    }
    asked
}

/// Says that the calling test does not run, and why.
///
/// # Panics
/// With `CI=true`.
pub fn skip(why: &str) {
    assert!(!on_ci(), "a required test cannot run: {why}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("test").to_owned();
    // past the capture of the test runner on purpose: a skip that nobody sees looks like a pass
    let _ = writeln!(std::io::stderr(), "\n!!! SKIPPED {test}: {why}\n");
}
