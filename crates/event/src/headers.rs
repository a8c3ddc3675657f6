//! A record's headers as bytes: for each, the name's length (1 byte), the name, the value's length (2 bytes, little
//! endian), the value. Names are lower-case, as `content-type` or `correlation-id`.

/// The header with the tenant's name. A record of the default tenant has none.
pub const TENANT: &str = "tenant";

/// The header with the id of the dead letter that a record is the replay of.
pub const LETTER: &str = "dlq-id";

/// The header with how often that letter had failed when it was replayed: what failed once more since then was this record.
pub const ATTEMPT: &str = "dlq-attempt";

/// The header that ties a record to other things.
pub const CORRELATION: &str = "correlation-id";

/// Adds one header to an encoded list. A name over 255 bytes or a value over 65 535 bytes is cut there.
pub fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let name = &name.as_bytes()[..name.len().min(255)];
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
}

/// The headers of an encoded list, in order. Stops at the first byte that does not fit.
pub fn iter(mut bytes: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    std::iter::from_fn(move || {
        let (&name_len, rest) = bytes.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(name_len))?;
        let (len, rest) = rest.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        bytes = rest;
        Some((std::str::from_utf8(name).ok()?, value))
    })
}

/// Whether a media type, with or without parameters, says that its content is JSON: `*/json` or `*/*+json`.
pub fn is_json(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let ends = |end: &[u8]| media_type.split_last_chunk::<5>().is_some_and(|(_, last)| last.eq_ignore_ascii_case(end));
    ends(b"/json") || ends(b"+json")
}

/// The value of one header.
pub fn get<'a>(bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    iter(bytes).find(|(n, _)| *n == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_from_the_rest_by_its_subtype() {
        for yes in ["application/json", "text/JSON; charset=utf-8", " application/cloudevents+json ;x=1"] {
            assert!(is_json(yes.as_bytes()), "{yes}");
        }
        for no in ["", "json", "application/jsonl", "application/x-ndjson", "text/plain;a=/json"] {
            assert!(!is_json(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn headers_come_back() {
        let mut bytes = Vec::new();
        put(&mut bytes, "content-type", b"text/plain");
        put(&mut bytes, "correlation-id", b"");
        assert_eq!(get(&bytes, "content-type"), Some(&b"text/plain"[..]));
        assert_eq!(iter(&bytes).count(), 2);
        assert_eq!(get(&bytes, "absent"), None);
        for cut in 0..bytes.len() {
            assert!(iter(&bytes[..cut]).count() < 2, "cut at {cut}");
        }
    }
}
