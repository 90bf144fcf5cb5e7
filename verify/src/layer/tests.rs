use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::*;

const FORMATS: [Format; 3] = [Format::Sealift, Format::Flux, Format::Oci];

fn limits() -> Limits {
    Limits::default()
}

fn read(texts: &[(&str, &str)]) -> Objects {
    let sources: Vec<_> =
        texts.iter().map(|(name, text)| Source { name: (*name).into(), bytes: text.as_bytes().to_vec() }).collect();
    yaml::read(&sources, &limits()).unwrap()
}

const CONFIG: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: x}\ndata: {b: \"yes\", a: |\n  two\n  lines\n}\n";
const ROLE: &str =
    "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: 'system:Reader'}\nrules: []\n";

fn sample() -> Objects {
    read(&[("a.yaml", &CONFIG.replace("a: |\n  two\n  lines\n", "a: \"two\\nlines\\n\"")), ("b.yaml", ROLE)])
}

fn round_trip(objects: &Objects, format: Format) -> Objects {
    let layer = pack(objects, format).unwrap();
    let unpacked = unpack(&layer.bytes, format, &limits()).unwrap();
    assert_eq!(unpacked.uncompressed, layer.uncompressed);
    assert_eq!(unpacked.files.len(), layer.files);
    super::objects(&unpacked, format, &limits()).unwrap()
}

fn contents(objects: &Objects) -> Vec<(crate::objects::ObjectId, Value)> {
    objects.iter().map(|object| (object.id.clone(), object.value.clone())).collect()
}

fn compressed(tar: &[u8], format: Format) -> Vec<u8> {
    compression::compress(tar, format).unwrap()
}

/// A tar made entry by entry, with nothing checked.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn entry(mut self, kind: u8, path: &[u8], content: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.as_ustar_mut().unwrap().name[..path.len()].copy_from_slice(path);
        header.set_entry_type(EntryType::new(kind));
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str) -> Self {
        self.entry(b'0', path.as_bytes(), b"x")
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn unpack_tar(tar: &[u8], limits: &Limits) -> Result<Unpacked, LayerError> {
    unpack(&compressed(tar, Format::Sealift), Format::Sealift, limits)
}

#[test]
fn the_same_objects_from_other_files_give_the_same_bytes() {
    let one = sample();
    let other = read(&[(
        "all.yaml",
        &format!(
            "{ROLE}---\n{{\"kind\":\"ConfigMap\",\"data\":{{\"a\":\"two\\nlines\\n\",\"b\":\"yes\"}},\"metadata\":{{\"namespace\":\"x\",\"name\":\"c\"}},\"apiVersion\":\"v1\"}}"
        ),
    )]);
    for format in FORMATS {
        let (one, other) = (pack(&one, format).unwrap(), pack(&other, format).unwrap());
        assert_eq!(one.bytes, other.bytes, "{format:?}");
        assert_eq!(one.descriptor, other.descriptor);
        assert_eq!(one.descriptor.media_type, format.layer_media_type());
        assert_eq!(one.descriptor.digest, Digest::of(&one.bytes));
        assert_eq!(one.files, 2);
    }
    assert_eq!(inventory(&one), inventory(&other));
}

#[test]
fn the_tar_of_known_objects_never_changes() {
    let digest = |format| pack(&sample(), format).unwrap().uncompressed.to_string();
    assert_eq!(digest(Format::Sealift), "sha256:e24b95acaeb0e88d11f0494716961c0dbf73550c75916da909a7b3adc3a7acbb");
    assert_eq!(digest(Format::Flux), digest(Format::Oci));
    assert_eq!(digest(Format::Oci), "sha256:21cbfffd29b6ba0bcc249416367f8ac9a13b2b36fbb1f8f80fd499a0a322d8a3");
    assert_eq!(
        inventory(&sample()).to_string(),
        "sha256:4f44db9abf1951cefea2583017e3f38138d2dccefd0953a7a8c4a8a3d854a644"
    );
}

#[test]
fn objects_lie_where_their_identity_says() {
    let paths = |format| {
        let layer = pack(&sample(), format).unwrap();
        unpack(&layer.bytes, format, &limits()).unwrap().files.into_iter().map(|file| file.path).collect::<Vec<_>>()
    };
    let role = "_/rbac.authorization.k8s.io/ClusterRole/system%3A%52eader";
    assert_eq!(paths(Format::Sealift), [format!("{role}.json"), "x/core/ConfigMap/c.json".into()]);
    assert_eq!(paths(Format::Flux), [format!("{role}.yaml"), "x/core/ConfigMap/c.yaml".into()]);
    assert_eq!(path(&sample().iter().next().unwrap().id), "x/core/ConfigMap/c.json");
}

#[test]
fn every_header_is_ustar_without_owner_and_time_and_long_paths_have_one_pax_record() {
    let long = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {}}}\n", "n".repeat(200));
    let objects = read(&[("a", &long), ("b", CONFIG_SHORT)]);
    let tar = compression::expand(&pack(&objects, Format::Oci).unwrap().bytes, Format::Oci, &limits()).unwrap();
    let mut archive = tar::Archive::new(&tar[..]);
    let mut kinds = Vec::new();
    for entry in archive.entries().unwrap().raw(true) {
        let entry = entry.unwrap();
        let header = entry.header();
        assert!(header.as_ustar().is_some());
        assert_eq!((header.mode().unwrap(), header.mtime().unwrap()), (0o644, 0));
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        kinds.push(header.entry_type());
    }
    assert_eq!(kinds, [EntryType::XHeader, EntryType::Regular, EntryType::Regular]);
    assert_eq!(contents(&round_trip(&objects, Format::Oci)), contents(&objects));
    assert_eq!(contents(&round_trip(&objects, Format::Sealift)), contents(&objects));
}

const CONFIG_SHORT: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: z}\n";

#[test]
fn kinds_that_differ_only_in_case_are_not_packed() {
    let objects = read(&[("a", CONFIG_SHORT), ("b", &CONFIG_SHORT.replace("ConfigMap", "Configmap"))]);
    assert!(matches!(pack(&objects, Format::Sealift), Err(PackError::Case { .. })));
    assert!(matches!(pack(&Objects::default(), Format::Sealift), Err(PackError::Empty)));
}

#[test]
fn unpacks_what_other_tools_write() {
    // GNU headers, directories, `./`, padding to 10 KiB.
    let mut builder = Builder::new(Vec::new());
    let mut directory = Header::new_gnu();
    directory.set_entry_type(EntryType::Directory);
    directory.set_size(0);
    builder.append_data(&mut directory.clone(), "./", &[][..]).unwrap();
    builder.append_data(&mut directory, "./sub/", &[][..]).unwrap();
    let mut header = Header::new_gnu();
    header.set_size(CONFIG_SHORT.len() as u64);
    header.set_mtime(1_700_000_000);
    builder.append_data(&mut header.clone(), "./sub/a.yml", CONFIG_SHORT.as_bytes()).unwrap();
    builder.append_data(&mut header, format!("./{}/README", "d".repeat(120)), CONFIG_SHORT.as_bytes()).unwrap();
    let mut tar = builder.into_inner().unwrap();
    tar.resize(tar.len().next_multiple_of(10_240), 0);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar).unwrap();
    let unpacked = unpack(&gzip.finish().unwrap(), Format::Flux, &limits()).unwrap();
    let paths: Vec<_> = unpacked.files.iter().map(|file| file.path.clone()).collect();
    assert_eq!(paths, ["sub/a.yml".to_owned(), format!("{}/README", "d".repeat(120))]);
    let objects = super::objects(&unpacked, Format::Flux, &limits()).unwrap();
    assert_eq!(objects.len(), 1, "a README is no manifest");
}

#[test]
fn refuses_paths_that_leave_the_layer_or_are_read_differently() {
    for path in [
        &b"/etc/passwd"[..],
        b"../a",
        b"a/../b",
        b"a/..",
        b"a//b",
        b"a/./b",
        b"././a",
        b"a\\b",
        b"a\nb",
        b"a\xff",
        b"a/",
        b"..",
        b".",
        b"./",
    ] {
        let tar = Tar::default().entry(b'0', path, b"x").end();
        let error = unpack_tar(&tar, &limits()).unwrap_err();
        assert!(matches!(error, LayerError::Path { .. }), "{}: {error}", String::from_utf8_lossy(path));
    }
    let tar = Tar::default().entry(b'5', b"../a/", b"").end();
    assert!(matches!(unpack_tar(&tar, &limits()), Err(LayerError::Path { .. })));
}

#[test]
fn refuses_a_path_that_a_pax_record_makes_absolute() {
    let tar = Tar::default().entry(b'x', b"pax", b"15 path=/a/b/c\n").file("fine").end();
    assert!(matches!(unpack_tar(&tar, &limits()), Err(LayerError::Path { reason: "absolute", .. })));
}

#[test]
fn refuses_links_devices_and_other_kinds() {
    for kind in [b'1', b'2', b'3', b'4', b'6', b'7', b'g', b'Z'] {
        let tar = Tar::default().entry(kind, b"a", b"").end();
        let error = unpack_tar(&tar, &limits()).unwrap_err();
        assert!(matches!(error, LayerError::Kind { .. }), "{}: {error}", char::from(kind));
    }
}

#[test]
fn refuses_sparse_files() {
    let mut header = Header::new_gnu();
    header.set_path("a").unwrap();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(0);
    header.as_gnu_mut().unwrap().set_real_size(0);
    header.set_cksum();
    let tar = [&header.as_bytes()[..], &[0; 1024]].concat();
    let error = unpack_tar(&tar, &limits()).unwrap_err();
    assert!(matches!(error, LayerError::Kind { kind: 'S', .. }), "{error:?}");
}

#[test]
fn refuses_names_given_twice() {
    for (first, second) in [("a", "a"), ("a", "./a"), ("a/B", "A/b"), ("STRASSE", "strasse"), ("É", "é")] {
        let error = unpack_tar(&Tar::default().file(first).file(second).end(), &limits()).unwrap_err();
        assert!(matches!(error, LayerError::Duplicate { .. }), "{first} {second}: {error}");
    }
    let tar = Tar::default().file("a/b").file("a").end();
    assert!(matches!(unpack_tar(&tar, &limits()), Err(LayerError::FileAndDirectory(_))));
    let tar = Tar::default().entry(b'5', b"a/", b"").file("a/b").end();
    assert!(unpack_tar(&tar, &limits()).is_ok());
}

#[test]
fn refuses_more_and_larger_files_than_allowed() {
    let tar = Tar::default().file("a").file("b").file("c").end();
    let few = Limits { entries: 2, ..limits() };
    assert!(matches!(unpack_tar(&tar, &few), Err(LayerError::Entries { limit: 2 })));
    let tar = Tar::default().entry(b'0', b"a", &[0; 101]).end();
    let small = Limits { file: 100, ..limits() };
    assert!(matches!(unpack_tar(&tar, &small), Err(LayerError::FileSize { limit: 100, .. })));
}

#[test]
fn refuses_bombs_by_size_and_by_ratio() {
    let bomb = Tar::default().entry(b'0', b"a", &vec![0; 40 << 20]).end();
    for format in FORMATS {
        let bytes = compressed(&bomb, format);
        assert!(matches!(unpack(&bytes, format, &limits()), Err(LayerError::Ratio { limit: 200 })), "{format:?}");
        let roomy = Limits { ratio: u64::MAX, expanded: 8 << 20, ..limits() };
        assert!(matches!(unpack(&bytes, format, &roomy), Err(LayerError::Expanded { .. })), "{format:?}");
        let tiny = Limits { compressed: 10, ..limits() };
        assert!(matches!(unpack(&bytes, format, &tiny), Err(LayerError::Compressed { limit: 10, .. })), "{format:?}");
        let all = Limits { ratio: u64::MAX, file: 64 << 20, ..limits() };
        assert!(unpack(&bytes, format, &all).is_ok(), "{format:?}");
    }
}

#[test]
fn thousands_of_objects_that_differ_in_a_name_alone_are_no_bomb() {
    let text: String =
        (0..3000).map(|n| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: cm-{n}}}\n")).collect();
    let objects = yaml::read(&[Source { name: "many.yaml".into(), bytes: text.into_bytes() }], &limits()).unwrap();
    let layer = pack(&objects, Format::Sealift).unwrap();
    assert!(unpack(&layer.bytes, Format::Sealift, &limits()).is_ok());
}

#[test]
fn refuses_a_window_that_needs_too_much_memory() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(&Tar::default().file("a").end()).unwrap();
    let error = unpack(&encoder.finish().unwrap(), Format::Sealift, &limits()).unwrap_err();
    assert!(matches!(error, LayerError::Expand(_)), "{error}");
}

#[test]
fn refuses_streams_that_are_cut_short_or_go_on() {
    for format in FORMATS {
        let whole = pack(&sample(), format).unwrap().bytes;
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            let error = unpack(&whole[..length], format, &limits()).unwrap_err();
            assert!(matches!(error, LayerError::Expand(_) | LayerError::Truncated), "{format:?} {length}: {error}");
        }
        for more in [&b"x"[..], &whole, &[0; 512]] {
            let error = unpack(&[&whole[..], more].concat(), format, &limits()).unwrap_err();
            assert!(matches!(error, LayerError::AfterStream { .. }), "{format:?}: {error}");
        }
        let error = unpack(b"not compressed at all", format, &limits()).unwrap_err();
        assert!(matches!(error, LayerError::Expand(_)), "{format:?}: {error}");
    }
    // A skippable frame, which zstd would step over.
    let whole = pack(&sample(), Format::Sealift).unwrap().bytes;
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 0][..], &whole].concat();
    assert!(unpack(&skippable, Format::Sealift, &limits()).is_err());
}

#[test]
fn refuses_a_tar_that_is_cut_short_or_goes_on() {
    let whole = Tar::default().file("a").file("b").end();
    for length in [whole.len() - 512, whole.len() - 1024] {
        assert!(matches!(unpack_tar(&whole[..length], &limits()), Err(LayerError::Truncated)), "{length}");
    }
    for length in [100, 700, 1500] {
        assert!(unpack_tar(&whole[..length], &limits()).is_err(), "{length}");
    }
    let more = [whole.clone(), Tar::default().file("c").end()].concat();
    assert!(matches!(unpack_tar(&more, &limits()), Err(LayerError::AfterTar)));
    // One zero block, and then more: some readers stop, others go on.
    let mut hidden = Tar::default().file("a");
    hidden.0.resize(hidden.0.len() + 512, 0);
    let hidden = hidden.file("b").end();
    assert!(unpack_tar(&hidden, &limits()).is_err());
    let orphan = Tar::default().file("a").entry(b'x', b"pax", b"15 path=/a/b/c\n").end();
    assert!(unpack_tar(&orphan, &limits()).is_err());
}

#[test]
fn refuses_what_is_no_tar() {
    assert!(matches!(unpack_tar(&[7; 2048], &limits()), Err(LayerError::Tar(_))));
    let mut broken = Tar::default().file("a").end();
    broken[0] = b'b';
    assert!(matches!(unpack_tar(&broken, &limits()), Err(LayerError::Tar(_))));
    assert!(unpack_tar(&[], &limits()).is_err());
}

fn sealift_files(files: &[(&str, &str)]) -> Result<Objects, ContentError> {
    let file = |(path, text): &(&str, &str)| File { path: (*path).into(), bytes: text.as_bytes().to_vec() };
    let unpacked = Unpacked { files: files.iter().map(file).collect(), uncompressed: Digest::of(b"") };
    super::objects(&unpacked, Format::Sealift, &Limits { depth: 4, ..limits() })
}

#[test]
fn a_sealift_layer_holds_canonical_json_at_exactly_its_path_and_nothing_else() {
    let object = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}"#;
    let place = "_/core/Pod/a.json";
    assert_eq!(sealift_files(&[(place, object)]).unwrap().len(), 1);
    assert!(matches!(sealift_files(&[]), Err(ContentError::Empty)));
    for (path, text, expected) in [
        (place, "apiVersion: v1", "is not JSON"),
        ("README.md", "hello", "is not JSON"),
        (place, r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}} "#, "not canonical"),
        (place, r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}"#, "not canonical"),
        (place, r#"{"apiVersion":"v1","kind":"Job","kind":"Pod","metadata":{"name":"a"}}"#, "not canonical"),
        (place, r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"n":1.0}"#, "not canonical"),
        (
            place,
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"n":18446744073709551616}"#,
            "not canonical",
        ),
        (place, r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"\u0061"}}"#, "not canonical"),
        (place, r#"{"apiVersion":"v1","kind":"Pod","metadata":{}}"#, "is not an object"),
        (place, "[]", "is not an object"),
        (place, r#"{"a":[[[[1]]]],"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}"#, "nested deeper"),
        ("_/core/Pod/b.json", object, "belongs to \"_/core/Pod/a.json\""),
        ("x/core/Pod/a.json", object, "belongs to"),
        ("_/core/Pod/a.yaml", object, "belongs to"),
    ] {
        let error = sealift_files(&[(path, text)]).unwrap_err().to_string();
        assert!(error.contains(expected), "{path} {text}: {error}");
    }
    let newer = object.replace("v1", "v2");
    let twice = [(place, object), ("_/core/Pod/a.json", newer.as_str())];
    assert!(matches!(sealift_files(&twice), Err(ContentError::Manifests(_))), "two versions of one object");
}

#[test]
fn the_inventory_is_one_for_all_formats_and_changes_with_every_part() {
    let base =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "n"}, "x": 1});
    let of = |value: Value| {
        let id = identity::of(&value).unwrap();
        inventory(&Objects::new(vec![Object { id, value, origin: Origin::default() }]).unwrap())
    };
    let mut seen = vec![of(base.clone())];
    for (pointer, other) in [
        ("/apiVersion", json!("apps/v2")),
        ("/apiVersion", json!("v1")),
        ("/kind", json!("Other")),
        ("/metadata/name", json!("b")),
        ("/metadata/namespace", json!("m")),
        ("/metadata/namespace", json!(null)),
        ("/x", json!("1")),
    ] {
        let mut changed = base.clone();
        *changed.pointer_mut(pointer).unwrap() = other;
        seen.push(of(changed));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 8);
    for format in FORMATS {
        assert_eq!(inventory(&round_trip(&sample(), format)), inventory(&sample()));
    }
}

/// Objects as reading YAML gives them: no doubles that are integers.
fn any_objects() -> impl Strategy<Value = Objects> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("a finite fraction", |f| f.is_finite() && f.fract() != 0.0).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[ -~\n\t]{0,10}".prop_map(Value::from),
        prop::sample::select(vec!["yes", "0777", "1e3", "~", "", "a\nb\n", " a\nb"]).prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    });
    let name = prop_oneof!["[a-z][a-z0-9.-]{0,20}", "[a-zA-Z:_-]{1,12}", "[a-z]{90,120}", "[é😀:]{1,20}"];
    let namespace = prop::option::of("[a-z]{1,63}");
    let api = prop::sample::select(vec!["v1", "apps/v1", "example.com/v1beta1"]);
    let object = (api, "[A-Z][a-z]{1,6}", namespace, name, value).prop_map(|(api, kind, namespace, name, value)| {
        let value =
            json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": value});
        let id = identity::of(&value).unwrap();
        (id.key().0.to_owned() + &path(&id), Object { id, value, origin: Origin::default() })
    });
    prop::collection::vec(object, 1..6).prop_map(|objects| {
        let unique: BTreeMap<_, _> = objects.into_iter().collect();
        Objects::new(unique.into_values().collect()).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_packed_comes_out_in_every_format(objects in any_objects()) {
        for format in FORMATS {
            let out = round_trip(&objects, format);
            prop_assert_eq!(contents(&out), contents(&objects));
            prop_assert_eq!(inventory(&out), inventory(&objects));
            prop_assert_eq!(pack(&out, format).unwrap().bytes, pack(&objects, format).unwrap().bytes);
        }
    }

    #[test]
    fn no_bytes_make_unpacking_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        for format in FORMATS {
            let _ = unpack(&bytes, format, &limits());
            let _ = unpack(&compressed(&bytes, format), format, &limits());
        }
    }
}
