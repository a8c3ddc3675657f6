//! The measures of a window as they are kept: as bytes, exactly, and as JSON for people.

use event::measure::Measure;

use crate::StoreError;

/// Writes measures with their names: for each, the name's length (2 bytes, little endian), the name, the measure.
pub(crate) fn encode(names: &[String], measures: &[Measure], out: &mut Vec<u8>) {
    for (name, measure) in names.iter().zip(measures) {
        // A name is a word of the configuration; `take` would not find the measure behind a longer one.
        let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(name);
        measure.encode(out);
    }
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(mut bytes: &[u8]) -> Result<Vec<(String, Measure)>, StoreError> {
    let mut measures = Vec::new();
    while !bytes.is_empty() {
        let measure = take(&mut bytes).ok_or_else(|| {
            StoreError::Unavailable("the file is damaged: a window's measures are unreadable".to_owned())
        })?;
        measures.push(measure);
    }
    Ok(measures)
}

fn take(bytes: &mut &[u8]) -> Option<(String, Measure)> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (name, mut rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    let measure = Measure::decode(&mut rest)?;
    *bytes = rest;
    Some((String::from_utf8_lossy(name).into_owned(), measure))
}

/// Writes measures as a JSON object.
pub(crate) fn write_json(names: &[String], measures: &[Measure], out: &mut String) {
    out.push('{');
    for (n, (name, measure)) in names.iter().zip(measures).enumerate() {
        if n > 0 {
            out.push(',');
        }
        quote(name, out);
        out.push(':');
        measure.write_json(out);
    }
    out.push('}');
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..='\x1f' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> (Vec<String>, Vec<Measure>) {
        let measures = (1..).map(Measure::Count).take(names.len()).collect();
        (names.iter().map(|name| (*name).to_owned()).collect(), measures)
    }

    #[test]
    fn measures_come_back_with_their_names() {
        let (names, measures) = named(&["count", "", "größe"]);
        let mut bytes = Vec::new();
        encode(&names, &measures, &mut bytes);
        let expected: Vec<_> = names.into_iter().zip(measures).collect();
        assert_eq!(decode(&bytes).unwrap(), expected);
        for cut in 1..bytes.len() {
            let whole = expected.iter().take(2).scan(0, |at, (name, measure)| {
                let mut bytes = Vec::new();
                measure.encode(&mut bytes);
                *at += 2 + name.len() + bytes.len();
                Some(*at)
            });
            let between = whole.collect::<Vec<_>>().contains(&cut);
            assert_eq!(matches!(decode(&bytes[..cut]), Err(StoreError::Unavailable(_))), !between, "cut at {cut}");
        }
    }

    #[test]
    fn names_are_quoted_as_json() {
        let (names, measures) = named(&["a", "b\"\\\n\u{1}é"]);
        let mut json = String::new();
        write_json(&names, &measures, &mut json);
        assert_eq!(json, r#"{"a":1,"b\"\\\u000a\u0001é":2}"#);
    }
}
