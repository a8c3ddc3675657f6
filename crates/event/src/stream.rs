//! What a stream is: its name, partitions, where its key, time, id and type are found, what it requires and how long it keeps.

use crate::{Millis, limits};

/// A stream's index in the [`Catalog`] of this process. Never written to disk: disks know names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u16);

/// A path into a JSON object, one member name a step: `payload.amount`, or `/payload/amount` as a JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// Reads a dotted path, or a JSON pointer (RFC 6901, with `~0` and `~1`) when the text starts with `/`.
    /// Gives `None` when a step is empty or there are more than [`limits::FIELD_DEPTH_MAX`] steps.
    pub fn parse(text: &str) -> Option<Self> {
        let steps: Vec<String> = match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(|s| s.replace("~1", "/").replace("~0", "~")).collect(),
            None => text.split('.').map(str::to_owned).collect(),
        };
        let sound = steps.len() <= limits::FIELD_DEPTH_MAX && steps.iter().all(|s| !s.is_empty());
        sound.then_some(Self(steps))
    }

    /// The member names, outermost first; at least one.
    pub fn steps(&self) -> &[String] {
        &self.0
    }

    /// The same path inside of a member of this name. It may have one step more than a path that is read.
    #[must_use]
    pub fn within(&self, member: &str) -> Self {
        Self(std::iter::once(member.to_owned()).chain(self.0.iter().cloned()).collect())
    }

    /// The same path as a JSON pointer, as error messages name it: `/payload/amount`.
    pub fn pointer(&self) -> String {
        self.0.iter().flat_map(|s| ["/".to_owned(), s.replace('~', "~0").replace('/', "~1")]).collect()
    }
}

/// A field that a stream reads from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it is.
    pub path: FieldPath,
    /// Whether an event without it is refused. Written as a trailing `?` in configuration when it is not.
    pub required: bool,
}

/// How the event time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// A number of seconds since the epoch (fractions allowed).
    Seconds,
    /// A number of milliseconds since the epoch.
    Millis,
    /// A number of microseconds since the epoch.
    Micros,
    /// Text in RFC 3339, as `2026-11-20T10:00:00.123Z`; without an offset it is read as UTC.
    Rfc3339,
    /// Text is read as RFC 3339, a number as milliseconds.
    Auto,
}

/// Where and how an event says when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeField {
    /// The field.
    pub field: Field,
    /// Its unit.
    pub unit: TimeUnit,
    /// How far in the future of the receiving clock a time may be, in milliseconds.
    pub max_future_ms: Millis,
}

/// The JSON types that a requirement can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKind {
    /// A string.
    String,
    /// A number without fraction or exponent, within the range of `i64`.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// An object.
    Object,
    /// An array.
    Array,
}

/// A top-level or nested field that every event of a stream must have, with its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The field.
    pub path: FieldPath,
    /// The JSON type it must have.
    pub kind: JsonKind,
    /// When not empty: the strings it may be.
    pub one_of: Vec<String>,
}

/// Duplicate suppression of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// How long an id is remembered, in milliseconds of append time.
    pub within_ms: Millis,
    /// How many ids are remembered at the most; the oldest go first.
    pub ids_max: usize,
}

/// How long a stream is kept. Whole segments (log) and whole chunks (store) go, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Older than this by append time may go, in milliseconds; `None` keeps for ever.
    pub age_ms: Option<Millis>,
    /// More than this many bytes of log may go; `None` sets no bound.
    pub size_bytes: Option<u64>,
}

/// One stream, resolved and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its name: `[a-z0-9_][a-z0-9_.-]{0,62}`; a leading `_` marks an internal stream that no door writes by name.
    pub name: String,
    /// How many partitions; fixed at creation.
    pub partitions: u32,
    /// The ordering key. Without one, the events of a request share a partition, chosen in turn.
    pub key: Option<Field>,
    /// The event time. Without one, the time of append counts.
    pub time: Option<TimeField>,
    /// The event id, for duplicate suppression and look-up. An event without it is known by its position.
    pub id: Option<Field>,
    /// The event type.
    pub kind: Option<Field>,
    /// Fields that must be there.
    pub require: Vec<Requirement>,
    /// Duplicate suppression by id; `None` switches it off.
    pub dedup: Option<Dedup>,
    /// How long it is kept.
    pub retention: Retention,
}

/// All streams of this process, internal ones included. A [`StreamId`] is an index into it.
#[derive(Clone, Debug)]
pub struct Catalog {
    streams: Vec<Stream>,
}

/// Why a [`Catalog`] was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogError {
    /// Two streams have this name.
    Twice(String),
    /// A name with other letters, or too long.
    BadName(String),
    /// No partition, or more than [`limits::PARTITIONS_MAX`].
    BadPartitions(String, u32),
    /// More than [`limits::STREAMS_MAX`] streams.
    TooMany(usize),
}

impl std::fmt::Display for CatalogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Twice(name) => write!(f, "stream `{name}` is defined twice"),
            Self::BadName(name) => write!(
                f,
                "stream name `{name}` is not allowed: 1 to 63 of a-z, 0-9, `_`, `-`, `.`, starting with a letter, digit or `_`"
            ),
            Self::BadPartitions(name, n) => {
                write!(f, "stream `{name}` has {n} partitions; expected 1 to {}", limits::PARTITIONS_MAX)
            }
            Self::TooMany(n) => write!(f, "{n} streams; at most {} are supported", limits::STREAMS_MAX),
        }
    }
}

impl std::error::Error for CatalogError {}

impl Catalog {
    /// The internal stream that refused events go to, with their bytes and the reason.
    pub const REFUSED: &'static str = "_refused";
    /// The internal stream of answers that are kept for their idempotency keys. Doors write it and doors read it back;
    /// the engine passes over it.
    pub const ANSWERS: &'static str = "_answers";

    /// Checks and keeps the given streams, and adds the internal ones.
    ///
    /// # Errors
    /// The first problem found; see [`CatalogError`].
    pub fn new(mut streams: Vec<Stream>) -> Result<Self, CatalogError> {
        // In this order: `answers` and `refused` count from the end.
        streams.push(internal(Self::ANSWERS, limits::ANSWERS_AGE_MS, limits::ANSWERS_LOG_BYTES));
        streams.push(internal(Self::REFUSED, limits::REFUSED_AGE_MS, limits::REFUSED_BYTES));
        if streams.len() > limits::STREAMS_MAX {
            return Err(CatalogError::TooMany(streams.len()));
        }
        for (i, s) in streams.iter().enumerate() {
            if !name_is_sound(&s.name) {
                return Err(CatalogError::BadName(s.name.clone()));
            }
            if s.partitions == 0 || s.partitions > limits::PARTITIONS_MAX {
                return Err(CatalogError::BadPartitions(s.name.clone(), s.partitions));
            }
            if streams[..i].iter().any(|other| other.name == s.name) {
                return Err(CatalogError::Twice(s.name.clone()));
            }
        }
        Ok(Self { streams })
    }

    /// The stream with this index.
    ///
    /// # Panics
    /// When the id is of another catalog.
    pub fn get(&self, id: StreamId) -> &Stream {
        &self.streams[usize::from(id.0)]
    }

    /// The stream of this name.
    pub fn find(&self, name: &str) -> Option<StreamId> {
        self.iter().find(|(_, s)| s.name == name).map(|(id, _)| id)
    }

    /// The internal stream of refused events.
    pub fn refused(&self) -> StreamId {
        StreamId((self.streams.len() - 1) as u16)
    }

    /// The internal stream of kept answers.
    pub fn answers(&self) -> StreamId {
        StreamId((self.streams.len() - 2) as u16)
    }

    /// All streams, internal ones last.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, &Stream)> {
        self.streams.iter().enumerate().map(|(i, s)| (StreamId(i as u16), s))
    }

    /// The streams that the engine processes: all but that of kept answers.
    pub fn processed(&self) -> impl Iterator<Item = (StreamId, &Stream)> {
        self.iter().filter(|(id, _)| *id != self.answers())
    }

    /// How many streams there are, internal ones included.
    #[expect(clippy::len_without_is_empty, reason = "a catalog always holds the internal streams")]
    pub fn len(&self) -> usize {
        self.streams.len()
    }
}

fn internal(name: &str, age_ms: Millis, size_bytes: u64) -> Stream {
    Stream {
        name: name.to_owned(),
        partitions: 1,
        key: None,
        time: None,
        id: None,
        kind: None,
        require: Vec::new(),
        dedup: None,
        retention: Retention { age_ms: Some(age_ms), size_bytes: Some(size_bytes) },
    }
}

fn name_is_sound(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    !name.is_empty()
        && name.len() <= 63
        && word(name.as_bytes()[0])
        && name.bytes().all(|b| word(b) || b == b'-' || b == b'.')
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(name: &str, partitions: u32) -> Stream {
        let retention = Retention { age_ms: None, size_bytes: None };
        let name = name.to_owned();
        Stream {
            name,
            partitions,
            key: None,
            time: None,
            id: None,
            kind: None,
            require: vec![],
            dedup: None,
            retention,
        }
    }

    #[test]
    fn paths_read_both_ways() {
        for text in ["payload.amount", "/payload/amount"] {
            let path = FieldPath::parse(text).unwrap();
            assert_eq!(path.steps(), ["payload", "amount"]);
            assert_eq!(path.pointer(), "/payload/amount");
            assert_eq!(path.within("data").pointer(), "/data/payload/amount");
        }
        assert_eq!(FieldPath::parse("/a~1b/c~0d").unwrap().steps(), ["a/b", "c~d"]);
        for bad in ["", ".", "a..b", "/", "a.b.c.d.e.f.g.h.i"] {
            assert!(FieldPath::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_catalog_finds_its_streams_and_refuses_bad_ones() {
        let catalog = Catalog::new(vec![stream("signals", 6), stream("events", 1)]).unwrap();
        assert_eq!(catalog.find("events"), Some(StreamId(1)));
        assert_eq!(catalog.get(catalog.refused()).name, Catalog::REFUSED);
        assert_eq!(catalog.get(catalog.answers()).name, Catalog::ANSWERS);
        assert!(catalog.processed().map(|(id, _)| id).eq([StreamId(0), StreamId(1), catalog.refused()]));
        assert_eq!(catalog.find("nothing"), None);
        for bad in ["", "Upper", "../etc", "a..b", "-x", "with space"] {
            assert!(matches!(Catalog::new(vec![stream(bad, 1)]), Err(CatalogError::BadName(_))), "{bad:?}");
        }
        assert!(matches!(Catalog::new(vec![stream("a", 0)]), Err(CatalogError::BadPartitions(_, 0))));
        assert!(matches!(Catalog::new(vec![stream("a", 1), stream("a", 1)]), Err(CatalogError::Twice(_))));
    }
}
