//! `sealift registry serve`: the embedded registry, until somebody stops it.

use std::io;

use sealift_registry::server::{self, ServerOptions, Store};
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    cli::registry::ServeArgs,
    exit::Exit,
    failure::Failure,
    output::{Format, Output},
};

/// Why the registry does not run.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("cannot listen on {address}")]
    Listen {
        address: std::net::SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("the registry ended")]
    Serve(#[source] io::Error),
    #[error("signals cannot be waited for")]
    Signals(#[source] io::Error),
}

pub(crate) async fn run(args: &ServeArgs, output: &mut Output) -> Result<Exit, Failure> {
    let failed = |error: ServeError| Failure::new(Exit::Failed, error);
    let stop = stopped().map_err(|error| failed(ServeError::Signals(error)))?;
    let listening = async { TcpListener::bind(args.listen).await.and_then(|l| Ok((l.local_addr()?, l))) };
    let (address, listener) = listening.await.map_err(|source| {
        let hint = "another program may have the port: --listen 127.0.0.1:0 takes a free one";
        failed(ServeError::Listen { address: args.listen, source }).hint(hint)
    })?;
    let store = match (&args.dir, &args.layout, &args.as_repository) {
        (Some(dir), _, _) => Store::Layout(dir.clone()),
        (None, Some(layout), Some(repository)) => {
            Store::ReadAs { layout: layout.clone(), name: repository.path().to_owned() }
        }
        (None, _, _) => Store::Memory,
    };
    let options = ServerOptions { store, read_only: args.read_only, ..ServerOptions::default() };
    // Announced before the store is open: connections wait in the listener's queue until it is.
    match output.format {
        Format::Text => output.product(address)?,
        Format::Json => output.json(&json!({"schema": "sealift.dev/registry/v1", "listen": address.to_string()}))?,
    }
    match (&args.layout, &args.as_repository) {
        (Some(layout), Some(repository)) => output.note(format_args!(
            "registry on http://{address}, content of {}; pull from oci://{address}/{}:TAG --as {repository}; Ctrl-C stops it",
            layout.display(),
            repository.path()
        )),
        _ => {
            let place = args.dir.as_ref().map_or_else(|| "memory".to_owned(), |dir| dir.display().to_string());
            output.note(format_args!(
                "registry on http://{address}, content in {place}; push to oci://{address}/REPO:TAG; Ctrl-C stops it"
            ));
        }
    }
    if !address.ip().is_loopback() {
        output.warn("everybody who reaches this address can read and, unless --read-only, replace everything");
    }
    server::serve(listener, options, stop).await.map_err(|error| failed(ServeError::Serve(error)))?;
    output.note("registry stopped");
    Ok(Exit::Done)
}

/// Ready once SIGINT or SIGTERM has come. Both are caught from here on.
fn stopped() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
