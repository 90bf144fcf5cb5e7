//! What is aimed at, as a share of the limits taken in the same run.

use std::time::Duration;

use crate::{figures::Release, limits::Limits};

/// The line about it: the share, the aim and whether it was met. Only what changed is touched by an upgrade, so A is its limit.
pub(crate) fn line(release: Release, dry_runs: bool, took: Duration, limits: Limits) -> String {
    let (name, limit, aim) = match (release, dry_runs) {
        (Release::Install, true) => ("B", limits.owed, 1.8),
        (Release::Install, false) => ("B", limits.owed, 1.3),
        (Release::Upgrade, true) => ("A", limits.bare, 1.3),
        (Release::Upgrade, false) => ("A", limits.bare, 1.0),
    };
    let share = took.as_secs_f64() / limit.as_secs_f64();
    let met = if share <= aim { "met" } else { "not met" };
    format!("  {share:.2} {name} (aim {aim:.1} {name}: {met})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_a_share_of_its_limit() {
        let limits = Limits { bare: Duration::from_secs(1), owed: Duration::from_secs(2) };
        let line =
            |release, dry_runs, seconds| super::line(release, dry_runs, Duration::from_secs_f64(seconds), limits);
        assert_eq!(line(Release::Install, true, 3.6), "  1.80 B (aim 1.8 B: met)");
        assert_eq!(line(Release::Install, false, 3.0), "  1.50 B (aim 1.3 B: not met)");
        assert_eq!(line(Release::Upgrade, true, 1.25), "  1.25 A (aim 1.3 A: met)");
        assert_eq!(line(Release::Upgrade, false, 1.25), "  1.25 A (aim 1.0 A: not met)");
    }
}
