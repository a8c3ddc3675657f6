//! Events that others put into the log, found out about as a door would.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use event::{Catalog, Millis, NO_TIME, Span, Stream};
use log::IdHasher;
use log::kafka::{Describe, Described};

use crate::scan::skip_space;
use crate::sift::{Envelope, Format, Sifter};

/// So late that no event time is in the future: what is found must not depend on when somebody looks.
const EVER: Millis = Millis::MAX / 4;

/// What finds the parts of an event of these streams. Of what is no JSON object, or not what its stream asks for, it finds
/// nothing. A text that has escapes is none of the parts: they are ranges of what was sent.
pub fn describe(catalog: &Catalog) -> Describe {
    let refused = catalog.refused();
    let sifters: Vec<(String, Sifter)> =
        catalog.iter().map(|(id, stream)| (stream.name.clone(), Sifter::new(id, stream, refused))).collect();
    Arc::new(move |stream: &Stream, data: &[u8]| {
        let (_, sifter) = sifters.iter().find(|(name, _)| *name == stream.name)?;
        found(sifter, data)
    })
}

fn found(sifter: &Sifter, data: &[u8]) -> Option<Described> {
    if data.get(skip_space(data, 0)) != Some(&b'{') {
        return None;
    }
    let hasher = IdHasher::new(0);
    let envelope =
        Envelope { tenant: "", format: Format::Json, request_id: "", now: EVER, keyless_partition: 0, hasher };
    let sifted = sifter.sift(&Bytes::copy_from_slice(data), envelope).ok()?;
    let draft = sifted.batch.drafts.first()?;
    let range = |span: Span| -> Range<usize> {
        let start = span.shared_start().filter(|_| !span.is_empty());
        start.map_or(0..0, |start| start..start + span.len())
    };
    let time = Some(draft.time).filter(|time| *time != NO_TIME);
    Some(Described { key: range(draft.key), kind: range(draft.kind), id: range(draft.id), time })
}

#[cfg(test)]
mod tests {
    use event::{Dedup, Field, FieldPath, Retention, TimeField, TimeUnit};

    use super::*;

    #[test]
    fn parts_are_found_where_a_door_would_find_them() {
        let field = |path, required| Some(Field { path: FieldPath::parse(path).unwrap(), required });
        let stream = Stream {
            name: "orders".to_owned(),
            partitions: 2,
            key: field("customer.id", true),
            time: field("at", false).map(|field| TimeField { field, unit: TimeUnit::Millis, max_future_ms: 1 }),
            id: field("id", false),
            kind: field("type", false),
            require: Vec::new(),
            dedup: Some(Dedup { within_ms: 1, ids_max: 1 }),
            retention: Retention { age_ms: None, size_bytes: None },
        };
        let catalog = Catalog::new(vec![stream]).unwrap();
        let (describe, stream) = (describe(&catalog), catalog.get(catalog.find("orders").unwrap()));
        let data = br#" {"id":"a","customer":{"id":17},"type":"new","at":9999999999999}"#;
        let found = describe(stream, data).unwrap();
        let text = |range: Range<usize>| std::str::from_utf8(&data[range]).unwrap();
        assert_eq!((text(found.key), text(found.kind), text(found.id)), ("17", "new", "a"));
        assert_eq!(found.time, Some(9_999_999_999_999));
        for strange in [&b""[..], b"[]", b"plain text", b"{\"id\":\"a\"}", b"{\"customer\":{\"id\":1}} {}", b"\xff"] {
            assert_eq!(describe(stream, strange), None, "{strange:?}");
        }
    }
}
