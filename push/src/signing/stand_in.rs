//! A service that fails in a way of the test's choosing. What succeeds is tried on real services, by `make interop`.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// What a connection gets.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// This status and body.
    Status(u16, &'static str),
    /// Success, and a body without end.
    Endless,
    /// Nothing, for as long as the other side waits.
    Silence,
    /// Success, and less than was announced.
    Broken,
}

/// Gives these answers, one a connection, the last one to all that follow.
#[derive(Debug)]
pub(super) struct StandIn {
    pub(super) address: String,
    asked: Arc<AtomicUsize>,
}

impl StandIn {
    pub(super) fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let nth = counted.fetch_add(1, Ordering::SeqCst);
                let answer = answers.get(nth).or(answers.last()).cloned().unwrap();
                thread::spawn(move || give(stream, &answer));
            }
        });
        Self { address, asked }
    }

    /// How many requests have come.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The other side may go at any moment.
fn give(mut stream: TcpStream, answer: &Answer) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !is_whole(&request) {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(length) => request.extend_from_slice(&piece[..length]),
        }
    }
    let head = |status: u16, length: &str| format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{length}\r\n");
    match answer {
        Answer::Status(status, body) => {
            let _ = stream.write_all(head(*status, &format!("content-length: {}\r\n", body.len())).as_bytes());
            let _ = stream.write_all(body.as_bytes());
        }
        Answer::Endless => {
            let _ = stream.write_all(head(200, "").as_bytes());
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        }
        Answer::Broken => {
            let _ = stream.write_all(head(200, "content-length: 100\r\n").as_bytes());
            let _ = stream.write_all(b"{");
        }
        Answer::Silence => {
            let _ = stream.read(&mut piece);
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let announced = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= announced.unwrap_or(0)
}
