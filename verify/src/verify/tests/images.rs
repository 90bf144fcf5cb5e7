//! Images: named, pinned and signed by whom the policies want, and no yes about what nobody looked at.

use super::*;
use crate::third_party::tests::statement;

const PINNED: &str = "registry.example/app@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
const OPERATOR: &str = "docker.io/library/db@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn image(name: &str) -> Pinned {
    crate::objects::images::ImageName::parse(name).unwrap().pinned().unwrap()
}

/// A pod that runs one image, and a custom resource that names another at a place of its own.
fn release(pod: &str, custom: &str) -> World {
    let mut of_pod = object("Pod", "web");
    of_pod.value["spec"] = json!({"containers": [{"name": "web", "image": pod}]});
    let mut of_custom = object("Database", "db");
    of_custom.value["apiVersion"] = "example.com/v1".into();
    of_custom.value["spec"] = json!({"image": custom});
    of_custom.id.group = "example.com".into();
    World::of(vec![of_pod, of_custom])
}

fn released(world: World, key: &KeyPair) -> World {
    let payload = world.statement.to_payload();
    world.with(bundle(&payload, key))
}

fn rules(keys: &[(&str, &KeyPair)], images: Value) -> Policy {
    policy(keys, |v| {
        v["spec"]["require"] = json!({"anyOf": ["release"]});
        v["spec"]["images"] = images;
    })
    .unwrap()
}

/// The signatures that a registry holds of images: each by a key, over what `cosign sign` signs.
fn signatures(of: &[(&str, &[&KeyPair])]) -> BTreeMap<Pinned, ImageSignatures> {
    let candidates = |name: &str, keys: &[&KeyPair]| {
        let payload = statement(image(name).digest).to_string().into_bytes();
        let bundles = keys.iter().map(|key| bundle(&payload, key));
        bundles.map(|bundle| Candidate::bundle(Digest::of(&bundle), bundle)).collect()
    };
    let found =
        |name: &str, keys: &[&KeyPair]| ImageSignatures { candidates: candidates(name, keys), truncated: false };
    of.iter().map(|(name, keys)| (image(name), found(name, keys))).collect()
}

fn judged(
    world: &World,
    policies: &[Policy],
    signatures: &BTreeMap<Pinned, ImageSignatures>,
) -> (BTreeSet<Pinned>, Decision<Verified>) {
    let facts = Facts::at(now());
    let policies: Vec<_> = policies.iter().cloned().map(Arc::new).collect();
    let admitted = admit(&world.unverified(), &policies, &facts).outcome.unwrap();
    let rendering = Rendering { default_namespace: Some("shop".into()), ..Rendering::default() };
    let opened = open(&admitted, &world.layer).unwrap();
    let wanted = images_to_check(&admitted, &opened, &rendering);
    let images = Images { signatures, now: now(), trust: facts.trust };
    (wanted, verify_opened(&admitted, &opened, &rendering, Some(images)))
}

const PLACE: &str = "Database.example.com/spec/image";

#[test]
fn without_rules_no_image_is_looked_at_and_the_row_says_so() {
    let key = key();
    let world = released(release("app:1", "db"), &key);
    let (wanted, decision) = judged(&world, &[rules(&[("release", &key)], json!({}))], &BTreeMap::new());
    assert_eq!((reason(&decision), wanted.len()), (None, 0));
    assert_eq!(decision.evidence.check(CheckId::Images).result, CheckResult::NotPresent);
}

#[test]
fn names_are_judged_wherever_an_object_has_them() {
    let key = key();
    let keys = [("release", &key)];
    let judge = |pod: &str, custom: &str, images: Value| {
        let world = released(release(pod, custom), &key);
        let decision = judged(&world, &[rules(&keys, images)], &BTreeMap::new()).1;
        (reason(&decision), decision.evidence.check(CheckId::Images).detail.clone())
    };
    let not_allowed = Some(Reason::ImageNotAllowed);
    assert_eq!(judge(PINNED, "db:1", json!({"pinned": true})).0, None, "a field of its own is known by its place only");
    assert_eq!(judge("app:1", OPERATOR, json!({"pinned": true})).0, not_allowed);
    let (found, detail) = judge(PINNED, "db:1", json!({"pinned": true, "places": [PLACE]}));
    assert_eq!(found, not_allowed);
    assert!(detail.contains("\"db:1\" of Database.example.com shop/db") && detail.contains("not pinned"), "{detail}");
    let both = json!({"repositories": ["registry.example/**"], "signedBy": {"anyOf": ["release"]}, "places": [PLACE]});
    let world = released(release(PINNED, OPERATOR), &key);
    let (wanted, decision) = judged(&world, &[rules(&keys, both)], &BTreeMap::new());
    assert_eq!((reason(&decision), wanted.len()), (not_allowed, 0), "what is forbidden by name is not asked about");
    let only = json!({"repositories": ["registry.example/**"], "places": [PLACE]});
    assert_eq!(judge(PINNED, OPERATOR, only.clone()).0, not_allowed);
    assert_eq!(judge(PINNED, "registry.example/db:1", only).0, None);
}

#[test]
fn every_image_is_signed_by_those_the_policy_wants() {
    let (key, builder, other) = (key(), key(), key());
    let world = released(release(PINNED, OPERATOR), &key);
    let keys = [("release", &key), ("builder", &builder)];
    let policies = [rules(&keys, json!({"signedBy": {"anyOf": ["builder"]}, "places": [PLACE]}))];
    let judge = |of: &[(&str, &[&KeyPair])]| judged(&world, &policies, &signatures(of));
    let (wanted, decision) = judge(&[(PINNED, &[&other, &builder]), (OPERATOR, &[&builder])]);
    assert_eq!(reason(&decision), None, "{}", decision.evidence);
    assert_eq!(wanted, [PINNED, OPERATOR].map(image).into());
    assert_eq!(decision.evidence.check(CheckId::Images).detail, "2 images allowed by name, 2 signed");
    for (of, wanted) in [
        (&[(PINNED, &[&builder][..]), (OPERATOR, &[])][..], Reason::ImageNotSigned),
        (&[(PINNED, &[&builder]), (OPERATOR, &[&other])], Reason::ImageNotSigned),
        (&[(PINNED, &[&builder]), (OPERATOR, &[&key])], Reason::ImageNotSigned),
        (&[(PINNED, &[&builder])], Reason::ImageUnchecked),
        (&[], Reason::ImageUnchecked),
    ] {
        let decision = judge(of).1;
        assert_eq!(reason(&decision), Some(wanted), "{}", decision.evidence);
        let undecided = wanted == Reason::ImageUnchecked;
        assert_eq!(decision.evidence.outcome == Outcome::CouldNotCheck, undecided);
        assert!(crate::evidence::record::contradiction(&decision.evidence).is_none());
    }
}

#[test]
fn what_says_anything_else_about_an_image_is_no_signature_of_it() {
    let (key, builder) = (key(), key());
    let world = released(release(PINNED, "db"), &key);
    let policies = [rules(&[("release", &key), ("builder", &builder)], json!({"signedBy": {"anyOf": ["builder"]}}))];
    let judge = |payload: Value| {
        let bundle = bundle(payload.to_string().as_bytes(), &builder);
        let candidates = vec![Candidate::bundle(Digest::of(&bundle), bundle)];
        let found = ImageSignatures { candidates, truncated: false };
        reason(&judged(&world, &policies, &BTreeMap::from([(image(PINNED), found)])).1)
    };
    assert_eq!(judge(statement(image(PINNED).digest)), None);
    assert_eq!(judge(statement(image(OPERATOR).digest)), Some(Reason::ImageNotSigned), "copied from another image");
    let mut scan = statement(image(PINNED).digest);
    scan["predicateType"] = "https://example.com/scan/v1".into();
    assert_eq!(judge(scan), Some(Reason::ImageNotSigned), "an attestation, even a bad one");
}

#[test]
fn a_flood_of_candidates_is_no_answer_and_a_denied_key_or_image_is_a_no() {
    let (key, builder) = (key(), key());
    let world = released(release(PINNED, "db"), &key);
    let keys = [("release", &key), ("builder", &builder)];
    let signed_by = json!({"signedBy": {"anyOf": ["builder"]}});
    let mut flooded = signatures(&[(PINNED, &[&key])]);
    flooded.get_mut(&image(PINNED)).unwrap().truncated = true;
    let judge = |policy: Policy, signatures| reason(&judged(&world, &[policy], signatures).1);
    assert_eq!(judge(rules(&keys, signed_by.clone()), &flooded), Some(Reason::ImageUnchecked));
    let good = signatures(&[(PINNED, &[&builder])]);
    let denying = |deny: Value| {
        policy(&keys, |v| {
            v["spec"]["require"] = json!({"anyOf": ["release"]});
            v["spec"]["images"] = signed_by.clone();
            v["spec"]["deny"] = deny;
        })
        .unwrap()
    };
    assert_eq!(judge(denying(json!({})), &good), None);
    assert_eq!(judge(denying(json!({"digests": [image(PINNED).digest]})), &good), Some(Reason::Denied));
    let id = PublicKey::from_pem(&pem_of(&builder)).unwrap().id();
    assert_eq!(judge(denying(json!({"keys": [id]})), &good), Some(Reason::ImageNotSigned));
}

#[test]
fn whoever_leaves_the_images_out_gets_no_yes() {
    let key = key();
    let world = released(release(PINNED, "db"), &key);
    let keys = [("release", &key)];
    let strict = rules(&keys, json!({"signedBy": {"anyOf": ["release"]}}));
    let decision = world.judge(&[strict], &Facts::at(now()));
    assert_eq!(reason(&decision), Some(Reason::ImageUnchecked));
    let mut watching = rules(&keys, json!({"signedBy": {"anyOf": ["release"]}}));
    (watching.mode, watching.digest) = (crate::policy::Mode::Audit, Digest::of(b"watching"));
    let decision = world.judge(&[rules(&keys, json!({})), watching], &Facts::at(now()));
    assert_eq!(reason(&decision), None, "what only watches decides nothing");
    assert!(decision.evidence.policies.iter().any(|record| !record.satisfied), "{}", decision.evidence);
}

/// It was looked for only where a policy wanted images signed.
#[test]
fn a_denied_image_does_not_run_whatever_else_is_asked_of_images() {
    let key = key();
    let world = released(release(PINNED, OPERATOR), &key);
    let denying = |images: Value, digest: Digest| {
        policy(&[("release", &key)], |v| {
            v["spec"]["images"] = images;
            v["spec"]["deny"] = json!({"digests": [digest]});
        })
        .unwrap()
    };
    let judge = |policies: &[Policy]| reason(&judged(&world, policies, &BTreeMap::new()).1);
    let places = json!(["Database.example.com/spec/image"]);
    for images in [json!({}), json!({"pinned": true}), json!({"repositories": ["**"]})] {
        assert_eq!(judge(&[denying(images.clone(), image(PINNED).digest)]), Some(Reason::Denied), "{images}");
        assert_eq!(judge(&[denying(images.clone(), Digest::of(b"another"))]), None, "{images}");
    }
    let elsewhere = |images| judge(&[denying(images, image(OPERATOR).digest)]);
    assert_eq!((elsewhere(json!({"places": places})), elsewhere(json!({}))), (Some(Reason::Denied), None));
}
