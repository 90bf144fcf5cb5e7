//! The whole verdict, with the registry in an attacker's hands: he changes, mixes and makes anything but signatures of
//! keys that are not his. Whatever is accepted has to be, byte for byte, a release that was signed.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealift_verify::{
    artifact::{Descriptor, FLUX_LAYER, Format, LAYER_GZIP, LAYER_ZSTD, Manifest},
    digest::Digest,
    evidence::record,
    memory::Memory,
    policy::Policy,
    reference::Repository,
    render::Rendering,
    signature::Candidate,
    statement::{PAYLOAD_TYPE, Statement},
    verify::{Decision, Facts, Unverified, Verified, admit, verify},
};
use serde_json::{Value, json};
use sigstore_crypto::KeyPair;

use crate::{
    campaign::{Came, run},
    layer, mutate,
    random::Random,
    world::{MANIFESTS, REPOSITORY, World, bundle, key, policy, public},
};

const FORMATS: [Format; 3] = [Format::Sealift, Format::Flux, Format::Oci];

const ENVELOPE: &str = "dsseEnvelope";
const PAYLOAD: &str = "/dsseEnvelope/payload";

/// What the attacker serves.
#[derive(Clone, Debug)]
struct Served {
    manifest: Vec<u8>,
    layer: Vec<u8>,
    bundles: Vec<Vec<u8>>,
    /// The digest somebody asks for: the one he knows, or the one a moved tag names.
    asked_for: Digest,
    truncated: bool,
}

impl Served {
    fn of(world: &World) -> Self {
        let World { manifest, layer, bundles, .. } = world.clone();
        Self { asked_for: Digest::of(&manifest), manifest, layer, bundles, truncated: false }
    }

    fn judge(&self, policy: &Arc<Policy>, facts: &Facts<'_>) -> Decision<Verified> {
        let candidate = |bundle: &Vec<u8>| Candidate::bundle(Digest::of(bundle), bundle.clone());
        let unverified = Unverified {
            reference: REPOSITORY.parse::<Repository>().unwrap().pin(self.asked_for),
            transport: None,
            manifest: self.manifest.clone(),
            candidates: self.bundles.iter().map(candidate).collect(),
            skipped: vec![],
            truncated: self.truncated,
        };
        let Decision { evidence, outcome } = admit(&unverified, std::slice::from_ref(policy), facts);
        let decision = match outcome {
            Ok(admitted) => verify(&admitted, &self.layer, &Rendering::default()),
            Err(refusal) => Decision { evidence, outcome: Err(refusal) },
        };
        // Whatever the verdict, its record carries it.
        let read =
            record::read(&decision.evidence.to_json()).unwrap_or_else(|error| panic!("{error}: {}", decision.evidence));
        assert_eq!(read, decision.evidence);
        decision
    }
}

/// Everything the attacker has at hand.
struct Arsenal {
    /// Releases that were signed.
    signed: Vec<World>,
    /// Releases of his own, signed with his own key.
    own: Vec<World>,
    his: KeyPair,
    /// The hint of the key that is trusted.
    hint: String,
}

impl Arsenal {
    fn worlds(&self) -> impl Iterator<Item = &World> {
        self.signed.iter().chain(&self.own)
    }

    fn any(&self, random: &mut Random) -> &World {
        let all: Vec<_> = self.worlds().collect();
        all[random.below(all.len())]
    }

    fn any_bundle(&self, random: &mut Random) -> Vec<u8> {
        let all: Vec<_> = self.worlds().flat_map(|world| &world.bundles).collect();
        all[random.below(all.len())].clone()
    }

    /// One step of an attack.
    fn step(&self, served: &mut Served, random: &mut Random) {
        let other = self.any(random);
        match random.below(12) {
            0 => mutate::bytes(&mut served.manifest, &["[]", "{}", LAYER_ZSTD, LAYER_GZIP], &other.manifest, random),
            1 => self.change_manifest(served, random),
            2 => served.manifest.clone_from(&other.manifest),
            3 => served.layer.clone_from(&other.layer),
            4 => mutate::bytes(&mut served.layer, &[], &other.layer, random),
            5 => {
                let format = Self::format_of(&served.manifest).unwrap_or_default();
                if let Some(layer) = self.any_layer(format, random) {
                    served.layer = layer::changed(layer, format, random);
                }
            }
            6 => served.bundles.push(self.any_bundle(random)),
            7 => {
                let junk = vec![b"{}".to_vec(), b"junk".to_vec(), vec![0; 9]];
                served.bundles.extend(junk);
            }
            8 => served.truncated = random.once_in(2),
            9 => {
                // A payload of his, signed by him, that claims the trusted key.
                let mut statement: Statement = other.statement.clone();
                statement.artifact = Digest::of(&served.manifest);
                statement.release.content.layer = Digest::of(&served.layer);
                statement.release.sequence += random.next() % 3;
                let payload_type = if random.once_in(4) { "text/plain" } else { PAYLOAD_TYPE };
                served.bundles.push(bundle(&statement.to_payload(), payload_type, &self.his, &self.hint));
            }
            _ => self.change_bundle(served, random),
        }
    }

    fn format_of(bytes: &[u8]) -> Option<Format> {
        let manifest: Manifest = serde_json::from_slice(bytes).ok()?;
        manifest.content().ok().map(|(_, format)| format)
    }

    fn any_layer(&self, format: Format, random: &mut Random) -> Option<&[u8]> {
        let has_format = |world: &&World| Self::format_of(&world.manifest) == Some(format);
        let layers: Vec<_> = self.worlds().filter(has_format).map(|world| &world.layer).collect();
        layers.get(random.below(layers.len().max(1))).map(|layer| layer.as_slice())
    }

    /// Descriptors that point elsewhere, lie about sizes or types, or come twice.
    fn change_manifest(&self, served: &mut Served, random: &mut Random) {
        let Ok(mut manifest) = serde_json::from_slice::<Value>(&served.manifest) else { return };
        let other = self.any(random);
        let layer = json!(Descriptor::of(random.pick::<&str>(&[LAYER_ZSTD, LAYER_GZIP, FLUX_LAYER]), &served.layer));
        match random.below(6) {
            0 => put(&mut manifest, "/layers/0", layer),
            1 => put(&mut manifest, "/layers/0/size", json!(*random.pick(&[0, 1, 2, u64::MAX, 1 << 40]))),
            2 => put(&mut manifest, "/layers/0/digest", json!(Digest::of(&other.layer))),
            3 => {
                let media_type = random.pick(&[LAYER_ZSTD, LAYER_GZIP, FLUX_LAYER, "text/plain"]);
                put(&mut manifest, "/layers/0/mediaType", json!(media_type));
            }
            4 => {
                if let Some(layers) = manifest.pointer_mut("/layers").and_then(Value::as_array_mut) {
                    layers.push(layer);
                }
            }
            _ => mutate::json(&mut manifest, &serde_json::from_slice(&other.manifest).unwrap(), random),
        }
        served.manifest = serde_json::to_vec(&manifest).unwrap();
    }

    /// A bundle in which payload, signature, type or material are somebody else's or changed.
    fn change_bundle(&self, served: &mut Served, random: &mut Random) {
        if served.bundles.is_empty() {
            return;
        }
        let at = random.below(served.bundles.len());
        let donor: Value = serde_json::from_slice(&self.any_bundle(random)).unwrap();
        let Ok(mut bundle) = serde_json::from_slice::<Value>(&served.bundles[at]) else { return };
        match random.below(7) {
            0 => {
                let mut bytes = served.bundles[at].clone();
                mutate::bytes(&mut bytes, &["==", "\\u0000", "\"dsseEnvelope\":"], &self.any_bundle(random), random);
                served.bundles[at] = bytes;
                return;
            }
            1 => put(&mut bundle, PAYLOAD, donor[ENVELOPE]["payload"].clone()),
            2 => put(&mut bundle, "/dsseEnvelope/signatures", donor[ENVELOPE]["signatures"].clone()),
            3 => put(&mut bundle, "/mediaType", json!("application/vnd.dev.sigstore.bundle+json;version=0.1")),
            4 | 5 => {
                let payload =
                    bundle.pointer(PAYLOAD).and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
                if let Some(changed) = payload.map(|payload| self.change_payload(payload, served, random)) {
                    put(&mut bundle, PAYLOAD, STANDARD.encode(changed).into());
                }
            }
            _ => mutate::json(&mut bundle, &donor, random),
        }
        let changed = serde_json::to_vec(&bundle).unwrap();
        if random.once_in(2) {
            served.bundles[at] = changed;
        } else {
            served.bundles.push(changed);
        }
    }

    /// A statement that says what the attacker would like to be signed.
    fn change_payload(&self, payload: Vec<u8>, served: &Served, random: &mut Random) -> Vec<u8> {
        let other = self.any(random).statement.to_payload();
        let Ok(mut statement) = serde_json::from_slice::<Value>(&payload) else { return payload };
        match random.below(4) {
            0 => {
                let mut payload = payload;
                mutate::bytes(&mut payload, &[" ", "\"critical\":[]"], &other, random);
                return payload;
            }
            1 => {
                put(&mut statement, "/subject/0/digest/sha256", json!(Digest::of(&served.manifest).hex()));
                put(&mut statement, "/predicate/content/layer", json!(Digest::of(&served.layer)));
            }
            2 => {
                let content = serde_json::from_slice::<Value>(&other).unwrap()["predicate"]["content"].clone();
                put(&mut statement, "/predicate/content", content);
            }
            _ => mutate::json(&mut statement, &serde_json::from_slice(&other).unwrap(), random),
        }
        serde_json::to_vec(&statement).unwrap()
    }

    /// A served release after some steps of an attack.
    fn attack(&self, random: &mut Random) -> Served {
        let mut served = Served::of(self.any(random));
        for _ in 0..1 + random.below(4) {
            self.step(&mut served, random);
        }
        if random.once_in(2) {
            served.asked_for = Digest::of(&served.manifest);
        }
        served
    }
}

/// Puts a value where it belongs, unless an earlier step took the place away.
fn put(document: &mut Value, place: &str, value: Value) {
    if let Some(node) = document.pointer_mut(place) {
        *node = value;
    }
}

fn evil() -> String {
    MANIFESTS.replace("registry.example/web:1", "registry.example/evil:1")
}

fn newer() -> String {
    MANIFESTS.replace("replicas: 3", "replicas: 4")
}

/// The release that was accepted, if it is byte for byte one that was signed.
#[track_caller]
fn signed_release<'a>(arsenal: &'a Arsenal, served: &Served, verified: &Verified) -> &'a World {
    let payload = verified.grounds().stated().map(|stated| stated.payload);
    let is_it = |world: &&World| Some(Digest::of(&world.statement.to_payload())) == payload;
    let world = arsenal.signed.iter().find(is_it).unwrap_or_else(|| panic!("nobody signed {:?}", verified.statement()));
    assert_eq!(verified.digest(), world.statement.artifact);
    assert_eq!(served.manifest, world.manifest, "another manifest was accepted");
    assert_eq!(served.layer, world.layer, "another layer was accepted");
    let values = |objects: &sealift_verify::objects::Objects| {
        objects.iter().map(|object| (object.id.clone(), object.value.clone())).collect::<Vec<_>>()
    };
    assert_eq!(values(verified.objects()), values(&world.objects), "other objects were accepted");
    world
}

fn arsenal(trusted: &KeyPair) -> Arsenal {
    let his = key();
    let signed = FORMATS.iter().zip([1, 3, 5]).flat_map(|(format, sequence)| {
        [World::new(MANIFESTS, *format, sequence), World::new(&newer(), *format, sequence + 1)]
    });
    let signed = signed.map(|world| world.signed_by(trusted)).collect();
    let own = FORMATS.iter().map(|format| World::new(&evil(), *format, 9).signed_by(&his)).collect();
    Arsenal { signed, own, his, hint: public(trusted).hint() }
}

fn facts() -> Facts<'static> {
    Facts::at("2026-06-01T00:00:00Z".parse().unwrap())
}

#[test]
fn verdict() {
    let trusted = key();
    let arsenal = arsenal(&trusted);
    let policy = policy(&[("release", &trusted)]);
    for world in &arsenal.signed {
        let served = Served::of(world);
        signed_release(&arsenal, &served, &served.judge(&policy, &facts()).outcome.unwrap());
    }
    run("verdict", "accepted, all byte for byte as signed; accepted otherwise 0", |random| {
        let served = arsenal.attack(random);
        match served.judge(&policy, &facts()).outcome {
            Ok(verified) => {
                signed_release(&arsenal, &served, &verified);
                Came::Taken
            }
            Err(_) => Came::Refused,
        }
    });
}

#[test]
fn verdict_with_a_memory() {
    let trusted = key();
    let arsenal = arsenal(&trusted);
    let policy = policy(&[("release", &trusted)]);
    let last = &arsenal.signed[3].statement;
    let memory = Memory::default().advanced(Digest::of(&last.to_payload()), last, facts().now);
    let facts = Facts { memory: Some(&memory), ..facts() };
    run("verdict with a memory", "accepted, none older than the last; accepted otherwise 0", |random| {
        let served = arsenal.attack(random);
        let Ok(verified) = served.judge(&policy, &facts).outcome else { return Came::Refused };
        let world = signed_release(&arsenal, &served, &verified);
        assert!(world.statement.release.sequence >= last.release.sequence, "an older release was accepted");
        Came::Taken
    });
}

/// Each of two people signed another statement about one artifact: no way to add them up.
#[test]
fn verdict_of_two_halves() {
    let (build, release) = (key(), key());
    let both = World::new(MANIFESTS, Format::Sealift, 1);
    let mut other = both.clone();
    other.statement.release.sequence = 2;
    let mut halves = both.clone().signed_by(&build);
    halves.bundles.extend(other.signed_by(&release).bundles);
    let arsenal = Arsenal { signed: vec![halves], own: vec![], his: key(), hint: public(&build).hint() };
    let policy = policy(&[("build", &build), ("release", &release)]);
    let whole = both.signed_by(&build).signed_by(&release);
    assert!(Served::of(&whole).judge(&policy, &facts()).outcome.is_ok(), "one statement, two signatures");
    run("verdict of two halves", "accepted", |random| {
        let decision = arsenal.attack(random).judge(&policy, &facts());
        assert!(decision.outcome.is_err(), "signatures on different statements were added up");
        Came::Refused
    });
}
