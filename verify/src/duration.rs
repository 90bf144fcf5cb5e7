//! Durations as people write them in resources: `90s`, `10m`, `720h`, `1h30m`.

use std::{fmt, str::FromStr, time};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// A positive length of time, written in hours, minutes and seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Duration(time::Duration);

/// Why a text is not a [`Duration`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration such as 90s, 10m or 720h")]
pub struct DurationError(String);

impl Duration {
    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(time::Duration::from_secs(seconds))
    }

    /// The length itself.
    pub const fn get(self) -> time::Duration {
        self.0
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let wrong = || DurationError(text.to_owned());
        let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'h' | b'm' | b's'));
        let signed: SignedDuration = text.parse().map_err(|_| wrong())?;
        let length = time::Duration::try_from(signed).map_err(|_| wrong())?;
        if plain { Ok(Self(length)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let parts = [(seconds / 3600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
        if seconds == 0 {
            return f.write_str("0s");
        }
        parts.iter().filter(|(n, _)| *n > 0).try_for_each(|(n, unit)| write!(f, "{n}{unit}"))
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.to_string()
    }
}

impl TryFrom<String> for Duration {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        text.parse()
    }
}

impl schemars::JsonSchema for Duration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$", "minLength": 2})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hours_minutes_and_seconds() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("720h", 2_592_000), ("1h30m", 5400), ("0s", 0)] {
            assert_eq!(text.parse::<Duration>().unwrap().get().as_secs(), seconds, "{text}");
        }
        assert_eq!("90s".parse::<Duration>().unwrap().to_string(), "1m30s");
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "10", "-5m", "1d", "5 minutes", "1.5h", "P1D", "m"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }
}
