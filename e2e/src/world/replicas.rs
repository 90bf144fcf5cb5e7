//! Several controllers of one world, which share its Deliveries by Leases.

use std::{path::PathBuf, time::Duration};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::ListParams};

use super::{CONTROLLER, World};
use crate::{loopback, process::Process};

/// One of several controllers. Ends when it is dropped.
#[derive(Debug)]
pub struct Replica {
    /// Its name, which stands in the user agent of whatever it asks the API server.
    pub id: String,
    process: Process,
    port: u16,
    log: PathBuf,
}

impl World<'_> {
    /// Starts a controller that shares this world's Deliveries with the others that are started so. Its Lease lasts so many
    /// seconds.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn start_replica(&self, id: &str, lease_seconds: u64, more: &[&str]) -> Replica {
        let (mut command, port) = self.controller_command().await;
        command.args(["--lease-namespace", CONTROLLER.0, "--lease-group", &self.namespace, "--replica-id", id]);
        command.args([&format!("--lease-duration={lease_seconds}s")]).args(more);
        let log = self.controller_log.with_file_name(format!("{id}.log"));
        let mut process = Process::start(id, command, &log).unwrap_or_else(|error| panic!("{error}"));
        let ready = process.wait_until("ready", Duration::from_secs(120), || {
            loopback::get(port, "/readyz").is_some_and(|answer| answer.status == 200)
        });
        ready.unwrap_or_else(|error| panic!("{error}"));
        Replica { id: id.to_owned(), process, port, log }
    }

    /// Waits until this many replicas share the work, each holds some of the shards, and all are held.
    ///
    /// # Panics
    /// When that is not so in time.
    pub async fn shared_by(&self, replicas: &[&Replica]) {
        self.until("every shard to be held", async || {
            let told: Vec<_> = replicas
                .iter()
                .map(|replica| (replica.gauge("sealift_shard_members"), replica.gauge("sealift_shards")))
                .collect();
            let members = told.iter().all(|(members, _)| *members == Some(replicas.len()));
            let some = told.iter().all(|(_, shards)| shards.is_some_and(|shards| shards > 0));
            let all: usize = told.iter().filter_map(|(_, shards)| *shards).sum();
            if members && some && all == 256 { Ok(()) } else { Err(format!("members and shards: {told:?}")) }
        })
        .await;
    }

    /// Whose Leases there are among those that share this world's Deliveries, in the order of their names.
    ///
    /// # Panics
    /// Where the API server does not tell.
    pub async fn lease_holders(&self) -> Vec<String> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), CONTROLLER.0);
        let of_group = ListParams::default().labels(&format!("sealift.dev/lease-group={}", self.namespace));
        let leases = leases.list(&of_group).await.expect("Leases can be listed").items;
        let holders = leases.into_iter().filter_map(|lease| lease.spec?.holder_identity);
        holders.collect()
    }
}

impl Replica {
    /// Ends it at once, as when its machine loses power (SIGKILL).
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub fn stop(mut self) {
        let ended = self.process.terminate(Duration::from_secs(60));
        assert!(ended.is_some_and(|status| status.success()), "{} ended otherwise: {ended:?}", self.id);
    }

    /// Stops it where it is (SIGSTOP), as a machine does that is paused.
    pub fn pause(&mut self) {
        self.process.pause();
    }

    /// Lets it go on.
    pub fn resume(&mut self) {
        self.process.resume();
    }

    /// A number that stands alone on a line of its metrics.
    #[must_use]
    pub fn gauge(&self, name: &str) -> Option<usize> {
        let metrics = loopback::get(self.port, "/metrics")?;
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}
