//! What is aimed at, as a share of the limits taken in the same run.

use std::time::Duration;

use crate::limits::Limits;

/// What is measured against a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measured {
    Install,
    Upgrade,
}

/// The line about it: the share, the aim and whether it was met. Only what changed is touched by an upgrade, so A is its limit.
pub(crate) fn line(measured: Measured, dry_runs: bool, took: Duration, limits: Limits) -> String {
    let (name, limit, aim) = match (measured, dry_runs) {
        (Measured::Install, true) => ("B", limits.owed, 1.8),
        (Measured::Install, false) => ("B", limits.owed, 1.3),
        (Measured::Upgrade, true) => ("A", limits.bare, 1.3),
        (Measured::Upgrade, false) => ("A", limits.bare, 1.0),
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
            |measured, dry_runs, seconds| super::line(measured, dry_runs, Duration::from_secs_f64(seconds), limits);
        assert_eq!(line(Measured::Install, true, 3.6), "  1.80 B (aim 1.8 B: met)");
        assert_eq!(line(Measured::Install, false, 3.0), "  1.50 B (aim 1.3 B: not met)");
        assert_eq!(line(Measured::Upgrade, true, 1.25), "  1.25 A (aim 1.3 A: met)");
        assert_eq!(line(Measured::Upgrade, false, 1.25), "  1.25 A (aim 1.0 A: not met)");
    }
}
