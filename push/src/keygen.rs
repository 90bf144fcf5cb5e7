//! `sealift keygen`: a key pair that cosign can use as well.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    cli::keygen::KeygenArgs,
    exit::Exit,
    failure::Failure,
    output::{Format, Output},
    signing::{Asked, KeyPair, encrypt, password},
};

/// Why there is no new key pair.
#[derive(Debug, thiserror::Error)]
enum KeygenError {
    #[error("{} exists, and keys are never overwritten", .0.display())]
    Exists(PathBuf),
    #[error("{} cannot be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

pub(crate) fn run(args: &KeygenArgs, output: &mut Output) -> Result<Exit, Failure> {
    let [private, public] = ["key", "pub"].map(|kind| PathBuf::from(format!("{}.{kind}", args.output_prefix)));
    for path in [&private, &public] {
        // Looked at before anybody types a password; `create_new` is what guards the file.
        if fs::symlink_metadata(path).is_ok() {
            return Err(exists(path));
        }
    }
    let password = password(Asked::ToProtect).map_err(|error| {
        Failure::new(Exit::InvalidInput, error)
            .hint("set SEALIFT_PASSWORD (an empty one is taken only from there), or run this at a terminal")
    })?;
    let pair = KeyPair::generate().map_err(|error| Failure::new(Exit::Failed, error))?;
    let encrypted = encrypt(pair.pkcs8(), &password).map_err(|error| Failure::new(Exit::Failed, error))?;
    write_new(&private, encrypted.as_bytes(), 0o600)?;
    if let Err(failure) = write_new(&public, pair.public_pem().as_bytes(), 0o644) {
        // Half a pair is of no use, and would stand in the way of the next attempt.
        let _ = fs::remove_file(&private);
        return Err(failure);
    }
    report(&private, &public, &pair, output)
}

fn report(private: &Path, public: &Path, pair: &KeyPair, output: &mut Output) -> Result<Exit, Failure> {
    let id = pair.public_key().id();
    match output.format {
        Format::Text => {
            output.note(format_args!("private key: {} (encrypted; keep it secret)", private.display()));
            output.note(format_args!("key id:      {id}"));
            output.note("put the public key into a policy, or hand it to whoever verifies");
            output.product(public.display())?;
        }
        Format::Json => output.json(&json!({
            "schema": "sealift.dev/keygen/v1",
            "privateKey": private,
            "publicKey": public,
            "keyId": id,
            "pem": pair.public_pem(),
        }))?,
    }
    Ok(Exit::Done)
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    match file.and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists(path)),
        Err(source) => Err(Failure::new(Exit::Failed, KeygenError::Write { path: path.to_owned(), source })),
    }
}

fn exists(path: &Path) -> Failure {
    Failure::new(Exit::InvalidInput, KeygenError::Exists(path.to_owned()))
        .hint("choose another --output-prefix, or move the old key away")
}
