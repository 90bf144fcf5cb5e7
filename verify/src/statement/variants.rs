//! Variants: several sets of objects in one artifact, under one signature, of which whoever applies chooses one.

use serde::{Deserialize, Serialize};

use super::{Release, Scope};
use crate::{
    digest::{Digest, Hasher},
    parameters::Parameter,
    refusal::Refusal,
};

/// The field, for a statement's `critical`: a reader that does not know it must not take all variants for one release.
pub const FIELD: &str = "variants";

/// One set of objects, such as those of a cluster or of a ring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variant {
    /// Its name, a DNS label. Its files lie under `variants/<name>/`.
    pub name: String,
    /// Number of its files.
    pub files: usize,
    /// Number of its objects.
    pub objects: usize,
    /// Digest of the inventory of its objects.
    pub inventory: Digest,
    /// The declared variables and where they stand in it; places are told without `variants/<name>/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// Where its objects live.
    #[serde(default)]
    pub scope: Scope,
    /// Every container image named in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
}

/// What is said of the objects that are applied: those of the whole release, or those of the variant chosen.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// The variant; `None` where the release has none.
    pub variant: Option<&'a str>,
    /// Number of objects.
    pub objects: usize,
    /// Digest of their inventory.
    pub inventory: Digest,
    /// The declared variables.
    pub parameters: &'a [Parameter],
    /// Where they live.
    pub scope: &'a Scope,
}

/// Why a statement's variants contradict each other or the rest of it.
#[derive(Debug, thiserror::Error)]
pub enum VariantsError {
    /// `critical` does not name them.
    #[error("variants are not among its critical fields")]
    NotCritical,
    /// A name that cannot be the name of a folder everywhere.
    #[error("{0:?} is no name of a variant")]
    Name(String),
    /// A name twice, or out of order.
    #[error("variant {0:?} is there twice or out of order")]
    Order(String),
    /// Variables of the whole release beside those of its variants.
    #[error("there are parameters of no variant")]
    Parameters,
    /// What is said of the whole is not what is said of the parts.
    #[error("the {0} of the variants are not those of the content")]
    Sum(&'static str),
}

/// True for a DNS label: what can be the name of a variant.
pub fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    matches!(bytes, [first, .., last] if inner(*first) && inner(*last) && bytes.len() <= 63 && bytes.iter().all(|b| inner(*b) || *b == b'-'))
        || matches!(bytes, [only] if inner(*only))
}

/// The digest over the inventories of all variants: one line each, by name, `<name> <digest>`.
pub fn inventory<'a>(variants: impl IntoIterator<Item = (&'a str, Digest)>) -> Digest {
    let mut hasher = Hasher::new();
    for (name, inventory) in variants {
        hasher.update(format!("{name} {inventory}\n").as_bytes());
    }
    hasher.finish()
}

impl Release {
    /// What is said of the objects that a choice, or none, stands for.
    ///
    /// # Errors
    /// [`Refusal::VariantRequired`] or [`Refusal::UnknownVariant`].
    pub fn chosen(&self, variant: Option<&str>) -> Result<Chosen<'_>, Refusal> {
        let names = || self.variants.iter().map(|variant| variant.name.clone()).collect();
        match (variant, self.variants.is_empty()) {
            (None, true) => Ok(Chosen {
                variant: None,
                objects: self.content.objects,
                inventory: self.content.inventory,
                parameters: &self.parameters,
                scope: &self.scope,
            }),
            (None, false) => Err(Refusal::VariantRequired { names: names() }),
            (Some(wanted), _) => match self.variants.iter().find(|variant| variant.name == wanted) {
                Some(Variant { name, files: _, objects, inventory, parameters, scope, images: _ }) => {
                    Ok(Chosen { variant: Some(name), objects: *objects, inventory: *inventory, parameters, scope })
                }
                None => Err(Refusal::UnknownVariant { wanted: wanted.to_owned(), names: names() }),
            },
        }
    }

    /// True if what is applied may depend on values that the statement has defaults for.
    pub fn declares_parameters(&self) -> bool {
        !self.parameters.is_empty() || self.variants.iter().any(|variant| !variant.parameters.is_empty())
    }

    /// Holds the variants against each other and against the rest.
    pub(super) fn check_variants(&self) -> Result<(), VariantsError> {
        let Self { variants, content, .. } = self;
        if variants.is_empty() {
            return Ok(());
        }
        if !self.critical.iter().any(|field| field == FIELD) {
            return Err(VariantsError::NotCritical);
        }
        if let Some(bad) = variants.iter().find(|variant| !is_name(&variant.name)) {
            return Err(VariantsError::Name(bad.name.clone()));
        }
        if let Some(pair) = variants.windows(2).find(|pair| pair[0].name >= pair[1].name) {
            return Err(VariantsError::Order(pair[1].name.clone()));
        }
        if !self.parameters.is_empty() {
            return Err(VariantsError::Parameters);
        }
        let sum = |of: fn(&Variant) -> usize| variants.iter().map(of).try_fold(0usize, usize::checked_add);
        let all = inventory(variants.iter().map(|variant| (variant.name.as_str(), variant.inventory)));
        for (agrees, what) in [
            (sum(|variant| variant.files) == Some(content.files), "files"),
            (sum(|variant| variant.objects) == Some(content.objects), "objects"),
            (all == content.inventory, "inventories"),
        ] {
            if !agrees {
                return Err(VariantsError::Sum(what));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{Statement, StatementError, tests::statement};

    fn variant(name: &str, objects: usize) -> Variant {
        Variant {
            name: name.to_owned(),
            files: objects,
            objects,
            inventory: Digest::of(name.as_bytes()),
            parameters: vec![],
            scope: Scope::default(),
            images: vec![],
        }
    }

    fn with(variants: Vec<Variant>) -> Statement {
        let mut statement = statement();
        let release = &mut statement.release;
        release.content.files = variants.iter().map(|variant| variant.files).sum();
        release.content.objects = release.content.files;
        release.content.inventory = inventory(variants.iter().map(|v| (v.name.as_str(), v.inventory)));
        release.critical = vec![FIELD.to_owned()];
        release.variants = variants;
        statement
    }

    #[test]
    fn a_release_with_variants_reads_as_it_was_written_and_is_nothing_without_a_choice() {
        let statement = with(vec![variant("eu", 2), variant("us-1", 3)]);
        assert_eq!(Statement::parse(&statement.to_payload()).unwrap(), statement);
        let release = &statement.release;
        let chosen = release.chosen(Some("us-1")).unwrap();
        assert_eq!((chosen.objects, chosen.inventory, chosen.variant), (3, Digest::of(b"us-1"), Some("us-1")));
        let names = vec!["eu".to_owned(), "us-1".to_owned()];
        assert_eq!(release.chosen(None).unwrap_err(), Refusal::VariantRequired { names: names.clone() });
        let unknown = Refusal::UnknownVariant { wanted: "us".into(), names };
        assert_eq!(release.chosen(Some("us")).unwrap_err(), unknown);
        let none = Refusal::UnknownVariant { wanted: "eu".into(), names: vec![] };
        assert_eq!(super::tests::statement().release.chosen(Some("eu")).unwrap_err(), none);
    }

    #[test]
    fn variants_that_contradict_themselves_are_no_statement() {
        type Change = fn(&mut Release);
        let changes: &[(&str, Change)] = &[
            ("not critical", |r| r.critical.clear()),
            ("a name", |r| r.variants[0].name = "../eu".into()),
            ("no order", |r| r.variants.swap(0, 1)),
            ("twice", |r| r.variants[1].name = "eu".into()),
            ("parameters of no variant", |r| r.parameters = vec!["A=1".parse().unwrap()]),
            ("files", |r| r.variants[0].files += 1),
            ("too many to add", |r| r.variants[0].objects = usize::MAX),
            ("an inventory", |r| r.variants[0].inventory = Digest::of(b"other")),
        ];
        for (what, change) in changes {
            let mut statement = with(vec![variant("eu", 2), variant("us", 3)]);
            change(&mut statement.release);
            let read = Statement::parse(&statement.to_payload());
            assert!(matches!(read, Err(StatementError::Variants(_))), "{what}: {read:?}");
        }
    }

    #[test]
    fn a_reader_that_knows_no_variants_is_told_not_to_read_on() {
        let payload = with(vec![variant("eu", 2)]).to_payload();
        let critical = serde_json::from_slice::<serde_json::Value>(&payload).unwrap()["predicate"]["critical"].clone();
        assert_eq!(critical, serde_json::json!(["variants"]));
    }

    #[test]
    fn names_are_dns_labels() {
        for name in ["a", "1", "eu-west-1", &"a".repeat(63)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a.b", "a/b", "..", "_", "é", &"a".repeat(64)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
