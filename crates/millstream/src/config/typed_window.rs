//! One definition of windows as it is written, key by key.

use event::Millis;
use process::{WindowKind, WindowSpec};

use super::node::{Node, Value};
use super::section::{Item, Section};

/// How far behind the newest event a watermark is unless the definition says otherwise.
const LATENESS_MS: Millis = 10_000;

const EXAMPLE: &str = "{ name: orders, stream: orders, sizes: [1m, 1h], measures: { count: count() } }";

/// A window's keys, with where they stand: its expressions are only understood when its stream is known.
#[derive(Clone, Debug)]
pub(crate) struct TypedWindow {
    pub(crate) path: String,
    pub(crate) node: Node,
    pub(crate) spec: WindowSpec,
}

impl TypedWindow {
    pub(crate) fn read(item: &Item<'_>) -> Option<Self> {
        let mut section = item.section()?;
        let name = section.must("name", EXAMPLE).and_then(|i| i.name("window"));
        let stream = section.must("stream", EXAMPLE).and_then(|i| i.text());
        let when = section.get("when").map_or(Some(String::new()), |i| i.expression());
        let kind = kind(&mut section);
        let by = section.get("by").map(|i| i.list().iter().filter_map(Item::text).collect());
        let lateness_ms = section.get("lateness").map_or(Some(LATENESS_MS), |i| i.duration());
        let correct = late(&mut section, kind.as_ref());
        let measures = section.must("measures", EXAMPLE).and_then(|i| i.section()).and_then(measures);
        let publish = section.get("publish").map_or(Some(String::new()), |i| i.text());
        section.close();
        let spec = WindowSpec {
            name: name?,
            stream: stream?,
            when: when?,
            kind: kind?,
            by: by.unwrap_or_default(),
            lateness_ms: lateness_ms?,
            correct: correct?,
            measures: measures?,
            publish: publish?,
        };
        Some(Self { path: item.path.clone(), node: item.node.clone(), spec })
    }
}

/// How event time is cut: by `sizes`, by `size` and `every`, or by `session`.
fn kind(window: &mut Section<'_>) -> Option<WindowKind> {
    let (sizes, size, every, session) =
        (window.get("sizes"), window.get("size"), window.get("every"), window.get("session"));
    match (sizes, size, every, session) {
        (Some(sizes), None, None, None) => tumbling(&sizes),
        (None, Some(size), Some(every), None) => {
            let (size_ms, every_ms) = (size.span(), every.span());
            Some(WindowKind::Hopping { size_ms: size_ms?, every_ms: every_ms? })
        }
        (None, None, None, Some(session)) => {
            let mut section = session.section()?;
            let gap = section.must("gap", "session: { gap: 30m }").and_then(|i| i.span());
            section.close();
            Some(WindowKind::Session { gap_ms: gap? })
        }
        (None, Some(size), None, None) => {
            let text = size.node.scalar().unwrap_or_default();
            size.bad("`size` goes with `every`", Some(format!("write `sizes: [{text}]`, or add `every`")));
            None
        }
        _ => {
            let message = "expected one of `sizes`, `size` with `every`, and `session`";
            window.bad(message, Some(format!("as `{EXAMPLE}`")));
            None
        }
    }
}

fn tumbling(item: &Item<'_>) -> Option<WindowKind> {
    let items = item.list();
    let sizes: Vec<Millis> = items.iter().filter_map(Item::span).collect();
    if items.is_empty() && matches!(item.node.value, Value::List(_)) {
        item.bad("expected at least one length", Some("as `sizes: [1m, 1h]`".to_owned()));
    }
    for (i, size) in sizes.iter().enumerate().filter(|_| sizes.len() == items.len()) {
        if sizes[..i].contains(size) {
            items[i].bad("this length is there twice", None);
            return None;
        }
    }
    (!items.is_empty() && sizes.len() == items.len()).then_some(WindowKind::Tumbling(sizes))
}

/// Whether late events correct their window. A session is over when it is over: where a late event belongs is not known.
fn late(window: &mut Section<'_>, kind: Option<&WindowKind>) -> Option<bool> {
    let session = matches!(kind, Some(WindowKind::Session { .. }));
    let Some(item) = window.get("late") else { return Some(!session) };
    let correct = item.choice(&[("correct", true), ("count", false)])?;
    if correct && session {
        item.bad(
            "late events of a session are counted, they cannot correct it",
            Some("write `late: count`".to_owned()),
        );
        return None;
    }
    Some(correct)
}

/// A comma in braces ends a value, for YAML: `{ p95: quantile(x, 0.95) }` comes as two keys, the second one `0.95)` without
/// a value. It is what people write, so it is put together again.
fn measures(section: Section<'_>) -> Option<Vec<(String, String)>> {
    let mut measures: Vec<(String, Option<String>)> = Vec::new();
    for (name, item) in section.all() {
        let open = |text: &String| text.matches('(').count() > text.matches(')').count();
        let before = measures.last_mut().and_then(|(_, text)| text.as_mut());
        match before.filter(|text| item.node.value == Value::Null && open(text)) {
            Some(text) => {
                text.push_str(", ");
                text.push_str(name);
            }
            None => measures.push((name.to_owned(), item.expression())),
        }
    }
    measures.into_iter().map(|(name, text)| Some((name, text?))).collect()
}
