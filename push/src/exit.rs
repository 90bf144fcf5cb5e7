//! Exit codes: a contract with scripts, so that CI can tell "no" from "could not ask".

use std::process::ExitCode;

macro_rules! exits {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal),+ $(,)?) => {
        /// What a run came to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Exit { $($(#[doc = $doc])+ $name = $code),+ }

        /// The table for `sealift --help`: code and meaning.
        pub(crate) const TABLE: &[(u8, &str)] = &[$(($code, concat!($($doc),+))),+];
    };
}

exits! {
    /// done
    Done = 0,
    /// failed for a reason of its own; see the message
    Failed = 1,
    /// the command line cannot be understood
    Usage = 2,
    /// refused: by a policy, or because something does not verify
    Refused = 3,
    /// could not check: registry or cluster unreachable, timed out or rate limited; trying again may help
    CouldNotCheck = 4,
    /// invalid input: manifests, policy, key or another file
    InvalidInput = 5,
    /// not found: tag, digest, object or file
    NotFound = 6,
    /// credentials refused
    Credentials = 7,
    /// superseded: the channel already names a newer release, and was left there
    Superseded = 8,
    /// incomplete: --require-complete was given and a check was not made
    Incomplete = 9,
    /// changes: `plan --exit-code`, `diff --exit-code` or `pin --check` found something that differs
    Changes = 10,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The table as text, for the end of the long help.
pub(crate) fn help() -> String {
    let rows = TABLE.iter().map(|(code, meaning)| format!("  {code:>2}  {}", meaning.trim()));
    rows.fold("Exit codes:".to_owned(), |text, row| format!("{text}\n{row}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts depend on these numbers; changing one is a breaking change.
    #[test]
    fn codes_never_change() {
        let codes = [
            (Exit::Done, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::Refused, 3),
            (Exit::CouldNotCheck, 4),
            (Exit::InvalidInput, 5),
            (Exit::NotFound, 6),
            (Exit::Credentials, 7),
            (Exit::Superseded, 8),
            (Exit::Incomplete, 9),
            (Exit::Changes, 10),
        ];
        for (exit, code) in codes {
            assert_eq!(exit as u8, code, "{exit:?}");
        }
        assert_eq!(TABLE.len(), codes.len());
    }

    #[test]
    fn the_help_lists_every_code() {
        for (code, meaning) in TABLE {
            assert!(help().contains(&format!("{code:>2}  {}", meaning.trim())));
        }
    }
}
