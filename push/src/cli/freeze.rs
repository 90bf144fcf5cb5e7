use std::str::FromStr;

use clap::{Args, builder::NonEmptyStringValueParser};
use jiff::{SignedDuration, Timestamp};
use sealift_verify::duration::Duration;

use super::ClusterAccess;

const EXAMPLES: &str = "\
Examples:
  sealift freeze year-end --until 2027-01-04T06:00:00Z --reason 'year-end close'     the whole cluster
  sealift freeze shops --until 72h --reason 'INC-7' --namespace 'shop-*' --namespace till
  sealift freeze                                                                     which there are
  sealift freeze year-end --end                                                      take one back

Under a freeze no Delivery brings anything new: no other digest, statement, values or variant, nothing is pruned, and the
memory of trust stays as it is. What runs is kept in repair. A release that was being applied when the freeze began is
applied to its end. Several freezes count together. What waits says so (Ready=False, reason Frozen), and comes when the
last freeze about it ends. An emergency hold (`sealift rollback --emergency`) is carried out also under a freeze, where
policies allow it; when it ends before the freeze, what it brought stays until then.

A Freeze is an object of the cluster, which the platform team alone may write.";

/// Keep a cluster, or some of its namespaces, from taking anything new until a time
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FreezeArgs {
    /// Its name; one of that name is changed. Without, all freezes are listed
    #[arg(value_name = "NAME", requires = "does")]
    pub(crate) name: Option<String>,
    /// When it ends by itself: a time as in RFC 3339, or how long it lasts, such as 72h
    #[arg(long, value_name = "TIME|DURATION", group = "does", requires = "reason", requires = "name")]
    pub(crate) until: Option<Until>,
    /// Why, for those whose releases wait
    #[arg(long, value_name = "TEXT", requires = "until", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) reason: Option<String>,
    /// Freeze only this namespace; `*` stands for any characters, and it may be repeated [default: all]
    #[arg(long, short = 'n', value_name = "NAMESPACE", requires = "until")]
    pub(crate) namespace: Vec<String>,
    /// End it now: the object is deleted
    #[arg(long, group = "does", requires = "name")]
    pub(crate) end: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterAccess,
}

/// An end, or a length from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    At(Timestamp),
    After(Duration),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let length = text.parse::<Duration>().map(Self::After);
        length.or_else(|_| text.parse::<Timestamp>().map(Self::At)).map_err(|_| {
            "neither a time such as 2027-01-04T06:00:00Z nor a length in hours, minutes and seconds such as 72h"
                .to_owned()
        })
    }
}

impl Until {
    /// The end in whole seconds; `None` if it is over already or beyond all times.
    pub(crate) fn end(self, now: Timestamp) -> Option<Timestamp> {
        let end = match self {
            Self::At(end) => end,
            Self::After(length) => {
                let length = SignedDuration::try_from(length.get()).ok()?;
                Timestamp::from_second(now.as_second()).ok()?.checked_add(length).ok()?
            }
        };
        (end > now).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_to_come_or_a_length() {
        let now: Timestamp = "2026-12-24T18:00:00.5Z".parse().unwrap();
        for (text, end) in [
            ("2027-01-04T06:00:00Z", Some("2027-01-04T06:00:00Z")),
            ("2027-01-04T07:00:00+01:00", Some("2027-01-04T06:00:00Z")),
            ("72h", Some("2026-12-27T18:00:00Z")),
            ("1h30m", Some("2026-12-24T19:30:00Z")),
            ("2026-12-24T18:00:00Z", None),
            ("0s", None),
        ] {
            let until: Until = text.parse().unwrap();
            assert_eq!(until.end(now), end.map(|end| end.parse().unwrap()), "{text}");
        }
        for text in ["", "tomorrow", "2027-01-04", "3d", "-1h", "2027-01-04T06:00:00"] {
            assert!(text.parse::<Until>().is_err(), "{text}");
        }
    }
}
