//! The answer with the verdicts, written by hand: it is made 45 000 times a second, and a JSON tree is not.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use event::Ack;

use crate::Verdicts;
use crate::refused::Rejected;

/// An answer with verdicts, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// The finished answer.
pub(crate) fn answer(verdicts: &Verdicts) -> Answer {
    Answer { status: status(verdicts), body: body(verdicts).into() }
}

fn status(verdicts: &Verdicts) -> StatusCode {
    let taken = verdicts.accepted + verdicts.duplicates;
    match (verdicts.rejected, taken, verdicts.ack) {
        (0, _, Ack::Stored) => StatusCode::OK,
        (0, _, Ack::Durable | Ack::Memory) => StatusCode::ACCEPTED,
        (_, 0, _) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::MULTI_STATUS,
    }
}

/// The counts, the positions and the refusals, as one JSON object.
pub(crate) fn body(verdicts: &Verdicts) -> Vec<u8> {
    let mut out = Vec::with_capacity(192 + 64 * verdicts.positions.len() + 256 * verdicts.listed.len());
    number(&mut out, "{\"accepted_count\":", verdicts.accepted);
    number(&mut out, ",\"duplicate_count\":", verdicts.duplicates);
    number(&mut out, ",\"rejected_count\":", verdicts.rejected);
    out.extend_from_slice(b",\"ack\":\"");
    out.extend_from_slice(ack_name(verdicts.ack).as_bytes());
    out.extend_from_slice(b"\",\"positions\":[");
    for (i, range) in verdicts.positions.iter().enumerate() {
        separate(&mut out, i);
        number(&mut out, "{\"partition\":", u64::from(range.partition));
        number(&mut out, ",\"first_offset\":", range.first);
        number(&mut out, ",\"last_offset\":", range.last);
        out.push(b'}');
    }
    out.extend_from_slice(b"],\"rejected\":[");
    for (i, rejected) in verdicts.listed.iter().enumerate() {
        separate(&mut out, i);
        refusal(&mut out, rejected);
    }
    out.extend_from_slice(b"]}");
    out
}

fn refusal(out: &mut Vec<u8>, rejected: &Rejected) {
    number(out, "{\"index\":", u64::from(rejected.index));
    text(out, ",\"code\":", rejected.code.as_str());
    text(out, ",\"pointer\":", &rejected.pointer);
    text(out, ",\"message\":", &rejected.message);
    text(out, ",\"dlq_id\":", rejected.dlq_id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
    out.push(b'}');
}

/// The name of a level, as asked for and as answered.
pub(crate) fn ack_name(ack: Ack) -> &'static str {
    match ack {
        Ack::Memory => "memory",
        Ack::Durable => "durable",
        Ack::Stored => "stored",
    }
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

fn number(out: &mut Vec<u8>, before: &str, value: u64) {
    out.extend_from_slice(before.as_bytes());
    let (mut digits, mut at, mut rest) = ([0u8; 20], 20, value);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn text(out: &mut Vec<u8>, before: &str, value: &str) {
    out.extend_from_slice(before.as_bytes());
    out.push(b'"');
    for character in value.chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            '\0'..='\x1f' => out.extend_from_slice(format!("\\u{:04x}", character as u32).as_bytes()),
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use event::RefusalCode;
    use log::PlacedRange;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_answer_is_the_json_of_the_contract() {
        let message = "/a: expected \"b\"\\,\u{1}\nfound é😀".to_owned();
        let rejected = |index| Rejected {
            index,
            code: RefusalCode::MissingField,
            pointer: "/a".to_owned(),
            message: message.clone(),
            dlq_id: Uuid::from_u128(7),
        };
        let verdicts = Verdicts {
            accepted: u64::MAX,
            duplicates: 0,
            rejected: 2,
            ack: Ack::Durable,
            positions: vec![
                PlacedRange { partition: 3, first: 10, last: 11 },
                PlacedRange { partition: 4, first: 0, last: 0 },
            ],
            listed: vec![rejected(1), rejected(9)],
        };
        let answer: serde_json::Value = serde_json::from_slice(&body(&verdicts)).unwrap();
        let refusal = |index: u32| {
            serde_json::json!({"index": index, "code": "missing_field", "pointer": "/a", "message": message,
                "dlq_id": "00000000-0000-0000-0000-000000000007"})
        };
        let expected = serde_json::json!({
            "accepted_count": u64::MAX, "duplicate_count": 0, "rejected_count": 2, "ack": "durable",
            "positions": [{"partition": 3, "first_offset": 10, "last_offset": 11},
                {"partition": 4, "first_offset": 0, "last_offset": 0}],
            "rejected": [refusal(1), refusal(9)],
        });
        assert_eq!(answer, expected);
    }
}
