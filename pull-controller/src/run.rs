//! Putting reconciles on a cluster's events, until somebody says stop.

use std::{future::Future, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use sealift_apply::{
    api::{Delivery, Notification, Receiver},
    cluster::{Cluster, ClusterError},
};
use sealift_registry::client::SetupError;
use sealift_trace::{Exporter, Settings};
use tokio::{sync::watch, time::timeout};

use crate::{
    audit::AuditLog,
    controller::{
        Context, Freezing, Policies,
        notify::{self, Notifications, Notifier},
        outbox,
        receive::{self, Desk, Receivers},
        tags as followed,
    },
    delivery_watch::{self, Deliveries},
    freeze_watch::{self, follow_freezes, wake_thawed},
    memory_watch::{self, follow_memory},
    metrics::{self, Metrics},
    options::Options,
    own_watch,
    platform::{Platform, PlatformError},
    policy_watch::{self, follow_policies},
    queue::{Key, Queue, Reason},
    server,
    shards::{self, Shard, ShardSet, Shards, Sharing},
    vitals::{AbortOnDrop, Vitals, kept_alive},
    watch::{self as objects, Hub},
    workers::{self, Bounds},
};

/// How long reconciles that have begun may go on once somebody said stop, before they are asked to come to an end.
const LEAVE: Duration = Duration::from_secs(10);
/// How long they may take in all. With what is written after, that is 20 seconds, of the 30 that a pod has.
const GRACE: Duration = Duration::from_secs(15);
/// How long the last spans may take, of what is left then.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// How long Deliveries wait until it is known which Notifications there are.
const KNOWN: Duration = Duration::from_secs(10);
/// The watch of Notifications among the [`Vitals`].
const NOTIFICATIONS: &str = "notification-watch";
/// How long the first Deliveries wait until it is known whether there is a freeze; without, they bring nothing new.
const FREEZES_KNOWN: Duration = Duration::from_secs(10);
/// That of Receivers.
const RECEIVERS: &str = "receiver-watch";
/// How long a loop of ours may give no sign of life.
const LOOP_BOUND: Duration = Duration::from_secs(60);

/// Why the controller cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[source] kube::config::KubeconfigError),
    /// There is none, and no pod's account either.
    #[error("no cluster is configured")]
    NoCluster(#[source] kube::config::InferConfigError),
    /// No client can be made.
    #[error("the cluster cannot be used")]
    Cluster(#[source] ClusterError),
    /// What is named for registries cannot be used.
    #[error(transparent)]
    Registries(#[from] PlatformError),
    /// Certificates or proxies cannot be used for services that are told.
    #[error("services cannot be told anything")]
    Services(#[source] SetupError),
    /// The audit log cannot be appended to. Nothing is decided unrecorded.
    #[error("the audit log {} cannot be opened", path.display())]
    AuditLog {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The folder of the cache cannot be used.
    #[error("the cache in {} cannot be used", folder.display())]
    Cache {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The address for metrics cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The signal handlers cannot be installed.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`RunError`] if it cannot begin; a cluster that does not answer is waited for.
pub async fn run(options: Options) -> Result<(), RunError> {
    let stop = stop_signal().map_err(RunError::Signals)?;
    let cluster = Cluster::connect(config(&options).await?).map_err(RunError::Cluster)?;
    let platform = Platform::load(&options)?;
    let (metrics, vitals) = (Metrics::new(), Vitals::default());
    let audit = options.audit_log.as_ref().map(|path| {
        let opened = AuditLog::open(path, metrics.clone());
        opened.map_err(|source| RunError::AuditLog { path: path.clone(), source })
    });
    let audit = audit.transpose()?;
    let (deliveries, queue) = (Deliveries::new(options.watch_namespace.clone()), Queue::new(options.concurrent.into()));
    let listen = |source| RunError::Listen { address: options.metrics_listen, source };
    let (listener, address) = server::bind(options.metrics_listen).await.map_err(listen)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %address, "listening");

    let shards = sharing(&options).map(|sharing| Shards::shared(cluster.client().clone(), sharing, metrics.clone()));
    let shards = shards.unwrap_or_else(Shards::alone);
    let (sender, policies) = watch::channel(Arc::new(Policies::default()));
    let sender = Arc::new(sender);
    let (of, shared, alive, counts) = (cluster.clone(), shards.clone(), vitals.clone(), metrics.clone());
    let following = move || follow_policies(of.clone(), shared.clone(), sender.clone(), counts.clone(), alive.clone());
    let _policies = kept(policy_watch::LOOP, &vitals, &metrics, following);
    let (sender, notifications) = watch::channel(Arc::new(Notifications::default()));
    let (of, alive, sender) = (cluster.clone(), vitals.clone(), Arc::new(sender));
    let scopes = own_watch::scopes(&options.watch_namespace, options.platform_namespace().as_deref());
    let following = move || {
        let (of, scopes, sender) = (of.clone(), scopes.clone(), Arc::clone(&sender));
        own_watch::follow::<Notification>(NOTIFICATIONS, of, scopes, sender, alive.clone())
    };
    let _notifications = kept(NOTIFICATIONS, &vitals, &metrics, following);
    let notifier = Notifier::new(&options, &platform, notifications.clone(), queue.clone(), metrics.clone());
    let notifier = Arc::new(notifier.map_err(RunError::Services)?);
    let (sender, freezing) = watch::channel(Arc::new(Freezing::default()));
    let sender = Arc::new(sender);
    let (of, shared, alive) = (cluster.clone(), shards.clone(), vitals.clone());
    let following = move || follow_freezes(of.clone(), shared.clone(), sender.clone(), alive.clone());
    let _freezes = kept(freeze_watch::LOOP, &vitals, &metrics, following);
    let store = deliveries.store().clone();
    let hub = Hub::new(cluster.clone(), options.max_watches.into());
    let (of, wakes, alive) = (hub.clone(), queue.clone(), vitals.clone());
    let _hub = kept(objects::LOOP, &vitals, &metrics, move || of.clone().wake(wakes.clone(), alive.clone()));
    let context = Context::new(
        cluster.clone(),
        shards.clone(),
        hub,
        &options,
        platform,
        policies.clone(),
        freezing.clone(),
        store,
        queue.clone(),
        metrics.clone(),
        audit.clone(),
        notifier,
    );
    let cache = |source| RunError::Cache { folder: options.cache_dir.clone().unwrap_or_default(), source };
    let exporter = exporter(&metrics);
    let context = Arc::new(context.map_err(cache)?.traced(exporter.clone()));
    let (counted, gauged, held) = (deliveries.store().clone(), Arc::clone(&context), shards.held());
    let before: server::BeforeScrape = Arc::new(move |metrics| {
        metrics::count(&those_of(&held.borrow(), counted.state()), metrics, Timestamp::now());
        gauged.gauge();
    });
    let _serving = AbortOnDrop(tokio::spawn(server::serve(listener, metrics.clone(), vitals.clone(), before)));
    let stop = stop_of(stop);
    // A Delivery judged before the policies are known would be refused for want of one.
    let (mut known, mut stopped) = (policies.clone(), stop.clone());
    tokio::select! {
        known = known.wait_for(|policies| policies.are_known()) => drop(known),
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    // Not to tell of each new release that it may be frozen, a moment before it is known that it is not.
    let mut known = freezing.clone();
    tokio::select! {
        _ = timeout(FREEZES_KNOWN, known.wait_for(|freezing| freezing.is_known())) => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    // Nobody is told of what happened before it was known who wants to be; but no release waits for that for long.
    let mut known = notifications;
    tokio::select! {
        known = timeout(KNOWN, known.wait_for(|notifications| notifications.are_known())) => drop(known),
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    let _sharing = shards.are_shared().then(|| share(&shards, &context, &vitals, &metrics));
    let (of, own, wakes, alive) = (cluster, deliveries.clone(), queue.clone(), vitals.clone());
    let following = move || own.clone().follow(of.clone(), wakes.clone(), alive.clone());
    let _deliveries = kept(delivery_watch::LOOP, &vitals, &metrics, following);
    let (of, known, alive) = (context.cluster().clone(), context.known(), vitals.clone());
    let following = move || follow_memory(of.clone(), known.clone(), alive.clone());
    let _memory = kept(memory_watch::LOOP, &vitals, &metrics, following);
    let (tags, alive) = (context.tags(), vitals.clone());
    let _tags = kept(followed::LOOP, &vitals, &metrics, move || tags.clone().run(alive.clone()));
    let (outbox, alive) = (context.outbox(), vitals.clone());
    let _outbox = kept(outbox::LOOP, &vitals, &metrics, move || outbox.clone().run(alive.clone()));
    let (of, alive) = (Arc::clone(&context), vitals.clone());
    let _telling = kept(notify::LOOP, &vitals, &metrics, move || notify::run(Arc::clone(&of), alive.clone()));
    let _thawing = AbortOnDrop(tokio::spawn(wake_thawed(freezing, deliveries.clone(), queue.clone())));
    let _listening = match options.receiver_listen {
        Some(address) => Some(listen_at(address, &options, &context, &vitals, &metrics).await?),
        None => None,
    };
    let _waking = AbortOnDrop(tokio::spawn(wake_all(policies, deliveries, queue.clone())));
    let bounds = Bounds { stall: options.stall_timeout.get(), leave: LEAVE, grace: GRACE };
    let (mut stopped, leaving) = (stop, shards.clone());
    let stopping = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
        leaving.leave();
    };
    let all_ended = workers::work(Arc::clone(&context), queue, bounds, vitals, stopping).await;
    let _parted = shards.ending().await;
    context.settle().await;
    if all_ended {
        shards.release().await;
    }
    if let Some(audit) = audit {
        audit.end().await;
    }
    if let Some(exporter) = exporter
        && !exporter.flush(LAST_SPANS).await
    {
        tracing::warn!("the collector of traces did not take the last spans in time");
    }
    tracing::info!("stopped");
    Ok(())
}

/// What sends spans, if the environment names a collector. What is wrong with that stops no delivery.
fn exporter(metrics: &Metrics) -> Option<Exporter> {
    let counted = metrics.clone();
    let start = |settings| Exporter::start(settings, move |fate, spans| counted.traced(fate, spans));
    let settings = Settings::of("sealift-controller", |name| std::env::var(name).ok());
    let settings = settings.inspect_err(|error| tracing::error!(%error, "no traces are sent")).ok().flatten();
    let started = settings.map(start).transpose();
    started
        .inspect_err(|error| tracing::error!(error = sealift_verify::chain(error), "no traces are sent"))
        .ok()
        .flatten()
}

/// Listens to those whom Receivers name, until this is dropped.
async fn listen_at(
    address: SocketAddr,
    options: &Options,
    context: &Arc<Context>,
    vitals: &Vitals,
    metrics: &Metrics,
) -> Result<[AbortOnDrop<()>; 3], RunError> {
    let failed = |source| RunError::Listen { address, source };
    let (listener, address) = server::bind(address).await.map_err(failed)?;
    tracing::info!(%address, "listening to receivers");
    let (sender, receivers) = watch::channel(Arc::new(Receivers::default()));
    let (sender, platform) = (Arc::new(sender), Platform::load(options)?);
    let desk = Arc::new(Desk::new(options, &platform, receivers).map_err(RunError::Services)?);
    let scopes = own_watch::scopes(&options.watch_namespace, options.platform_namespace().as_deref());
    let (of, alive) = (context.cluster().clone(), vitals.clone());
    let following = move || {
        let (of, scopes, sender) = (of.clone(), scopes.clone(), Arc::clone(&sender));
        own_watch::follow::<Receiver>(RECEIVERS, of, scopes, sender, alive.clone())
    };
    let following = kept(RECEIVERS, vitals, metrics, following);
    let (of, to, alive, listener) = (Arc::clone(context), Arc::clone(&desk), vitals.clone(), Arc::new(listener));
    let serving = move || receive::serve(Arc::clone(&of), Arc::clone(&to), Arc::clone(&listener), alive.clone());
    let serving = kept(receive::LOOP, vitals, metrics, serving);
    let (of, alive) = (Arc::clone(context), vitals.clone());
    let telling = move || receive::tell_paths(Arc::clone(&of), Arc::clone(&desk), alive.clone());
    Ok([following, serving, kept(receive::PATHS, vitals, metrics, telling)])
}

/// A loop that is begun anew whenever it ends or hangs, until this is dropped.
fn kept<F>(
    name: &'static str,
    vitals: &Vitals,
    metrics: &Metrics,
    begin: impl FnMut() -> F + Send + 'static,
) -> AbortOnDrop<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    AbortOnDrop(tokio::spawn(kept_alive(name, LOOP_BOUND, vitals.clone(), metrics.clone(), begin)))
}

/// How this replica shares work, if it does.
fn sharing(options: &Options) -> Option<Sharing> {
    let namespace = options.lease_namespace.clone()?;
    let (group, lease) = (options.lease_group.clone(), options.lease_duration.get());
    let is_unique = options.replica_id.is_some();
    Some(Sharing { namespace, group, id: replica(options), is_unique, lease })
}

/// The name of this replica: what it was given, else that of its host as far as a Lease can have it.
fn replica(options: &Options) -> String {
    let host = || std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let id = options.replica_id.clone().or_else(host).unwrap_or_default().to_ascii_lowercase();
    let id: String = id.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(200).collect();
    let id = id.trim_matches('-');
    if id.is_empty() { "replica".to_owned() } else { id.to_owned() }
}

/// Agrees with other replicas on who looks after what, until this is dropped. Nothing is looked at before.
fn share(shards: &Shards, context: &Arc<Context>, vitals: &Vitals, metrics: &Metrics) -> [AbortOnDrop<()>; 3] {
    context.queue().hold(&ShardSet::default());
    let (own, alive) = (shards.clone(), vitals.clone());
    let watch = kept(shards::WATCH, vitals, metrics, move || own.clone().follow(alive.clone()));
    let (own, alive) = (shards.clone(), vitals.clone());
    let renewal = kept(shards::RENEWAL, vitals, metrics, move || own.clone().renew(alive.clone()));
    let (own, holder, alive) = (shards.clone(), Arc::clone(context), vitals.clone());
    let deciding = kept(shards::LOOP, vitals, metrics, move || own.clone().run(holder.clone(), alive.clone()));
    [watch, renewal, deciding]
}

/// Turns true once somebody said stop.
fn stop_of(stop: impl Future<Output = ()> + Send + 'static) -> watch::Receiver<bool> {
    let (stopping, stopped) = watch::channel(false);
    tokio::spawn(async move {
        stop.await;
        tracing::info!("stopping: no new work is taken");
        stopping.send_replace(true);
    });
    stopped
}

/// What is applied is judged as anew whenever a policy changes.
async fn wake_all(mut policies: watch::Receiver<Arc<Policies>>, deliveries: Deliveries, queue: Queue) {
    policies.mark_unchanged();
    while policies.changed().await.is_ok() {
        for delivery in deliveries.store().state() {
            queue.wake(&Key::from(&*delivery), Reason::Policy);
        }
    }
}

/// The Deliveries that are looked after here: each is counted by one replica.
fn those_of(held: &ShardSet, mut deliveries: Vec<Arc<Delivery>>) -> Vec<Arc<Delivery>> {
    deliveries.retain(|delivery| *held == ShardSet::ALL || held.has(Shard::of(&Key::from(&**delivery))));
    deliveries
}

async fn config(options: &Options) -> Result<Config, RunError> {
    let chosen = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match (&options.kubeconfig, &options.context) {
        (Some(path), _) => {
            let file = Kubeconfig::read_from(path).map_err(RunError::Kubeconfig)?;
            Config::from_custom_kubeconfig(file, &chosen).await.map_err(RunError::Kubeconfig)?
        }
        (None, Some(_)) => Config::from_kubeconfig(&chosen).await.map_err(RunError::Kubeconfig)?,
        (None, None) => Config::infer().await.map_err(RunError::NoCluster)?,
    };
    // The API server's audit log tells replicas apart by it.
    let replica = options.lease_namespace.as_ref().map(|_| format!(" (replica {})", replica(options)));
    let agent = format!("sealift-controller/{}{}", env!("CARGO_PKG_VERSION"), replica.unwrap_or_default());
    if let Ok(agent) = http::HeaderValue::try_from(agent) {
        config.headers.push((http::header::USER_AGENT, agent));
    }
    Ok(config)
}

/// Resolves at the first SIGTERM or SIGINT.
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
