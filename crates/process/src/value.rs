//! Values of expressions: what JSON has, numbers compared by value, and «no value».

use std::borrow::Cow;
use std::cmp::Ordering;

/// A value while an expression is computed; borrows from the record and from the program.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// No value: the field is not there, or the operation has no result (a text times a number, a division by zero,
    /// an overflow). CEL stops with an error here; we go on, see [`crate::expr`].
    Missing,
    Null,
    Bool(bool),
    /// CEL's int and uint in one: always within `i64::MIN..=u64::MAX`.
    Int(i128),
    Double(f64),
    Str(Cow<'a, str>),
    /// The record's own key or type, read from its span: text that may have been a number in the JSON, so it compares
    /// with both.
    Text(&'a str),
    /// An array or object, as JSON.
    Json(Cow<'a, str>),
}

impl<'a> Value<'a> {
    /// Reads one JSON value.
    pub(crate) fn parse(json: &'a [u8]) -> Self {
        if let Some(int) = short_int(json) {
            return Self::Int(int.into());
        }
        let Ok(json) = std::str::from_utf8(json) else {
            return Self::Missing;
        };
        match json.as_bytes().first() {
            Some(b'"') => Self::parse_string(json),
            Some(b'[' | b'{') => Self::Json(Cow::Borrowed(json)),
            _ => match json {
                "true" => Self::Bool(true),
                "false" => Self::Bool(false),
                "null" => Self::Null,
                _ => number(json).unwrap_or(Self::Missing),
            },
        }
    }

    fn parse_string(json: &'a str) -> Self {
        let inner = json.strip_prefix('"').and_then(|s| s.strip_suffix('"'));
        match inner {
            Some(plain) if !plain.contains('\\') => Self::Str(Cow::Borrowed(plain)),
            _ => sonic_rs::from_str::<String>(json).map_or(Self::Missing, |s| Self::Str(Cow::Owned(s))),
        }
    }

    /// Whether it is `true`; everything else counts as false.
    pub(crate) fn is_true(&self) -> bool {
        *self == Self::Bool(true)
    }

    /// How the two compare: numbers by value whatever their type, text by code points. `None` when they are not of
    /// one kind (or one is NaN).
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Null, Self::Null) => Some(Ordering::Equal),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Json(a), Self::Json(b)) => (a == b).then_some(Ordering::Equal),
            _ => match (self.as_text(), other.as_text()) {
                (Some(a), Some(b)) => Some(a.cmp(b)),
                _ => compare_numbers(&self.as_number()?, &other.as_number()?),
            },
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Str(s) => Some(s),
            Self::Text(s) => Some(s),
            _ => None,
        }
    }

    /// The number that it is, or that the record's own text stands for.
    pub(crate) fn as_number(&self) -> Option<Value<'static>> {
        match self {
            Self::Int(i) => Some(Value::Int(*i)),
            Self::Double(d) => Some(Value::Double(*d)),
            Self::Text(text) => number(text),
            _ => None,
        }
    }

    /// The same as a double, when it is finite.
    pub(crate) fn as_double(&self) -> Option<f64> {
        let double = match self.as_number()? {
            Value::Int(i) => i as f64,
            Value::Double(d) => d,
            _ => return None,
        };
        double.is_finite().then_some(double)
    }

    /// `size()`: code points of a text, elements of an array, members of an object.
    pub(crate) fn size(&self) -> Value<'static> {
        let len = match self {
            Self::Str(s) => s.chars().count(),
            Self::Text(s) => s.chars().count(),
            Self::Json(json) if json.starts_with('[') => sonic_rs::to_array_iter(&**json).count(),
            Self::Json(json) => sonic_rs::to_object_iter(&**json).count(),
            _ => return Value::Missing,
        };
        Value::Int(len as i128)
    }

    /// Writes it for people: text as it is, «no value» as `?`.
    pub(crate) fn write_text(&self, out: &mut String) {
        use std::fmt::Write;
        // Writing to a String cannot fail.
        let _ = match self {
            Self::Missing => write!(out, "?"),
            Self::Null => write!(out, "null"),
            Self::Bool(b) => write!(out, "{b}"),
            Self::Int(i) => write!(out, "{i}"),
            Self::Double(d) => write!(out, "{d}"),
            Self::Str(s) | Self::Json(s) => write!(out, "{s}"),
            Self::Text(s) => write!(out, "{s}"),
        };
    }

    /// Writes it as JSON; «no value» and numbers that JSON does not have become `null`.
    pub(crate) fn write_json(&self, out: &mut String) {
        match self {
            Self::Missing => out.push_str("null"),
            Self::Double(d) if !d.is_finite() => out.push_str("null"),
            Self::Str(s) => write_json_text(s, out),
            Self::Text(s) => write_json_text(s, out),
            plain => plain.write_text(out),
        }
    }
}

/// Writes a text as a JSON string.
pub(crate) fn write_json_text(text: &str, out: &mut String) {
    if text.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        out.push_str(&serde_json::Value::from(text).to_string());
        return;
    }
    out.push('"');
    out.push_str(text);
    out.push('"');
}

/// An integer of up to 18 digits, as most numbers of events are.
#[inline]
fn short_int(json: &[u8]) -> Option<i64> {
    let (digits, negative) = match json {
        [b'-', digits @ ..] => (digits, true),
        digits => (digits, false),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut int = 0_i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        int = int * 10 + i64::from(digit - b'0');
    }
    Some(if negative { -int } else { int })
}

/// A number as JSON or CEL writes it: an integer when it has neither fraction nor exponent and fits.
fn number(text: &str) -> Option<Value<'static>> {
    if !text.bytes().next_back()?.is_ascii_digit() {
        return None; // «inf» and «nan» would parse below
    }
    let whole = text.strip_prefix('-').unwrap_or(text);
    if whole.len() <= 20 && whole.bytes().all(|byte| byte.is_ascii_digit()) {
        let int = text.parse::<i64>().map(i128::from);
        if let Ok(int) = int.or_else(|_| text.parse::<u64>().map(i128::from)) {
            return Some(Value::Int(int));
        }
    }
    text.parse::<f64>().ok().map(Value::Double)
}

fn compare_numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Double(b)) => int_with_double(*a, *b),
        (Value::Double(a), Value::Int(b)) => int_with_double(*b, *a).map(Ordering::reverse),
        _ => None,
    }
}

/// Exact: turning the integer into a double would make 2⁵³ + 1 equal to 2⁵³.
fn int_with_double(int: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    let whole = double.trunc(); // the cast saturates, far outside of what an Int can be
    Some(int.cmp(&(whole as i128)).then(0.0_f64.total_cmp(&(double - whole + 0.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value_across_types() {
        let check = |a: &str, b: &str, expected: Option<Ordering>| {
            assert_eq!(Value::parse(a.as_bytes()).compare(&Value::parse(b.as_bytes())), expected, "{a} with {b}");
            assert_eq!(
                Value::parse(b.as_bytes()).compare(&Value::parse(a.as_bytes())),
                expected.map(Ordering::reverse),
                "{b} with {a}"
            );
        };
        check("1", "1.0", Some(Ordering::Equal));
        check("1000", "1000.01", Some(Ordering::Less));
        check("-1", "-1.5", Some(Ordering::Greater));
        check("0", "-0.0", Some(Ordering::Equal));
        check("9007199254740993", "9007199254740992.0", Some(Ordering::Greater));
        check("18446744073709551615", "-1", Some(Ordering::Greater));
        check("18446744073709551615", "1e300", Some(Ordering::Less));
        check("-5", "-1e300", Some(Ordering::Greater));
        check("1", "\"1\"", None);
        check("true", "1", None);
        check("null", "null", Some(Ordering::Equal));
        check("\"a\"", "\"b\"", Some(Ordering::Less));
        check(r#""\u00e9""#, "\"é\"", Some(Ordering::Equal));
    }

    #[test]
    fn the_records_own_text_compares_with_text_and_number() {
        assert_eq!(Value::Text("7").compare(&Value::Int(7)), Some(Ordering::Equal));
        assert_eq!(Value::Text("7").compare(&Value::Str("7".into())), Some(Ordering::Equal));
        assert_eq!(Value::Text("login").compare(&Value::Int(7)), None);
        assert_eq!(Value::Text("inf").compare(&Value::Int(7)), None);
    }

    #[test]
    fn sizes_and_texts_are_as_expected() {
        let check = |json: &str, size: Value<'_>, text: &str| {
            let value = Value::parse(json.as_bytes());
            let mut out = String::new();
            value.write_text(&mut out);
            assert_eq!((value.size(), out.as_str()), (size, text), "{json}");
        };
        check("\"né\"", Value::Int(2), "né");
        check("[1,[2,3],{}]", Value::Int(3), "[1,[2,3],{}]");
        check("{\"a\":1,\"b\":[]}", Value::Int(2), "{\"a\":1,\"b\":[]}");
        check("[]", Value::Int(0), "[]");
        check("12.50", Value::Missing, "12.5");
        check("garbage", Value::Missing, "?");
        check("tru", Value::Missing, "?");
    }
}
