//! A service on loopback that is told things over HTTP: it takes them, fails in a way that is chosen, and remembers all.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;
use tokio::net::TcpSocket;

use crate::webhook::request;

/// No request takes longer to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// It takes it.
    Takes,
    /// It answers with this status, and asks for so many seconds of peace.
    Fails(u16, Option<u16>),
    /// It takes it and never says so.
    Nothing,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its path and query.
    pub path: String,
    /// Its headers, in small letters.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
    /// Whether it was taken, as far as the service is concerned.
    pub taken: bool,
}

impl Told {
    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    }
}

#[derive(Debug)]
struct Shared {
    answers: Mutex<Answers>,
    told: Mutex<Vec<Told>>,
    ends: AtomicBool,
}

/// The service; it ends when this is dropped.
#[derive(Debug)]
pub struct Hook {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// The port is its own, and nobody listens: connections are refused.
    closed: Mutex<Option<TcpSocket>>,
}

impl Hook {
    /// Has a port, on which connections are refused until [`Hook::open`].
    ///
    /// # Panics
    /// Where no port can be had.
    #[must_use]
    pub fn closed() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port can be had");
        let address = socket.local_addr().expect("a bound socket has an address");
        let shared =
            Shared { answers: Mutex::new(Answers::Takes), told: Mutex::default(), ends: AtomicBool::new(false) };
        Self { address, shared: Arc::new(shared), closed: Mutex::new(Some(socket)) }
    }

    /// Listens, and takes what comes.
    ///
    /// # Panics
    /// Where no port can be had.
    #[must_use]
    pub fn serve() -> Self {
        let hook = Self::closed();
        hook.open();
        hook
    }

    /// Begins to listen.
    ///
    /// # Panics
    /// Where it cannot.
    pub fn open(&self) {
        let Some(socket) = lock(&self.closed).take() else { return };
        let listener =
            socket.listen(128).and_then(tokio::net::TcpListener::into_std).expect("loopback can be listened on");
        listener.set_nonblocking(false).expect("a socket can wait");
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ends.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || stream.ok().and_then(|stream| answer(stream, &shared)));
            }
        });
    }

    /// Does something else from now on.
    pub fn answers(&self, answers: Answers) {
        *lock(&self.shared.answers) = answers;
    }

    /// `HOST:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The URL of `path` there.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything that arrived, in order.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        lock(&self.shared.told).clone()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        // wakes the loop that accepts
        drop(TcpStream::connect(self.address));
    }
}

/// One request a connection; `None` where the other side went away.
fn answer(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let (head, body) = request(&mut stream)?;
    let path = head.split(' ').nth(1)?.to_owned();
    let answers = *lock(&shared.answers);
    let taken = matches!(answers, Answers::Takes | Answers::Nothing);
    lock(&shared.told).push(Told { path, head: head.clone(), body, taken });
    let (status, wish) = match answers {
        Answers::Takes => (200, None),
        Answers::Fails(status, wish) => (status, wish),
        Answers::Nothing => {
            // until the caller hangs up, or there is nobody to hang up on
            stream.set_read_timeout(Some(Duration::from_millis(100))).ok()?;
            while !shared.ends.load(Ordering::Relaxed) {
                match stream.peek(&mut [0]) {
                    Ok(0) => break,
                    Err(error)
                        if !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
                    {
                        break;
                    }
                    _ => {}
                }
            }
            return None;
        }
    };
    let wish = wish.map(|seconds| format!("Retry-After: {seconds}\r\n")).unwrap_or_default();
    write!(stream, "HTTP/1.1 {status} x\r\n{wish}Content-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    stream.flush().ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
