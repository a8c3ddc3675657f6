//! The smallest HTTP/1.1 client that tests need: one request, one connection, blocking.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Fails unless it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

/// Reads `http://host:port/path`.
pub(crate) fn get(url: &str) -> Answer {
    exchange(url, "GET", &[], b"").unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// Posts a body.
pub(crate) fn post(url: &str, content_type: &str, body: &[u8]) -> Answer {
    let headers = [("content-type", content_type)];
    exchange(url, "POST", &headers, body).unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// One request with its answer. A server may answer and hang up before it has read everything: the answer counts.
pub(crate) fn exchange(url: &str, method: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Answer> {
    let mut stream = begin(url, method, headers, body.len())?;
    let sent = stream.write_all(body);
    let answer = finish(stream);
    if answer.is_err() {
        sent?;
    }
    answer
}

/// Sends the head of a request and keeps the rest for later.
pub(crate) fn begin(url: &str, method: &str, headers: &[(&str, &str)], length: usize) -> std::io::Result<TcpStream> {
    let rest = url.strip_prefix("http://").expect("a URL");
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_write_timeout(Some(Duration::from_secs(60)))?;
    let mut head = format!("{method} /{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n");
    head += &format!("content-length: {length}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    stream.write_all(head.as_bytes())?;
    Ok(stream)
}

/// Reads the answer to a request that is sent.
pub(crate) fn finish(mut stream: TcpStream) -> std::io::Result<Answer> {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        read?;
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(end + 4);
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        body = dechunked(&body);
    }
    Ok(Answer { status, head, body })
}

fn dechunked(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(at) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..at]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(size) = size.filter(|size| *size > 0) else { break };
        out.extend_from_slice(&rest[at + 2..at + 2 + size]);
        rest = &rest[at + 4 + size..];
    }
    out
}
