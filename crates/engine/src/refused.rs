//! Records of the internal stream become dead letters: the door wrote the event's bytes as data, the rest as headers.

use event::{DeadLetter, Record, RefusalCode, Stage, headers};

/// The dead letter that a record of the internal stream stands for.
pub(crate) fn dead_letter(record: &Record<'_>, partition: u32) -> DeadLetter {
    let header = |name| headers::get(record.headers, name).map(|value| String::from_utf8_lossy(value).into_owned());
    DeadLetter {
        tenant: header(headers::TENANT).unwrap_or_default(),
        // Never without: a record that some other hand wrote is known by its position.
        id: header("dlq-id").unwrap_or_else(|| format!("{}-{partition}-{}", event::Catalog::REFUSED, record.offset)),
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
    }
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
