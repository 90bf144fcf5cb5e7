//! What is looked for, by a stable name each.

use clap::ValueEnum;

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $name:ident = $id:literal, $level:ident;)+) => {
        /// A rule; its name never changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Rule { $($(#[doc = $doc])+ $name),+ }

        impl Rule {
            pub(crate) const ALL: &[Self] = &[$(Self::$name),+];

            /// The name.
            pub(crate) fn id(self) -> &'static str {
                match self { $(Self::$name => $id),+ }
            }

            /// How bad it is where it is broken.
            pub(crate) fn level(self) -> Level {
                match self { $(Self::$name => Level::$level),+ }
            }

            /// What it is about and what to do.
            pub(crate) fn help(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Refuses a push.
    Error,
    /// Is said.
    Warning,
    /// Is counted.
    Note,
}

rules! {
    /// A document that is not what kubectl reads, or no object.
    UnreadableDocument = "unreadable-document", Error;
    /// An object that is defined twice; which one counts would depend on the order of files.
    DuplicateObject = "duplicate-object", Error;
    /// A field that the schema does not know: a typing error, a wrong place, or another version's.
    UnknownField = "unknown-field", Error;
    /// A value of another type than the schema's.
    WrongType = "wrong-type", Error;
    /// A field that the schema requires is missing.
    MissingField = "missing-field", Error;
    /// A value that the schema does not allow: by its list of values, pattern, format or bounds.
    InvalidValue = "invalid-value", Error;
    /// Two items of a list with the same key; server-side apply refuses them.
    DuplicateItem = "duplicate-item", Error;
    /// A kind or version that this version of Kubernetes, or the definition in the release, does not serve.
    UnknownKind = "unknown-kind", Error;
    /// An API that is gone in this version of Kubernetes.
    RemovedApi = "removed-api", Error;
    /// An API that will be gone.
    DeprecatedApi = "deprecated-api", Warning;
    /// An alpha or beta API, which clusters serve only where somebody turned it on.
    ApiOffByDefault = "api-off-by-default", Warning;
    /// A kind that nothing here describes: give its definition with --schemas.
    NoSchema = "no-schema", Note;
    /// A definition whose schema cannot be used, so that its objects are not checked.
    UnusableSchema = "unusable-schema", Warning;
    /// An object in a namespace that neither the release nor every cluster has; say --namespace-exists where it is there.
    MissingNamespace = "missing-namespace", Warning;
    /// A Secret with values that whoever can pull the release can read: deliver it sealed, by reference or as a parameter, or say --allow-secrets.
    PlaintextSecret = "plaintext-secret", Error;
}

impl Level {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Rules that somebody does not want looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skipped {
    /// All of them.
    All,
    /// One.
    One(Rule),
}

impl ValueEnum for Skipped {
    fn value_variants<'a>() -> &'a [Self] {
        use Rule::*;
        // What cannot be read or is there twice cannot be packed either.
        const VARIANTS: &[Skipped] = &[
            Skipped::All,
            Skipped::One(UnknownField),
            Skipped::One(WrongType),
            Skipped::One(MissingField),
            Skipped::One(InvalidValue),
            Skipped::One(DuplicateItem),
            Skipped::One(UnknownKind),
            Skipped::One(RemovedApi),
            Skipped::One(DeprecatedApi),
            Skipped::One(ApiOffByDefault),
            Skipped::One(NoSchema),
            Skipped::One(UnusableSchema),
            Skipped::One(MissingNamespace),
            Skipped::One(PlaintextSecret),
        ];
        VARIANTS
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(match self {
            Self::All => "all",
            Self::One(rule) => rule.id(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own_and_can_be_skipped_if_the_rest_can_be_judged_without() {
        let names: std::collections::BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert_eq!(names.len(), Rule::ALL.len());
        for rule in Rule::ALL {
            let reading = matches!(rule, Rule::UnreadableDocument | Rule::DuplicateObject);
            assert_eq!(Skipped::value_variants().contains(&Skipped::One(*rule)), !reading, "{}", rule.id());
            assert!(rule.help().len() > 20 && !rule.help().contains("  "), "{:?}", rule.help());
        }
    }
}
