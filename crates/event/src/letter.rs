//! Dead letters: events that could not be taken, with their bytes, the reason, and what became of them.

use crate::Millis;

/// Where an event was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// At a door, before it was in its stream.
    Collect,
    /// By a rule or a step.
    Process,
    /// By the store.
    Store,
}

impl Stage {
    /// All, in the order of the way.
    pub const ALL: [Self; 3] = [Self::Collect, Self::Process, Self::Store];

    /// Its name in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Process => "process",
            Self::Store => "store",
        }
    }

    /// The stage of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }
}

/// Whether trying again as it is can help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Classification {
    /// It will fail again until somebody edits it.
    #[default]
    Permanent,
    /// It may succeed: it is tried again by itself, see [`DeadLetter::retry_at`]. What is not known counts as this.
    Temporary,
}

impl Classification {
    /// Its name in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Temporary => "temporary",
        }
    }

    /// The classification of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Permanent, Self::Temporary].into_iter().find(|class| class.as_str() == name)
    }
}

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LetterStatus {
    /// It waits for a person, or for its next try.
    #[default]
    Open,
    /// It was appended to its stream again; how that ends is not known yet.
    Replaying,
    /// Its replay was stored.
    Resolved,
    /// Somebody gave it up.
    Discarded,
    /// More than [`crate::limits::LETTER_REPLAYS_MAX`] replays of it failed: it is never replayed again.
    Quarantined,
}

impl LetterStatus {
    /// All.
    pub const ALL: [Self; 5] = [Self::Open, Self::Replaying, Self::Resolved, Self::Discarded, Self::Quarantined];

    /// Its name in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replaying => "replaying",
            Self::Resolved => "resolved",
            Self::Discarded => "discarded",
            Self::Quarantined => "quarantined",
        }
    }

    /// The status of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// An event that could not be taken, with its bytes and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Whose it is; empty for the default tenant.
    pub tenant: String,
    /// A UUID, as told to the sender; `<stream>-<partition>-<offset>` for one that processing or the store refused.
    pub id: String,
    /// The stream it was meant for.
    pub stream: String,
    /// The partition of the log record that holds it: of the internal stream for [`Stage::Collect`], else of its own.
    pub partition: u32,
    /// The offset of that record.
    pub offset: u64,
    /// Where it was refused.
    pub stage: Stage,
    /// Why, as a [`crate::RefusalCode`] or another stable word.
    pub code: String,
    /// The field at fault, as a JSON pointer; empty when it is the whole event.
    pub pointer: String,
    /// Why, for people.
    pub message: String,
    /// The sender's bytes.
    pub data: Vec<u8>,
    /// What is replayed instead of `data`, when somebody edited it.
    pub edited: Option<Vec<u8>>,
    /// The record's key, as text; empty when it is not known.
    pub key: String,
    /// The record's headers, see [`crate::headers`]; without those that only tell of the refusal.
    pub headers: Vec<u8>,
    /// The request it came with.
    pub request_id: String,
    /// What ties it to other things: the header `correlation-id`, else the request's id.
    pub correlation_id: String,
    /// When it was received.
    pub received_at: Millis,
    /// When it failed for the first time.
    pub first_failed_at: Millis,
    /// When it failed for the last time.
    pub last_failed_at: Millis,
    /// How often it failed: 1 for a new one.
    pub attempts: u32,
    /// Whether trying again as it is can help.
    pub classification: Classification,
    /// What became of it.
    pub status: LetterStatus,
    /// When it is tried again by itself; `None` when it is not.
    pub retry_at: Option<Millis>,
}

/// Something that happened to a dead letter, by tenant and id. One that is not there is passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterChange {
    /// Whose it is; empty for the default tenant.
    pub tenant: String,
    /// Its id.
    pub id: String,
    /// What happened.
    pub event: LetterEvent,
}

/// What can happen to a dead letter. Quarantine is for good: of a quarantined letter only [`LetterEvent::Discarded`] is
/// taken, of a resolved one none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterEvent {
    /// Other bytes are replayed from now on; `None` goes back to the sender's.
    Edited(Option<Vec<u8>>),
    /// It was appended to its stream again.
    Replaying,
    /// Its replay was stored.
    Resolved,
    /// Somebody gave it up.
    Discarded,
    /// A replay failed: it counts, and the one after [`crate::limits::LETTER_REPLAYS_MAX`] quarantines it (attempts above
    /// that plus one). What the reason is now replaces what it was.
    Failed {
        /// Where.
        stage: Stage,
        /// Why, as a stable word.
        code: String,
        /// The field at fault.
        pointer: String,
        /// Why, for people.
        message: String,
        /// When.
        at: Millis,
        /// When it is tried again by itself.
        retry_at: Option<Millis>,
    },
}
