//! `sealift verify-bundle`: one Sigstore bundle, one artifact, one verdict.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sealift_verify::{
    keys::{KeyError, PublicKey},
    sigstore::{BundleError, Demands, Proof, ProofError, Signed, Subject, TrustRoot, TrustRootError},
};
use serde_json::json;

use crate::{
    cli::verify_bundle::{Artifact, VerifyBundleArgs},
    exit::Exit,
    failure::Failure,
    output::{Format, Output},
    table::plain_lines,
};

/// Sigstore's tools read bundles of up to 16 MiB.
const LARGEST: u64 = 16 << 20;

/// Why the bundle is not accepted.
#[derive(Debug, thiserror::Error)]
enum BundleRefused {
    #[error("{} is not a usable bundle", path.display())]
    Bundle {
        path: PathBuf,
        #[source]
        source: BundleError,
    },
    #[error("{} is not a usable public key", path.display())]
    Key {
        path: PathBuf,
        #[source]
        source: KeyError,
    },
    #[error("{} is not a usable trust root", path.display())]
    Root {
        path: PathBuf,
        #[source]
        source: TrustRootError,
    },
    #[error("the bundle does not verify")]
    Proof(#[from] ProofError),
    #[error("the certificate was issued to {actual:?}, not {expected:?}")]
    Identity { expected: String, actual: String },
    #[error("the certificate's identity was vouched for by {actual:?}, not {expected:?}")]
    Issuer { expected: String, actual: String },
    #[error("no certificate was verified")]
    NoCertificate,
}

#[derive(Debug, thiserror::Error)]
#[error("{} cannot be read", path.display())]
struct Unreadable {
    path: PathBuf,
    #[source]
    source: io::Error,
}

pub(crate) fn run(args: &VerifyBundleArgs, output: &mut Output) -> Result<Exit, Failure> {
    let files = Files::read(args)?;
    let proof = judge(args, &files).map_err(|refused| Failure::new(Exit::Refused, refused))?;
    match output.format {
        Format::Text => output.product(plain_lines(&proof.to_string()))?,
        Format::Json => output.json(&json!({"schema": "sealift.dev/bundle-proof/v1", "proof": proof}))?,
    }
    Ok(Exit::Done)
}

/// Everything the verdict depends on, in memory.
struct Files {
    bundle: Vec<u8>,
    key: Option<(PathBuf, Vec<u8>)>,
    root: Option<(PathBuf, Vec<u8>)>,
    artifact: Option<Vec<u8>>,
}

impl Files {
    fn read(args: &VerifyBundleArgs) -> Result<Self, Failure> {
        let named = |path: &Option<PathBuf>| path.as_ref().map(|p| Ok::<_, Failure>((p.clone(), file(p)?))).transpose();
        let artifact = match &args.artifact {
            Artifact::File(path) => Some(file(path)?),
            Artifact::Digest(_) => None,
        };
        Ok(Self { bundle: file(&args.bundle)?, key: named(&args.key)?, root: named(&args.trusted_root)?, artifact })
    }
}

fn file(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|source| {
        let exit = if source.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::InvalidInput };
        Failure::new(exit, Unreadable { path: path.to_owned(), source })
    })
}

fn judge(args: &VerifyBundleArgs, files: &Files) -> Result<Proof, BundleRefused> {
    let signed = Signed::parse_any_version(&files.bundle, LARGEST)
        .map_err(|source| BundleRefused::Bundle { path: args.bundle.clone(), source })?;
    let root = match &files.root {
        None => TrustRoot::public_good(),
        Some((path, bytes)) => TrustRoot::from_json(&String::from_utf8_lossy(bytes))
            .map_err(|source| BundleRefused::Root { path: path.clone(), source })?,
    };
    let subject = match (&args.artifact, &files.artifact) {
        (Artifact::Digest(digest), _) => Subject::Digest(*digest),
        (Artifact::File(_), bytes) => Subject::Bytes(bytes.as_deref().unwrap_or_default()),
    };
    if let Some((path, bytes)) = &files.key {
        let key = PublicKey::from_pem(&String::from_utf8_lossy(bytes))
            .map_err(|source| BundleRefused::Key { path: path.clone(), source })?;
        return Ok(signed.prove_key(subject, &key, &root, Demands::SIGSTORE)?);
    }
    let proof = signed.prove_certificate(subject, &root, Demands::SIGSTORE)?;
    let certificate = proof.certificate.as_ref().ok_or(BundleRefused::NoCertificate)?;
    let differs = |wanted: &Option<String>, actual: &String| wanted.as_ref() != Some(actual);
    if differs(&args.certificate_identity, &certificate.identity) {
        let expected = args.certificate_identity.clone().unwrap_or_default();
        return Err(BundleRefused::Identity { expected, actual: certificate.identity.clone() });
    }
    if differs(&args.certificate_oidc_issuer, &certificate.issuer) {
        let expected = args.certificate_oidc_issuer.clone().unwrap_or_default();
        return Err(BundleRefused::Issuer { expected, actual: certificate.issuer.clone() });
    }
    Ok(proof)
}
