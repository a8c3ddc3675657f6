//! Records that a rule panics on or that the store refuses: found, and laid down as dead letters.

use breaker::Retry;
use event::{
    Block, Classification, DeadLetter, LetterChange, LetterEvent, LetterStatus, Millis, Record, Stage, headers, limits,
};
use process::{Output, Program, State};

use crate::quiet::quietly;

/// The codes of such dead letters.
pub(crate) const RULE_PANIC: &str = "rule_panic";
pub(crate) const STORE_REFUSED: &str = "store_refused";

/// What the store refused may be the store's fault: it is tried again by itself, as often as replays are allowed.
const RETRY: Retry = Retry { base_ms: 2_000, max_ms: 60_000, attempts: 1 + limits::LETTER_REPLAYS_MAX };

/// A rule panicked on a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trip {
    pub(crate) offset: u64,
    /// What the panic said.
    pub(crate) message: String,
}

/// Why a record is poison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Why {
    /// [`Stage::Process`] for a panic, [`Stage::Store`] for a refusal.
    pub(crate) stage: Stage,
    pub(crate) message: String,
}

/// Where and when a record failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    /// Its stream's name.
    pub(crate) stream: &'a str,
    pub(crate) partition: u32,
    /// The time by the clock.
    pub(crate) at: Millis,
    /// Between 0 and 1, for the delay before the next try.
    pub(crate) chance: f64,
}

/// What becomes of a poison record.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It is laid down.
    Letter(DeadLetter),
    /// It was the replay of a letter, which failed once more.
    Again {
        change: LetterChange,
        /// Whether that was once too often.
        quarantined: bool,
    },
}

/// Runs a program over a block; a panic is caught, and its record named. After a panic the state is of no use, and what
/// is in `out` neither.
///
/// # Errors
/// The record that a rule panicked on.
pub(crate) fn run(
    work: &dyn Fn(&mut State, &Block, &mut Output),
    state: &mut State,
    block: &Block,
    out: &mut Output,
) -> Result<(), Trip> {
    quietly(|| work(state, block, out)).map_err(|message| {
        let inside = block.first_offset()..block.next_offset();
        let offset = Some(state.at()).filter(|at| inside.contains(at)).unwrap_or(inside.start);
        Trip { offset, message }
    })
}

/// After a panic, with the state it left behind: looks for further records of a block that are poison whatever the state, so
/// that not each of them costs a recovery. One is when a rule panics on it both with that state and with a fresh one: a
/// state that is broken inside panics on everything, and a fresh one may on what is no trouble for the real one.
pub(crate) fn probe(
    work: &dyn Fn(&mut State, &Block, &mut Output),
    state: &mut State,
    block: &Block,
    trips: &mut Vec<Trip>,
) {
    let mut out = Output::default();
    for one in one_by_one(block) {
        out.clear();
        if run(work, state, &one, &mut out).is_err()
            && let Err(trip) = run(work, &mut State::default(), &one, &mut out)
        {
            trips.push(trip);
        }
    }
}

/// The records of a block as blocks of one record.
pub(crate) fn one_by_one(block: &Block) -> impl Iterator<Item = Block> {
    let offsets = block.first_offset()..block.next_offset();
    offsets.map(|offset| block.clone().from_offset(offset).until_offset(offset + 1))
}

/// What a program does with a block on the way from log to store.
pub(crate) fn runs(program: &Program) -> impl Fn(&mut State, &Block, &mut Output) + '_ {
    |state, block, out| program.run(state, block, out)
}

/// The id of the dead letter of a record that is in its stream.
pub(crate) fn letter_id(stream: &str, partition: u32, offset: u64) -> String {
    format!("{stream}-{partition}-{offset}")
}

/// What becomes of a record.
pub(crate) fn fate(record: &Record<'_>, why: &Why, scene: Scene<'_>) -> Fate {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let header = |name| headers::get(record.headers, name).map(text);
    let (code, tenant) = (why.code().to_owned(), text(record.tenant()));
    if let Some(id) = header(headers::LETTER) {
        let failures = attempt(record).unwrap_or(1).saturating_add(1);
        let (message, at, retry_at) = (why.message.clone(), scene.at, why.retry_at(scene, failures));
        let event = LetterEvent::Failed { stage: why.stage, code, pointer: String::new(), message, at, retry_at };
        let quarantined = failures > 1 + limits::LETTER_REPLAYS_MAX;
        return Fate::Again { change: LetterChange { tenant, id, event }, quarantined };
    }
    let request_id = header("request-id").unwrap_or_default();
    Fate::Letter(DeadLetter {
        tenant,
        id: letter_id(scene.stream, scene.partition, record.offset),
        stream: scene.stream.to_owned(),
        partition: scene.partition,
        offset: record.offset,
        stage: why.stage,
        code,
        pointer: String::new(),
        message: why.message.clone(),
        data: record.data.to_vec(),
        edited: None,
        key: text(record.key),
        headers: record.headers.to_vec(),
        correlation_id: header(headers::CORRELATION).unwrap_or_else(|| request_id.clone()),
        request_id,
        received_at: record.received_at,
        first_failed_at: scene.at,
        last_failed_at: scene.at,
        attempts: 1,
        classification: why.classification(),
        status: LetterStatus::Open,
        retry_at: why.retry_at(scene, 1),
    })
}

/// A letter that the store may take when it does not take the whole: its bytes are in the log at its place.
pub(crate) fn bare(letter: DeadLetter) -> DeadLetter {
    let message = format!("{} (the store does not take the bytes either; they are in the log)", letter.message);
    DeadLetter { message, data: Vec::new(), headers: Vec::new(), key: String::new(), ..letter }
}

/// How often the letter that a record is the replay of had failed before.
pub(crate) fn attempt(record: &Record<'_>) -> Option<u32> {
    std::str::from_utf8(headers::get(record.headers, headers::ATTEMPT)?).ok()?.parse().ok()
}

impl Why {
    pub(crate) fn code(&self) -> &'static str {
        if self.stage == Stage::Store { STORE_REFUSED } else { RULE_PANIC }
    }

    fn classification(&self) -> Classification {
        if self.stage == Stage::Store { Classification::Temporary } else { Classification::Permanent }
    }

    fn retry_at(&self, scene: Scene<'_>, failures: u32) -> Option<Millis> {
        let delay = RETRY.delay_ms(failures, scene.chance).filter(|_| self.stage == Stage::Store);
        delay.map(|ms| scene.at.saturating_add_unsigned(ms))
    }
}
