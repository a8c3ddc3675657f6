//! The collector's event: which fields it has, what each may hold, and the words that mean the same. What is in the
//! stream's own form (key, id, time, type) has been judged there before.

use std::borrow::Cow;

use event::{Batch, Draft, FieldPath, Millis, RefusalCode, Stream};

use super::field::{Field, plain};
use crate::scan::{Kind, Node, Scanner, excerpt};
use crate::verdict::{Form, Refusal, Setting};

pub(super) const ID_CHARS_MAX: usize = 128;
const TEXT_CHARS_MAX: usize = event::limits::EVENT_BYTES_MAX;

/// What a collector may ask for beyond its defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectorSettings {
    /// Whether `learner_id`, `tenant_id`, `session_id` and `game_id` must be UUIDs; by default they are any text of 1 to
    /// 128 characters. `event_id` always must.
    pub strict_uuids: bool,
    /// How old a timestamp may be, in milliseconds; `None` takes any age.
    pub time_window_ms: Option<Millis>,
}

/// What a field may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Want {
    Uuid,
    /// A UUID or any short text, as the settings say.
    Id,
    /// A string of 1 to so many characters.
    Text(usize),
    /// One of these, as it is sent and as it is meant.
    Word(&'static [(&'static str, &'static str)]),
    Time,
    Object,
    /// An object whose values are numbers.
    Numbers,
    Number {
        min: f64,
        max: f64,
    },
    Integer {
        min: f64,
    },
}

/// Whether a field has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    /// Always.
    Required,
    /// It has a default; null is not it.
    Defaulted,
    /// Absent and null are the same.
    Optional,
}

const fn same(word: &'static str) -> (&'static str, &'static str) {
    (word, word)
}

/// Both vocabularies: the five of the interface and the ten of its first implementation.
const EVENT_TYPES: [(&str, &str); 14] = [
    same("interaction"),
    same("progress"),
    same("assessment"),
    same("error"),
    same("system"),
    same("game_started"),
    same("game_completed"),
    same("game_paused"),
    same("game_resumed"),
    same("session_start"),
    same("session_end"),
    same("achievement_unlocked"),
    ("progress_update", "progress"),
    ("error_occurred", "error"),
];
const LOW: &str = "low";
const PRIORITIES: [(&str, &str); 5] = [same(LOW), same("medium"), same("high"), same("critical"), ("normal", "medium")];

const FIELDS: [(&str, There, Want); 20] = [
    ("event_id", There::Required, Want::Uuid),
    ("learner_id", There::Required, Want::Id),
    ("tenant_id", There::Required, Want::Id),
    ("event_type", There::Required, Want::Word(&EVENT_TYPES)),
    ("priority", There::Defaulted, Want::Word(&PRIORITIES)),
    ("timestamp", There::Required, Want::Time),
    ("source_service", There::Required, Want::Text(100)),
    ("event_data", There::Defaulted, Want::Object),
    ("metadata", There::Defaulted, Want::Object),
    ("session_id", There::Optional, Want::Id),
    ("game_id", There::Optional, Want::Id),
    // Of some types only, and checked when they are there.
    ("interaction_type", There::Optional, Want::Text(TEXT_CHARS_MAX)),
    ("element_id", There::Optional, Want::Text(TEXT_CHARS_MAX)),
    ("coordinates", There::Optional, Want::Numbers),
    ("completion_percentage", There::Optional, Want::Number { min: 0.0, max: 100.0 }),
    ("score", There::Optional, Want::Number { min: 0.0, max: f64::INFINITY }),
    ("level", There::Optional, Want::Integer { min: 1.0 }),
    ("error_code", There::Optional, Want::Text(TEXT_CHARS_MAX)),
    ("error_message", There::Optional, Want::Text(TEXT_CHARS_MAX)),
    ("stack_trace", There::Optional, Want::Text(TEXT_CHARS_MAX)),
];

/// The model, made ready for scanning.
#[derive(Debug)]
pub(crate) struct Model {
    fields: Vec<(Node, There, Want)>,
    pub(super) settings: CollectorSettings,
    priority: Node,
    tenant: Node,
    /// The nodes whose text the stream keeps as id and as type; `None` when it keeps another field.
    id: Option<Node>,
    kind: Option<Node>,
}

impl Model {
    /// Adds the model's fields to those that the stream reads.
    pub(crate) fn new(form: &mut Form, stream: &Stream, settings: CollectorSettings) -> Self {
        let fields = FIELDS.map(|(name, there, want)| (form.fields.member(name), there, want)).to_vec();
        let kept = |field: &Option<event::Field>, name: &str, node| {
            let path = field.as_ref().map(|field| &field.path);
            (path == FieldPath::parse(name).as_ref()).then_some(node)
        };
        let (id, kind) = (form.fields.member("event_id"), form.fields.member("event_type"));
        Self {
            priority: form.fields.member("priority"),
            tenant: form.fields.member("tenant_id"),
            id: kept(&stream.id, "event_id", id),
            kind: kept(&stream.kind, "event_type", kind),
            fields,
            settings,
        }
    }

    /// Checks the event that the scanner has just been over, and says its id and type in the one way that we keep them:
    /// the same id in capitals is the same event.
    pub(crate) fn refine(
        &self,
        mut draft: Draft,
        form: &Form,
        scanner: &Scanner<'_>,
        batch: &mut Batch,
        setting: Setting,
    ) -> Result<Draft, Refusal> {
        for &(node, there, want) in &self.fields {
            let found = scanner.found(node);
            match (found.kind, there) {
                (Kind::Absent, There::Defaulted | There::Optional) | (Kind::Null, There::Optional) => continue,
                (Kind::Absent | Kind::Null, There::Required) => {
                    return Err(form.missing(node, &self.expected(want), found.kind));
                }
                _ => {}
            }
            let field = Field { model: self, form, node, found, want };
            let text = match field.check(&batch.bytes, setting.now)? {
                Some(text) => text,
                None => continue,
            };
            if self.id == Some(node) && text.as_bytes() != batch.slice(draft.id) {
                draft.id = batch.put_side(text.as_bytes());
                draft.id_hash = if draft.id_hash == 0 { 0 } else { setting.hasher.hash(text.as_bytes()) };
            } else if self.kind == Some(node) && text.as_bytes() != batch.slice(draft.kind) {
                draft.kind = batch.put_side(text.as_bytes());
            }
        }
        Ok(draft)
    }

    /// Refuses an event that names another tenant than its sender's; a sender without one may name any.
    pub(crate) fn check_tenant(
        &self,
        tenant: &str,
        form: &Form,
        scanner: &Scanner<'_>,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        if tenant.is_empty() {
            return Ok(());
        }
        let named = plain(scanner.found(self.tenant), bytes);
        if *named == *tenant.as_bytes() {
            return Ok(());
        }
        let message = format!("expected {tenant}, the tenant of the key, found {}", excerpt(&named));
        Err(form.refuse(RefusalCode::WrongTenant, self.tenant, &message))
    }

    /// Whether the event says that it is of low priority.
    pub(crate) fn is_low(&self, scanner: &Scanner<'_>, bytes: &[u8]) -> bool {
        let found = scanner.found(self.priority);
        found.kind == Kind::String && *plain(found, bytes) == *LOW.as_bytes()
    }

    /// What a field may be, in words.
    pub(super) fn expected(&self, want: Want) -> Cow<'static, str> {
        match want {
            Want::Id if !self.settings.strict_uuids => format!("a string of 1 to {ID_CHARS_MAX} characters").into(),
            Want::Uuid | Want::Id => "a UUID (string)".into(),
            Want::Text(TEXT_CHARS_MAX) => "a string that is not empty".into(),
            Want::Text(max) => format!("a string of 1 to {max} characters").into(),
            Want::Word(words) => {
                let words: Vec<&str> = words.iter().map(|(sent, _)| *sent).collect();
                format!("one of {}", words.join(", ")).into()
            }
            Want::Time => "a time as RFC 3339 writes it (string)".into(),
            Want::Object => "an object".into(),
            Want::Numbers => "an object whose values are numbers".into(),
            Want::Number { min, max: f64::INFINITY } => format!("a number of at least {min}").into(),
            Want::Number { min, max } => format!("a number from {min} to {max}").into(),
            Want::Integer { min } => format!("a whole number of at least {min}").into(),
        }
    }
}
