//! What Kubernetes itself serves, in each of its last versions. `make kubernetes-schemas` writes the text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::Deserialize;
use serde_json::Value;

use super::schema::{Definitions, Schema};

const TEXT: &str = include_str!("../../schemas/kubernetes.json");

/// A minor version of Kubernetes that schemas are here for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u32);

/// When an API goes, and what comes instead.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Lifecycle {
    pub(super) deprecated: Version,
    pub(super) removed: Option<Version>,
    pub(super) replacement: Option<String>,
}

/// The text, not yet for one version.
#[derive(Deserialize)]
struct Document {
    kinds: BTreeMap<String, String>,
    definitions: BTreeMap<String, BTreeMap<String, Value>>,
    lifecycles: BTreeMap<String, Lifecycle>,
}

/// What one version serves.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) version: Version,
    pub(super) definitions: Definitions,
    kinds: BTreeMap<String, String>,
    lifecycles: BTreeMap<String, Lifecycle>,
    groups: BTreeSet<String>,
}

impl Version {
    /// Every version, the oldest first.
    const ALL: [u32; 5] = [33, 34, 35, 36, 37];

    /// What is assumed where nobody says.
    pub(crate) const NEWEST: Self = Self(Self::ALL[Self::ALL.len() - 1]);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

/// `1.36`, `v1.36.2`: a version that there are schemas for.
pub(crate) fn supported(text: &str) -> Result<Version, String> {
    let version: Version = text.parse()?;
    let (first, last) = (Version(Version::ALL[0]), Version::NEWEST);
    match Version::ALL.contains(&version.0) {
        true => Ok(version),
        false => Err(format!("there are schemas for {first} to {last}; take the nearest")),
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix('v').unwrap_or(text).strip_prefix("1.");
        let minor = rest.and_then(|rest| rest.split('.').next()?.parse().ok());
        minor.map(Self).ok_or_else(|| "expected a version of Kubernetes, such as 1.36".to_owned())
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Catalogue {
    pub(super) fn of(version: Version) -> Self {
        let document: Document = serde_json::from_str(TEXT).expect("the text is generated, and a test reads it");
        let definitions: Definitions = document
            .definitions
            .into_iter()
            .filter_map(|(name, forms)| {
                let form = forms.into_iter().find(|(range, _)| holds(range, version))?.1;
                Some((name, serde_json::from_value(form).expect("as above")))
            })
            .collect();
        let kinds: BTreeMap<_, _> =
            document.kinds.into_iter().filter(|(_, definition)| definitions.contains_key(definition)).collect();
        let named = kinds.keys().chain(document.lifecycles.keys());
        let groups = named.map(|kind| group_of(kind).to_owned()).collect();
        Self { version, definitions, kinds, lifecycles: document.lifecycles, groups }
    }

    /// True of groups that are Kubernetes' own.
    pub(super) fn owns(&self, group: &str) -> bool {
        self.groups.contains(group)
    }

    /// The schema of a kind, if this version has it.
    pub(super) fn schema(&self, api_version: &str, kind: &str) -> Option<&Schema> {
        self.definitions.get(self.kinds.get(&format!("{api_version} {kind}"))?)
    }

    /// Other versions of a kind that are served without anybody's doing.
    pub(super) fn instead(&self, group: &str, kind: &str) -> Option<&str> {
        let same = |name: &&String| {
            let (api_version, other) = name.split_once(' ').unwrap_or_default();
            other == kind && group_of(name) == group && !is_off_by_default(api_version)
        };
        self.kinds.keys().find(same).map(String::as_str)
    }

    pub(super) fn lifecycle(&self, api_version: &str, kind: &str) -> Option<&Lifecycle> {
        self.lifecycles.get(&format!("{api_version} {kind}"))
    }
}

/// Since 1.24, no new beta API is served unless somebody turns it on; alpha never was.
pub(super) fn is_off_by_default(api_version: &str) -> bool {
    let version = api_version.rsplit('/').next().unwrap_or_default();
    version.contains("alpha") || version.contains("beta")
}

fn group_of(kind: &str) -> &str {
    let api_version = kind.split(' ').next().unwrap_or_default();
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// `34-36`.
fn holds(range: &str, version: Version) -> bool {
    let bounds = range.split_once('-').and_then(|(first, last)| Some(first.parse().ok()?..=last.parse().ok()?));
    bounds.is_some_and(|bounds| bounds.contains(&version.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows every reference.
    fn complete(schema: &Schema, definitions: &Definitions, at: &str) {
        if let Some(target) = schema.target() {
            assert!(definitions.contains_key(target), "{at} leads to {target}, which is not there");
        }
        schema.properties.iter().for_each(|(name, schema)| complete(schema, definitions, &format!("{at}/{name}")));
        schema.items.iter().for_each(|schema| complete(schema, definitions, at));
    }

    #[test]
    fn every_version_is_whole_and_listed() {
        let document: Value = serde_json::from_str(TEXT).unwrap();
        let versions: Vec<_> = Version::ALL.iter().map(|minor| format!("1.{minor}")).collect();
        assert_eq!(document["versions"], serde_json::json!(versions));
        for minor in Version::ALL {
            let catalogue = Catalogue::of(Version(minor));
            assert!(catalogue.kinds.len() > 80, "1.{minor}: {} kinds", catalogue.kinds.len());
            for (name, schema) in &catalogue.definitions {
                complete(schema, &catalogue.definitions, name);
            }
            for kind in ["v1 Pod", "apps/v1 Deployment", "batch/v1 CronJob", "networking.k8s.io/v1 Ingress"] {
                let (api_version, kind) = kind.split_once(' ').unwrap();
                assert!(catalogue.schema(api_version, kind).is_some(), "1.{minor} {kind}");
            }
        }
    }

    #[test]
    fn an_api_has_the_life_its_types_tell() {
        let catalogue = Catalogue::of(Version::NEWEST);
        for (api_version, kind, deprecated, removed, replacement) in [
            ("extensions/v1beta1", "Ingress", "1.14", Some("1.22"), Some("networking.k8s.io/v1 Ingress")),
            ("batch/v1beta1", "CronJob", "1.21", Some("1.25"), Some("batch/v1 CronJob")),
            ("policy/v1beta1", "PodSecurityPolicy", "1.21", Some("1.25"), None),
            (
                "autoscaling/v2beta2",
                "HorizontalPodAutoscaler",
                "1.23",
                Some("1.26"),
                Some("autoscaling/v2 HorizontalPodAutoscaler"),
            ),
            ("v1", "Endpoints", "1.33", None, Some("discovery.k8s.io/v1 EndpointSlice")),
        ] {
            let found = catalogue.lifecycle(api_version, kind).unwrap();
            let version = |text: &str| text.parse::<Version>().unwrap();
            let expected = Lifecycle {
                deprecated: version(deprecated),
                removed: removed.map(version),
                replacement: replacement.map(str::to_owned),
            };
            assert_eq!(found, &expected, "{api_version} {kind}");
        }
    }

    #[test]
    fn versions_are_those_that_schemas_are_here_for() {
        assert_eq!(supported("1.36").unwrap(), supported("v1.36.3").unwrap());
        for text in ["1.12", "1.99", "36", "latest", "2.0"] {
            assert!(supported(text).is_err(), "{text}");
        }
    }
}
