//! `deploy/monitoring`: rules, dashboards and the configuration of kube-state-metrics say nothing that is not there. The real
//! controller is brought into every state that somebody may want to see, and the real Prometheus is asked what panels ask.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

#[path = "monitoring/kube_state_metrics.rs"]
mod kube_state_metrics;
#[path = "monitoring/states.rs"]
mod states;

use std::{collections::BTreeSet, fs, process::Command};

use sealift_e2e::{ControlPlane, Prometheus, Tool, World, workspace};
use sealift_verify::refusal::Reason;
use serde_json::Value;

const DASHBOARDS: [&str; 2] = ["cluster.json", "fleet.json"];

fn read(path: &str) -> String {
    let path = workspace().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every rule, of all groups.
fn rules() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read("deploy/monitoring/rules.yaml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn alerts() -> Vec<(String, Value)> {
    let named = |rule: Value| Some((rule["alert"].as_str()?.to_owned(), rule));
    rules().into_iter().filter_map(named).collect()
}

fn dashboard(name: &str) -> Value {
    serde_json::from_str(&read(&format!("deploy/monitoring/dashboards/{name}"))).unwrap()
}

/// The title and the queries of each panel.
fn panels(dashboard: &Value) -> Vec<(String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let queries =
        |panel: &Value| panel["targets"].as_array().map(|all| all.iter().map(|one| text(&one["expr"])).collect());
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels.filter_map(|panel| Some((text(&panel["title"]), queries(panel)?))).collect()
}

/// The words in an expression that are names of our metrics, as they are called where they are made.
fn metrics(expression: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = expression.split(|c| !is_part(c));
    let ours = words.filter(|word| word.starts_with("sealift_") || word.starts_with("process_"));
    ours.map(|word| word.strip_suffix("_bucket").unwrap_or(word).to_owned()).collect()
}

/// The reasons that a matcher of an expression lists.
fn listed(expression: &str) -> Vec<String> {
    let (_, rest) = expression.split_once("reason=~\"").unwrap();
    rest.split_once('"').unwrap().0.split('|').map(str::to_owned).collect()
}

#[test]
fn every_metric_is_documented_and_asked_for() {
    let table = read("docs/metrics.md");
    let documented: BTreeSet<String> =
        table.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect();
    assert!(documented.len() > 30, "{documented:?}");
    let dashboards = DASHBOARDS.map(dashboard);
    let of_panels = dashboards.iter().flat_map(panels).flat_map(|(_, queries)| queries);
    let of_rules = rules().into_iter().map(|rule| rule["expr"].as_str().unwrap().to_owned());
    let asked: BTreeSet<String> = of_panels.chain(of_rules).flat_map(|query| metrics(&query)).collect();
    let unknown: Vec<_> = asked.difference(&documented).collect();
    assert!(unknown.is_empty(), "{unknown:?} are not in docs/metrics.md");
    let own = documented.iter().filter(|name| name.starts_with("sealift_") || name.starts_with("process_"));
    let unseen: Vec<_> = own.filter(|name| !asked.contains(*name)).collect();
    assert!(unseen.is_empty(), "{unseen:?} are in no panel and no rule");
}

#[test]
fn every_alert_has_a_test_a_page_and_a_weight() {
    let (book, tests) = (read("docs/alerts.md"), read("deploy/monitoring/rules_test.yaml"));
    let alerts = alerts();
    assert!(alerts.len() > 10);
    for (name, rule) in &alerts {
        assert!(book.contains(&format!("\n## {name}\n")), "{name} has no section in docs/alerts.md");
        let annotations = &rule["annotations"];
        let url = annotations["runbook_url"].as_str().unwrap();
        assert!(url.ends_with(&format!("/docs/alerts.md#{}", name.to_lowercase())), "{name}: {url}");
        assert!(annotations["summary"].is_string() && annotations["description"].is_string(), "{name}");
        assert!(["info", "warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        let fires = format!("alertname: {name}\n        exp_alerts:");
        assert!(tests.contains(&fires), "no test of {name} sees it fire");
    }
    let pages = book.lines().filter_map(|line| line.strip_prefix("## ")).filter(|name| name.starts_with("Sealift"));
    let stale: Vec<_> = pages.filter(|page| alerts.iter().all(|(name, _)| name != page)).collect();
    assert!(stale.is_empty(), "docs/alerts.md is about {stale:?}, which no rule has");
}

#[test]
fn every_reason_is_either_a_refusal_or_not_ready_and_the_fleet_knows_the_same_refusals() {
    let alerts = alerts();
    let reasons =
        |name: &str| listed(alerts.iter().find(|(other, _)| other == name).unwrap().1["expr"].as_str().unwrap());
    let (refused, not_ready) = (reasons("SealiftReleaseRefused"), reasons("SealiftNotReady"));
    let sorted = |list: &[String]| list.iter().cloned().collect::<BTreeSet<_>>();
    assert!(refused.is_sorted() && not_ready.is_sorted());
    assert!(sorted(&refused).is_disjoint(&sorted(&not_ready)));
    let is_undecided = |reason: &&Reason| matches!(reason, Reason::TooManySignatures | Reason::ImageUnchecked);
    let refusals = Reason::ALL.iter().filter(|reason| !is_undecided(reason)).map(|reason| reason.as_str().to_owned());
    assert_eq!(sorted(&refused), refusals.collect());

    // The words of docs/metrics.md are those of the code.
    let text = read("docs/metrics.md");
    let words = text.lines().find(|line| line.starts_with('`') && line.contains(" · ")).unwrap();
    let all: BTreeSet<String> = words.split(" · ").map(|word| word.trim_matches('`').to_owned()).collect();
    let fine = ["Applied", "Frozen", "Held", "Progressing", "Stale", "Suspended", "Verified"];
    let covered: BTreeSet<_> = refused.iter().chain(&not_ready).cloned().chain(fine.map(str::to_owned)).collect();
    let forgotten: Vec<_> = all.difference(&covered).collect();
    assert!(forgotten.is_empty(), "{forgotten:?} are in no alert");

    let fleet = dashboard("fleet.json");
    let variables = fleet["templating"]["list"].as_array().unwrap();
    let known = variables.iter().find(|variable| variable["name"] == "refusals").unwrap();
    assert_eq!(known["query"].as_str().unwrap(), refused.join("|"));
}

#[test]
fn promtool_finds_the_rules_right_and_each_fires_when_it_should_and_not_otherwise() {
    let Some(promtool) = Tool::for_interop("promtool") else { return };
    let folder = workspace().join("deploy/monitoring");
    for arguments in
        [&["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"][..], &["test", "rules", "rules_test.yaml"]]
    {
        let mut command: Command = promtool.command();
        let output = command.current_dir(&folder).args(arguments).output().unwrap();
        let said = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
        assert!(output.status.success(), "promtool {}:\n{said}", arguments.join(" "));
    }
}

/// A query of a panel, as Grafana would send it.
fn resolved(query: &str, dashboard: &Value) -> String {
    let mut query = query.replace("$__rate_interval", "1m").replace("$__range", "1h");
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let name = format!("${}", variable["name"].as_str().unwrap());
        let all = variable["allValue"].as_str();
        if let Some(value) = all.or_else(|| variable["query"].as_str()) {
            query = query.replace(&name, value);
        }
    }
    assert!(!query.contains('$'), "{query}");
    query
}

#[tokio::test]
async fn no_panel_is_empty_and_kube_state_metrics_finds_every_path_in_a_real_delivery() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "monitoring", async |world| {
        let log = world.cli.home().join("audit.jsonl").display().to_string();
        let more = ["--audit-log", &log, "--plain-http-host", states::NOBODY, "--allow-host", states::NOBODY];
        let port = world.launch_controller(&more).await;
        let prometheus = Prometheus::start(port, &["eu", "us"], &workspace().join("deploy/monitoring/rules.yaml"));
        if let Some(prometheus) = &prometheus {
            // What it sees first, it sees no increase of.
            let begun = async || match prometheus.query("sealift_build_info")? {
                found if found.len() == 2 => Ok(()),
                found => Err(format!("{found:?}")),
            };
            world.until("the first scrape", begun).await;
        }
        let deliveries = states::all(world).await;
        kube_state_metrics::assert_fits(&read("deploy/monitoring/kube-state-metrics.yaml"), &deliveries);

        let Some(prometheus) = prometheus else { return };
        for name in DASHBOARDS {
            let dashboard = dashboard(name);
            for (title, queries) in panels(&dashboard) {
                for query in queries {
                    let query = resolved(&query, &dashboard);
                    // What is counted off a watch or in a window of a minute comes a moment later.
                    world
                        .until(&format!("{name}: {title}"), async || {
                            let found = prometheus.query(&query)?;
                            match found.iter().any(|(_, value)| value.is_finite()) {
                                true => Ok(()),
                                false => Err(format!("{query} gives {found:?}")),
                            }
                        })
                        .await;
                }
            }
        }
        // Not only zeros: each state that was brought about is seen, in each cluster.
        for (query, least) in states::SEEN {
            world
                .until(query, async || {
                    let found = prometheus.query(query)?;
                    match found.len() == 2 && found.iter().all(|(_, value)| *value >= least) {
                        true => Ok(()),
                        false => Err(format!("{found:?}")),
                    }
                })
                .await;
        }
    })
    .await;
}
