//! Somebody who is told: a server for webhooks that checks every signature with the public library, and counts.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use standardwebhooks::Webhook;

/// 24 bytes, as base64.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver on a port of its own, until the test ends.
pub(crate) struct Receiver {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Whether it answers 503 to everybody.
    away: AtomicBool,
    /// How many were sent away.
    turned_away: AtomicUsize,
    /// What it took: `webhook-id` and body, in order.
    taken: Mutex<Vec<(String, Value)>>,
    /// What was wrong with what came.
    wrong: Mutex<Vec<String>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (port, state) = (listener.local_addr().expect("an address").port(), Arc::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = shared.clone();
                std::thread::spawn(move || drop(serve(stream, &state)));
            }
        });
        Self { port, state }
    }

    /// The configuration that has this receiver told of anomalies of these rules.
    pub(crate) fn configuration(&self, rules: &[&str]) -> String {
        let (url, rules) = (format!("http://127.0.0.1:{}/hook", self.port), rules.join(", "));
        format!("alerts:\n  - {{ name: receiver, url: \"{url}\", secret: {SECRET}, rules: [{rules}] }}\n")
    }

    /// Answers 503 from now on, or no longer.
    pub(crate) fn be_away(&self, away: bool) {
        self.state.away.store(away, SeqCst);
    }

    pub(crate) fn turned_away(&self) -> usize {
        self.state.turned_away.load(SeqCst)
    }

    /// What it took so far; fails when anything that came was not as it should be.
    pub(crate) fn taken(&self) -> Vec<(String, Value)> {
        let wrong = self.state.wrong.lock().expect("no panic");
        assert!(wrong.is_empty(), "{wrong:?}");
        self.state.taken.lock().expect("no panic").clone()
    }
}

/// Requests of one connection, one after the other.
fn serve(mut stream: TcpStream, state: &State) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let Some((headers, body)) = request(&mut stream, &mut bytes)? else { return Ok(()) };
        let away = state.away.load(SeqCst);
        if away {
            state.turned_away.fetch_add(1, SeqCst);
        } else {
            take(&headers, &body, state);
        }
        let status = if away { "503 Service Unavailable" } else { "204 No Content" };
        let length = if away { "content-length: 0\r\n" } else { "" };
        stream.write_all(format!("HTTP/1.1 {status}\r\n{length}\r\n").as_bytes())?;
    }
}

fn take(headers: &HeaderMap, body: &[u8], state: &State) {
    let webhook = Webhook::new(SECRET).expect("a secret");
    if let Err(error) = webhook.verify(body, headers) {
        state.wrong.lock().expect("no panic").push(format!("{error}: {headers:?}"));
        return;
    }
    let id = headers["webhook-id"].to_str().expect("text").to_owned();
    let body = serde_json::from_slice(body).expect("JSON");
    state.taken.lock().expect("no panic").push((id, body));
}

/// Reads one request with a body of stated length; none at the end of the connection. What was read beyond it stays.
fn request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<Option<(HeaderMap, Vec<u8>)>> {
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let mut headers = HeaderMap::new();
            for line in head.lines().skip(1) {
                let (name, value) = line.split_once(':').expect("a header");
                let name = HeaderName::from_bytes(name.trim().as_bytes()).expect("a name");
                headers.insert(name, HeaderValue::from_str(value.trim()).expect("a value"));
            }
            let length: usize = headers["content-length"].to_str().expect("text").parse().expect("a number");
            if bytes.len() >= end + 4 + length {
                let rest = bytes.split_off(end + 4 + length);
                let body = bytes.split_off(end + 4);
                *bytes = rest;
                return Ok(Some((headers, body)));
            }
        }
        let mut more = [0; 8_192];
        match stream.read(&mut more)? {
            0 => return Ok(None),
            n => bytes.extend_from_slice(&more[..n]),
        }
    }
}
