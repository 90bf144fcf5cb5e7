//! Signatures without keys: how long one takes to verify, and what a whole verification holds in memory.

use std::{
    error::Error,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use sealift_e2e::{Measured, shared_folder};
use sealift_verify::sigstore::{Demands, Signed, Subject, TrustRoot};

use crate::{Bench, ground::Ground, noise::Noise};

const RUNS: usize = 300;
/// Of the official conformance suite: what is signed, where it is logged, and when.
const CASES: [(&str, &str); 2] = [
    ("happy-path-intoto-in-dsse-v3", "Rekor v1, SCT"),
    ("rekor2-dsse-happy-path", "Rekor v2, SCT, RFC 3161 timestamp"),
];

pub(crate) fn measure(bench: &mut Bench) -> Result<(), Box<dyn Error>> {
    let cases = shared_folder("conformance").ok_or("the conformance suite is missing")?.join("sigstore");
    for (case, what) in CASES {
        let (median, low, high) = verification(&cases, case)?;
        let value = format!("{median:.2} ms ({low:.2} to {high:.2}, n={RUNS})");
        bench.figures.count(&format!("keyless verification, parsing included: {what}"), value);
    }
    let ground = Ground::new(&bench.folder.path().join("memory"))?;
    let files = ground.home.join("ten-mebibytes");
    fs::create_dir_all(&files)?;
    let mut noise = Noise::new();
    for number in 0..20 {
        // 6 of the 8 bits of a character are noise, so the layer is as large as what it was made of
        let text: String = (0..(10 << 20) / 20 * 8 / 6).map(|_| noise.character()).collect();
        let map =
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{number}}}\ndata:\n  text: \"{text}\"\n");
        fs::write(files.join(format!("{number}.yaml")), map)?;
    }
    let digest = ground.push(&files, "large", &[])?;
    fs::write(ground.home.join("policy.yaml"), ground.policy("bench")?)?;
    let target = format!("oci://{}/large@{digest}", ground.host);
    let mut verify = ground.sealift();
    verify.args(["verify", &target, "--policy", "policy.yaml"]);
    let Measured { output, memory, time } = Measured::run(&mut verify)?;
    if output.code != 0 {
        return Err(output.stderr.into());
    }
    bench.figures.add("sealift verify, layer of 10 MiB: peak memory", memory as f64 / f64::from(1 << 20), "MiB");
    bench.figures.times("sealift verify, layer of 10 MiB", vec![time]);
    Ok(())
}

/// The median, least and most milliseconds of parsing and verifying one bundle.
fn verification(cases: &Path, case: &str) -> Result<(f64, f64, f64), Box<dyn Error>> {
    let bundle = fs::read(cases.join(case).join("bundle.sigstore.json"))?;
    let own = cases.join(case).join("artifact");
    let artifact = fs::read(if own.exists() { own } else { cases.join("a.txt") })?;
    let root = match fs::read_to_string(cases.join(case).join("trusted_root.json")) {
        Ok(text) => TrustRoot::from_json(&text)?,
        Err(_) => TrustRoot::public_good(),
    };
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let started = Instant::now();
        let signed = Signed::parse_any_version(&bundle, 16 << 20)?;
        let proof = signed.prove_certificate(Subject::Bytes(&artifact), &root, Demands::SIGSTORE)?;
        times.push(started.elapsed());
        proof.certificate.ok_or("no certificate was verified")?;
    }
    times.sort();
    let milliseconds = |at: usize| times.get(at).map_or(0.0, |time: &Duration| time.as_secs_f64() * 1e3);
    Ok((milliseconds(RUNS / 2), milliseconds(0), milliseconds(RUNS - 1)))
}
