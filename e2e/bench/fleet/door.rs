//! What stands before the registry, so that it can be shut: connections end at once then, as where nothing listens.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::Failed;

/// A door to one address.
#[derive(Debug)]
pub(crate) struct Door {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shut: watch::Sender<bool>,
    turned_away: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Door {
    pub(crate) async fn to(address: SocketAddr) -> Result<Self, Failed> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (own, turned_away) = (listener.local_addr()?, Arc::new(AtomicUsize::new(0)));
        let (shut, is_shut) = watch::channel(false);
        let counter = Arc::clone(&turned_away);
        let task = tokio::spawn(async move {
            while let Ok((visitor, _)) = listener.accept().await {
                if *is_shut.borrow() {
                    counter.fetch_add(1, Ordering::Relaxed);
                } else {
                    tokio::spawn(pass(visitor, address, is_shut.clone()));
                }
            }
        });
        Ok(Self { address: own, shut, turned_away, task })
    }

    /// Shuts it, for those who are inside as well, or opens it again.
    pub(crate) fn shut(&self, shut: bool) {
        self.shut.send_replace(shut);
    }

    /// How many connections were turned away so far.
    pub(crate) fn turned_away(&self) -> usize {
        self.turned_away.load(Ordering::Relaxed)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut visitor: TcpStream, to: SocketAddr, mut is_shut: watch::Receiver<bool>) {
    let Ok(mut inside) = TcpStream::connect(to).await else { return };
    let _ = (visitor.set_nodelay(true), inside.set_nodelay(true));
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut visitor, &mut inside) => {}
        _ = is_shut.wait_for(|shut| *shut) => {}
    }
}
