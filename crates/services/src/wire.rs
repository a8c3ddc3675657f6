//! Just enough of three protocols to ask a server whether it answers.

use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer within a machine takes microseconds; a server that starts may take longer.
const LIMIT: Duration = Duration::from_secs(2);

fn ask(port: u16, question: &[u8], answer: &mut [u8]) -> Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(question)?;
    stream.read_exact(answer)?;
    Ok(stream)
}

/// Whether a Redis server serves: while it still reads its file it says `-LOADING`.
pub(crate) fn redis_serves(port: u16) -> bool {
    let mut answer = [0; 5];
    ask(port, b"PING\r\n", &mut answer).is_ok() && &answer == b"+PONG"
}

/// Whether a PostgreSQL server lets us in: while it still recovers it answers with an error.
pub(crate) fn postgres_serves(port: u16) -> bool {
    let mut question = vec![0, 0, 0, 0, 0, 3, 0, 0];
    question.extend_from_slice(b"user\0postgres\0database\0postgres\0\0");
    question[3] = u8::try_from(question.len()).unwrap_or(0);
    let mut kind = [0; 1];
    let answered = ask(port, &question, &mut kind);
    // Terminate, so that a server with one connection has it free again.
    answered.and_then(|mut stream| stream.write_all(&[b'X', 0, 0, 0, 4])).is_ok() && &kind == b"R"
}

/// The ports of the Kafka brokers that one of them knows to be alive; none while it does not answer.
pub(crate) fn kafka_brokers(port: u16) -> Vec<u16> {
    metadata(port).ok().and_then(|answer| broker_ports(&answer)).unwrap_or_default()
}

/// The answer to a request for the brokers, after its length.
fn metadata(port: u16) -> Result<Vec<u8>> {
    // Metadata, version 1: length, key, version, correlation id, no client id, no topics.
    let question = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0];
    let mut length = [0; 4];
    let mut stream = ask(port, &question, &mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes([length[2], length[3]]))];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Correlation id, number of brokers, and of each: id, length and text of its host, port, rack or its absence.
fn broker_ports(answer: &[u8]) -> Option<Vec<u16>> {
    let number = |at: usize| Some(i32::from_be_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let mut at = 8;
    let mut ports = Vec::new();
    for _ in 0..number(4)? {
        let host = usize::from(u16::from_be_bytes(answer.get(at + 4..at + 6)?.try_into().ok()?));
        at += 6 + host;
        ports.push(u16::try_from(number(at)?).ok()?);
        let rack = i16::from_be_bytes(answer.get(at + 4..at + 6)?.try_into().ok()?);
        at += 6 + usize::try_from(rack).unwrap_or(0);
    }
    Some(ports)
}
