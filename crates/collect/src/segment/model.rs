//! What Segment's protocol knows of its events besides the stream's fields: who somebody is before the login, and which
//! call it was.

use event::{Batch, Draft, RefusalCode, Span, Stream};

use super::STREAM;
use crate::IntakeError;
use crate::scan::{Fields, Node, Scanned, Scanner, place, skip_space};
use crate::scan::{Flaw, Kind};
use crate::sift::Work;
use crate::verdict::{Form, Refusal, Setting, Word};

/// The fields of a Segment event that no stream's configuration can name.
#[derive(Debug)]
pub(crate) struct Model {
    user: Node,
    anonymous: Node,
    kind: Node,
}

impl Model {
    /// The model of the built-in stream; `None` for any other. Adds what is read besides to the stream's form.
    pub(crate) fn of(stream: &Stream, form: &mut Form) -> Option<Self> {
        let mut member = |name| form.fields.member(name);
        (stream.name == STREAM).then(|| Self {
            user: member("userId"),
            anonymous: member("anonymousId"),
            kind: member("type"),
        })
    }

    /// Fills in what the stream's own fields leave open: the key, and the type that the path said.
    pub(crate) fn refine(
        &self,
        mut draft: Draft,
        call: Span,
        form: &Form,
        scanner: &Scanner<'_>,
        batch: &mut Batch,
        setting: Setting,
    ) -> Result<Draft, Refusal> {
        if draft.key.is_empty() {
            draft.key = form.word(Some(Word { node: self.anonymous, required: false }), scanner, batch)?;
            if draft.key.is_empty() {
                let message = "expected userId or anonymousId, found neither";
                return Err(form.refuse(RefusalCode::MissingField, self.user, message));
            }
            draft.partition = form.partition(draft.key, batch, setting);
        }
        if draft.kind.is_empty() {
            draft.kind = call;
        }
        if draft.kind.is_empty() {
            let message = "expected one of track, identify, page, screen, group, alias, found nothing";
            return Err(form.refuse(RefusalCode::MissingField, self.kind, message));
        }
        Ok(draft)
    }
}

/// Takes `{"batch": […], …}`: the events one by one, and nothing of what stands around them.
pub(crate) fn batch(work: &mut Work<'_>, body: &[u8], start: usize) -> Result<(), IntakeError> {
    let mut fields = Fields::new();
    let node = fields.member("batch");
    let mut scanner = Scanner::new(&fields);
    let malformed = |flaw: Flaw| IntakeError::Malformed(format!("{}: {}", place(body, flaw.at), flaw.describe(body)));
    let Scanned { end, .. } = scanner.value(body, start).map_err(malformed)?;
    let rest = skip_space(body, end);
    if rest < body.len() {
        return Err(malformed(Flaw::new(rest, "the end of the body")));
    }
    let found = scanner.found(node);
    if found.kind != Kind::Array || scanner.twice().is_some() {
        let message = format!("/batch: expected an array of events, once, found {}", found.kind.as_str());
        return Err(IntakeError::Malformed(message));
    }
    work.elements(body, found.start as usize)?;
    work.any()
}
