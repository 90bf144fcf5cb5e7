//! The real Prometheus, which scrapes on loopback and evaluates rules.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    loopback,
    process::{HarnessError, Process, free_port, with_retry},
    reaper,
    tool::Tool,
};

/// A running Prometheus, gone when dropped.
#[derive(Debug)]
pub struct Prometheus {
    port: u16,
    _process: Process, // dropped, hence killed, before its folder goes
    _folder: TempDir,
}

impl Prometheus {
    /// One that scrapes the same port every second as each of these clusters, and evaluates the rules of a file as often, however
    /// often they say. `None` unless `make interop` runs the tests.
    ///
    /// # Panics
    /// Where it does not start or has not been built.
    #[must_use]
    pub fn start(scraped: u16, clusters: &[&str], rules: &Path) -> Option<Self> {
        let program = Tool::for_interop("prometheus")?;
        let rules = fs::read_to_string(rules).expect("the rules can be read").replace("interval: 30s", "interval: 1s");
        let started = with_retry(|| Self::launch(&program, scraped, clusters, &rules));
        Some(started.unwrap_or_else(|error| panic!("no Prometheus: {error}")))
    }

    fn launch(program: &Tool, scraped: u16, clusters: &[&str], rules: &str) -> Result<Self, HarnessError> {
        let folder = tempfile::tempdir().map_err(|source| HarnessError::File { path: std::env::temp_dir(), source })?;
        reaper::watch_folder(folder.path());
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).map_err(|source| HarnessError::File { path: path.clone(), source }).map(|()| path)
        };
        let rules = write("rules.yaml", rules)?;
        let targets: Vec<_> = clusters
            .iter()
            .map(|cluster| json!({"targets": [format!("127.0.0.1:{scraped}")], "labels": {"cluster": cluster}}))
            .collect();
        let config = write(
            "prometheus.yaml",
            &json!({
                "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
                "rule_files": [rules],
                "scrape_configs": [{"job_name": "sealift", "static_configs": targets}],
            })
            .to_string(),
        )?;
        let port = free_port();
        let mut command = program.command();
        command.current_dir(folder.path());
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut process = Process::start("prometheus", command, &folder.path().join("log"))?;
        process.wait_until("ready", Duration::from_secs(60), || {
            loopback::get(port, "/-/ready").is_some_and(|answer| answer.status == 200)
        })?;
        Ok(Self { port, _process: process, _folder: folder })
    }

    /// What a query comes to now: each series with its labels and value.
    ///
    /// # Errors
    /// What Prometheus says against it.
    pub fn query(&self, query: &str) -> Result<Vec<(Value, f64)>, String> {
        let encode = |byte: u8| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        let body = format!("query={}", query.bytes().map(encode).collect::<String>());
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer =
            loopback::request(self.port, "POST", "/api/v1/query", &form, body.as_bytes()).ok_or("no answer")?;
        let answer: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        let result = answer["data"]["result"].as_array().ok_or_else(|| answer.to_string())?;
        let value = |series: &Value| series["value"][1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
        Ok(result.iter().map(|series| (series["metric"].clone(), value(series))).collect())
    }
}
