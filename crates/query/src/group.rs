//! Which group a question means: the texts under which rows may have it.

use event::measure::write_number;
use event::{Field, FieldPath, Stream};
use serde_json::{Map, Value};

use crate::error::QueryError;

/// Bytes of a group in a question.
const KEY_BYTES_MAX: usize = 4 << 10;

/// A group as it was asked for: fields in their order.
pub(crate) struct Group(Vec<Member>);

struct Member {
    name: String,
    value: Value,
    /// A number or a truth value as text.
    text: Option<String>,
}

impl Group {
    /// Reads `{"type":"login"}`, or `type=login` with commas between pairs.
    pub(crate) fn parse(text: &str) -> Result<Self, QueryError> {
        let refuse = || {
            let expected = format!("a JSON object or `field=value` pairs, at most {KEY_BYTES_MAX} bytes");
            QueryError::parameter("key", text, expected)
        };
        if text.len() > KEY_BYTES_MAX {
            return Err(refuse());
        }
        match serde_json::from_str::<Map<String, Value>>(text) {
            Ok(fields) => Ok(Self(fields.into_iter().map(|(name, value)| Member::new(name, value, None)).collect())),
            Err(_) if text.trim_start().starts_with('{') => Err(refuse()),
            Err(_) => text.split(',').map(pair).collect::<Option<_>>().map(Self).ok_or_else(refuse),
        }
    }

    /// The texts that rows may have it under, each once: as it was asked for, and as the events of these streams have it,
    /// whose own key and type are text, whatever they were in the JSON.
    pub(crate) fn texts<'s>(&self, streams: impl Iterator<Item = &'s Stream>) -> Vec<String> {
        let mut texts = vec![self.text(|_| false)];
        for stream in streams {
            let own = [stream.key.as_ref(), stream.kind.as_ref()];
            let text = self.text(|name| own.into_iter().flatten().any(|field| names(name, field)));
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts
    }

    fn text(&self, is_text: impl Fn(&str) -> bool) -> String {
        let mut out = String::from("{");
        for member in &self.0 {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&Value::from(member.name.as_str()).to_string());
            out.push(':');
            match &member.text {
                Some(text) if is_text(&member.name) => out.push_str(&Value::from(text.as_str()).to_string()),
                _ => write_value(&member.value, &mut out),
            }
        }
        out.push('}');
        out
    }
}

impl Member {
    fn new(name: String, value: Value, written: Option<&str>) -> Self {
        let scalar = value.is_number() || value.is_boolean();
        let text = scalar.then(|| written.map_or_else(|| value.to_string(), str::to_owned));
        Self { name, value, text }
    }
}

/// Rows name a nested field with dots, however the definition names it.
fn names(name: &str, field: &Field) -> bool {
    FieldPath::parse(name).is_some_and(|path| path == field.path) || field.path.steps().join(".") == name
}

/// Equal numbers have one form in rows: 1.0 that of 1.
fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or_default();
            if number.fract() == 0.0 && (-9.3e18..1.8e19).contains(&number) {
                out.push_str(&(number as i128).to_string());
            } else {
                write_number(number, out);
            }
        }
        value => out.push_str(&value.to_string()),
    }
}

/// `field=value`: a number, `true`, `false` and `null` are themselves, the rest is text. Text that looks like a number
/// needs the JSON form, unless it is the stream's own key or type.
fn pair(text: &str) -> Option<Member> {
    let (field, value) = text.split_once('=').filter(|(field, _)| !field.is_empty())?;
    let plain = serde_json::from_str(value).ok().filter(|value: &Value| !value.is_object() && !value.is_array());
    let plain = plain.filter(|value| !value.is_string()).unwrap_or_else(|| value.into());
    Some(Member::new(field.to_owned(), plain, Some(value.trim())))
}

#[cfg(test)]
mod tests {
    use event::Retention;

    use super::*;

    fn stream(key: &str, kind: &str) -> Stream {
        let field = |path: &str| Some(Field { path: FieldPath::parse(path).unwrap(), required: true });
        Stream {
            name: "s".to_owned(),
            partitions: 1,
            key: field(key),
            time: None,
            id: None,
            kind: field(kind),
            require: Vec::new(),
            dedup: None,
            retention: Retention { age_ms: None, size_bytes: None },
        }
    }

    fn texts(text: &str, streams: &[Stream]) -> Vec<String> {
        Group::parse(text).map(|group| group.texts(streams.iter())).unwrap_or_default()
    }

    #[test]
    fn a_group_is_named_as_json_or_as_pairs() {
        for (text, expected) in [
            ("type=login", r#"{"type":"login"}"#),
            ("user_id=7,ok=true", r#"{"user_id":7,"ok":true}"#),
            ("b=2,a=", r#"{"b":2,"a":""}"#),
            (r#"{ "b": "7",  "a": 1.50 }"#, r#"{"b":"7","a":1.5}"#),
            ("{}", "{}"),
        ] {
            assert_eq!(texts(text, &[]), [expected], "{text}");
        }
        for bad in ["", "login", "=x", "{", "a=1,", "[1]"] {
            assert!(Group::parse(bad).is_err(), "{bad}");
        }
        assert!(Group::parse(&format!("a={}", "x".repeat(KEY_BYTES_MAX))).is_err());
    }

    #[test]
    fn equal_numbers_are_written_as_rows_have_them() {
        for (number, expected) in [
            ("1.0", "1"),
            ("-0.0", "0"),
            ("1e2", "100"),
            ("1.5", "1.5"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551615", "18446744073709551615"),
            ("1e300", "1e300"),
            ("null", "null"),
        ] {
            assert_eq!(texts(&format!("f={number}"), &[]), [format!("{{\"f\":{expected}}}")], "{number}");
            assert_eq!(texts(&format!("{{\"f\":{number}}}"), &[]), [format!("{{\"f\":{expected}}}")], "{number}");
        }
    }

    #[test]
    fn a_stream_has_its_own_key_and_type_as_text() {
        let streams = [stream("user_id", "type"), stream("user_id", "type"), stream("payload.user", "code")];
        for (text, expected) in [
            ("user_id=7", vec![r#"{"user_id":7}"#, r#"{"user_id":"7"}"#]),
            (r#"{"user_id": 7}"#, vec![r#"{"user_id":7}"#, r#"{"user_id":"7"}"#]),
            (r#"{"user_id": "7"}"#, vec![r#"{"user_id":"7"}"#]),
            ("status=200,user_id=7", vec![r#"{"status":200,"user_id":7}"#, r#"{"status":200,"user_id":"7"}"#]),
            ("payload.user=1.50", vec![r#"{"payload.user":1.5}"#, r#"{"payload.user":"1.50"}"#]),
            (
                "user_id=7,code=8",
                vec![r#"{"user_id":7,"code":8}"#, r#"{"user_id":"7","code":8}"#, r#"{"user_id":7,"code":"8"}"#],
            ),
            ("type=true", vec![r#"{"type":true}"#, r#"{"type":"true"}"#]),
            ("user_id=null", vec![r#"{"user_id":null}"#]),
        ] {
            assert_eq!(texts(text, &streams), expected, "{text}");
        }
    }
}
