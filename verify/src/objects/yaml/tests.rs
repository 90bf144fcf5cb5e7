use serde_json::json;

use super::*;

fn sources(texts: &[&str]) -> Vec<Source> {
    let source = |(i, text): (usize, &&str)| Source { name: format!("{i}.yaml"), bytes: text.as_bytes().to_vec() };
    texts.iter().enumerate().map(source).collect()
}

fn read_all(texts: &[&str]) -> Result<Objects, Vec<ReadError>> {
    read(&sources(texts), &Limits::default())
}

/// The only problem of `text` and its line.
fn problem(text: &str) -> (usize, Problem) {
    let mut errors = read_all(&[text]).unwrap_err();
    match (errors.len(), errors.remove(0)) {
        (1, ReadError::Document { at, problem }) => (at.line, problem),
        (_, first) => panic!("{text:?}: {first} and more"),
    }
}

fn config_map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n")
}

#[test]
fn reads_documents_with_marks_comments_and_carriage_returns() {
    let text = format!(
        "\u{feff}# first\n---\n{}---\n# nothing\n--- # two\r\n{}---\nnull\n---\n",
        config_map("a"),
        config_map("b").replace('\n', "\r\n")
    );
    let objects = read_all(&[&text]).unwrap();
    let found: Vec<_> = objects.iter().map(|o| (o.id.name.as_str(), o.origin.line)).collect();
    assert_eq!(found, [("a", 3), ("b", 10)]);
    assert_eq!(
        objects.iter().next().unwrap().value,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
    );
}

#[test]
fn reads_json_and_several_json_texts_in_a_row() {
    let object = |name: &str| {
        format!(
            "{{\"apiVersion\":\"v1\",\n\"kind\":\"Pod\",\"metadata\":{{\"name\":\"{name}\"}},\"n\":1.0,\"s\":\"\\/\\ud83d\\ude00\u{2028}\"}}"
        )
    };
    let objects = read_all(&[&format!("\n{}\n{}\n---\n{}", object("a"), object("b"), object("c"))]).unwrap();
    let found: Vec<_> = objects.iter().map(|o| (o.id.name.as_str(), o.origin.line)).collect();
    assert_eq!(found, [("a", 2), ("b", 4), ("c", 7)]);
}

#[test]
fn reads_yaml_in_flow_style_that_starts_like_json() {
    let objects = read_all(&["{apiVersion: v1, kind: Pod, metadata: {name: a}, 'on': yes} # x"]).unwrap();
    assert_eq!(objects.iter().next().unwrap().value["on"], json!(true));
}

#[test]
fn takes_lists_apart_as_kubectl_does() {
    let item = |name: &str| format!("- {{apiVersion: v1, kind: Secret, metadata: {{name: {name}}}}}\n");
    let typed = "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: p}\n";
    let nested = format!(
        "apiVersion: v1\nkind: List\nitems:\n{}- {{apiVersion: v1, kind: List, items: [{}]}}\n",
        item("a"),
        item("b")[2..].trim()
    );
    let objects = read_all(&[&nested, typed, "apiVersion: v1\nkind: List\nitems: []\n"]).unwrap();
    let found: Vec<_> = objects.iter().map(|o| o.id.to_string()).collect();
    assert_eq!(found, ["Pod p", "Secret a", "Secret b"]);
}

#[test]
fn keeps_group_version_namespace_and_name() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: b}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: 'system:Node', namespace: ''}\n";
    let ids: Vec<_> = read_all(&[text]).unwrap().iter().map(|o| (o.id.api_version(), o.id.to_string())).collect();
    assert_eq!(
        ids,
        [
            ("apps/v1".to_owned(), "Deployment.apps b/a".to_owned()),
            ("rbac.authorization.k8s.io/v1".to_owned(), "ClusterRole.rbac.authorization.k8s.io system:Node".to_owned()),
        ]
    );
}

#[test]
fn names_every_problem_with_its_line() {
    let head = "apiVersion: v1\nkind: Pod\n";
    let name = "metadata: {name: a}\n";
    for (text, line, expected) in [
        ("a: [".to_owned(), 1, "not YAML"),
        ("- a".to_owned(), 1, "a sequence, not an object"),
        ("\n\nhello".to_owned(), 3, "a string, not an object"),
        (format!("kind: Pod\n{name}"), 1, "apiVersion is missing"),
        (format!("apiVersion: v1\n{name}"), 1, "kind is missing"),
        (format!("apiVersion: 1\nkind: Pod\n{name}"), 1, "apiVersion is not a string"),
        (format!("apiVersion: a/b/c\nkind: Pod\n{name}"), 1, "apiVersion \"a/b/c\" is not valid"),
        (format!("apiVersion: /v1\nkind: Pod\n{name}"), 1, "apiVersion \"/v1\" is not valid"),
        (format!("apiVersion: v1\nkind: ../Pod\n{name}"), 1, "kind \"../Pod\" is not valid"),
        (head.to_owned(), 1, "metadata.name is missing"),
        (format!("{head}metadata: {{name: 1}}"), 1, "metadata.name is not a string"),
        (format!("{head}metadata: {{name: a/b}}"), 1, "metadata.name \"a/b\" is not valid"),
        (format!("{head}metadata: {{name: ..}}"), 1, "metadata.name \"..\" is not valid"),
        (format!("{head}metadata: {{name: a, namespace: A}}"), 1, "metadata.namespace \"A\" is not valid"),
        (format!("{head}metadata: {{generateName: a-}}"), 1, "metadata.generateName is not supported"),
        (format!("{head}{name}kind: Pod\n"), 4, "\"kind\" is given twice"),
        ("{\"apiVersion\": \"v1\",\n \"a\": {\"b\": 1,\n \"b\": 2}}".to_owned(), 3, "\"b\" is given twice"),
        ("{\"apiVersion\": 1e999}".to_owned(), 1, "cannot be represented"),
        ("{\"apiVersion\": \"v1\",\n \"a\" 1}".to_owned(), 2, "not JSON: expected `:`"),
        (format!("{head}{name}v: 1e999\n"), 4, "the number 1e999 cannot be represented"),
        (format!("{head}{name}v: &a [*a]\n"), 4, "within what it stands for"),
        (format!("{head}{name}items: []\n"), 1, "does not end in List"),
        ("apiVersion: v1\nkind: List\nitems: {}\n".to_owned(), 1, "items of a list"),
        ("apiVersion: v1\nkind: List\nitems: [1]\n".to_owned(), 1, "a number, not an object"),
        ("resources: [a.yaml]\n".to_owned(), 1, "a kustomization"),
        ("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n".to_owned(), 1, "a kustomization"),
        (format!("{head}{name}...\n{head}"), 5, "more follows"),
    ] {
        let (found, problem) = problem(&text);
        assert!(problem.to_string().contains(expected), "{text:?}: {problem}");
        assert_eq!(found, line, "{text:?}: {problem}");
    }
}

#[test]
fn a_kustomization_is_known_by_the_name_of_its_file() {
    let source = Source { name: "base/kustomization.yaml".into(), bytes: b"namePrefix: a-\n".to_vec() };
    let errors = read(&[source], &Limits::default()).unwrap_err();
    assert!(matches!(&errors[..], [ReadError::Document { problem: Problem::Kustomization, .. }]), "{errors:?}");
}

#[test]
fn collects_the_problems_of_all_documents_and_both_places_of_a_duplicate() {
    let a = config_map("a");
    let errors = read_all(&[&format!("{a}---\n- x\n---oops\n---\nkind: 1\n"), "a: b: c", &a]).unwrap_err();
    let shown: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "0.yaml:6: a sequence, not an object",
            "0.yaml:7: `---` is followed by \"oops\"; a document starts on the next line",
            "0.yaml:9: apiVersion is missing",
            "1.yaml:1: not YAML: mapping values are not allowed in this context",
            "ConfigMap a is defined twice: 0.yaml:1 and 2.yaml:1",
        ]
    );
}

#[test]
fn nothing_to_read_is_a_problem_of_its_own() {
    for texts in [&[][..], &["", "# only a comment\n---\n"]] {
        let errors = read_all(texts).unwrap_err();
        assert_eq!(errors, [ReadError::Empty { sources: texts.len() }]);
    }
}

#[test]
fn refuses_binary_files_and_other_encodings() {
    for (bytes, line) in [(&b"a: 1\nb: \xff"[..], 2), (b"\xff\xfea\0", 1)] {
        let source = Source { name: "x".into(), bytes: bytes.to_vec() };
        let errors = read(&[source], &Limits::default()).unwrap_err();
        let at = Origin { file: "x".into(), line };
        assert_eq!(errors, [ReadError::Document { at, problem: Problem::NotUtf8 }]);
    }
}

#[test]
fn refuses_what_goes_beyond_the_limits() {
    let limits = Limits { depth: 5, file: 300, entries: 2, ..Limits::default() };
    let read = |text: &str| read(&sources(&[text]), &limits).unwrap_err();
    let deep = |open: &str, close: &str| format!("{}a: {}1{}\n", config_map("a"), open.repeat(5), close.repeat(5));
    for text in [
        deep("[", "]"),
        deep("{b: ", "}"),
        format!("{}a:\n{}", config_map("a"), "- ".repeat(6)),
        format!("{{\"a\": {}1{}}}", "[".repeat(5), "]".repeat(5)),
    ] {
        let errors = read(&text);
        assert!(
            matches!(&errors[..], [ReadError::Document { problem: Problem::TooDeep { limit: 5 }, .. }]),
            "{text}: {errors:?}"
        );
    }
    assert!(matches!(
        &read(&"#".repeat(301))[..],
        [ReadError::Document { problem: Problem::TooLarge { limit: 300 }, .. }]
    ));
    let three = ["a", "b", "c"].map(config_map).join("---\n");
    assert!(matches!(&read(&three)[..], [ReadError::TooMany { found: 3, limit: 2 }]));
}

#[test]
fn a_hundred_thousand_levels_are_refused_and_do_not_overflow_the_stack() {
    for open in ["[", "{a: ", "- ", "? ", "{\"a\":["] {
        let (_, problem) = problem(&format!("a: 1\nb:\n  {}", open.repeat(100_000)));
        assert!(matches!(problem, Problem::TooDeep { .. } | Problem::KeyNotString), "{open}: {problem}");
        assert!(read_all(&[&open.repeat(100_000)]).is_err());
    }
}

#[test]
fn an_alias_bomb_is_refused_in_no_time() {
    let mut text = config_map("a") + "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
    for i in 1..12 {
        let aliases = format!("*a{}, ", i - 1).repeat(9);
        text += &format!("a{i}: &a{i} [{aliases}]\n");
    }
    assert_eq!(problem(&text).1, Problem::Aliases);
    // One long text many times over.
    let long = format!("{}a: &a {}\nb: [{}]\n", config_map("a"), "x".repeat(1 << 20), "*a, ".repeat(100));
    assert_eq!(problem(&long).1, Problem::Aliases);
    // Anchors within anchors cost a copy each.
    let nested = format!(
        "{}a: {}{}\n",
        config_map("a"),
        (0..90).map(|i| format!("&a{i} [")).collect::<String>(),
        "x".repeat(1 << 20) + &"]".repeat(90)
    );
    assert_eq!(problem(&nested).1, Problem::Aliases);
}

#[test]
fn a_namespace_may_hold_parameters_but_nothing_else_that_is_no_label() {
    let with =
        |namespace: &str| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": namespace}});
    for namespace in ["a", "${NS}", "team-${TEAM}-${STAGE}"] {
        assert_eq!(identity::of(&with(namespace)).unwrap().namespace.as_deref(), Some(namespace));
    }
    for namespace in ["../a", "A", "-${NS}", "${NS", "$NS", "a/b", "a b"] {
        assert!(matches!(identity::of(&with(namespace)), Err(Problem::Invalid { .. })), "{namespace}");
    }
}

/// `?` and `#` end the path of a URL, and no cluster has a group called `core`, which is how layers write none.
#[test]
fn refuses_names_that_would_name_something_else_in_a_path() {
    for name in ["admin?x", "admin#x"] {
        let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: '{name}'}}\n");
        assert!(matches!(problem(&text).1, Problem::Invalid { field: "metadata.name", .. }), "{name}");
    }
    assert!(matches!(problem("apiVersion: core/v1\nkind: Pod\nmetadata: {name: a}\n").1, Problem::Invalid { .. }));
}

#[test]
fn stops_at_more_documents_and_problems_than_a_release_may_have_objects() {
    let limits = Limits { entries: 100, ..Limits::default() };
    for text in ["{}".repeat(10_000), "---\na\n".repeat(10_000)] {
        let errors = read(&sources(&[&text]), &limits).unwrap_err();
        assert!(errors.len() <= 102, "{}", errors.len());
    }
}
