//! Dead letters in the hands of people: looked at, edited, sent again, given up; and sent again by themselves.
//!
//! # Sent once
//!
//! A try is written down first ([`LetterEvent::Replaying`]), then appended to its stream as a record that names the letter
//! and the try; the engine settles it in the transaction that stores the record. Whoever finds a letter that is being
//! replayed leaves it alone. What a crash leaves between the two is known once the engine has passed everything that was in
//! the log when this process began: a letter that is still being replayed then was never appended, and is now. Until that
//! moment nothing is replayed.

mod sweep;
mod ticker;
mod tries;

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use event::{Catalog, DeadLetter, LetterChange, LetterEvent, LetterStatus};
use log::{Clock, Log};
use store::query::{DeadLetterPage, DeadLetterQuery};
use store::{Commit, Store, StoreError};

pub use sweep::{Refusal, SWEEP_LETTERS_MAX, Sweep, Swept};
pub use ticker::Ticker;
use tries::Meters;

/// Rows that are read at once: each may hold a megabyte.
const PAGE: usize = 50;

/// Sends dead letters again: doors are not known here.
pub trait Redeliver: Send + Sync + 'static {
    /// Judges the bytes of a letter as its door would, without writing anything.
    ///
    /// # Errors
    /// Why they are refused.
    fn judge(&self, letter: &DeadLetter) -> Result<Ready, Rejected>;
}

/// Appends a letter that was judged good, and waits until it is durable. Blocks.
pub type Ready = Box<dyn FnOnce() -> Result<Landed, NotTaken> + Send>;

/// Where a letter went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landed {
    /// To the end of its stream.
    Appended,
    /// Nowhere: this try of it is in its stream already.
    Known,
}

/// The log did not take a letter, with the reason. It is tried again by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTaken(pub String);

/// Why the bytes of a letter are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// A stable word.
    pub code: String,
    /// The field at fault as a JSON pointer; empty when it is the whole event.
    pub pointer: String,
    /// Why, for people.
    pub message: String,
}

/// Why something was not done to a letter.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// The caller has no letter of this id.
    #[error("there is no dead letter `{0}`")]
    NotFound(String),
    /// What became of it does not let that happen; with what can be done instead.
    #[error("the dead letter is {}: {why}", .status.as_str())]
    Status {
        /// What became of it.
        status: LetterStatus,
        /// Why that is in the way.
        why: &'static str,
    },
    /// Its bytes are refused; as a try, it counts.
    #[error("{}", .0.message)]
    Rejected(Rejected),
    /// This process has no doors.
    #[error("this process has no role `collect`, so it cannot judge and append events")]
    NoDoor,
    /// The engine has not seen all that was in the log when this process began, so what was replayed before is not known.
    #[error("the engine has not passed what was in the log at the start yet; try again soon")]
    CatchingUp,
    /// Another sweep of the caller's runs, or as many as may at once.
    #[error("dead letters are being replayed or discarded by filter already; try again when that is done")]
    Sweeping,
    /// The log did not take it; it is appended as soon as the log does.
    #[error("the log did not take it: {0}; it is tried again by itself")]
    NotTaken(String),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the letters are made of.
pub struct LettersParts {
    /// The streams.
    pub catalog: Arc<Catalog>,
    /// The log, to know what was in it at the start.
    pub log: Arc<dyn Log>,
    /// Where they are.
    pub store: Arc<dyn Store>,
    /// Tells the time and lets it pass.
    pub clock: Arc<dyn Clock>,
    /// The engine's name, see [`crate::Settings::consumer`].
    pub consumer: String,
    /// How they are sent again; `None` where this process has no doors.
    pub redeliver: Option<Arc<dyn Redeliver>>,
}

/// All dead letters of a store. A caller that sees one tenant's names it; `None` stands for one that sees all. Every verb
/// blocks.
pub struct Letters {
    parts: LettersParts,
    /// What the log held when this process began, or when its broker was there for the first time: for each stream, the
    /// next offset of each partition.
    began: OnceLock<Ends>,
    caught_up: AtomicBool,
    /// Changes of letters, one after the other.
    turn: Mutex<()>,
    /// Whose letters are being swept: one sweep a caller's view, at most [`sweep::SWEEPS_MAX`] in all.
    sweeping: Mutex<HashSet<Option<String>>>,
    /// Tries that are written down and that the log has not taken: whose, and which.
    unsent: Mutex<Vec<(String, String)>>,
    meters: Meters,
}

/// The next offsets of the partitions of streams, by the streams' names.
type Ends = Vec<(String, Vec<u64>)>;

impl std::fmt::Debug for Letters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letters").field("unsent", &self.unsent).finish_non_exhaustive()
    }
}

impl Letters {
    /// The letters of a store. Make it before anything is replayed, and one a process.
    pub fn new(parts: LettersParts) -> Arc<Self> {
        let (caught_up, meters) = (AtomicBool::new(false), Meters::default());
        let (began, turn, sweeping, unsent) = Default::default();
        let letters = Self { parts, began, caught_up, turn, sweeping, unsent, meters };
        letters.began();
        Arc::new(letters)
    }

    /// A page of letters, newest first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn list(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, LetterError> {
        Ok(self.parts.store.dead_letters(query)?)
    }

    /// One letter.
    ///
    /// # Errors
    /// [`LetterError::NotFound`], or when the store does not answer.
    pub fn show(&self, tenant: Option<&str>, id: &str) -> Result<DeadLetter, LetterError> {
        let (tenant, id) = (tenant.map(str::to_owned), id.to_owned());
        let query = DeadLetterQuery { tenant, id: Some(id.clone()), limit: 1, ..DeadLetterQuery::default() };
        self.parts.store.dead_letters(&query)?.rows.pop().ok_or(LetterError::NotFound(id))
    }

    /// Puts other bytes in place of the sender's, which are kept; `None` goes back to those. They are judged at once. Gives
    /// the letter as it is then.
    ///
    /// # Errors
    /// [`LetterError::Rejected`] when the bytes are refused: nothing is changed, and it counts as no try.
    pub fn edit(&self, tenant: Option<&str>, id: &str, bytes: Option<Vec<u8>>) -> Result<DeadLetter, LetterError> {
        let _turn = self.turn();
        let mut letter = self.show(tenant, id)?;
        may_be(letter.status, &[LetterStatus::Open], "only an open one can be edited")?;
        letter.edited = bytes;
        if letter.edited.is_some() {
            drop(self.door()?.judge(&letter).map_err(LetterError::Rejected)?);
        }
        self.change(&letter, LetterEvent::Edited(letter.edited.clone()))?;
        self.show(Some(&letter.tenant), id)
    }

    /// Gives a letter up. One that was given up before stays so. Gives the letter as it is then.
    ///
    /// # Errors
    /// [`LetterError::Status`] when it is being replayed or was resolved.
    pub fn discard(&self, tenant: Option<&str>, id: &str) -> Result<DeadLetter, LetterError> {
        let _turn = self.turn();
        let letter = self.show(tenant, id)?;
        if letter.status == LetterStatus::Discarded {
            return Ok(letter);
        }
        let why = "only an open or a quarantined one can be discarded";
        may_be(letter.status, &[LetterStatus::Open, LetterStatus::Quarantined], why)?;
        self.change(&letter, LetterEvent::Discarded)?;
        self.show(Some(&letter.tenant), id)
    }

    fn door(&self) -> Result<&dyn Redeliver, LetterError> {
        self.parts.redeliver.as_deref().ok_or(LetterError::NoDoor)
    }

    fn change(&self, letter: &DeadLetter, event: LetterEvent) -> Result<(), StoreError> {
        let (tenant, id) = (letter.tenant.clone(), letter.id.clone());
        self.change_all(&[LetterChange { tenant, id, event }])
    }

    fn change_all(&self, letter_changes: &[LetterChange]) -> Result<(), StoreError> {
        self.parts.store.commit(&Commit { letter_changes, ..Commit::default() })
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn may_be(status: LetterStatus, allowed: &[LetterStatus], why: &'static str) -> Result<(), LetterError> {
    if allowed.contains(&status) { Ok(()) } else { Err(LetterError::Status { status, why }) }
}
