//! The two shapes of a body: a bare array of events, or an object that has the array and says something about it.

use bytes::Bytes;
use uuid::Uuid;

use super::field::plain;
use crate::IntakeError;
use crate::scan::{Fields, Flaw, Kind, Scanner, skip_space};
use crate::sift::{Envelope, Sifted, Sifter, Work, malformed};

/// A body taken apart.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) sifted: Sifted,
    /// The batch's id, when its sender gave one.
    pub(super) batch_id: Option<Uuid>,
    /// Whether it came with metadata of its own.
    pub(super) has_metadata: bool,
    /// Whether its sender says of all that is good in it that it is of low priority.
    pub(super) only_low: bool,
}

/// What an object says besides its events.
#[derive(Default)]
struct About {
    batch_id: Option<Uuid>,
    has_metadata: bool,
}

/// Judges every event of a body of either shape.
pub(super) fn sift(sifter: &Sifter, body: &Bytes, envelope: Envelope<'_>) -> Result<Collected, IntakeError> {
    let mut work = sifter.work(body, envelope);
    let first = skip_space(body, 0);
    let mut about = About::default();
    match body.get(first) {
        None => return Err(IntakeError::EmptyBody),
        Some(b'[') => work.array(body, first)?,
        Some(b'{') => about = object(&mut work, body, first)?,
        Some(_) => return Err(malformed(body, Flaw::new(first, "an array of events or an object with `events`"))),
    }
    let low = work.low;
    let sifted = work.done();
    let only_low = low > 0 && low == sifted.batch.drafts.len();
    Ok(Collected { sifted, batch_id: about.batch_id, has_metadata: about.has_metadata, only_low })
}

/// Walks over the members once, and over the events where they stand: a large batch is not scanned twice.
fn object(work: &mut Work<'_>, body: &[u8], start: usize) -> Result<About, IntakeError> {
    const NAMES: [&str; 4] = ["events", "batch_id", "metadata", "compress"];
    let broken = |flaw| malformed(body, flaw);
    let (fields, mut about, mut seen) = (Fields::new(), About::default(), [false; NAMES.len()]);
    let mut scanner = Scanner::new(&fields);
    let mut at = skip_space(body, start + 1);
    let mut ended = body.get(at) == Some(&b'}');
    while !ended {
        if body.get(at) != Some(&b'"') {
            return Err(broken(Flaw::new(at, "a member name in double quotes")));
        }
        let name_end = scanner.value(body, at).map_err(broken)?.end;
        let name = plain(scanner.found(Fields::ROOT), body);
        let known = NAMES.iter().position(|known| known.as_bytes() == &*name);
        at = skip_space(body, name_end);
        if body.get(at) != Some(&b':') {
            return Err(broken(Flaw::new(at, "`:`")));
        }
        at = skip_space(body, at + 1);
        if let Some(i) = known
            && std::mem::replace(&mut seen[i], true)
        {
            return Err(IntakeError::Shape(format!("/{}: expected once, found twice", NAMES[i])));
        }
        at = match known {
            Some(0) if body.get(at) == Some(&b'[') => work.elements(body, at)?,
            known => {
                let end = scanner.value(body, at).map_err(broken)?.end;
                member(known.map(|i| NAMES[i]), &scanner, body, &mut about)?;
                end
            }
        };
        at = skip_space(body, at);
        match body.get(at) {
            Some(b',') => at = skip_space(body, at + 1),
            Some(b'}') => ended = true,
            _ => return Err(broken(Flaw::new(at, "`,` or `}`"))),
        }
    }
    let rest = skip_space(body, at + 1);
    if rest < body.len() {
        return Err(broken(Flaw::new(rest, "the end of the body")));
    }
    if !seen[0] {
        let message = "expected an array of events, or an object with the array `events`; this object has none";
        return Err(IntakeError::Shape(message.to_owned()));
    }
    work.any()?;
    Ok(about)
}

/// Checks a member that is not the array of events; the scanner has just been over its value.
fn member(name: Option<&str>, scanner: &Scanner<'_>, body: &[u8], about: &mut About) -> Result<(), IntakeError> {
    let Some(name) = name else { return Ok(()) };
    let found = scanner.found(Fields::ROOT);
    let expected = match (name, found.kind) {
        ("batch_id" | "metadata" | "compress", Kind::Null) | ("compress", Kind::Boolean) => return Ok(()),
        ("metadata", Kind::Object) => {
            about.has_metadata = true;
            return Ok(());
        }
        ("batch_id", Kind::String) => {
            about.batch_id = Uuid::try_parse_ascii(&plain(found, body)).ok();
            if about.batch_id.is_some() {
                return Ok(());
            }
            "a UUID"
        }
        ("batch_id", _) => "a UUID (string)",
        ("metadata", _) => "an object",
        ("compress", _) => "true or false",
        _ => "an array of events",
    };
    Err(IntakeError::Shape(format!("/{name}: expected {expected}, found {}", found.kind.as_str())))
}
