//! One target, for a bounded time: what was tried, what was taken, how long and how large the worst was.

use std::{
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use crate::random::Random;

/// Any other would do as well; this one is the same everywhere.
const SEED: u64 = 20_261_123;
/// Tried however slow the machine is.
const AT_LEAST: u64 = 100;
/// One mutation takes milliseconds; this is far beyond what a busy machine adds, and far below what a bomb would take.
const SLOWEST: Duration = Duration::from_secs(20);
/// All targets of the process together, most of it windows of zstd, which may be 128 MiB each.
const LARGEST_KIB: u64 = 2 << 20;

/// What the code under test did with one mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// It was refused.
    Refused,
    /// It was taken, and the property holds.
    Taken,
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Tries mutations until the time is over. What was taken is counted under the words of `taken`.
pub(crate) fn run(target: &str, taken: &str, mut one: impl FnMut(&mut Random) -> Came) {
    let seed = setting("SEALIFT_FUZZ_SEED").unwrap_or(SEED);
    let time = Duration::from_secs(setting("SEALIFT_FUZZ_SECONDS").unwrap_or(3));
    let first = setting("SEALIFT_FUZZ_FROM").unwrap_or(0);
    let (begin, mut slowest, mut count, mut number) = (Instant::now(), Duration::ZERO, 0, first);
    while begin.elapsed() < time || number - first < AT_LEAST {
        let at = Instant::now();
        let mut random = Random::new(seed ^ (number + 1).wrapping_mul(0xa076_1d64_78bd_642f));
        match catch_unwind(AssertUnwindSafe(|| one(&mut random))) {
            Ok(came) => count += u64::from(came == Came::Taken),
            Err(_) => panic!("{target}: again with SEALIFT_FUZZ_SEED={seed} SEALIFT_FUZZ_FROM={number}"),
        }
        slowest = slowest.max(at.elapsed());
        assert!(slowest < SLOWEST, "{target}: mutation {number} of seed {seed} took {slowest:?}");
        number += 1;
    }
    let tried = number - first;
    let peak = peak_kib();
    assert!(peak.is_none_or(|kib| kib < LARGEST_KIB), "{target}: the process once had {peak:?} KiB");
    // Past the test harness's capture: the numbers are what a run is for.
    let _ = writeln!(
        std::io::stderr(),
        "fuzz {target}: seed {seed}, {tried} mutations in {:.1} s, {count} {taken}, slowest {} ms, peak {} MiB",
        begin.elapsed().as_secs_f64(),
        slowest.as_millis(),
        peak.map_or_else(|| "?".to_owned(), |kib| (kib >> 10).to_string()),
    );
}

/// The most memory this process ever had, where the system tells.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
