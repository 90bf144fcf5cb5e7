//! What a process used, and what the API server was asked.

use std::{collections::BTreeMap, fmt, fs, time::Duration};

use sealift_e2e::{AuditMark, ControlPlane, Request};

use crate::Failed;

/// Ticks a second of the times in `/proc`; Linux has had 100 on every architecture for decades.
const TICKS: f64 = 100.0;

/// Nothing is put off for longer.
const QUIET: Duration = Duration::from_secs(7);

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// CPU-seconds.
    pub(crate) cpu: f64,
    /// Peak resident memory, in MiB.
    pub(crate) peak: f64,
}

impl Usage {
    /// CPU time and peak resident memory of a process.
    pub(crate) fn of(process: u32) -> Result<Self, Failed> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name in parentheses may hold blanks.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("the kernel tells no memory")?;
        Ok(Self {
            cpu: (ticks(11) + ticks(12)) / TICKS,
            peak: peak.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0,
        })
    }

    /// Lets the peak begin anew.
    pub(crate) fn reset_peak(process: u32) {
        // Where the kernel refuses, the peak is that since the start, which is no less.
        let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
    }

    /// Resident memory now, in MiB.
    pub(crate) fn resident(process: u32) -> Result<f64, Failed> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("the kernel tells no memory")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
    }

    pub(crate) fn share(self, earlier: Self, elapsed: Duration) -> f64 {
        (self.cpu - earlier.cpu) / elapsed.as_secs_f64() * 100.0
    }
}

/// Requests of one sort of asker, by verb.
pub(crate) struct Requests(BTreeMap<String, usize>);

impl Requests {
    /// What the controller asked since `mark`, but for Leases, which are renewed for ever.
    pub(crate) fn of_controller(control_plane: &ControlPlane, mark: AuditMark) -> Self {
        let mut verbs = BTreeMap::new();
        let all = control_plane.audit().since(mark);
        let ours =
            |request: &&Request| request.user_agent.contains("sealift-controller") && request.resource != "leases";
        for request in all.iter().filter(ours) {
            *verbs.entry(word(request)).or_default() += 1;
        }
        Self(verbs)
    }

    /// Waits until the controller has asked nothing for longer than it puts anything off, so that what it writes later counts.
    pub(crate) async fn until_quiet(control_plane: &ControlPlane, mark: AuditMark) -> Self {
        let mut before = None;
        loop {
            let requests = Self::of_controller(control_plane, mark);
            let count = requests.but_watches();
            if before == Some(count) {
                return requests;
            }
            before = Some(count);
            tokio::time::sleep(QUIET).await;
        }
    }

    pub(crate) fn but_watches(&self) -> usize {
        self.0.iter().filter(|(verb, _)| *verb != "watch").map(|(_, count)| count).sum()
    }
}

fn word(request: &Request) -> String {
    let verb = if request.is_dry_run() { "dry-run" } else { request.verb.as_str() };
    match request.subresource.as_str() {
        "" => verb.to_owned(),
        subresource => format!("{verb} {subresource}"),
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(|(verb, count)| format!("{count} {verb}")).collect();
        write!(f, "{} API requests ({})", self.0.values().sum::<usize>(), parts.join(", "))
    }
}
