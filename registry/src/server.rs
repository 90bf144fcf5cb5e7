//! A small embedded OCI 1.1 registry for demos, tests, laptops and edge sites.
//!
//! It passes the official conformance suite of the distribution specification on both of its stores (`tests/conformance.rs`
//! runs it). It is made for one small place, not for a fleet: one process owns its store, every push rewrites a layout's
//! `index.json`, and nothing is collected as garbage; what a client deletes is gone, what it forgets stays.
//!
//! ```
//! # async fn example() -> std::io::Result<()> {
//! use sealift_registry::server::{self, ServerOptions};
//!
//! let registry = server::spawn(ServerOptions::default()).await?;
//! println!("push to oci://{}/apps/shop:v1", registry.addr);
//! registry.stop().await
//! # }
//! ```

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::{Router, serve::ListenerExt};
use secrecy::SecretString;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::JoinHandle,
};

mod blob_endpoints;
mod blobs;
mod catalogue;
mod content_digest;
mod counters;
mod error;
mod folder;
mod holdings;
mod layout;
mod list_endpoints;
mod manifest;
mod manifest_endpoints;
mod range;
mod read_as;
mod route;
mod service;
mod spool;
mod upload_endpoints;
mod uploads;

pub use counters::Requests;
use service::Service;

/// The largest manifest taken: what the specification asks registries to take at least.
pub const MANIFEST_LIMIT: u64 = 4 * 1024 * 1024;

/// How long requests in flight may take after the shutdown began.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// Where content is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// In memory, forgotten when the server ends; bounded by [`ServerOptions::memory_limit`].
    Memory,
    /// In an OCI image layout at this folder, created if it is missing or empty.
    ///
    /// `index.json` names every manifest of every repository by the annotation `org.opencontainers.image.ref.name`:
    /// `repo/path:tag`, or `repo/path@sha256:…` for a manifest without a tag. After a restart a repository has these
    /// manifests and the blobs they name. Descriptors written by other tools are kept and not served.
    Layout(PathBuf),
    /// In an OCI image layout, a folder or a tar file, that other tools wrote for one repository and that is read as
    /// `name`. A tar is read where it lies. What comes into it later is not seen; nothing is ever written.
    ReadAs {
        /// The folder or the tar file.
        layout: PathBuf,
        /// The repository's path, which the layout does not know.
        name: String,
    },
}

/// A user and a password for HTTP Basic authentication.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password; it never prints.
    pub password: SecretString,
}

/// How a registry behaves. The default is an open registry in memory with the limits given below.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Where content is kept.
    pub store: Store,
    /// Refuses every request that would change something with 405. A layout has to exist then, and is not written to.
    /// [`Store::ReadAs`] implies it.
    pub read_only: bool,
    /// Who may use the registry; without, everyone.
    pub credentials: Option<Credentials>,
    /// Whether there is a referrers API. `false` is how registries before OCI 1.1 behave: 404 there and no `OCI-Subject`
    /// header, so that clients have to keep the fallback tag.
    pub referrers_api: bool,
    /// The largest blob taken, in bytes (1 GiB).
    pub blob_limit: u64,
    /// What all content and open uploads may take together in [`Store::Memory`], in bytes (2 GiB).
    pub memory_limit: u64,
    /// How many uploads may be open at a time (64).
    pub open_uploads: usize,
    /// How long an upload may rest, and a request body may stall (2 minutes).
    pub idle_timeout: Duration,
    /// The most tags or referrers in one answer (1000); clients follow the `Link` header to the rest.
    pub page_limit: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            store: Store::Memory,
            read_only: false,
            credentials: None,
            referrers_api: true,
            blob_limit: 1 << 30,
            memory_limit: 2 << 30,
            open_uploads: 64,
            idle_timeout: Duration::from_secs(120),
            page_limit: 1000,
        }
    }
}

/// Serves a registry on `listener` until `shutdown` is ready; requests in flight then get five more seconds.
///
/// # Errors
///
/// When the store cannot be opened: the layout is in use by another registry, malformed, or the folder holds something
/// else.
pub async fn serve(
    listener: TcpListener,
    options: ServerOptions,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    run(listener, Arc::new(Service::open(options).await?), shutdown).await
}

/// Starts a registry on a free port of 127.0.0.1.
///
/// # Errors
///
/// When the store cannot be opened, as with [`serve`], or no port is free.
pub async fn spawn(options: ServerOptions) -> io::Result<Running> {
    let service = Arc::new(Service::open(options).await?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    let counters = Arc::clone(&service.counters);
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(run(listener, service, async {
        // An error means that the handle was dropped, which stops the registry as well.
        let _ = stopped.await;
    }));
    Ok(Running { addr, counters, stop, task })
}

/// A registry started by [`spawn`]. Dropping it stops the registry without waiting for that; [`Running::stop`] waits.
pub struct Running {
    /// Where it listens; prints as `127.0.0.1:PORT`, the host part of a reference.
    pub addr: SocketAddr,
    counters: Arc<counters::Counters>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    /// The requests so far, by method and endpoint.
    pub fn requests(&self) -> Requests {
        self.counters.snapshot()
    }

    /// Stops the registry and returns when its store is closed, so that another one may open the same layout.
    ///
    /// # Errors
    ///
    /// When the server had ended with an error.
    pub async fn stop(self) -> io::Result<()> {
        let Self { addr: _, counters: _, stop, task } = self;
        drop(stop);
        task.await.map_err(io::Error::other)?
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("addr", &self.addr).finish_non_exhaustive()
    }
}

async fn run(
    listener: TcpListener,
    service: Arc<Service>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // Small answers to small requests: waiting for more to send would add 40 ms to each.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    });
    let (began, mut begun) = watch::channel(false);
    let graceful = async move {
        shutdown.await;
        began.send_replace(true);
    };
    let router = Router::new().fallback(service::handle).with_state(service);
    let server = axum::serve(listener, router).with_graceful_shutdown(graceful);
    let overdue = async move {
        // An error means that the server is gone already, and `select!` has seen it end.
        if begun.wait_for(|begun| *begun).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(SHUTDOWN_LIMIT).await;
    };
    tokio::select! {
        ended = async { server.await } => ended,
        () = overdue => Ok(()),
    }
}
