//! Putting reconciles on a cluster's events, until somebody says stop.

use std::{future::Future, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, future, stream};
use kube::{
    Api, Config, ResourceExt as _,
    api::ObjectMeta,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{
        WatchStreamExt as _,
        controller::{self, ReconcileRequest},
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use sealift_apply::{
    api::{Delivery, REQUESTED_AT_ANNOTATION, condition},
    cluster::{Cluster, ClusterError},
};
use tokio::sync::watch;

use crate::{
    audit::AuditLog,
    controller::{Context, Policies, on_error, reconcile},
    metrics::{ByReadiness, Metrics},
    options::Options,
    policy_watch::watch_policies,
    server::{self, Readiness},
};

/// How long reconciles that have begun may take once somebody said stop.
const GRACE: Duration = Duration::from_secs(20);

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
    /// The CA certificates cannot be read.
    #[error("{} cannot be read", path.display())]
    RegistryCa {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The audit log cannot be appended to. Nothing is decided unrecorded.
    #[error("the audit log {} cannot be opened", path.display())]
    AuditLog {
        /// The file.
        path: PathBuf,
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
    let registry_ca = match &options.registry_ca {
        None => None,
        Some(path) => {
            let read = tokio::fs::read(path).await;
            Some(read.map_err(|source| RunError::RegistryCa { path: path.clone(), source })?)
        }
    };
    let (metrics, readiness) = (Metrics::new(), Readiness::default());
    let audit = options.audit_log.as_ref().map(|path| {
        let opened = AuditLog::open(path, metrics.clone());
        opened.map_err(|source| RunError::AuditLog { path: path.clone(), source })
    });
    let audit = audit.transpose()?;
    let (deliveries, writer) = reflector::store::<Delivery>();
    let listen = |source| RunError::Listen { address: options.metrics_listen, source };
    let (listener, address) = server::bind(options.metrics_listen).await.map_err(listen)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %address, "listening");
    let counted = deliveries.clone();
    let before: server::BeforeScrape = Arc::new(move |metrics| count(&counted, metrics));
    let serving = tokio::spawn(server::serve(listener, metrics.clone(), readiness.clone(), before));

    let (policies, watching) = watch_policies(&cluster);
    let watching = tokio::spawn(watching);
    let (known, own) = (policies.clone(), deliveries.clone());
    let context = Context::new(cluster.clone(), &options, registry_ca, known, own, metrics, audit.clone());
    drive(cluster, &options, Arc::new(context), policies, deliveries, writer, readiness, stop).await;
    watching.abort();
    serving.abort();
    if let Some(audit) = audit {
        audit.end().await;
    }
    tracing::info!("stopped");
    Ok(())
}

#[allow(clippy::too_many_arguments, reason = "what a run consists of, each used once")]
async fn drive(
    cluster: Cluster,
    options: &Options,
    context: Arc<Context>,
    mut policies: watch::Receiver<Arc<Policies>>,
    deliveries: Store<Delivery>,
    writer: reflector::store::Writer<Delivery>,
    readiness: Readiness,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let (stopping, mut stopped) = watch::channel(false);
    tokio::spawn(async move {
        stop.await;
        tracing::info!("stopping: no new work is taken");
        stopping.send_replace(true);
    });
    let mut stopped_too = stopped.clone();
    let stop = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    // A Delivery judged before the policies are known would be refused for want of one.
    let ended = tokio::select! {
        known = policies.wait_for(|policies| policies.are_known()) => known.is_err(),
        _ = stopped_too.wait_for(|stopped| *stopped) => true,
    };
    if ended {
        return;
    }
    policies.mark_unchanged();
    // For one namespace a Role there suffices; several are picked out of all.
    let api: Api<Delivery> = match options.watch_namespace.as_slice() {
        [one] => Api::namespaced(cluster.client().clone(), one),
        _ => Api::all(cluster.client().clone()),
    };
    let (namespaces, store) = (options.watch_namespace.clone(), deliveries.clone());
    let own = watcher(api, watcher::Config::default())
        .default_backoff()
        .try_filter(move |event| future::ready(is_watched(&namespaces, event)))
        .modify(|delivery| delivery.managed_fields_mut().clear())
        .reflect(writer)
        .inspect_ok(move |event| {
            // A store wakes only one of those who wait for it, and that is the applier.
            if matches!(event, watcher::Event::InitDone) {
                readiness.set(true);
                tracing::info!(deliveries = store.len(), "ready");
            }
        })
        .applied_objects()
        .predicate_filter(what_matters, Default::default());
    let own = own.map_ok(|delivery| ReconcileRequest::from(ObjectRef::from_obj(&delivery)));
    let all = deliveries.clone();
    let changes =
        stream::unfold(policies, |mut policies| async move { policies.changed().await.ok().map(|()| ((), policies)) });
    let all = changes.flat_map(move |()| {
        stream::iter(
            all.state().into_iter().map(|delivery| Ok(ReconcileRequest::from(ObjectRef::from_obj(&*delivery)))),
        )
        .boxed()
    });
    let work = controller::applier(
        |delivery, context| Box::pin(reconcile(delivery, context)),
        on_error,
        context,
        deliveries,
        stream::select(own, all).take_until(stop),
        controller::Config::default().concurrency(options.concurrent),
    );
    let work = work.for_each(|outcome| async move {
        match outcome {
            Ok(_) | Err(controller::Error::ObjectNotFound(_) | controller::Error::ReconcilerFailed(..)) => {}
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the watch of Deliveries broke off; it is taken up again"
            ),
        }
    });
    let late = async move {
        let _ = stopped_too.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(GRACE).await;
    };
    // Whatever is dropped here is safe: the inventory was written before anything it names.
    future::select(pin!(work), pin!(late)).await;
}

/// Whether an event is about a Delivery in one of these namespaces; with none given, all are.
fn is_watched(namespaces: &[String], event: &watcher::Event<Delivery>) -> bool {
    match event {
        watcher::Event::Init | watcher::Event::InitDone => true,
        watcher::Event::Apply(delivery) | watcher::Event::InitApply(delivery) | watcher::Event::Delete(delivery) => {
            namespaces.is_empty() || delivery.namespace().is_some_and(|namespace| namespaces.contains(&namespace))
        }
    }
}

/// Spec, deletion and the reconcile-now annotation. Our own status writes change none of them.
fn what_matters(delivery: &Delivery) -> Option<u64> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let ObjectMeta { generation, deletion_timestamp, annotations, .. } = &delivery.metadata;
    let requested = annotations.as_ref().and_then(|annotations| annotations.get(REQUESTED_AT_ANNOTATION));
    let mut hasher = DefaultHasher::new();
    (generation, deletion_timestamp.is_some(), requested).hash(&mut hasher);
    Some(hasher.finish())
}

/// Counts the Deliveries as they are now.
fn count(deliveries: &Store<Delivery>, metrics: &Metrics) {
    let deliveries = deliveries.state();
    metrics.deliveries(by_readiness(&deliveries));
    let refused = deliveries.iter().filter_map(|delivery| delivery.status.as_ref()?.would_refuse_now.as_ref());
    metrics.would_refuse(refused.map(|refused| refused.reason.as_str()));
}

fn by_readiness(deliveries: &[Arc<Delivery>]) -> ByReadiness {
    let mut by = ByReadiness::default();
    for delivery in deliveries {
        let conditions = delivery.status.as_ref().map_or(&[][..], |status| &status.conditions);
        match condition(conditions, "Ready").map(|ready| ready.status.as_str()) {
            Some("True") => by.ready += 1,
            Some("False") => by.not_ready += 1,
            _ => by.unknown += 1,
        }
    }
    by
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
    config.headers.push((
        http::header::USER_AGENT,
        http::HeaderValue::from_static(concat!("sealift-controller/", env!("CARGO_PKG_VERSION"))),
    ));
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
