//! Which container images a policy lets a release run: where they lie, that each is one image and no other, and whose
//! signature is on it.

use super::{Authority, PolicyError, Requirement, matcher::Globs, spec::ImagesSpec};
use crate::objects::images::{Found, ImageName, Place};

/// Image rules ready to judge with.
#[derive(Clone, Debug)]
pub struct ImageRules {
    pinned: bool,
    repositories: Option<Globs>,
    signed_by: Option<Requirement>,
    /// Where objects name images besides pods.
    pub places: Vec<Place>,
}

impl ImageRules {
    pub(super) fn new(policy: &str, spec: &ImagesSpec, authorities: &[Authority]) -> Result<Self, PolicyError> {
        let ImagesSpec { pinned, repositories, signed_by, places } = spec;
        let globs = repositories.as_deref().map(Globs::new).transpose();
        let repositories = globs.map_err(|source| PolicyError::Matcher {
            policy: policy.to_owned(),
            path: "images.repositories",
            source,
        })?;
        let signed_by = signed_by.as_ref().map(|spec| Requirement::new(spec, authorities)).transpose();
        let signed_by =
            signed_by.map_err(|problem| PolicyError::ImageSigners { policy: policy.to_owned(), problem })?;
        let places = places.iter().map(|place| place.parse()).collect::<Result<_, _>>();
        let places = places.map_err(|source| PolicyError::ImagePlace { policy: policy.to_owned(), source })?;
        // What is signed is a digest, so a name that may mean another image tomorrow cannot be signed.
        Ok(Self { pinned: *pinned || signed_by.is_some(), repositories, signed_by, places })
    }

    /// True if any image could be refused.
    pub fn demand_anything(&self) -> bool {
        self.pinned || self.repositories.is_some()
    }

    /// Whose signatures each image needs.
    pub fn signed_by(&self) -> Option<&Requirement> {
        self.signed_by.as_ref()
    }

    /// The rule that forbids an image by its name alone, if one does.
    pub fn forbids(&self, found: &Found<'_>) -> Option<String> {
        let name = match ImageName::parse(found.image) {
            Ok(name) => name,
            Err(error) => {
                return self.demand_anything().then(|| format!("it cannot be read: {}", crate::chain(&error)));
            }
        };
        if self.repositories.as_ref().is_some_and(|globs| !globs.matches(&name.repository.to_string())) {
            return Some(format!("images.repositories does not list {}", name.repository));
        }
        (self.pinned && name.digest.is_none()).then(|| "it is not pinned to a digest".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use sigstore_crypto::KeyPair;

    use crate::policy::tests::policy;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn rules(images: Value) -> Result<ImageRules, PolicyError> {
        let key = KeyPair::generate_ecdsa_p256().unwrap();
        policy(&[("release", &key)], |policy| policy["spec"]["images"] = images).map(|policy| policy.images)
    }

    fn forbidden(rules: &ImageRules, image: &str) -> Option<String> {
        rules.forbids(&Found { pointer: "/spec/image".to_owned(), image })
    }

    #[test]
    fn without_rules_any_text_will_do() {
        let rules = rules(json!({})).unwrap();
        assert!(!rules.demand_anything());
        for image in ["nginx", "a b", "${IMAGE}"] {
            assert_eq!(forbidden(&rules, image), None);
        }
    }

    #[test]
    fn a_pinned_image_names_its_digest_and_one_that_cannot_be_read_is_none() {
        for images in [json!({"pinned": true}), json!({"signedBy": {"anyOf": ["release"]}})] {
            let rules = rules(images).unwrap();
            assert_eq!(forbidden(&rules, &format!("nginx:1@{DIGEST}")), None);
            assert!(forbidden(&rules, "nginx:1").unwrap().contains("not pinned"));
            assert!(forbidden(&rules, "nginx@sha256:1").unwrap().contains("cannot be read"));
        }
    }

    #[test]
    fn repositories_are_matched_by_their_full_name() {
        let rules = rules(json!({"repositories": ["docker.io/library/*", "ghcr.io/acme/**"]})).unwrap();
        for (image, allowed) in [
            ("nginx:1", true),
            ("ghcr.io/acme/a/b", true),
            ("ghcr.io/other/a", false),
            ("grafana/grafana", false),
            ("docker.io.example/library/nginx", false),
        ] {
            assert_eq!(forbidden(&rules, image).is_none(), allowed, "{image}");
        }
    }

    #[test]
    fn rules_that_nobody_could_meet_or_that_say_nothing_readable_are_errors() {
        for images in [
            json!({"signedBy": {"anyOf": ["nobody"]}}),
            json!({"signedBy": {}}),
            json!({"places": ["/spec/image"]}),
            json!({"repositories": [""]}),
        ] {
            assert!(rules(images.clone()).is_err(), "{images}");
        }
    }
}
