use serde_json::json;

use super::*;

fn holds(source: &str, value: &Value) -> Result<bool, CelError> {
    Expression::parse(source, &["v"])?.holds(&[("v", value)])
}

#[test]
fn expressions_are_true_or_false_of_json() {
    let value = json!({
        "id": "https://ci.example/release@refs/heads/main", "n": 3, "big": 18_446_744_073_709_551_615_u64, "f": 1.5,
        "none": null, "list": [{"a": 1, "b": ["x"]}, {"a": 2, "b": ["y", "z"]}], "at": "2026-05-01T12:00:00Z",
        "memory": "1Gi",
    });
    for (source, expected) in [
        ("v.id.startsWith('https://ci.example/')", true),
        ("v.id.matches('^https://ci[.]example/.*@refs/heads/(main|release)$')", true),
        ("v.id.matches('^main$')", false),
        ("v.n == 3 && v.n > 2 && v.f > 1.0", true),
        ("v.none == null", true),
        ("has(v.id) && !has(v.other)", true),
        ("v.list.all(x, x.a >= 1)", true),
        ("v.list.exists(x, x.b.exists(y, y == 'z'))", true),
        ("v.list.exists_one(x, x.a == 2)", true),
        ("v.list.map(x, x.a) == [1, 2]", true),
        ("v.list.filter(x, x.a > 1).size() == 1", true),
        ("size(v.list) == 2", true),
        ("'id' in v", true),
        ("v.n in [1, 2, 3]", true),
        ("timestamp(v.at) < timestamp('2026-05-02T00:00:00Z')", true),
        ("timestamp('2026-05-02T00:00:00Z') - timestamp(v.at) <= duration('12h')", true),
        ("quantity(v.memory).isGreaterThan(quantity('500Mi'))", true),
        ("v['id'].split('@')[1] == 'refs/heads/main'", true),
        ("v.n > 5 ? false : v.id.endsWith('main')", true),
        // One side that decides is enough, whatever the other one is.
        ("v.other == 1 || v.n == 3", true),
    ] {
        assert_eq!(holds(source, &value), Ok(expected), "{source}");
    }
}

/// Each of these is a no, and none says anything of the values.
#[test]
fn what_is_neither_true_nor_false_is_an_error_without_the_values() {
    let value = json!({"secret": "hunter2", "list": ["hunter2"], "map": {"hunter2": "hunter2"}, "none": null});
    for source in [
        "v.other",
        "v.secret",
        "v.secret + 1 == 2",
        "v.secret > 1",
        "!v.secret",
        "v.secret && true",
        "v.list[3] == ''",
        "v.secret.startsWith(1)",
        "timestamp(v.secret) > timestamp(v.secret)",
        "duration(v.secret) > duration('1h')",
        "quantity(v.secret).isGreaterThan(quantity('1'))",
        "int(v.secret) > 1",
        "v.map.all(x, x.y)",
        "v.map[v.secret + 'a'] == 1",
        "v.list[v.secret]",
        "-v.secret == 1",
        "v.list.size(1) == 1",
        "1 / 0 == 1",
        "9223372036854775807 + 1 > 0",
        "v.secret in 5",
        "v.list['a'] == 1",
        "'abc'.substring(5, 1) == ''",
    ] {
        let error = holds(source, &value).expect_err(source);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{source}: {error:?}");
    }
}

/// The interpreter answers `false` for a field of what has no fields, so that its negation would be true.
#[test]
fn a_field_of_what_has_none_is_an_error_and_never_false() {
    let value = json!({"text": "a", "none": null, "list": [1], "n": 1});
    for field in ["text", "none", "list", "n"] {
        for source in [
            format!("!v.{field}.x"),
            format!("v.{field}.x == false"),
            format!("!v.{field}.x.y"),
            format!("has(v.{field}.x)"),
            format!("!has(v.{field}.x)"),
            format!("!has(v.{field}.x) || has(v.{field}.x)"),
        ] {
            assert!(holds(&source, &value).is_err(), "{source}");
        }
    }
    let nested = json!({"a": {"b": {"c": 1}, "": 2}});
    for (source, expected) in
        [("has(v.a.b)", true), ("has(v.a.b.c)", true), ("!has(v.a.x)", true), ("!has(v.a.b.x) && has(v.a)", true)]
    {
        assert_eq!(holds(source, &nested), Ok(expected), "{source}");
    }
    assert!(holds("!has(v.x.y)", &nested).is_err());
}

/// The interpreter answers `false` where a text is sought in what is none, or something else in a text.
#[test]
fn only_a_text_contains_a_text() {
    let value = json!({"text": "abc", "none": null, "list": ["a"], "n": 1, "map": {"a": 1}});
    assert_eq!(holds("v.text.contains('b') && !v.text.contains('x')", &value), Ok(true));
    for wrong in ["v.none", "v.list", "v.n", "v.map", "v.other"] {
        for source in [format!("!{wrong}.contains('x')"), format!("{wrong}.contains('a')")] {
            assert!(holds(&source, &value).is_err(), "{source}");
        }
        assert!(holds(&format!("!v.text.contains({wrong})"), &value).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_not_there_or_not_offered_is_refused_when_it_is_read() {
    let parse = |source: &str| Expression::parse(source, &["v"]).map(|_| ()).unwrap_err();
    assert!(matches!(parse("w.a == 1"), CelError::Variable { name, known } if name == "w" && known == "v"));
    assert!(matches!(parse("v.all(x, y == 1)"), CelError::Variable { name, .. } if name == "y"));
    assert!(matches!(parse("v.all(x, x == 1) && x == 1"), CelError::Variable { name, .. } if name == "x"));
    assert!(matches!(parse("v.all(x, @result)"), CelError::Syntax(_)));
    for function in ["v.replace('', v) == v", "lists.range(10) == v", "v.join('') == v", "bytes(v) == v", "nothing(v)"]
    {
        assert!(matches!(parse(function), CelError::Function { .. } | CelError::Variable { .. }), "{function}");
    }
    assert!(matches!(parse("Message{a: 1} == v"), CelError::Unsupported(_)));
    assert!(matches!(parse("b'a' == v"), CelError::Unsupported(_)));
    assert!(matches!(parse("v.matches(v)"), CelError::Pattern(_)));
    assert!(matches!(parse("v.matches('(')"), CelError::Pattern(_)));
    assert!(matches!(parse("v.matches('\\\\pL{1000}')"), CelError::Pattern(_)));
    for syntax in ["", "v.", "v ==", "v.?a", "[?v]", "v[?0]", "a b"] {
        let error = parse(syntax);
        assert!(matches!(error, CelError::Syntax(_) | CelError::Function { .. }), "{syntax}: {error:?}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn what_could_take_long_is_refused_when_it_is_read() {
    let parse = |source: &str| Expression::parse(source, &["v"]).map(|_| ());
    assert_eq!(parse(&format!("v == '{}'", "x".repeat(MAX_LENGTH))), Err(CelError::TooLong(MAX_LENGTH + 7)));
    assert_eq!(parse("v.all(a, v.all(b, a == b))"), Ok(()));
    for source in [
        "v.all(a, v.all(b, v.all(c, a == c)))",
        "v.map(a, a).map(b, b).all(c, c)",
        "v.map(a, a).filter(b, b).map(c, c) == v",
        "[v.map(a, a)].map(b, b.map(c, c)) == v",
    ] {
        assert_eq!(parse(source), Err(CelError::Nested), "{source}");
    }
    let or = vec!["v"; 400].join("||");
    assert_eq!(parse(&or), Err(CelError::TooComplex));
}

/// No depth that fits into the longest expression is a stack that overflows: test threads have as little as any.
#[test]
fn nothing_that_can_be_written_overflows_the_stack() {
    for source in [
        "(".repeat(MAX_LENGTH),
        format!("{}v{}", "(".repeat(1000), ")".repeat(1000)),
        format!("{}v{}", "(".repeat(32), ")".repeat(32)),
        format!("{}v{}", "[".repeat(32), "]".repeat(32)),
        format!("{}1{}", "{1:".repeat(32), "}".repeat(32)),
        format!("{}v{}", "v.a(".repeat(32), ")".repeat(32)),
        format!("{}v", "v?v:".repeat(32)),
        format!("v{}", ".map(a,a)".repeat(100)),
        format!("{}v{}", "[".repeat(1000), "]".repeat(1000)),
        format!("{}v", "!".repeat(2000)),
        format!("{}v", "-".repeat(2000)),
        format!("{}1", "- ".repeat(1000)),
        format!("v{}", ".a".repeat(1000)),
        format!("v{}", "[0]".repeat(600)),
        format!("v{}", ".size()".repeat(290)),
        format!("{}true", "v?v:".repeat(500)),
        format!("v{}", "+v".repeat(1000)),
        format!("v{}", "==v".repeat(600)),
        "{".repeat(MAX_LENGTH),
        format!("{}v{}", "v.all(a,".repeat(200), ")".repeat(200)),
        format!("v{}", ".map(a,a)".repeat(200)),
    ] {
        let short: String = source.chars().take(20).collect();
        match Expression::parse(&source, &["v"]) {
            Err(_) => {}
            Ok(expression) => {
                assert!(
                    expression.holds(&[("v", &json!(1))]).is_err() || short.starts_with('!') || short.starts_with('-'),
                    "{short}"
                )
            }
        }
    }
}

#[test]
fn what_is_handed_in_and_what_it_could_cost_are_bounded() {
    let large = json!("x".repeat(usize::try_from(MAX_INPUT).unwrap()));
    assert_eq!(holds("v == ''", &large), Err(CelError::Input { variable: "v".into() }));
    let list: Vec<u32> = (0..20_000).collect();
    assert!(matches!(holds("v.all(a, v.all(b, a >= 0))", &json!(list)), Err(CelError::Costly { .. })));
    assert!(matches!(holds("v.map(a, a + 1).size() == 20000", &json!(list)), Err(CelError::Costly { .. })));
    assert_eq!(holds("v.all(a, a >= 0)", &json!(list)), Ok(true));
    // Doubling in each step, as much as two steps can hold.
    let text = json!(["x".repeat(100_000)]);
    let sum = vec!["a"; 30].join("+");
    assert!(matches!(holds(&format!("v.map(a, {sum}).map(a, {sum}) == v"), &text), Err(CelError::Costly { .. })));
    let nested = (0..200).fold(json!(1), |inner, _| json!([inner]));
    assert!(matches!(holds("v == 1", &nested), Err(CelError::Input { .. })));
}

/// A document of provenance with a thousand inputs is well within the budget.
#[test]
fn what_policies_ask_is_far_from_the_budget() {
    let inputs: Vec<_> = (0..1000)
        .map(|n| json!({"uri": format!("git+https://git.example/acme/part-{n}"), "digest": {"gitCommit": format!("{n:040x}")}}))
        .collect();
    let value = json!({"buildDefinition": {"resolvedDependencies": inputs}, "runDetails": {"builder": {"id": "x"}}});
    assert_eq!(
        holds(
            "v.buildDefinition.resolvedDependencies.all(d, d.uri.startsWith('git+https://git.example/acme/') && d.digest.gitCommit.size() == 40)",
            &value
        ),
        Ok(true)
    );
}

/// The dearest that the budget allows, of each sort that is dear: the number in DESIGN.md.
#[test]
fn the_dearest_that_is_allowed_ends() {
    let mut slowest = (std::time::Duration::ZERO, "");
    for (source, make) in [
        ("v.all(a, v.all(b, a != b || a == b))", 1),
        ("v.all(a, v.all(b, a >= 0 && b >= 0 && a + b >= 0 && a * b >= 0))", 1),
        ("v.map(a, a).size() > 0", 1),
        ("v.map(a, v.map(b, b)).size() > 0", 1),
        ("v.all(a, v.exists(b, b.matches('^(a|x)*$')))", 2),
        ("v.all(a, timestamp('2026-01-01T00:00:00Z') < timestamp('2026-01-02T00:00:00Z'))", 1),
        ("v.all(a, v.all(b, quantity('1Gi').isGreaterThan(quantity('1Mi'))))", 1),
        ("v.all(a, a.split('').size() > 0)", 2),
        ("v.map(a, a + a + a + a).map(a, a + a + a + a).size() > 0", 2),
        ("v == v && v == v && v == v", 3),
        ("v.all(a, a in v)", 1),
        ("v.all(a, has(a.b) && a.b.c.d.e == 1)", 4),
    ] {
        let value = |n: usize| match make {
            1 => json!((0..n).collect::<Vec<_>>()),
            2 => json!((0..n).map(|_| "x".repeat(n)).collect::<Vec<_>>()),
            3 => json!({"a": (0..n).map(|_| json!({"b": {"c": "d"}})).collect::<Vec<_>>()}),
            _ => json!((0..n).map(|_| json!({"b": {"c": {"d": {"e": 1}}}})).collect::<Vec<_>>()),
        };
        let expression = Expression::parse(source, &["v"]).unwrap();
        let allowed = |n: &usize| cost::within_budget(&expression.parsed, &[("v", &value(*n))]).is_ok();
        let Some(n) = (0..120).map(|step| 1.12_f64.powi(step) as usize + 1).take_while(allowed).last() else {
            panic!("{source}: not even of one element");
        };
        let (value, start) = (value(n), std::time::Instant::now());
        assert_eq!(expression.holds(&[("v", &value)]), Ok(true), "{source}");
        let took = start.elapsed();
        if took > slowest.0 {
            slowest = (took, source);
        }
    }
    // Shown by --nocapture; a limit here would only tell how busy the machine is.
    use std::io::Write;
    writeln!(std::io::stdout(), "slowest: {:?} {}", slowest.0, slowest.1).unwrap();
}
