//! Which group: the values of `by` as bytes that are equal exactly when the groups of one tenant are.
//!
//! Layout: for each field a kind and its bytes: 0 no value, 1 false, 2 true, 3 an integer, 4 one above `i64`, 5 another
//! number (8 bytes, little endian), 6 a text, 7 an array or object. Numbers and lengths as in [`crate::wire`]. Equal
//! numbers have one form, 1.0 that of 1.

use event::limits;
use event::measure::write_number;
use xxhash_rust::xxh3::xxh3_64;

use crate::value::{Value, write_json_text};
use crate::wire::{self, Reader};

/// What is left of a text that is longer than a key may be; a hash of the whole follows.
const CUT_BYTES: usize = 200;

/// Adds the value of one field. The record's own key and type are text, whatever they were in the JSON.
pub(super) fn put(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Missing | Value::Null => out.push(0),
        Value::Bool(value) => out.push(1 + u8::from(*value)),
        Value::Int(value) => put_int(*value, out),
        Value::Double(value) if !value.is_finite() => out.push(0),
        Value::Double(value) if value.fract() == 0.0 && (-9.3e18..1.8e19).contains(value) => {
            put_int(*value as i128, out);
        }
        Value::Double(value) => {
            out.push(5);
            wire::put_double(out, *value);
        }
        Value::Str(text) => put_text(6, text, out),
        Value::Text(text) => put_text(6, text, out),
        Value::Json(json) => match serde_json::from_str::<serde_json::Value>(json) {
            Ok(value) => put_text(7, &value.to_string(), out), // without the spaces
            Err(_) => put_text(6, json, out),
        },
    }
}

fn put_int(value: i128, out: &mut Vec<u8>) {
    match (i64::try_from(value), u64::try_from(value)) {
        (Ok(value), _) => {
            out.push(3);
            wire::put_signed(out, value);
        }
        (_, Ok(value)) => {
            out.push(4);
            wire::put(out, value);
        }
        _ => {
            out.push(5);
            wire::put_double(out, value as f64);
        }
    }
}

fn put_text(kind: u8, text: &str, out: &mut Vec<u8>) {
    if text.len() <= limits::KEY_BYTES_MAX {
        out.push(kind);
        wire::put_bytes(out, text.as_bytes());
        return;
    }
    let head = (0..=CUT_BYTES).rev().find_map(|len| text.get(..len)).unwrap_or_default();
    out.push(6);
    wire::put_bytes(out, format!("{head}…{:016x}", xxh3_64(text.as_bytes())).as_bytes());
}

/// The group as a JSON object with these fields in their order, as `{"type":"login"}`.
pub(super) fn key<'n>(identity: &[u8], fields: impl Iterator<Item = &'n str>) -> String {
    let mut values = Reader(identity);
    let mut out = String::with_capacity(2 * identity.len() + 32);
    out.push('{');
    for (i, name) in fields.enumerate() {
        out.push_str(if i == 0 { "" } else { "," });
        write_json_text(name, &mut out);
        out.push(':');
        // They are there unless a snapshot was made by somebody else.
        if write_value(&mut values, &mut out).is_none() {
            out.push_str("null");
        }
    }
    out.push('}');
    out
}

fn write_value(values: &mut Reader<'_>, out: &mut String) -> Option<()> {
    match values.fixed::<1>()?[0] {
        1 => out.push_str("false"),
        2 => out.push_str("true"),
        3 => out.push_str(&values.signed()?.to_string()),
        4 => out.push_str(&values.number()?.to_string()),
        5 => write_number(values.double()?, out),
        6 => write_json_text(&String::from_utf8_lossy(values.bytes()?), out),
        7 => out.push_str(&String::from_utf8_lossy(values.bytes()?)),
        _ => out.push_str("null"),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[Value<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        values.iter().for_each(|value| put(value, &mut out));
        out
    }

    fn told(json: &str) -> String {
        key(&of(&[Value::parse(json.as_bytes())]), ["f"].into_iter())
    }

    #[test]
    fn groups_are_told_as_json() {
        let check = |json: &str, expected: &str| assert_eq!(told(json), format!("{{\"f\":{expected}}}"), "{json}");
        check("\"login\"", "\"login\"");
        check(r#""a\"b\u00e9""#, r#""a\"bé""#);
        check("1", "1");
        check("1.0", "1");
        check("-0.0", "0");
        check("1e2", "100");
        check("1.5", "1.5");
        check("-9223372036854775808", "-9223372036854775808");
        check("18446744073709551615", "18446744073709551615");
        check("1e300", "1e300");
        check("true", "true");
        check("false", "false");
        check("null", "null");
        check("[1, {\"a\": \" \"}]", "[1,{\"a\":\" \"}]");
        check("garbage", "null");
        assert_eq!(key(&of(&[]), [].into_iter()), "{}");
        assert_eq!(key(&of(&[Value::Text("7"), Value::Missing]), ["a.b", "c"].into_iter()), r#"{"a.b":"7","c":null}"#);
    }

    #[test]
    fn equal_groups_have_equal_bytes_and_others_do_not() {
        let parse = |json: &'static str| Value::parse(json.as_bytes());
        for (a, b) in [("1", "1.0"), ("0", "-0.0"), ("100", "1e2"), ("\"é\"", r#""\u00e9""#), ("[1]", "[ 1 ]")] {
            assert_eq!(of(&[parse(a)]), of(&[parse(b)]), "{a} and {b}");
        }
        let texts = |values: &[&'static str]| of(&values.iter().map(|text| Value::Text(text)).collect::<Vec<_>>());
        assert_ne!(texts(&["a", "bc"]), texts(&["ab", "c"]));
        assert_ne!(of(&[parse("1")]), of(&[parse("\"1\"")]));
    }

    #[test]
    fn a_long_text_is_cut_and_told_apart_by_a_hash() {
        let long = "é".repeat(150);
        let (a, b) = (format!("{long}a"), format!("{long}b"));
        let identities = [&a, &b].map(|text| of(&[Value::Text(text)]));
        assert_ne!(identities[0], identities[1]);
        let told = key(&identities[0], ["f"].into_iter());
        assert!(told.starts_with("{\"f\":\"éé") && told.contains("é…") && told.len() < 240, "{told}");
    }

    #[test]
    fn bytes_that_are_none_do_no_harm() {
        for bytes in [&[][..], &[9], &[3], &[3, 0x80], &[5, 0, 0], &[6, 9, 9, 9], &[99, 99]] {
            assert_eq!(key(bytes, ["a", "b"].into_iter()), r#"{"a":null,"b":null}"#, "{bytes:?}");
        }
    }
}
