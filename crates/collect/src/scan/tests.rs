//! The scanner against serde_json, and against cases that broke other parsers.

use event::FieldPath;
use proptest::prelude::*;

use super::*;

/// Whether the text is one JSON value with nothing behind it.
fn valid(bytes: &[u8]) -> Result<(), Flaw> {
    let fields = Fields::new();
    let scanned = Scanner::new(&fields).value(bytes, 0)?;
    match skip_space(bytes, scanned.end) {
        end if end == bytes.len() => Ok(()),
        end => Err(Flaw::new(end, "the end")),
    }
}

/// What serde_json says. It refuses numbers that no float holds, which are JSON all the same.
fn serde_valid(bytes: &[u8]) -> Option<bool> {
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(_) => Some(true),
        Err(error) if error.to_string().contains("number out of range") => None,
        Err(error) if error.to_string().contains("recursion limit") => None,
        Err(_) => Some(false),
    }
}

#[track_caller]
fn agree(bytes: &[u8]) {
    let (ours, theirs) = (valid(bytes), serde_valid(bytes));
    if let Some(theirs) = theirs {
        assert_eq!(ours.is_ok(), theirs, "{:?} {ours:?}", String::from_utf8_lossy(bytes));
    }
}

#[rustfmt::skip]
const NASTY: &[&[u8]] = &[
    b"", b" ", b"{}", b"[]", b" [ ] ", b"{ }", b"[1]", b"[1,]", b"[,1]", b"[1 2]", b"{\"a\":1}", b"{\"a\":1,}",
    b"{,}", b"{\"a\"}", b"{\"a\":}", b"{a:1}", b"{'a':1}", b"{\"a\":1 \"b\":2}", b"[}", b"{]", b"[1}", b"{\"a\":1]",
    b"[", b"{", b"]", b"}", b"[[]", b"[]]", b"\"", b"\"a", b"\"a\"", b"\"a\"b", b"null", b"nul", b"nulll", b"Null",
    b"true", b"tru", b"truefalse", b"false", b"NaN", b"Infinity", b"-Infinity", b"undefined", b"0", b"-0", b"00",
    b"01", b"-01", b"-", b"+1", b"1.", b".5", b"1.5", b"1.5.5", b"1e", b"1e5", b"1E+5", b"1e-5", b"1e+", b"1e5.5",
    b"0e0", b"0.0", b"0x10", b"1_000", b"-a", b"123456789012345678901234567890", b"1.0e", b"1 e5", b"[1e1,0E-0]",
    b"\"\\\"\"", b"\"\\\\\"", b"\"\\/\"", b"\"\\b\\f\\n\\r\\t\"", b"\"\\a\"", b"\"\\x41\"", b"\"\\", b"\"\\\"",
    b"\"\\u0041\"", b"\"\\u004\"", b"\"\\u004g\"", b"\"\\u\"", b"\"\\U0041\"", b"\"\\u0000\"", b"\"\\ud83d\\ude00\"",
    b"\"\\ud800\"", b"\"\\udc00\"", b"\"\\ud800\\ud800\"", b"\"\\ud800x\"", b"\"\\ud800\\n\"", b"\"\\uDBFF\\uDFFF\"",
    b"\"\\udc00\\ud800\"", b"\"a\nb\"", b"\"a\tb\"", b"\"a\x00b\"", b"\"\x1f\"", b"\"\x7f\"", b"\"\xc3\xa9\"",
    b"\"\xc3\"", b"\"\xff\"", b"\"\xed\xa0\x80\"", b"\"\xc0\x80\"", b"\"\xf4\x90\x80\x80\"", b"\"\xf0\x9f\x98\x80\"",
    b"\"1234567\xc3\xa9\"", b"\"12345678\xc3\"", b"{\"\xff\":1}", b"\xff", b"\xef\xbb\xbf{}", b"{\"a\":1}\x00",
    b"\x0b1", b"\x0c1", b"\xc2\xa01", b"{\"a\":{\"b\":[1,{\"c\":null}]}}", b"{\"\":\"\"}", b"{\"a\" : 1 , \"b\" :2 }",
    b"/**/1", b"1//", b"[1]\n\r\t ", b"\"7 bytes\"", b"\"8 bytes!\"", b"\"9 bytes!!\"", b"\"1234567\\\"\"",
    b"\"12345678\\\"\"", b"{\"a\":\"b\",\"c\":-1.5e-3}",
];

#[test]
fn nasty_texts_are_judged_as_serde_json_judges_them() {
    NASTY.iter().for_each(|text| agree(text));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn texts_of_json_letters_are_judged_as_serde_json_judges_them(
        text in "[\\[\\]{}\",:0-9eE.+\\- \ntrufalsn\\\\bé\u{1}😀d8]{0,24}",
    ) {
        agree(text.as_bytes());
    }

    #[test]
    fn one_changed_byte_is_judged_as_serde_json_judges_it(value in json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        agree(&bytes);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        agree(&bytes);
        agree(&bytes[..at]);
    }

    #[test]
    fn fields_are_found_where_serde_json_finds_them(value in json()) {
        let paths = ["a", "b", "b.a", "b.b.a", "b.é\"\\"].map(|p| FieldPath::parse(p).unwrap());
        let mut fields = Fields::new();
        let nodes = paths.each_ref().map(|path| fields.add(path));
        for text in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
            let mut scanner = Scanner::new(&fields);
            scanner.value(text.as_bytes(), 0).unwrap();
            for (path, node) in paths.iter().zip(nodes) {
                let found = scanner.found(node);
                let theirs = path.steps().iter().try_fold(&value, |v, step| v.as_object()?.get(step));
                let Some(theirs) = theirs else {
                    prop_assert_eq!(found.kind, Kind::Absent);
                    continue;
                };
                let ours = found.slice(text.as_bytes());
                match theirs {
                    serde_json::Value::String(string) => {
                        let mut plain = Vec::new();
                        unescape(ours, &mut plain);
                        prop_assert_eq!((found.kind, plain), (Kind::String, string.clone().into_bytes()));
                    }
                    serde_json::Value::Object(_) => prop_assert_eq!(found.kind, Kind::Object),
                    serde_json::Value::Array(_) => prop_assert_eq!(found.kind, Kind::Array),
                    other => prop_assert_eq!(String::from_utf8_lossy(ours), other.to_string()),
                }
            }
        }
    }
}

/// JSON whose members often have the names that the tests look for.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let name = "a|b|é\"\\\\|[a-z\"\\\\\u{1}é😀]{0,12}";
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e300..1e300).prop_map(Into::into),
        "[a-z\"\\\\/\n\u{1}é😀]{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        let members = prop::collection::btree_map(name, inner.clone(), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Into::into),
            members.prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

#[test]
fn a_million_nested_arrays_cost_neither_stack_nor_validity() {
    const DEPTH: usize = 1_000_000;
    let closed = ["[".repeat(DEPTH), "]".repeat(DEPTH)].concat();
    assert_eq!(valid(closed.as_bytes()), Ok(()));
    assert_eq!(valid(&closed.as_bytes()[..2 * DEPTH - 1]), Err(Flaw::new(2 * DEPTH - 1, "`,` or `]`")));
    let mixed = ["{\"a\":[".repeat(DEPTH), "]}".repeat(DEPTH)].concat();
    assert_eq!(valid(mixed.as_bytes()), Ok(()));
    let crossed = mixed.replacen("]}", "}]", 1);
    assert_eq!(valid(crossed.as_bytes()), Err(Flaw::new(6 * DEPTH, "a JSON value")));
}

#[test]
fn depth_is_told_exactly() {
    let fields = Fields::new();
    for (depth, too_deep) in [(1, false), (64, false), (65, true), (129, true)] {
        let text = ["[".repeat(depth), "]".repeat(depth)].concat();
        assert_eq!(Scanner::new(&fields).value(text.as_bytes(), 0).unwrap().too_deep, too_deep, "{depth}");
    }
}

#[test]
fn a_field_that_stands_twice_is_told() {
    let mut fields = Fields::new();
    let amount = fields.add(&FieldPath::parse("payload.amount").unwrap());
    for (text, twice) in [
        (r#"{"payload":{"amount":1},"other":1,"other":2}"#, None),
        (r#"{"payload":{"amount":1,"amount":2}}"#, Some("/payload/amount")),
        (r#"{"payload":{"amount":1,"am\u006funt":2}}"#, Some("/payload/amount")),
        (r#"{"payload":{"amount":1,"amount":null}}"#, Some("/payload/amount")),
        (r#"{"payload":{"amount":1},"payload":3}"#, Some("/payload")),
        (r#"{"x":{"payload":1,"amount":2},"payload":[{"amount":1},{"amount":2}],"y":[{"payload":1}]}"#, None),
    ] {
        let mut scanner = Scanner::new(&fields);
        scanner.value(text.as_bytes(), 0).unwrap();
        assert_eq!(scanner.twice().map(|node| fields.pointer(node)), twice, "{text}");
    }
    assert_eq!(fields.pointer(amount), "/payload/amount");
}

#[test]
fn a_place_is_told_in_bytes_lines_and_columns() {
    assert_eq!(place(b"{\n  x", 4), "byte 4 (line 2, column 3)");
    assert_eq!(place(b"", 9), "byte 0 (line 1, column 1)");
    assert_eq!(excerpt(b"short"), "short");
    assert_eq!(excerpt("é".repeat(40).as_bytes()), format!("{}…", "é".repeat(32)));
}
