//! Layers of all three formats, changed as compressed bytes, as a tar, and file by file.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
};

use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use sealift_verify::{
    artifact::{Format, Limits},
    layer::{self, Unpacked},
};

use crate::{
    campaign::{Came, run},
    mutate,
    random::Random,
    world::{MANIFESTS, objects},
};

const BLOCK: usize = 512;
const LIMITS: Limits = Limits {
    manifest: 1 << 20,
    compressed: 1 << 20,
    expanded: 4 << 20,
    ratio: 200,
    entries: 50,
    file: 1 << 20,
    depth: 100,
    bundle: 1 << 20,
    candidates: 64,
};
const TOKENS: &[&str] =
    &["..", "../", "/", "\u{0}", "ustar", "PAX", "17 path=../../x\n", "\u{e9}", "\\", ".json", "{}", "x"];

pub(crate) fn expand(bytes: &[u8], format: Format) -> Vec<u8> {
    let mut tar = Vec::new();
    match format {
        Format::Sealift => tar = zstd::decode_all(bytes).unwrap(),
        Format::Flux | Format::Oci => drop(GzDecoder::new(bytes).read_to_end(&mut tar).unwrap()),
    }
    tar
}

pub(crate) fn compress(tar: &[u8], format: Format) -> Vec<u8> {
    match format {
        Format::Sealift => zstd::bulk::compress(tar, 1).unwrap(),
        Format::Flux | Format::Oci => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(tar).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// Changes the header of one entry and makes its checksum right again, or nobody would look at it.
fn change_header(tar: &mut [u8], random: &mut Random) {
    let start = random.below(tar.len() / BLOCK) * BLOCK;
    let header = &mut tar[start..start + BLOCK];
    // name, mode, size, mtime, type, link name, magic and version, prefix
    let (at, len) =
        *random.pick(&[(0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155)]);
    let field = &mut header[at..at + len];
    match random.below(4) {
        0 => field[random.below(len)] = *random.pick(b"\0/.0127xgLKS3456A \xff\x80"),
        1 => field.fill(*random.pick(b"\0 07\xff")),
        2 => {
            let text = *random.pick(&[
                "../../etc/passwd",
                "/abs",
                "a/../b",
                "a//b",
                "./a",
                "00000000010",
                "77777777777",
                "x\0y",
                "ustar  \0",
            ]);
            let text = &text.as_bytes()[..text.len().min(len)];
            field[..text.len()].copy_from_slice(text);
        }
        _ => field[random.below(len)] ^= 1 << random.below(8),
    }
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A changed layer.
pub(crate) fn changed(original: &[u8], format: Format, random: &mut Random) -> Vec<u8> {
    if random.once_in(3) {
        let mut bytes = original.to_vec();
        mutate::bytes(&mut bytes, &["\u{1f}\u{8b}", "(\u{b5}/\u{fd}"], original, random);
        return bytes;
    }
    let mut tar = expand(original, format);
    let donor = tar.clone();
    match random.below(5) {
        // The same tar from another compressor: other bytes with the same objects.
        4 => {}
        0 => mutate::bytes(&mut tar, TOKENS, &donor, random),
        1 => {
            // A block twice, moved or gone: entries without content, content without entries.
            let blocks = donor.len() / BLOCK;
            let (from, to) = (random.below(blocks) * BLOCK, random.below(blocks) * BLOCK);
            tar.splice(to..to + random.below(2) * BLOCK, donor[from..from + BLOCK].iter().copied());
        }
        _ => (0..1 + random.below(3)).for_each(|_| change_header(&mut tar, random)),
    }
    compress(&tar, format)
}

/// What holds for whatever was unpacked.
fn hold(unpacked: &Unpacked) {
    assert!(unpacked.files.len() <= LIMITS.entries);
    assert!(unpacked.files.iter().map(|file| file.bytes.len() as u64).sum::<u64>() <= LIMITS.expanded);
    let mut seen = BTreeSet::new();
    for file in &unpacked.files {
        assert!(
            !file.path.starts_with('/') && !file.path.split('/').any(|part| matches!(part, "" | "." | "..")),
            "{file:?}"
        );
        assert!(!file.path.chars().any(char::is_control), "{:?}", file.path);
        assert!(seen.insert(file.path.to_lowercase()), "{:?} twice", file.path);
    }
}

fn target(name: &str, format: Format) {
    let objects = objects(MANIFESTS);
    let original = layer::pack(&objects, format).unwrap().bytes;
    let unpacked = layer::unpack(&original, format, &LIMITS).unwrap();
    assert_eq!(layer::inventory(&layer::objects(&unpacked, format, &LIMITS).unwrap()), layer::inventory(&objects));
    run(name, "unpacked and read, and the same once packed again", |random| {
        let bytes = changed(&original, format, random);
        let Ok(unpacked) = layer::unpack(&bytes, format, &LIMITS) else { return Came::Refused };
        hold(&unpacked);
        let Ok(objects) = layer::objects(&unpacked, format, &LIMITS) else { return Came::Refused };
        assert!(!objects.is_empty() && objects.len() <= LIMITS.entries);
        // Kinds that differ in case alone can be read from one file and not lie beside each other.
        let Ok(packed) = layer::pack(&objects, format) else { return Came::Taken };
        let again = layer::unpack(&packed.bytes, format, &LIMITS).unwrap();
        if format == Format::Sealift {
            let by_path = |unpacked: &Unpacked| {
                unpacked.files.iter().map(|file| (file.path.clone(), file.bytes.clone())).collect::<BTreeSet<_>>()
            };
            assert_eq!(by_path(&again), by_path(&unpacked), "two ways to write the same objects");
        }
        let read = layer::objects(&again, format, &LIMITS).unwrap();
        assert_eq!(layer::inventory(&read), layer::inventory(&objects));
        Came::Taken
    });
}

#[test]
fn layer_sealift() {
    target("layer (sealift)", Format::Sealift);
}

#[test]
fn layer_flux() {
    target("layer (flux)", Format::Flux);
}

#[test]
fn layer_oci() {
    target("layer (oci)", Format::Oci);
}
