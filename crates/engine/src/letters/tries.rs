//! One try after the other: a letter judged, written down as being replayed, appended.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use event::{Classification, DeadLetter, LetterEvent, LetterStatus, Millis};
use metrics::{Counter, counter};
use store::StoreError;
use store::query::DeadLetterQuery;

use super::{Ends, Landed, LetterError, Letters, NotTaken, PAGE, Ready, Rejected, may_be};

/// What became of tries, for the metrics.
pub(super) struct Meters {
    appended: Counter,
    permanent: Counter,
    temporary: Counter,
    quarantined: Counter,
}

impl Default for Meters {
    fn default() -> Self {
        let failed = |kind: Classification| counter!("dlq_messages_failed_total", "failure_type" => kind.as_str());
        Self {
            appended: counter!("dlq_messages_replayed_total"),
            permanent: failed(Classification::Permanent),
            temporary: failed(Classification::Temporary),
            quarantined: counter!("millstream_quarantined_total"),
        }
    }
}

impl Letters {
    /// Sends one letter again. When it returns, it is in its stream; how it ends there is settled by the engine. Gives the
    /// letter as it is then. Safe to repeat: one that is being replayed or has been is left alone.
    ///
    /// # Errors
    /// [`LetterError::Rejected`] when its bytes are refused, which counts as a failed try; [`LetterError::Status`] when it
    /// is not open.
    pub fn replay(&self, tenant: Option<&str>, id: &str) -> Result<DeadLetter, LetterError> {
        let _turn = self.turn();
        self.ready()?;
        let letter = self.show(tenant, id)?;
        self.send(&letter, self.parts.clock.now())?;
        self.show(Some(&letter.tenant), id)
    }

    /// Sends a letter again, in the caller's turn. A failure is dated `failed_at`.
    pub(super) fn send(&self, letter: &DeadLetter, failed_at: Millis) -> Result<(), LetterError> {
        let why = match letter.status {
            LetterStatus::Quarantined => "too many replays of it failed; it can only be discarded",
            LetterStatus::Replaying => "it is in its stream again, and the engine has not come to it yet",
            _ => "only an open one is replayed",
        };
        may_be(letter.status, &[LetterStatus::Open], why)?;
        match self.door()?.judge(letter) {
            Ok(ready) => {
                // Whatever an unanswered write left there is this try now.
                self.waits_no_more(&letter.tenant, &letter.id);
                self.change(letter, LetterEvent::Replaying).inspect_err(|_| self.wait(letter))?;
                self.append(letter, ready, failed_at)
            }
            Err(rejected) => self.fail(letter, rejected, failed_at),
        }
    }

    /// Appends a try that is written down. One that could be neither appended nor settled waits for the next time.
    fn append(&self, letter: &DeadLetter, ready: Ready, failed_at: Millis) -> Result<(), LetterError> {
        match ready() {
            Ok(Landed::Appended) => {
                self.meters.appended.increment(1);
                Ok(())
            }
            // Its record is in the log, and the engine has passed it: nothing more will come of this try.
            Ok(Landed::Known) => {
                let message = "this try of it is in its stream already, and nothing came of it".to_owned();
                let (code, pointer) = ("replay_lost".to_owned(), String::new());
                self.settle(letter, Rejected { code, pointer, message }, failed_at)
            }
            Err(NotTaken(why)) => {
                tracing::warn!(id = letter.id, why, "the log did not take a dead letter; it is tried again");
                self.wait(letter);
                Err(LetterError::NotTaken(why))
            }
        }
    }

    /// As [`Letters::fail`], of a try that is written down: it waits when the store does not take that.
    fn settle(&self, letter: &DeadLetter, rejected: Rejected, at: Millis) -> Result<(), LetterError> {
        self.fail(letter, rejected, at).inspect_err(|error| {
            if matches!(error, LetterError::Store(_)) {
                self.wait(letter);
            }
        })
    }

    /// Counts a try that failed before it was in the log. Where the record itself was refused stays as it is: the list of
    /// what processing passes over is made of that.
    fn fail(&self, letter: &DeadLetter, rejected: Rejected, at: Millis) -> Result<(), LetterError> {
        let Rejected { code, pointer, message } = rejected.clone();
        self.change(letter, LetterEvent::Failed { stage: letter.stage, code, pointer, message, at, retry_at: None })?;
        match letter.classification {
            Classification::Permanent => self.meters.permanent.increment(1),
            Classification::Temporary => self.meters.temporary.increment(1),
        }
        // Only for the metric: that it failed is written down.
        let after = self.show(Some(&letter.tenant), &letter.id);
        if after.is_ok_and(|letter| letter.status == LetterStatus::Quarantined) {
            self.meters.quarantined.increment(1);
        }
        Err(LetterError::Rejected(rejected))
    }

    /// What the log held at the beginning; `None` while its broker is away, or while what was taken meanwhile is not there.
    pub(super) fn began(&self) -> Option<&Ends> {
        let parts = &self.parts;
        let status = parts.log.status();
        if self.began.get().is_none() && status.away.is_none() && status.spool.is_none_or(|spool| spool.records == 0) {
            let ends = |id| parts.log.extents(id).iter().map(|extent| extent.next).collect();
            let ends = parts.catalog.processed().map(|(id, stream)| (stream.name.clone(), ends(id))).collect();
            // Whoever was first was right.
            let _ = self.began.set(ends);
        }
        self.began.get()
    }

    /// Whether it is known what became of everything that was replayed before this process began. In the caller's turn.
    pub(super) fn ready(&self) -> Result<(), LetterError> {
        if self.caught_up.load(Ordering::Acquire) {
            return Ok(());
        }
        let began = self.began().ok_or(LetterError::CatchingUp)?;
        let positions = self.parts.store.positions(&self.parts.consumer)?;
        let passed = |stream: &str, partition: usize, next: u64| {
            let here = positions.iter().find(|p| p.stream == stream && p.partition as usize == partition);
            here.map_or(0, |p| p.offset) >= next
        };
        let mut ends = began.iter().flat_map(|(stream, next)| next.iter().enumerate().map(move |end| (stream, end)));
        if !ends.all(|(stream, (partition, next))| passed(stream, partition, *next)) {
            return Err(LetterError::CatchingUp);
        }
        // Nothing was replayed by this process yet, so these were by the one before, and never came to the log.
        let left =
            self.all(&DeadLetterQuery { status: Some(LetterStatus::Replaying), ..DeadLetterQuery::default() })?;
        if !left.is_empty() {
            tracing::info!(letters = left.len(), "replays that a restart interrupted go on");
            self.unsent().extend(left);
        }
        self.caught_up.store(true, Ordering::Release);
        Ok(())
    }

    /// Whose and which letters a filter lets through.
    fn all(&self, filter: &DeadLetterQuery) -> Result<Vec<(String, String)>, StoreError> {
        let mut names = Vec::new();
        loop {
            let query = DeadLetterQuery { skip: names.len() as u64, limit: PAGE, ..filter.clone() };
            let page = self.parts.store.dead_letters(&query)?;
            let rows = page.rows.len();
            names.extend(page.rows.into_iter().map(|letter| (letter.tenant, letter.id)));
            if rows < PAGE {
                return Ok(names);
            }
        }
    }

    /// Sends again what is due: tries that the log had not taken, and temporary letters whose time has come. Gives how many
    /// went to their streams. The ticker calls it.
    ///
    /// # Errors
    /// When the engine has not caught up yet, or log or store do not answer: what is left is for the next time.
    pub fn retry_due(&self) -> Result<u64, LetterError> {
        if self.parts.redeliver.is_none() {
            return Ok(0);
        }
        let mut sent = 0;
        let waiting = {
            let _turn = self.turn();
            self.ready()?;
            self.unsent().clone()
        };
        for (tenant, id) in &waiting {
            sent += u64::from(self.resend(tenant, id)?);
        }
        let (due, status) = (Some(self.parts.clock.now()), Some(LetterStatus::Open));
        let query = DeadLetterQuery { due, status, limit: PAGE, ..DeadLetterQuery::default() };
        for letter in self.parts.store.dead_letters(&query)?.rows {
            match self.replay(Some(&letter.tenant), &letter.id) {
                Ok(_) => sent += 1,
                // Somebody was faster, or it counts as failed now.
                Err(LetterError::Status { .. } | LetterError::NotFound(_) | LetterError::Rejected(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Appends a try that is written down already; whether it did.
    fn resend(&self, tenant: &str, id: &str) -> Result<bool, LetterError> {
        let _turn = self.turn();
        if !self.unsent().iter().any(|(of, which)| of == tenant && which == id) {
            return Ok(false); // a later try of it took over
        }
        let letter = match self.show(Some(tenant), id) {
            Ok(letter) => Some(letter).filter(|letter| letter.status == LetterStatus::Replaying),
            Err(LetterError::NotFound(_)) => None,
            Err(error) => return Err(error),
        };
        self.waits_no_more(tenant, id);
        let Some(letter) = letter else { return Ok(false) };
        let now = self.parts.clock.now();
        let sent = match self.door()?.judge(&letter) {
            Ok(ready) => self.append(&letter, ready, now),
            Err(rejected) => self.settle(&letter, rejected, now),
        };
        match sent {
            Ok(()) => Ok(true),
            Err(LetterError::Rejected(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Notes a try for the next time, once.
    fn wait(&self, letter: &DeadLetter) {
        self.waits_no_more(&letter.tenant, &letter.id);
        self.unsent().push((letter.tenant.clone(), letter.id.clone()));
    }

    fn waits_no_more(&self, tenant: &str, id: &str) {
        self.unsent().retain(|(of, which)| of != tenant || which != id);
    }

    fn unsent(&self) -> std::sync::MutexGuard<'_, Vec<(String, String)>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
