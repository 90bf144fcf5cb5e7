//! One request to a server of the harness, over plain HTTP on loopback and without an async runtime: servers are started
//! by tests of both kinds.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// What a server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// The answer to a GET, if there is one.
pub(crate) fn get(port: u16, path: &str) -> Option<Answer> {
    request(port, "GET", path, &[], b"")
}

/// The answer to a request with a body, if there is one. HTTP/1.0, so that the body of the answer ends where the
/// connection does.
pub(crate) fn request(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| stream.write_all(body)).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let status = std::str::from_utf8(answer.get(..end)?).ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: answer.split_off(end + 4) })
}
