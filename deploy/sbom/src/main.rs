//! What a binary of this workspace is made of, as CycloneDX 1.6: `sealift-sbom PACKAGE [TARGET]` writes it to standard output.
//!
//! The build says it itself: `cargo tree` resolves features as `cargo build -p PACKAGE --target TARGET` does, `Cargo.lock` has
//! the checksums. What runs only while building (procedural macros, build scripts and what they link) is not in the binary and
//! not in the list. The same sources give the same bytes: there is no clock and no random number in it.

mod bom;
mod tree;

use std::{
    env,
    error::Error,
    fs,
    io::{self, Write as _},
    path::Path,
    process::{Command, ExitCode},
};

use crate::tree::Tree;

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
enum SbomError {
    #[error("usage: sealift-sbom PACKAGE [TARGET]")]
    Usage,
    #[error("cargo cannot be run")]
    Cargo(#[source] io::Error),
    #[error("cargo tree failed: {0}")]
    Tree(String),
    #[error("what cargo tree prints cannot be read")]
    Unreadable(#[source] tree::TreeError),
    #[error("Cargo.lock cannot be read")]
    Lock(#[source] io::Error),
    #[error("the list cannot be written")]
    Write(#[source] io::Error),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut line = format!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                line = format!("{line}: {error}");
                cause = error.source();
            }
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(io::stderr(), "{line}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), SbomError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (package, target) = match arguments.as_slice() {
        [package] => (package, None),
        [package, target] => (package, Some(target)),
        _ => return Err(SbomError::Usage),
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tree = Tree::parse(&cargo_tree(&workspace, package, target)?).map_err(SbomError::Unreadable)?;
    let lock = fs::read_to_string(workspace.join("Cargo.lock")).map_err(SbomError::Lock)?;
    let document = bom::document(&tree, &bom::checksums(&lock));
    writeln!(io::stdout(), "{document:#}").map_err(SbomError::Write)
}

fn cargo_tree(workspace: &Path, package: &str, target: Option<&String>) -> Result<String, SbomError> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace).args(["tree", "--locked", "--edges", "normal", "--package", package]);
    command.args(["--prefix", "depth", "--format", tree::FORMAT]);
    command.args(target.iter().flat_map(|target| ["--target", target.as_str()]));
    let output = command.output().map_err(SbomError::Cargo)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(SbomError::Tree(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}
