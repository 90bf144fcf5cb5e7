//! Every bundle-verification case of the sigstore conformance suite, by the artifact's bytes and by its digest alone.
//! The cases are read where they lie: in `../shared/conformance`, or where `SEALIFT_CONFORMANCE` says.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, and what it counted is worth seeing")]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use sealift_verify::{
    digest::Digest,
    evidence::CheckResult,
    keys::PublicKey,
    sigstore::{Demand, Demands, Signed, Subject, TimeSource, TrustRoot},
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

/// Statements of the corpus, read as policies read them: from Rekor v1 with its promise, from v2 with a timestamp.
#[test]
fn says_which_log_and_whose_time_stand_behind_a_statement() {
    let Some(folder) = cases() else { return };
    let prove = |case: &str, demands| {
        let case = folder.join(case);
        let signed = Signed::parse(&fs::read(case.join("bundle.sigstore.json")).unwrap(), 1 << 20).unwrap();
        let root = fs::read_to_string(case.join("trusted_root.json"));
        let root = root.map_or_else(|_| TrustRoot::public_good(), |json| TrustRoot::from_json(&json).unwrap());
        signed.prove_certificate(Subject::Stated, &root, demands)
    };
    let proof = prove("happy-path-intoto-in-dsse-v3", Demands::SIGSTORE).unwrap();
    assert_eq!(
        (proof.sct, proof.log, proof.timestamp),
        (CheckResult::Pass, CheckResult::Pass, CheckResult::NotPresent)
    );
    assert_eq!(proof.times.iter().map(|time| time.source).collect::<Vec<_>>(), [TimeSource::TransparencyLog]);
    assert_eq!((proof.entries[0].kind.as_str(), proof.entries[0].promised), ("dsse/0.0.1", true));
    assert!(proof.entries[0].origin.as_ref().unwrap().starts_with("rekor.sigstore.dev"));

    let stamped = Demands { timestamp: Demand::Required, ..Demands::SIGSTORE };
    assert!(prove("happy-path-intoto-in-dsse-v3", stamped).is_err(), "it has no timestamp");
    let proof = prove("rekor2-dsse-happy-path", stamped).unwrap();
    assert_eq!((proof.log, proof.timestamp), (CheckResult::Pass, CheckResult::Pass));
    assert_eq!(proof.times.iter().map(|time| time.source).collect::<Vec<_>>(), [TimeSource::TimestampAuthority]);
    assert_eq!((proof.entries[0].kind.as_str(), proof.entries[0].promised), ("hashedrekord/0.0.2", false));
    // Switched off: the certificate has nothing left to be valid at, or the row says that nobody looked.
    assert!(prove("rekor2-dsse-happy-path", Demands { timestamp: Demand::Off, ..Demands::SIGSTORE }).is_err());
    let proof = prove("rekor2-dsse-happy-path", Demands { tlog: Demand::Off, ..stamped }).unwrap();
    assert_eq!((proof.log, proof.entries.len(), proof.timestamp), (CheckResult::NotChecked, 0, CheckResult::Pass));
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
