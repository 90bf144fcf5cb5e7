//! Releases with variants: one is chosen, all are signed.

use super::*;
use crate::{
    artifact::Limits,
    layer::{pack_variants, variants},
    statement::{Scope, VARIANTS, Variant, inventory_of_variants},
};

fn eu() -> Vec<Object> {
    vec![object("ConfigMap", "one"), object("ConfigMap", "eu")]
}

fn us() -> Vec<Object> {
    vec![object("ConfigMap", "one"), object("Secret", "us"), object("ConfigMap", "us")]
}

/// A release of these variants, signed after a change to what is said about it.
fn world(sets: &[(&str, Vec<Object>)], key: &KeyPair, change: impl FnOnce(&mut Release)) -> World {
    let sets: BTreeMap<_, _> =
        sets.iter().map(|(name, set)| ((*name).to_owned(), Objects::new(set.clone()).unwrap())).collect();
    let packed = pack_variants(&sets).unwrap();
    let manifest = Manifest::release(Format::Sealift, packed.descriptor.clone(), BTreeMap::new()).to_bytes();
    let of = |(name, objects): (&String, &Objects)| Variant {
        name: name.clone(),
        files: objects.len(),
        objects: objects.len(),
        inventory: layer::inventory(objects),
        parameters: vec![],
        scope: Scope::default(),
        images: vec![],
    };
    let variants: Vec<_> = sets.iter().map(of).collect();
    let release = Release {
        content: Content {
            layer: packed.descriptor.digest,
            uncompressed: packed.uncompressed,
            files: packed.files,
            objects: packed.files,
            inventory: inventory_of_variants(variants.iter().map(|v| (v.name.as_str(), v.inventory))),
        },
        variants,
        critical: vec![VARIANTS.to_owned()],
        issued_at: "2026-05-31T00:00:00Z".parse().unwrap(),
        ..crate::statement::tests::statement().release
    };
    let statement = Statement { name: REPOSITORY.into(), artifact: Digest::of(&manifest), release };
    let world = World { layer: packed.bytes, manifest, statement, bundles: vec![], legacy: vec![], truncated: false };
    world.changed(change, key)
}

fn choosing(variant: Option<&str>) -> Facts<'_> {
    Facts { variant, ..Facts::at(now()) }
}

#[test]
fn only_the_chosen_variants_objects_are_opened_and_judged() {
    let key = key();
    let world = world(&[("eu", eu()), ("us", us())], &key, |_| ());
    // Secrets are forbidden, and one variant has one.
    let strict =
        || policy(&[("release", &key)], |policy| policy["spec"]["objects"] = json!({"kinds": ["ConfigMap"]})).unwrap();
    let decision = world.judge(&[strict()], &choosing(Some("eu")));
    assert_eq!(reason(&decision), None);
    let verified = decision.outcome.unwrap();
    let names: Vec<_> = verified.objects().iter().map(|object| object.id.name.as_str()).collect();
    assert_eq!((names, verified.variant()), (vec!["eu", "one"], Some("eu")));
    assert_eq!(decision.evidence.variant.as_deref(), Some("eu"));
    assert_eq!(decision.evidence.check(CheckId::Variant).detail, "eu, of 2");
    assert_eq!(reason(&world.judge(&[strict()], &choosing(Some("us")))), Some(Reason::ObjectNotAllowed));
}

#[test]
fn a_choice_is_demanded_exactly_where_there_is_one() {
    let key = key();
    let policies = [policy(&[("release", &key)], |_| ()).unwrap()];
    let with = world(&[("eu", eu()), ("us", us())], &key, |_| ());
    let without = World::signed(&key);
    for (world, variant, expected) in [
        (&with, None, Some(Reason::VariantRequired)),
        (&with, Some("ap"), Some(Reason::UnknownVariant)),
        (&with, Some("us"), None),
        (&without, Some("us"), Some(Reason::UnknownVariant)),
        (&without, None, None),
    ] {
        let decision = world.judge(&policies, &choosing(variant));
        assert_eq!(reason(&decision), expected, "{variant:?}");
        if expected.is_some() {
            assert_eq!(decision.evidence.check(CheckId::Variant).result, CheckResult::Fail);
            assert_eq!(decision.evidence.check(CheckId::Layer).result, CheckResult::NotChecked, "nothing was fetched");
        }
    }
    let message = with.judge(&policies, &choosing(None)).evidence.message.unwrap();
    assert_eq!(message, "the release has the variants eu, us, and none of them is chosen");
}

#[test]
fn the_layer_holds_the_variants_that_are_signed_and_no_others() {
    let key = key();
    let policies = [policy(&[("release", &key)], |_| ()).unwrap()];
    let judged = |world: &World, variant| reason(&world.judge(&policies, &choosing(Some(variant))));
    // What is said of the variants is shifted between them, so that each sum is what it was.
    let shifted = world(&[("eu", eu()), ("us", us())], &key, |release| {
        release.variants[0].files += 1;
        release.variants[1].files -= 1;
    });
    assert_eq!(judged(&shifted, "eu"), Some(Reason::InventoryMismatch));
    let renamed = world(&[("eu", eu()), ("us", us())], &key, |release| {
        release.variants[1].name = "ux".into();
        let all = release.variants.iter().map(|variant| (variant.name.as_str(), variant.inventory));
        release.content.inventory = inventory_of_variants(all);
    });
    assert_eq!(judged(&renamed, "eu"), Some(Reason::InventoryMismatch));
    assert_eq!(judged(&renamed, "ux"), Some(Reason::BadLayer), "a variant that is not there");
    let swapped = world(&[("eu", eu()), ("us", us())], &key, |release| {
        let (one, other) = (release.variants[0].inventory, release.variants[1].inventory);
        (release.variants[0].inventory, release.variants[1].inventory) = (other, one);
        let all = release.variants.iter().map(|variant| (variant.name.as_str(), variant.inventory));
        release.content.inventory = inventory_of_variants(all);
    });
    assert_eq!(judged(&swapped, "eu"), Some(Reason::InventoryMismatch));
    // The bytes of a variant nobody chose are signed as well.
    let mut tampered = world(&[("eu", eu()), ("us", us())], &key, |_| ());
    let sets =
        BTreeMap::from([("eu", eu()), ("us", eu())].map(|(name, set)| (name.into(), Objects::new(set).unwrap())));
    tampered.layer = pack_variants(&sets).unwrap().bytes;
    assert_eq!(judged(&tampered, "eu"), Some(Reason::DigestMismatch));
    // Variants of which a statement says nothing are no release, whoever signed it.
    let unsaid = world(&[("eu", eu())], &key, |release| {
        release.content.inventory = release.variants[0].inventory;
        release.variants.clear();
    });
    assert_eq!(reason(&unsaid.judge(&policies, &choosing(None))), Some(Reason::BadLayer));
    assert_eq!(judged(&unsaid, "eu"), Some(Reason::UnknownVariant));
}

#[test]
fn the_limits_hold_over_all_variants() {
    let key = key();
    let policies = [policy(&[("release", &key)], |_| ()).unwrap()];
    let world = world(&[("eu", eu()), ("us", us())], &key, |_| ());
    let facts = Facts { limits: Limits { entries: 4, ..Limits::default() }, ..choosing(Some("eu")) };
    assert_eq!(reason(&world.judge(&policies, &facts)), Some(Reason::BadLayer));
}

#[test]
fn a_layer_opened_for_one_variant_is_not_taken_for_another() {
    let key = key();
    let policies = [Arc::new(policy(&[("release", &key)], |_| ()).unwrap())];
    let world = world(&[("eu", eu()), ("us", us())], &key, |_| ());
    let admitted = |variant| admit(&world.unverified(), &policies, &choosing(Some(variant))).outcome.unwrap();
    let opened = open(&admitted("eu"), &world.layer).unwrap();
    assert!(opened.fits(&admitted("eu")) && !opened.fits(&admitted("us")));
    let decision = verify_opened(&admitted("us"), &opened, &Rendering::default(), None);
    assert_eq!(reason(&decision), Some(Reason::BadLayer));
}

#[test]
fn a_variable_stands_where_its_variant_says() {
    let key = key();
    let policies = [policy(&[("release", &key)], |_| ()).unwrap()];
    let mut set = eu();
    set[0].value["data"]["k"] = json!("${COLOUR}");
    let world = world(&[("eu", set), ("us", us())], &key, |release| {
        for variant in &mut release.variants {
            variant.parameters = vec!["COLOUR=blue".parse().unwrap()];
        }
        release.variants[0].parameters[0].pointers = vec!["shop/core/ConfigMap/one.json#/data/k".into()];
    });
    let rendering = Rendering { values: [("COLOUR".into(), "red".into())].into(), ..Rendering::default() };
    for (variant, value) in [("eu", "red"), ("us", "v")] {
        let decision = world.judge_rendered(&policies, &choosing(Some(variant)), &rendering);
        let verified = decision.outcome.unwrap();
        let one = verified.objects().iter().find(|object| object.id.name == "one").unwrap();
        assert_eq!(one.value["data"]["k"], value, "{variant}");
    }
}

/// Where defaults are a variant's own, an older statement about the same artifact would bring back older ones.
#[test]
fn an_older_statement_with_variables_in_a_variant_is_rolled_back() {
    let key = key();
    let declared = |sequence| {
        world(&[("eu", eu())], &key, move |release| {
            release.sequence = sequence;
            release.variants[0].parameters = vec!["COLOUR=blue".parse().unwrap()];
        })
    };
    let (newer, older) = (declared(8), declared(7));
    let payload = |world: &World| Digest::of(&world.statement.to_payload());
    let memory = Memory::default().advanced(payload(&newer), &newer.statement, now());
    assert!(matches!(memory.judge(&payload(&older), &older.statement), Err(Refusal::RolledBack { .. })));
}

#[test]
fn a_plain_layer_is_never_taken_for_variants_whatever_its_namespaces_are_called() {
    let mut one = object("ConfigMap", "one");
    one.id.namespace = Some("variants".into());
    one.value["metadata"]["namespace"] = json!("variants");
    let packed = layer::pack(&Objects::new(vec![one]).unwrap(), Format::Sealift).unwrap();
    let unpacked = layer::unpack(&packed.bytes, Format::Sealift, &Limits::default()).unwrap();
    assert!(variants(&unpacked, Format::Sealift).unwrap().is_empty());
    assert_eq!(layer::objects(&unpacked, Format::Sealift, &Limits::default()).unwrap().len(), 1);
    let mut mixed = unpacked;
    mixed.files.push(layer::File { path: "variants/eu/_/core/ConfigMap/a.json".into(), bytes: vec![] });
    assert!(matches!(variants(&mixed, Format::Sealift), Err(layer::ContentError::NoVariant(_))));
}
