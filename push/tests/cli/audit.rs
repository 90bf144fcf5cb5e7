//! `sealift audit`, and the renderings of evidence.

use std::{io::Write as _, process::Stdio};

use serde_json::{Value, json};

use crate::support::World;

const RECORD: &str = "https://sealift.dev/evidence/v1";

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_decision_is_shown_again_as_it_was_shown() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    for (more, code) in [(&[][..], 0), (&["--env", "dev"], 3)] {
        // One decision in every format: judged twice, it would have two times.
        let recorded = world.verify(":prod", &[&["-o", "json"], more].concat()).exits(code);
        world.write("evidence.json", &recorded.stdout);
        let audit = |format: &str| world.run(&["audit", "evidence.json", "-o", format]).exits(0);
        assert_eq!(audit("json").stdout, recorded.stdout);
        for format in ["text", "junit", "sarif"] {
            let shown = world.verify(":prod", &[&["-o", format], more].concat()).exits(code);
            assert_eq!(world.scrub(&audit(format).stdout), world.scrub(&shown.stdout), "{format}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn junit_and_sarif_say_what_failed_and_what_was_not_checked() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    let junit = world.verify(":prod", &["-o", "junit", "--env", "dev"]).exits(3).stdout;
    assert!(junit.contains("<failure type=\"WrongEnvironment\" message=\"the statement is for environment &quot;prod&quot;, not &quot;dev&quot;\"/>"), "{junit}");
    assert!(junit.contains("failures=\"1\" errors=\"0\""), "{junit}");
    let sarif = world.verify(":prod", &["-o", "sarif"]).exits(0).json();
    let results = sarif["runs"][0]["results"].as_array().unwrap().clone();
    let open: Vec<_> = results.iter().map(|result| (result["ruleId"].as_str().unwrap(), &result["kind"])).collect();
    assert!(open.contains(&("memory", &json!("open"))) && open.iter().all(|(_, kind)| **kind == "open"), "{open:?}");
    world.run(&["status", "-o", "junit"]).exits(2).silent().says(&["this command writes text and JSON only"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_contradicts_itself_is_refused() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    let refused = world.verify(":prod", &["-o", "json", "--env", "dev"]).exits(3).json();
    let audit = |record: &Value| {
        world.write("evidence.json", &record.to_string());
        world.run(&["audit", "evidence.json"])
    };
    audit(&refused).exits(0);
    let mut forged = refused.clone();
    forged["predicate"]["verificationResult"] = json!("PASSED");
    audit(&forged).exits(3).silent().says(&["record 1 of evidence.json is not evidence", "the summary's result"]);
    forged["predicate"][RECORD]["outcome"] = json!("accepted");
    let run = audit(&forged).exits(3).silent();
    run.says(&["caused by: the record contradicts itself: accepted, with WrongEnvironment", "hint: "]);
    let mut whitewashed = refused;
    for row in whitewashed["predicate"][RECORD]["checks"].as_array_mut().unwrap() {
        row["result"] = json!("pass");
    }
    audit(&whitewashed).exits(3).silent().says(&["not accepted, and no failed row says"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_records_come_as_lines_and_go_as_lines() {
    let world = World::new().await;
    world.push("prod", &[]).exits(0);
    let mut one = world.verify(":prod", &["-o", "json"]).exits(0).json();
    // As a controller's audit log says whose decision it was.
    one["predicate"]["https://sealift.dev/delivery/v1"] =
        json!({"namespace": "shop", "name": "web", "judged": "applied"});
    let two = world.verify(":prod", &["-o", "json", "--env", "dev"]).exits(3).json();
    let lines = format!("{one}\n{two}\n");
    let audit = |format: &str, input: &str| {
        let mut child = world
            .command(&["audit", "-", "-o", format])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let again = audit("json", &lines);
    assert_eq!(String::from_utf8(again.stdout).unwrap(), lines);
    let text = String::from_utf8(audit("text", &lines).stdout).unwrap();
    assert!(text.starts_with("Delivery shop/web (applied)\n127.0.0.1:"), "{text}");
    let junit = String::from_utf8(audit("junit", &lines).stdout).unwrap();
    assert_eq!(junit.matches("<testsuite ").count(), 2, "{junit}");
    let broken = audit("text", &format!("{one}\n{{\"a\": 1}}\n"));
    assert_eq!(broken.status.code(), Some(5));
    assert!(
        broken.stdout.is_empty() && String::from_utf8_lossy(&broken.stderr).contains("record 2 of - is not evidence")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_evidence_is_invalid_input() {
    let world = World::new().await;
    world.run(&["audit", "nowhere.json"]).exits(6).silent();
    for (text, says) in [("", "holds no record"), ("{}", "is not evidence"), ("nonsense", "is not JSON")] {
        world.write("evidence.json", text);
        world.run(&["audit", "evidence.json"]).exits(5).silent().says(&[says]);
    }
}
