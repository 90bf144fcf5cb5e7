//! What the words that controllers write into a status mean: `CrashLoopBackOff`, `NotReady`, `being created`.
//!
//! Nothing here knows a kind. A word that is not listed means nothing, and another rule has to decide.

/// What a text says about an object, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    Healthy,
    Progressing,
    Unknown,
    Suspended,
    Missing,
    Degraded,
}

/// More of a text than this is not read: what it is about stands at its beginning.
const READ: usize = 512;

const NEGATIONS: [&str; 7] = ["not", "no", "non", "never", "without", "isn", "0"];

#[rustfmt::skip]
const DEGRADED: &[&str] = &[
    "abnormal", "abort", "aborted", "backoff", "broken", "cancel", "canceled", "cancelled", "conflict", "conflicted", "conflicts",
    "corrupt", "corrupted", "crash", "crashed", "dead", "deadlocked", "degraded", "denied", "down", "duplicate",
    "err", "error", "errored", "errors", "evicted", "exceeded", "exception", "expired", "fail", "failed", "failing", "fails", "failure", "failures",
    "fallback", "forbidden", "illegal", "impaired", "inconsistent", "incompatible", "infeasible", "insufficient", "invalid", "issues", "killed",
    "limit", "lost", "malformed", "misconfigured", "mismatch", "outage", "overlap", "red", "refused", "rejected", "rollback", "rolledback", "stalled", "terminal", "timeout",
    "unable", "unauthenticated", "unauthorized", "undeployable", "unhealthy", "unprocessable", "unreachable", "unrecognized", "unresolved", "unschedulable",
    "unstable", "unsuccessful", "unsupported", "violated", "violation", "violations", "warn", "warning", "wrong",
];

#[rustfmt::skip]
const SUSPENDED: &[&str] = &[
    "approval", "disabled", "halted", "hibernate", "hibernated", "hibernation", "idle", "ignored", "offline", "paused", "pausing", "quiesced", "stopped", "suspend",
    "suspended",
];

#[rustfmt::skip]
const PROGRESSING: &[&str] = &[
    "deferred", "delete", "deleted", "drain", "incomplete", "init", "new", "outdated", "partial", "partially", "pending", "progress", "provision",
    "queued", "requested", "retry", "scheduled", "started", "submitted", "unavailable", "uninitialized", "uninstalled", "unready",
    "unsynced", "unsynchronized", "upgrade", "wait", "yellow",
];

/// They end in `ing` and are not on their way anywhere.
#[rustfmt::skip]
const AT_REST: [&str; 14] = [
    "anything", "being", "everything", "existing", "king", "listening", "nothing", "ping", "ring", "serving", "something", "string", "thing", "working",
];

#[rustfmt::skip]
const HEALTHY: &[&str] = &[
    "accepted", "active", "allocated", "applied", "approved", "assigned", "attached", "authenticated", "authorized", "available", "bound", "compiled", "complete",
    "completed", "configured", "connected", "converged", "created", "current", "deployed", "done", "enabled", "enforced", "established", "exist", "exists",
    "adopted", "admitted", "advertised", "built", "claimed", "compliant", "deliverable", "delivered", "discoverable", "discovered", "elected", "extracted",
    "fetched", "finished", "granted", "green", "healthy", "imported", "initialized", "installed", "issued", "joined", "linked", "live", "loaded", "matched", "merged", "mounted", "normal", "ok", "online",
    "operational", "passed", "passing", "programmed", "promoted", "provided", "provisioned", "published", "pulled", "pushed", "ready", "reachable", "reconciled", "registered", "rendered", "resolved", "restored", "running",
    "scaled", "schedulable", "serving", "stable", "succeed", "succeeded", "success", "successful", "successfully", "synced", "synchronized", "updated", "up", "uptodate",
    "valid", "validated", "verified",
];

/// The words of a text in lower case: `ReconcileFailed`, `reconcile-failed` and `RECONCILE_FAILED` are the same.
pub(super) fn words(text: &str) -> Vec<String> {
    let cut = (0..=text.len().min(READ)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let text: Vec<char> = text[..cut].chars().collect();
    let mut words = vec![String::new()];
    for (at, &char) in text.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| text[at]);
        let after = text.get(at + 1);
        let starts = char.is_uppercase()
            && (before.is_some_and(char::is_lowercase)
                || before.is_some_and(char::is_uppercase) && after.is_some_and(|char| char.is_lowercase()));
        if !char.is_alphanumeric() || starts {
            words.push(String::new());
        }
        if char.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(char.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What one word says by itself.
pub(super) fn of_word(word: &str) -> Option<Tone> {
    let listed = |list: &[&str]| list.contains(&word);
    if listed(DEGRADED) {
        Some(Tone::Degraded)
    } else if listed(SUSPENDED) {
        Some(Tone::Suspended)
    } else if listed(HEALTHY) {
        Some(Tone::Healthy)
    } else if listed(PROGRESSING) || (word.len() > 4 && word.ends_with("ing") && !AT_REST.contains(&word)) {
        Some(Tone::Progressing)
    } else if word == "missing" || word == "notfound" || word == "absent" {
        Some(Tone::Missing)
    } else if word == "unknown" || word == "inconclusive" {
        Some(Tone::Unknown)
    } else {
        None
    }
}

/// What a phrase such as a phase or a reason says: the worst of its words, each turned round by a `not` before it.
pub(super) fn of_phrase(phrase: &str) -> Option<Tone> {
    let words = words(phrase);
    // CrashLoopBackOff is one word, and the one that matters most.
    if words.windows(2).any(|pair| pair[0] == "back" && pair[1] == "off" || pair[0] == "timed" && pair[1] == "out") {
        return Some(Tone::Degraded);
    }
    // NoControllerFound, NoMatchingNode
    if words.first().is_some_and(|first| first == "no")
        && words.iter().any(|word| word == "found" || word == "matching")
    {
        return Some(Tone::Missing);
    }
    (0..words.len()).filter_map(|at| in_place(&words, at)).max()
}

/// True if the first word of a sentence says that something failed.
pub(super) fn begins_badly(sentence: &str) -> bool {
    words(sentence).first().is_some_and(|first| of_word(first) == Some(Tone::Degraded))
}

/// True if all that a phrase says is that something is not there yet: `NotReady`.
pub(super) fn is_mere_absence(phrase: &str) -> bool {
    let words = words(phrase);
    words.iter().any(|word| NEGATIONS.contains(&word.as_str()))
        && !words.iter().any(|word| of_word(word) == Some(Tone::Progressing))
}

/// True if a phrase says that something was achieved, and nothing bad.
pub(super) fn says_done(phrase: &str) -> bool {
    let words = words(phrase);
    let tones: Vec<_> = (0..words.len()).filter_map(|at| in_place(&words, at)).collect();
    tones.contains(&Tone::Healthy) && !tones.iter().any(|tone| *tone > Tone::Progressing)
}

fn in_place(words: &[String], at: usize) -> Option<Tone> {
    let word = words[at].as_str();
    let negated = at > 0 && NEGATIONS.contains(&words[at - 1].as_str());
    let tone = match word {
        "missing" => Some(Tone::Missing),
        // ScalingDown, scaled down
        "down" if at > 0 && (words[at - 1].ends_with("ing") || words[at - 1].starts_with("scale")) => None,
        word => of_word(word),
    };
    match (negated, tone) {
        (true, _) if ["found", "exist", "exists"].contains(&word) => Some(Tone::Missing),
        (true, Some(Tone::Healthy)) => {
            Some(if ["accepted", "compliant", "valid"].contains(&word) { Tone::Degraded } else { Tone::Progressing })
        }
        (true, Some(Tone::Degraded | Tone::Progressing | Tone::Missing)) => Some(Tone::Healthy),
        (true, _) if ["allowed", "supported", "permitted", "matching", "match"].contains(&word) => Some(Tone::Degraded),
        (_, tone) => tone,
    }
}

/// What a sentence says about something that is not as it should be: `None` if it says nothing of why.
pub(super) fn of_sentence(sentence: &str) -> Option<Tone> {
    const FAILING: [&str; 9] =
        ["cannot", "couldn", "doesn", "can", "unknown", "must", "isn", "unexpected", "unavailable"];
    let words = words(sentence);
    let pair = |first: &str, second: &str| words.windows(2).any(|pair| pair[0] == first && pair[1] == second);
    let awaits_someone =
        words.iter().any(|word| ["approval", "approved", "manual", "manually"].contains(&word.as_str()));
    let failing = (0..words.len()).any(|at| matches!(in_place(&words, at), Some(Tone::Degraded)));
    let on_its_way = words.first().is_some_and(|word| of_word(word) == Some(Tone::Progressing))
        || pair("in", "progress")
        || pair("not", "yet")
        || pair("waiting", "for")
        || pair("is", "being");
    if awaits_someone && (words.contains(&"waiting".to_owned()) || words.contains(&"requires".to_owned())) {
        Some(Tone::Suspended)
    } else if failing {
        Some(Tone::Degraded)
    } else if on_its_way {
        Some(Tone::Progressing)
    } else if pair("not", "found") || pair("not", "exist") || words.iter().any(|word| FAILING.contains(&word.as_str()))
    {
        Some(Tone::Degraded)
    } else {
        (0..words.len()).filter_map(|at| in_place(&words, at)).filter(|tone| *tone != Tone::Healthy).max()
    }
}
