//! Every bundle-verification case of the sigstore conformance suite, by the artifact's bytes and by its digest alone.
//! The cases are read where they lie: in `../shared/conformance`, or where `SEALIFT_CONFORMANCE` says.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, and what it counted is worth seeing")]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use sealift_verify::{
    digest::Digest,
    keys::PublicKey,
    sigstore::{Demands, Signed, Subject, TrustRoot},
};

const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

#[test]
fn passes_every_case_of_the_sigstore_conformance_suite_by_bytes_and_by_digest() {
    let Some(folder) = cases() else { return };
    let mut folders: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    for case in &folders {
        let must_fail = case.file_name().unwrap().to_str().unwrap().ends_with("_fail");
        let own = case.join("artifact");
        let artifact = fs::read(if own.exists() { own } else { folder.join("a.txt") }).unwrap();
        for subject in [Subject::Bytes(&artifact), Subject::Digest(Digest::of(&artifact))] {
            let verdict = verdict(case, subject);
            match (&verdict, must_fail) {
                (Ok(()), false) => accepted += 1,
                (Err(_), true) => refused += 1,
                _ => wrong.push(format!("{}: {verdict:?}", case.display())),
            }
        }
    }
    eprintln!("sigstore conformance: {accepted} accepted, {refused} refused, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(accepted + refused, 2 * folders.len());
    assert!(accepted > 0 && refused > 0, "the folder holds both kinds of cases");
}

fn cases() -> Option<PathBuf> {
    let shared = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    let folder = env::var_os("SEALIFT_CONFORMANCE").map_or_else(shared, PathBuf::from).join("sigstore");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(env::var("CI").as_deref() != Ok("true"), "a required test cannot run: {} is missing", folder.display());
    eprintln!("\n!!! SKIPPED: the conformance cases are not at {}\n", folder.display());
    None
}

fn verdict(case: &Path, subject: Subject<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let text = |name: &str| fs::read_to_string(case.join(name)).ok();
    let bundle = fs::read(case.join("bundle.sigstore.json")).unwrap();
    let signed = Signed::parse_any_version(&bundle, 1 << 20)?;
    let root =
        text("trusted_root.json").map_or_else(|| Ok(TrustRoot::public_good()), |json| TrustRoot::from_json(&json))?;
    if let Some(pem) = text("key.pub") {
        signed.prove_key(subject, &PublicKey::from_pem(&pem)?, &root, Demands::SIGSTORE)?;
        return Ok(());
    }
    let proof = signed.prove_certificate(subject, &root, Demands::SIGSTORE)?;
    let certificate = proof.certificate.ok_or("no certificate was verified")?;
    let wanted = |name, default: &str| text(name).map_or_else(|| default.to_owned(), |text| text.trim().to_owned());
    let (identity, issuer) = (wanted("identity", IDENTITY), wanted("issuer", ISSUER));
    if (certificate.identity.as_str(), certificate.issuer.as_str()) != (&identity, &issuer) {
        return Err(format!("signed by {} of {}", certificate.identity, certificate.issuer).into());
    }
    Ok(())
}
