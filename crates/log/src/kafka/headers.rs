//! How a record's parts travel as headers of Kafka: ours, then the mark `millstream`, then the record's own as they are.
//!
//! | header | what |
//! |---|---|
//! | `event-id`, `event-type` | as text, when there is one |
//! | `event-time` | milliseconds since 1970, decimal; absent = the record's timestamp |
//! | `content-type`, `event-version` | `application/json`, `1.0`; left out when the record's own headers have them |
//! | `millstream-origin` | 16 bytes by which a record is told from others where its id does not do it |
//! | `millstream` | `1`; what follows is the record's own |
//!
//! The mark comes last of ours, so that whatever follows may have any name and comes back as it was.

use std::ffi::CStr;
use std::ptr;

use event::{Millis, NO_TIME, headers, limits};
use rdkafka::bindings::{rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_resp_err_t};
use rdkafka::message::{BorrowedHeaders, Header, OwnedHeaders};

/// The mark, and its value.
pub(super) const MARK: &str = "millstream";
/// The identity of a record that is not told by its id. A record's own header of this name is taken for it, not put back.
pub(super) const ORIGIN: &str = "millstream-origin";
const ID: &str = "event-id";
const KIND: &str = "event-type";
const TIME: &str = "event-time";
const CONTENT: &str = "content-type";
const VERSION: &str = "event-version";

/// The parts of a record that travel as headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// The id; empty when there is none.
    pub(super) id: &'a [u8],
    /// The type; empty when there is none.
    pub(super) kind: &'a [u8],
    /// The event time, or [`NO_TIME`].
    pub(super) time: Millis,
    /// The identity of a record that is not told by its id.
    pub(super) origin: Option<u128>,
}

impl Parts<'_> {
    /// Nothing known.
    pub(super) const NONE: Self = Self { id: b"", kind: b"", time: NO_TIME, origin: None };
}

/// The headers of a record: `own` are those it has, encoded as in [`event::headers`].
pub(super) fn write(parts: &Parts<'_>, own: &[u8]) -> OwnedHeaders {
    let (mut content, mut version, mut count) = (false, false, 7);
    for (name, _) in headers::iter(own) {
        content |= name == CONTENT;
        version |= name == VERSION;
        count += 1;
    }
    let mut list = OwnedHeaders::new_with_capacity(count);
    if !parts.id.is_empty() {
        list = put(list, ID, parts.id);
    }
    if !parts.kind.is_empty() {
        list = put(list, KIND, parts.kind);
    }
    if parts.time != NO_TIME {
        let mut digits = [0; 20];
        list = put(list, TIME, decimal(parts.time, &mut digits));
    }
    if !content {
        list = put(list, CONTENT, b"application/json");
    }
    if !version {
        list = put(list, VERSION, b"1.0");
    }
    if let Some(origin) = parts.origin {
        list = put(list, ORIGIN, &origin.to_be_bytes());
    }
    list = put(list, MARK, b"1");
    headers::iter(own).filter(|(name, _)| *name != ORIGIN).fold(list, |list, (name, value)| put(list, name, value))
}

/// The parts in a record's headers; what is the record's own is added to `own`, encoded as in [`event::headers`] and at
/// most [`limits::HEADERS_BYTES_MAX`] bytes of it. `None` when the record has no mark: then it is somebody else's, and all
/// headers are its own.
pub(super) fn read<'a>(list: &'a BorrowedHeaders, own: &mut Vec<u8>) -> Option<Parts<'a>> {
    let ours = end_of_ours(list);
    let mut parts = Parts::NONE;
    let mut at = 0;
    each(list, |name, value| {
        at += 1;
        if ours.is_some_and(|end| at <= end) {
            parts.take(name, value);
        } else if let Ok(name) = std::str::from_utf8(name)
            && name != ORIGIN
            && name.len() <= 255
            && own.len() + name.len() + value.len() + 3 <= limits::HEADERS_BYTES_MAX
        {
            headers::put(own, name, value);
        }
        true
    });
    ours.map(|_| parts)
}

/// The parts alone, without the record's own headers but its tenant; `None` when there is no mark.
pub(super) fn identity<'a>(list: &'a BorrowedHeaders) -> Option<(Parts<'a>, &'a [u8])> {
    let (mut parts, mut tenant, mut marked) = (Parts::NONE, &b""[..], false);
    each(list, |name, value| {
        if !marked {
            marked = name == MARK.as_bytes();
            parts.take(name, value);
        } else if name == headers::TENANT.as_bytes() {
            tenant = value;
            return false;
        }
        true
    });
    marked.then_some((parts, tenant))
}

impl<'a> Parts<'a> {
    fn take(&mut self, name: &[u8], value: &'a [u8]) {
        if name == ID.as_bytes() {
            self.id = value;
        } else if name == KIND.as_bytes() {
            self.kind = value;
        } else if name == TIME.as_bytes() {
            self.time = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(NO_TIME);
        } else if name == ORIGIN.as_bytes() {
            self.origin = value.try_into().ok().map(u128::from_be_bytes);
        }
    }
}

/// How many headers are ours, the mark included.
fn end_of_ours(list: &BorrowedHeaders) -> Option<usize> {
    let (mut at, mut end) = (0, None);
    each(list, |name, _| {
        at += 1;
        if name == MARK.as_bytes() {
            end = Some(at);
        }
        end.is_none()
    });
    end
}

fn put(list: OwnedHeaders, key: &str, value: &[u8]) -> OwnedHeaders {
    list.insert(Header { key, value: Some(value) })
}

/// A number in decimal, without allocation.
fn decimal(number: i64, digits: &mut [u8; 20]) -> &[u8] {
    let (mut rest, mut at) = (number.unsigned_abs(), digits.len());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    &digits[at..]
}

/// Shows every header, name and value, in order, until `next` says that it has enough. The library's own iterator panics
/// on a name that is not UTF-8, and a stranger may have written it.
#[expect(unsafe_code, reason = "headers of any name must be read without a panic")]
fn each<'a>(list: &'a BorrowedHeaders, mut next: impl FnMut(&'a [u8], &'a [u8]) -> bool) {
    let native = ptr::from_ref(list).cast::<rd_kafka_headers_t>();
    for at in 0.. {
        let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
        // SAFETY: a `BorrowedHeaders` is nothing but the address of librdkafka's list, which outlives the borrow.
        let code = unsafe { rd_kafka_header_get_all(native, at, &raw mut name, &raw mut value, &raw mut len) };
        if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
            return;
        }
        // SAFETY: librdkafka ends names with a zero and keeps them as long as the list.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        let value = if value.is_null() {
            &[]
        } else {
            // SAFETY: the value lies in the list with this length.
            unsafe { std::slice::from_raw_parts(value.cast::<u8>(), len) }
        };
        if !next(name, value) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn encoded(list: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut own = Vec::new();
        list.iter().for_each(|(name, value)| headers::put(&mut own, name, value));
        own
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back(
            id in vec(any::<u8>(), 0..40),
            kind in vec(any::<u8>(), 0..40),
            time in prop_oneof![Just(NO_TIME), any::<i64>()],
            origin in any::<Option<u128>>(),
            own in vec(("(tenant|content-type|event-version|event-id|event-time|millstream|[a-z-]{1,20})", vec(any::<u8>(), 0..40)), 0..8),
        ) {
            let (parts, own) = (Parts { id: &id, kind: &kind, time, origin }, encoded(&own));
            let written = write(&parts, &own);
            let mut back = Vec::new();
            prop_assert_eq!(read(written.as_borrowed(), &mut back), Some(parts));
            prop_assert_eq!(&back, &own);
            let tenant = headers::get(&own, headers::TENANT).unwrap_or_default();
            prop_assert_eq!(identity(written.as_borrowed()), Some((parts, tenant)));
        }
    }

    #[test]
    fn a_strangers_headers_are_its_own_whatever_their_names() {
        let list = put(put(OwnedHeaders::new(), ID, b"x"), "trace", b"\xff");
        let mut own = Vec::new();
        assert_eq!(read(list.as_borrowed(), &mut own), None);
        assert!(headers::iter(&own).eq([(ID, &b"x"[..]), ("trace", &b"\xff"[..])]));
        assert_eq!(identity(list.as_borrowed()), None);
    }

    #[test]
    fn a_strangers_headers_are_bounded() {
        let list = (0..64).fold(OwnedHeaders::new(), |list, _| put(list, "much", &[b'x'; 1 << 10]));
        let mut own = Vec::new();
        assert_eq!(read(list.as_borrowed(), &mut own), None);
        assert!(own.len() <= limits::HEADERS_BYTES_MAX && own.len() > limits::HEADERS_BYTES_MAX / 2);
    }

    #[test]
    fn an_origin_that_was_given_is_the_origin() {
        let mut own = Vec::new();
        headers::put(&mut own, ORIGIN, &7u128.to_be_bytes());
        let written = write(&Parts { origin: Some(7), ..Parts::NONE }, &own);
        let mut back = Vec::new();
        assert_eq!(read(written.as_borrowed(), &mut back).and_then(|parts| parts.origin), Some(7));
        assert!(back.is_empty());
    }
}
