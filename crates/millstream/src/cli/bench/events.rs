//! Learning events of realistic entropy as request bodies, by a seed: 384 bytes each, few hot keys and a long tail, times of
//! the last two seconds.

use std::io::Write;

use api::time::to_rfc3339;
use event::Millis;
use fastrand::Rng;

const ID_MARK: &[u8] = b"\"event_id\":\"";
/// Hex digits of an id that the client overwrites with a counter.
const COUNTER_DIGITS: usize = 12;

const TIME_MARK: &[u8] = b"\"timestamp\":\"";
/// What the client overwrites of a time: all but the milliseconds.
const SECOND_BYTES: usize = "2026-01-01T00:00:00".len();
/// What happened is sent a little later.
const BEHIND_MS: Millis = 1_000;

/// A request that is ready to send but for its ids and times.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// Head and body.
    pub(super) bytes: Vec<u8>,
    /// Where the body begins.
    pub(super) body_at: usize,
    /// Where the last digits of each event's id are.
    pub(super) ids: Vec<usize>,
    /// Where each event's time is.
    times: Vec<usize>,
}

impl Template {
    /// Gives every event an id that no other event of this run has, and a time as of one that has just happened.
    pub(super) fn stamp(&self, bytes: &mut [u8], first: u64, now: Millis) {
        let second = to_rfc3339(now - BEHIND_MS);
        for at in &self.times {
            bytes[*at..*at + SECOND_BYTES].copy_from_slice(&second.as_bytes()[..SECOND_BYTES]);
        }
        for (k, at) in self.ids.iter().enumerate() {
            let mut n = first + k as u64;
            for digit in bytes[*at..*at + COUNTER_DIGITS].iter_mut().rev() {
                *digit = b"0123456789abcdef"[(n & 15) as usize];
                n >>= 4;
            }
        }
    }
}

/// Where the ids of a run begin that starts now: far behind those of runs before it, which a broker still knows.
pub(super) fn first_id(now: Millis) -> u64 {
    now.unsigned_abs() << 20
}

/// So many different requests of so many events each, posted to a path.
pub(super) fn requests(host: &str, path: &str, batch: usize, count: usize) -> Vec<Template> {
    let mut rng = Rng::with_seed(7);
    (0..count).map(|_| request(&mut rng, host, path, batch)).collect()
}

fn request(rng: &mut Rng, host: &str, path: &str, batch: usize) -> Template {
    let mut body = Vec::with_capacity(batch * 400 + 2);
    for i in 0..batch {
        body.push(if i == 0 { b'[' } else { b',' });
        event(rng, &mut body);
    }
    body.push(b']');
    let mut bytes = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    let body_at = bytes.len();
    bytes.extend_from_slice(&body);
    let behind = |mark: &[u8]| -> Vec<usize> {
        let marks = bytes.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark);
        marks.map(|(at, _)| at + mark.len()).collect()
    };
    let ids = behind(ID_MARK).into_iter().map(|at| at + 24).collect();
    let times = behind(TIME_MARK);
    Template { bytes, body_at, ids, times }
}

fn event(rng: &mut Rng, out: &mut Vec<u8>) {
    let one = |rng: &mut Rng, words: &[&'static str]| words[rng.usize(..words.len())];
    let id = uuid::Builder::from_random_bytes(rng.u128(..).to_le_bytes()).into_uuid();
    // A Pareto tail with exponent 0.9: one key in two is among the first two.
    let learner = ((1.0 - rng.f64()).powf(-1.0 / 0.9) as u64).min(99_999);
    let time = to_rfc3339(rng.i64(0..1_000));
    // Writing to a vector cannot fail.
    drop(write!(
        out,
        "{{\"event_id\":\"{id}\",\"learner_id\":\"learner_{learner:05}\",\"tenant_id\":\"tenant_{}\",\
         \"event_type\":\"{}\",\"priority\":\"{}\",\"timestamp\":\"{time}\",\"source_service\":\"{}\",\
         \"event_data\":{{\"action\":\"{}\",\"element\":\"btn_{}\",\"x\":{},\"y\":{},\"duration_ms\":{}}},\
         \"metadata\":{{\"session_id\":\"{:032x}\",\"ip\":\"192.168.{}.{}\"}}}}",
        one(rng, &["a", "b", "c", "d", "e", "f", "g", "h"]),
        one(rng, &["interaction", "progress", "assessment", "error", "system"]),
        one(rng, &["low", "medium", "high", "critical"]),
        one(rng, &["learning-app", "web", "ios", "android"]),
        one(rng, &["click", "view", "scroll", "submit"]),
        rng.u32(0..500),
        rng.u32(0..1_920),
        rng.u32(0..1_080),
        rng.u32(0..60_000),
        rng.u128(..),
        rng.u8(..),
        rng.u8(..),
    ));
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_body_differs_and_every_stamp_gives_fresh_ids() {
        let (requests, now) = (requests("h", "/p", 10, 20), 1_795_000_000_250);
        let mut ids = HashSet::new();
        for (i, template) in requests.iter().enumerate() {
            assert_eq!(template.ids.len(), 10);
            let mut bytes = template.bytes.clone();
            template.stamp(&mut bytes, i as u64 * 10, now);
            let events: Vec<serde_json::Value> = serde_json::from_slice(&bytes[template.body_at..]).unwrap();
            for event in &events {
                assert!(ids.insert(event["event_id"].as_str().unwrap().to_owned()));
                assert!(event["learner_id"].is_string() && event["event_data"]["duration_ms"].is_u64());
                let time = api::time::from_rfc3339(event["timestamp"].as_str().unwrap()).unwrap();
                assert!((now - 2_000..now).contains(&time), "{time}");
            }
        }
        let bodies: HashSet<_> = requests.iter().map(|t| &t.bytes).collect();
        assert_eq!(bodies.len(), 20);
        let mean = requests.iter().map(|t| t.bytes.len() - t.body_at).sum::<usize>() / 200;
        assert!((360..410).contains(&mean), "{mean}");
    }
}
