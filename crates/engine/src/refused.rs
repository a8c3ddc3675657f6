//! Records of the internal stream become dead letters: the door wrote the event's bytes as data, the rest as headers.

use event::{DeadLetter, Record, RefusalCode, Stage, headers};

/// The dead letter that a record of the internal stream stands for.
pub(crate) fn dead_letter(record: &Record<'_>, partition: u32) -> DeadLetter {
    let header = |name| headers::get(record.headers, name).map(|value| String::from_utf8_lossy(value).into_owned());
    DeadLetter {
        tenant: header(headers::TENANT).unwrap_or_default(),
        // Never without: a record that some other hand wrote is known by its position.
        id: header(headers::LETTER)
            .unwrap_or_else(|| format!("{}-{partition}-{}", event::Catalog::REFUSED, record.offset)),
        stream: header("stream").unwrap_or_default(),
        partition,
        offset: record.offset,
        stage: Stage::Collect,
        code: header("code").unwrap_or_default(),
        pointer: header("pointer").unwrap_or_default(),
        message: header("message").unwrap_or_default(),
        data: record.data.to_vec(),
        request_id: header("request-id").unwrap_or_default(),
        received_at: record.received_at,
        edited: None,
        key: String::new(),
        headers: own(record.headers),
        correlation_id: header(headers::CORRELATION).or_else(|| header("request-id")).unwrap_or_default(),
        first_failed_at: record.received_at,
        last_failed_at: record.received_at,
        attempts: 1,
        classification: event::Classification::Permanent,
        status: event::LetterStatus::Open,
        retry_at: None,
    }
}

/// The headers that tell of the refusal; the others are those of the event.
const OF_REFUSAL: [&str; 8] =
    ["stream", "code", "pointer", "message", headers::LETTER, "request-id", "index", "cut-from-bytes"];

fn own(list: &[u8]) -> Vec<u8> {
    let mut own = Vec::new();
    for (name, value) in headers::iter(list).filter(|(name, _)| !OF_REFUSAL.contains(name)) {
        headers::put(&mut own, name, value);
    }
    own
}

/// All codes that a door can give, for metric labels.
pub(crate) const CODES: [RefusalCode; 11] = [
    RefusalCode::InvalidJson,
    RefusalCode::NotAnObject,
    RefusalCode::MissingField,
    RefusalCode::WrongType,
    RefusalCode::InvalidValue,
    RefusalCode::DuplicateField,
    RefusalCode::InvalidTime,
    RefusalCode::TimeInFuture,
    RefusalCode::TooLarge,
    RefusalCode::TooDeep,
    RefusalCode::WrongTenant,
];
