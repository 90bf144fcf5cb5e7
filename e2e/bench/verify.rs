//! `sealift verify`, every rule.

use std::{error::Error, fs};

use crate::{
    Bench,
    ground::{Ground, succeed, timed},
};

pub(crate) fn measure(bench: &mut Bench) -> Result<(), Box<dyn Error>> {
    let ground = Ground::new(&bench.folder.path().join("commands"))?;
    fs::write(ground.home.join("policy.yaml"), ground.policy("bench")?)?;
    let digest = ground.push(&bench.manifests, "verified", &[])?;
    let target = format!("oci://{}/verified@{digest}", ground.host);
    let mut verifying = vec![];
    // The first round warms the page cache.
    for run in 0..=bench.rounds {
        let now = timed(|| succeed(ground.sealift().args(["verify", &target, "--policy", "policy.yaml"])).map(drop))?;
        if run > 0 {
            verifying.push(now);
        }
    }
    bench.figures.times("sealift verify kube-prometheus (fetch, verify, all rules)", verifying);
    Ok(())
}
