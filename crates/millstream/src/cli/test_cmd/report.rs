//! What a test prints.

use serde_json::{Map, Value, json};

use super::expected::{Expected, List};
use super::judge::Judgement;
use super::trial::Tried;
use crate::output::table;

/// All that there is to tell.
pub(super) struct Report<'a> {
    pub(super) source: &'a str,
    pub(super) tried: &'a Tried,
    pub(super) judgement: &'a Judgement,
    pub(super) expected: &'a Expected,
}

impl Report<'_> {
    pub(super) fn json(&self) -> Value {
        let Judgement { missing, unexpected } = self.judgement;
        let missing: Vec<Value> = missing
            .iter()
            .map(|(list, wanted)| json!({ "list": list, "line": wanted.line, "expected": wanted.fields }))
            .collect();
        let unexpected: Vec<Value> =
            unexpected.iter().map(|(list, found)| json!({ "list": list, "found": found })).collect();
        let found: Map<String, Value> =
            List::ALL.iter().map(|list| (list.name().to_owned(), json!(self.tried.found.of(*list)))).collect();
        json!({
            "ok": self.judgement.is_as_expected(), "source": self.source, "events": self.tried.events,
            "accepted": self.tried.accepted, "duplicates": self.tried.duplicates, "rejected": self.tried.rejected,
            "missing": missing, "unexpected": unexpected, "found": found,
        })
    }

    pub(super) fn text(&self) -> String {
        let Tried { events, accepted, duplicates, rejected, found } = self.tried;
        let mut text = format!(
            "{}: {events} events (accepted {accepted}, duplicates {duplicates}, refused {rejected}); \
             anomalies {}, windows {}, dead letters {}\n",
            self.source,
            found.anomalies.len(),
            found.windows.len(),
            found.dead_letters.len(),
        );
        let Judgement { missing, unexpected } = self.judgement;
        if !missing.is_empty() {
            let rows: Vec<Vec<String>> = missing
                .iter()
                .map(|(list, wanted)| {
                    vec![
                        wanted.line.map_or_else(String::new, |line| line.to_string()),
                        (*list).to_owned(),
                        line(&wanted.fields),
                    ]
                })
                .collect();
            text += &format!("\nexpected, and not found\n{}", table(&["line", "list", "what"], &rows));
        }
        if !unexpected.is_empty() {
            let rows: Vec<Vec<String>> =
                unexpected.iter().map(|(list, found)| vec![(*list).to_owned(), line(found)]).collect();
            text += &format!("\nfound, and not expected\n{}", table(&["list", "what"], &rows));
        }
        if !self.expected.is_there {
            let rows = List::ALL
                .iter()
                .flat_map(|list| found.of(*list).iter().map(|found| vec![list.name().to_owned(), line(found)]));
            text += &format!("\nfound; nothing is expected\n{}", table(&["list", "what"], &rows.collect::<Vec<_>>()));
        } else if self.judgement.is_as_expected() {
            text += "as expected\n";
        }
        text
    }
}

/// A finding on one line: its fields that say something.
fn line(fields: &Map<String, Value>) -> String {
    let said = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => true,
    };
    let one = |(name, value): (&String, &Value)| match value {
        Value::String(text) if !text.contains(' ') => format!("{name}={text}"),
        value => format!("{name}={value}"),
    };
    fields.iter().filter(|(_, value)| said(value)).map(one).collect::<Vec<_>>().join(" ")
}
