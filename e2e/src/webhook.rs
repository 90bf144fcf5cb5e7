//! An admission webhook on loopback that really answers an API server, over TLS with a certificate of its own.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::tls;

/// No request is longer, and none takes longer to arrive.
const LONGEST: usize = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// What it says to everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Let it in.
    Allow,
    /// Let it in, after so long.
    AllowAfter(Duration),
    /// Refuse it with these words.
    Deny(&'static str),
    /// Let it in, with another value at this JSON pointer.
    Sets(&'static str, &'static str),
    /// Nothing at all, until the server gives up.
    Nothing,
}

/// A running webhook; it ends when this is dropped.
#[derive(Debug)]
pub struct Webhook {
    port: u16,
    certificate: String,
    ends: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Webhook {
    /// Serves on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// Where no socket or certificate can be had.
    #[must_use]
    pub fn serve(says: Says) -> Self {
        let (config, authority) = tls::on_loopback();
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be listened on");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let webhook =
            Self { port, certificate: STANDARD.encode(authority), ends: Arc::default(), asked: Arc::default() };
        let (ends, asked) = (webhook.ends.clone(), webhook.asked.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let (config, ends, asked) = (config.clone(), ends.clone(), asked.clone());
                thread::spawn(move || stream.ok().and_then(|stream| answer(stream, config, says, &ends, &asked)));
            }
        });
        webhook
    }

    /// A ValidatingWebhookConfiguration that asks it about ConfigMaps of `namespace`.
    #[must_use]
    pub fn configuration(&self, namespace: &str, seconds: u8) -> Value {
        let name = format!("guard.{namespace}.example.com");
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
                "timeoutSeconds": seconds,
                "clientConfig": {"url": format!("https://127.0.0.1:{}/", self.port), "caBundle": self.certificate},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}],
            }],
        })
    }

    /// A MutatingWebhookConfiguration that asks it about what is done to ConfigMaps of `namespace` by this field manager.
    #[must_use]
    pub fn mutating(&self, namespace: &str, manager: &str) -> Value {
        let mut value = self.configuration(namespace, 10);
        value["kind"] = json!("MutatingWebhookConfiguration");
        let by = format!("request.options.fieldManager == {manager:?}");
        value["webhooks"][0]["matchConditions"] = json!([{"name": "by", "expression": by}]);
        value
    }

    /// The names it was asked about, each with whether that was a dry-run.
    #[must_use]
    pub fn asked(&self) -> Vec<(String, bool)> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |request: &Value| {
            (request["name"].as_str().unwrap_or_default().to_owned(), request["dryRun"].as_bool().unwrap_or_default())
        };
        asked.iter().map(one).collect()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // wakes the loop that accepts
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// One request a connection; `None` where the other side went away.
fn answer(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    says: Says,
    ends: &AtomicBool,
    asked: &Mutex<Vec<Value>>,
) -> Option<()> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut stream = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
    let (_, body) = request(&mut stream)?;
    let review: Value = serde_json::from_slice(&body).ok()?;
    let request = &review["request"];
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
    let mut response =
        json!({"uid": request["uid"], "allowed": matches!(says, Says::Allow | Says::AllowAfter(_) | Says::Sets(..))});
    match says {
        Says::Allow => {}
        Says::AllowAfter(pause) => thread::sleep(pause),
        Says::Sets(path, value) => {
            let patch = json!([{"op": "replace", "path": path, "value": value}]).to_string();
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(STANDARD.encode(patch));
        }
        Says::Deny(words) => response["status"] = json!({"message": words, "code": 403}),
        Says::Nothing => {
            // until the caller hangs up, or there is nobody to hang up on
            while !ends.load(Ordering::Relaxed) && stream.sock.peek(&mut [0]).is_ok_and(|read| read > 0) {
                thread::sleep(Duration::from_millis(100));
            }
            return None;
        }
    }
    let answer =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}).to_string();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    )
    .ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

/// Head and body of a request that says how long it is; of the head, the first line as it is and the rest in small letters.
pub(crate) fn request(stream: &mut impl Read) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let end = read.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&read[..end]);
            let (first, headers) = head.split_once("\r\n")?;
            let headers: Vec<_> = headers.lines().map(small).collect();
            let length =
                headers.iter().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok())?;
            if read.len() >= end + 4 + length {
                return Some((format!("{first}\n{}", headers.join("\n")), read[end + 4..end + 4 + length].to_vec()));
            }
        }
        let more = stream.read(&mut buffer).ok().filter(|more| *more > 0)?;
        read.extend_from_slice(&buffer[..more]);
        if read.len() > LONGEST {
            return None;
        }
    }
}

/// A header with its name in small letters.
fn small(line: &str) -> String {
    line.split_once(':')
        .map_or_else(|| line.to_owned(), |(name, value)| format!("{}:{value}", name.to_ascii_lowercase()))
}
