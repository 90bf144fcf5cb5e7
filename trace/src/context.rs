//! `traceparent`: which trace and span something belongs to, as W3C Trace Context writes it. *pure* but for new ids

use std::{fmt, str::FromStr};

use aws_lc_rs::rand;

/// A span of a trace, and whether the trace is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// Why a text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not of the form 00-<32 hex digits>-<16 hex digits>-<2 hex digits>")]
pub struct NoTraceParent;

impl TraceParent {
    /// The first span of a trace of its own.
    pub fn root() -> Self {
        Self { trace: u128::from_be_bytes(random()), span: u64::from_be_bytes(random()), sampled: true }
    }

    /// Another span of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span: u64::from_be_bytes(random()), ..self }
    }

    /// The trace's id, 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The span's id, 16 hexadecimal digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span)
    }

    /// Whether whoever began the trace wants it recorded.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }
}

/// Bytes that are not all zero, which no id may be.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without randomness nothing else of ours works either; an id that is not random is only a poor id.
    if rand::fill(&mut bytes).is_err() || bytes == [0; N] {
        bytes[N - 1] = 1;
    }
    bytes
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    /// Reads every version but `ff`: later ones may only add to the end.
    fn from_str(text: &str) -> Result<Self, NoTraceParent> {
        let mut parts = text.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            is_hex.then(|| u128::from_str_radix(part, 16).ok()).flatten()
        };
        let (version, trace) = (hex(2).ok_or(NoTraceParent)?, hex(32).ok_or(NoTraceParent)?);
        let (span, flags) = (hex(16).ok_or(NoTraceParent)?, hex(2).ok_or(NoTraceParent)?);
        let is_longer = parts.next().is_some();
        let span = u64::try_from(span).map_err(|_| NoTraceParent)?;
        match version {
            0xff => Err(NoTraceParent),
            0 if is_longer => Err(NoTraceParent),
            _ if trace == 0 || span == 0 => Err(NoTraceParent),
            _ => Ok(Self { trace, span, sampled: flags & 1 == 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn reads_what_it_writes() {
        let read: TraceParent = GOOD.parse().unwrap();
        assert_eq!((read.to_string().as_str(), read.is_sampled()), (GOOD, true));
        assert_eq!((read.trace_id().as_str(), read.span_id().as_str()), (&GOOD[3..35], &GOOD[36..52]));
        let unsampled: TraceParent = GOOD.replace("-01", "-02").parse().unwrap();
        assert!(!unsampled.is_sampled() && unsampled.child().to_string().ends_with("-00"));
        assert!(GOOD.replacen("00", "01", 1).parse::<TraceParent>().is_ok(), "a later version");
        assert!(format!("{}-more", GOOD.replacen("00", "01", 1)).parse::<TraceParent>().is_ok());
        let child = read.child();
        assert!(child.trace_id() == read.trace_id() && child.span_id() != read.span_id());
        assert_ne!(TraceParent::root().trace_id(), TraceParent::root().trace_id());
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "",
            "00",
            &GOOD[..54],
            &GOOD.to_uppercase(),
            &format!("{GOOD}-more"),
            &format!(" {GOOD}"),
            &GOOD.replacen("00", "ff", 1),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(NoTraceParent), "{text}");
        }
    }
}
