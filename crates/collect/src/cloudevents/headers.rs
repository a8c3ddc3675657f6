//! Attributes as HTTP headers: one round of unquoting and of percent-decoding, as the HTTP binding says (3.1.3.2).

use std::borrow::Cow;

/// What every attribute's header begins with.
pub(crate) const PREFIX: &str = "ce-";

/// The text of a header's value; `None` when it is not UTF-8.
pub(super) fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    match decoded(unquoted(value)) {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// Older senders quote values with spaces in them (RFC 7230, 3.2.6).
fn unquoted(value: &[u8]) -> Cow<'_, [u8]> {
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let Some(inner) = inner else { return Cow::Borrowed(value) };
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        out.push(if byte == b'\\' { *bytes.next().unwrap_or(&byte) } else { byte });
    }
    Cow::Owned(out)
}

/// A percent sign without two digits behind it stays: senders that do not encode mean it as it stands.
fn decoded(value: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if !value.contains(&b'%') {
        return value;
    }
    let mut out = Vec::with_capacity(value.len());
    let mut rest = &value[..];
    while let Some((&byte, behind)) = rest.split_first() {
        let coded = if byte == b'%' { behind.first_chunk::<2>().and_then(octet) } else { None };
        out.push(coded.unwrap_or(byte));
        rest = if coded.is_some() { &behind[2..] } else { behind };
    }
    Cow::Owned(out)
}

fn octet(digits: &[u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    Some((high? << 4 | low?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_as_the_binding_says() {
        let table: [(&[u8], Option<&str>); 16] = [
            (b"plain", Some("plain")),
            (b"Euro%20%E2%82%AC%20%F0%9F%98%80", Some("Euro \u{20ac} \u{1f600}")),
            (b"%e2%82%ac", Some("\u{20ac}")),
            (b"unnecess%61rily", Some("unnecessarily")),
            (b"%2525", Some("%25")),
            (b"100%", Some("100%")),
            (b"100%zz%2", Some("100%zz%2")),
            (b"\"two words\"", Some("two words")),
            (br#""say \"hi\" \\ %20""#, Some("say \"hi\" \\  ")),
            (br#"""#, Some("\"")),
            (br#""""#, Some("")),
            (br#"a "b" c"#, Some("a \"b\" c")),
            (b"", Some("")),
            // An overlong encoding of a space, half a character, and raw Latin-1.
            (b"%C0%A0", None),
            (b"%E2%82", None),
            (b"\xe4", None),
        ];
        for (value, expected) in table {
            assert_eq!(text(value).as_deref(), expected, "{}", String::from_utf8_lossy(value));
        }
    }
}
