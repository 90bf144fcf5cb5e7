//! What the scenarios came to, kept from run to run, and the tables made of it.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{Artifacts, Failed, limits::Limits};

/// Of one scenario.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Figures {
    pub(crate) apps: usize,
    pub(crate) artifacts: Artifacts,
    pub(crate) dry_runs: bool,
    pub(crate) told: Told,
    /// CPU-seconds of the controller until all was ready.
    pub(crate) cpu: f64,
    /// Its peak resident memory, in MiB.
    pub(crate) peak: f64,
    /// API requests but watches.
    pub(crate) requests: usize,
    /// Registry requests.
    pub(crate) pulls: u64,
}

/// What a scenario tells about itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Told {
    /// An install or upgrade, in seconds.
    Release { what: Release, applied: f64, ready: f64, limits: Option<Limits> },
    /// In words.
    Words(String),
}

/// What is held against the limits.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Release {
    Install,
    Upgrade,
}

impl Figures {
    /// Adds them to a file, a line of JSON each.
    pub(crate) fn keep(&self, file: &Path) -> Result<(), Failed> {
        let mut file = OpenOptions::new().create(true).append(true).open(file)?;
        Ok(writeln!(file, "{}", serde_json::to_string(self)?)?)
    }
}

/// The tables of all that a file keeps.
pub(crate) fn tables(file: &Path) -> Result<String, Failed> {
    let lines = fs::read_to_string(file)?;
    let all = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Figures>, _>>()?;
    Ok(format!("{}\n{}", releases(&all)?, others(&all)?))
}

fn releases(all: &[Figures]) -> Result<String, Failed> {
    let mut table = String::from(
        "| applications | validation | limits A, B | install | upgrade | CPU | memory | API requests an application |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for install in all {
        let Told::Release { what: Release::Install, limits: Some(limits), .. } = &install.told else { continue };
        let is_upgrade = |figures: &&Figures| {
            let same = (figures.apps, figures.artifacts, figures.dry_runs);
            let is = matches!(figures.told, Told::Release { what: Release::Upgrade, .. });
            is && same == (install.apps, install.artifacts, install.dry_runs)
        };
        let Some(upgrade) = all.iter().find(is_upgrade) else { continue };
        writeln!(
            table,
            "| {} | {} | {:.1} s, {:.1} s | {} | {} | {:.2} s, {:.2} s | {:.0} MiB | {:.1}, {:.1} |",
            install.about(),
            if install.dry_runs { "`dryRun`" } else { "`none`" },
            limits.bare.as_secs_f64(),
            limits.owed.as_secs_f64(),
            install.took(),
            upgrade.took(),
            install.cpu,
            upgrade.cpu,
            install.peak.max(upgrade.peak),
            install.each(),
            upgrade.each(),
        )?;
    }
    Ok(table)
}

fn others(all: &[Figures]) -> Result<String, Failed> {
    let mut table = String::from(
        "| applications | what | CPU | memory | API requests | registry requests |\n|---|---|---|---|---|---|\n",
    );
    for figures in all {
        let Told::Words(words) = &figures.told else { continue };
        let Figures { cpu, peak, requests, pulls, .. } = figures;
        writeln!(table, "| {} | {words} | {cpu:.2} s | {peak:.0} MiB | {requests} | {pulls} |", figures.about())?;
    }
    Ok(table)
}

impl Figures {
    fn about(&self) -> String {
        match self.artifacts {
            Artifacts::Shared => self.apps.to_string(),
            Artifacts::Each => format!("{}, an artifact each", self.apps),
        }
    }

    fn each(&self) -> f64 {
        self.requests as f64 / self.apps as f64
    }

    /// Seconds, and the share of the limit that is aimed at.
    fn took(&self) -> String {
        let Told::Release { what, applied, ready, limits } = &self.told else { return String::new() };
        let share = limits.map(|limits| match what {
            Release::Install => format!(" ({:.2} B)", applied / limits.owed.as_secs_f64()),
            Release::Upgrade => format!(" ({:.2} A)", applied / limits.bare.as_secs_f64()),
        });
        format!("applied {applied:.1} s{}, ready {ready:.1} s", share.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn installs_stand_beside_their_upgrades_and_the_rest_below() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("figures");
        let limits = Some(Limits { bare: Duration::from_secs(1), owed: Duration::from_secs(2) });
        let told = |what| Told::Release { what, applied: 3.0, ready: 4.0, limits };
        for (apps, told) in [
            (100, told(Release::Install)),
            (500, told(Release::Install)),
            (100, Told::Words("idle".into())),
            (100, told(Release::Upgrade)),
        ] {
            let (artifacts, dry_runs) = (Artifacts::Shared, true);
            let figures = Figures { apps, artifacts, dry_runs, told, cpu: 0.5, peak: 40.0, requests: 1410, pulls: 7 };
            figures.keep(&file).unwrap();
        }
        let tables = tables(&file).unwrap();
        let rows: Vec<_> =
            tables.lines().filter(|line| line.starts_with("| 100") || line.starts_with("| 500")).collect();
        assert_eq!(
            rows,
            [
                "| 100 | `dryRun` | 1.0 s, 2.0 s | applied 3.0 s (1.50 B), ready 4.0 s | applied 3.0 s (3.00 A), ready 4.0 s | 0.50 s, 0.50 s | 40 MiB | 14.1, 14.1 |",
                "| 100 | idle | 0.50 s | 40 MiB | 1410 | 7 |",
            ]
        );
    }
}
