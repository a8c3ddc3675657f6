//! What can go wrong with a log, and the damage that it lives with.

/// Why the log did not do what was asked.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum LogError {
    /// The queue is full: nothing was taken, try again soon. The sender's turn.
    #[error("the log's queue is full; try again soon")]
    Busy,
    /// The disk has no room for the bytes: nothing was taken. The operator's turn.
    #[error("the disk refused the bytes, nothing was taken: {0}")]
    Full(String),
    /// An fsync failed: what is on disk is not known, so nothing more is written until a restart has looked.
    #[error("the log stopped writing because {0}; restart to recover")]
    Poisoned(String),
    /// The broker that keeps the log cannot be reached: what became of what was sent is not known. Sending it again is
    /// safe for events with an id.
    #[error("the broker cannot be reached: {0}")]
    Away(String),
    /// The broker does not take it, now or later: too large, or not allowed. The operator's turn.
    #[error("the broker refused: {0}")]
    Refused(String),
    /// It was shut down.
    #[error("the log is closed")]
    Closed,
    /// The disk cannot be read or the directory cannot be used. The operator's turn.
    #[error("{path}: {message}")]
    Disk {
        /// The file or directory.
        path: String,
        /// What the system said.
        message: String,
    },
    /// Another process has this log open.
    #[error("{0} is in use by another process")]
    Locked(String),
    /// A stream is there on disk with another number of partitions.
    #[error(
        "stream `{stream}` has {on_disk} partitions on disk but {configured} in the configuration; the number is fixed at creation"
    )]
    Partitions {
        /// The stream.
        stream: String,
        /// As created.
        on_disk: u32,
        /// As configured now.
        configured: u32,
    },
}

/// What kind of damage was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DamageKind {
    /// An unfinished write at the end of the newest segment; cut. Nothing acknowledged was in it.
    TornTail,
    /// A frame whose checksum does not hold; stepped over.
    CorruptFrame,
    /// Bytes that are no frame at all; stepped over up to the next frame.
    Garbage,
    /// A segment that should be there is not.
    MissingSegment,
    /// A segment without a readable header; its frames are found by search.
    BadSegmentHeader,
}

impl DamageKind {
    /// Its name in reports and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TornTail => "torn_tail",
            Self::CorruptFrame => "corrupt_frame",
            Self::Garbage => "garbage",
            Self::MissingSegment => "missing_segment",
            Self::BadSegmentHeader => "bad_segment_header",
        }
    }
}

/// One damaged place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The stream.
    pub stream: String,
    /// The file's name.
    pub file: String,
    /// The byte where it starts.
    pub offset: u64,
    /// What it is.
    pub kind: DamageKind,
    /// How many records are lost by it, as far as the offsets around it tell.
    pub records_lost: u64,
}
