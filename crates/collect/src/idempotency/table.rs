//! Which keys are in use and what was answered for them, in bounded memory.

use std::collections::{HashMap, VecDeque};

use event::Millis;
use event::limits::{ANSWERS_AGE_MS, ANSWERS_BYTES, ANSWERS_MAX};

use crate::reply::Answer;

/// What an answer takes besides its body, about.
const ENTRY_BYTES: usize = 192;

/// What is known of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing; now it is in use.
    New,
    /// A request is in flight with it.
    InUse,
    /// It was used with another request.
    Reused,
    /// The answer to the same request.
    Answered(Answer),
}

/// All keys.
#[derive(Debug)]
pub(super) struct Table {
    entries: HashMap<u128, Entry>,
    /// By lane: when room is needed, the one that holds the most gives way, so that no tenant drives out another's.
    shares: HashMap<u32, Share>,
    answers: usize,
    bytes: usize,
    answers_max: usize,
    bytes_max: usize,
    /// The number of the next answer.
    next: u64,
}

#[derive(Debug)]
struct Entry {
    fingerprint: u128,
    /// `None` while its request is in flight.
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    at: Millis,
    number: u64,
    answer: Answer,
}

/// The answers of one lane, oldest first.
#[derive(Debug, Default)]
struct Share {
    queue: VecDeque<Place>,
    bytes: usize,
}

/// Where an answer is. It may be gone: a key that has expired can be used again.
#[derive(Debug)]
struct Place {
    scope: u128,
    number: u64,
    at: Millis,
    bytes: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self::within(ANSWERS_MAX, ANSWERS_BYTES)
    }
}

impl Table {
    fn within(answers_max: usize, bytes_max: usize) -> Self {
        let (entries, shares) = Default::default();
        Self { entries, shares, answers: 0, bytes: 0, answers_max, bytes_max, next: 0 }
    }

    /// Looks a key up; one that is new is in use from now on.
    pub(super) fn claim(&mut self, scope: u128, fingerprint: u128, now: Millis) -> Found {
        let live = self.entries.get(&scope).filter(|entry| match &entry.kept {
            Some(kept) => !expired(kept.at, now),
            None => true,
        });
        match live {
            Some(entry) if entry.fingerprint != fingerprint => Found::Reused,
            Some(Entry { kept: Some(kept), .. }) => Found::Answered(kept.answer.clone()),
            Some(Entry { kept: None, .. }) => Found::InUse,
            None => {
                self.entries.insert(scope, Entry { fingerprint, kept: None });
                Found::New
            }
        }
    }

    /// The request in flight had no answer that is kept: its key may be tried again.
    pub(super) fn free(&mut self, scope: u128) {
        if self.entries.get(&scope).is_some_and(|entry| entry.kept.is_none()) {
            self.entries.remove(&scope);
        }
    }

    /// Keeps an answer that was given at this time.
    pub(super) fn keep(&mut self, lane: u32, (scope, fingerprint): (u128, u128), at: Millis, answer: Answer) {
        let (number, bytes) = (self.next, answer.body.len() + ENTRY_BYTES);
        self.next += 1;
        self.entries.insert(scope, Entry { fingerprint, kept: Some(Kept { at, number, answer }) });
        let share = self.shares.entry(lane).or_default();
        share.queue.push_back(Place { scope, number, at, bytes });
        share.bytes += bytes;
        self.answers += 1;
        self.bytes += bytes;
        self.expire(lane, at);
        if self.is_over() {
            let lanes: Vec<u32> = self.shares.keys().copied().collect();
            lanes.into_iter().for_each(|lane| self.expire(lane, at));
        }
        while self.is_over() {
            let heaviest = self.shares.iter().max_by_key(|(_, share)| share.bytes);
            let Some(lane) = heaviest.map(|(lane, _)| *lane) else { break };
            self.drop_oldest(lane);
        }
    }

    fn is_over(&self) -> bool {
        self.answers > self.answers_max || self.bytes > self.bytes_max
    }

    fn expire(&mut self, lane: u32, now: Millis) {
        let oldest = |table: &Self| Some(table.shares.get(&lane)?.queue.front()?.at);
        while oldest(self).is_some_and(|at| expired(at, now)) {
            self.drop_oldest(lane);
        }
    }

    fn drop_oldest(&mut self, lane: u32) {
        let Some(share) = self.shares.get_mut(&lane) else { return };
        if let Some(place) = share.queue.pop_front() {
            share.bytes -= place.bytes;
            self.answers -= 1;
            self.bytes -= place.bytes;
            let kept = self.entries.get(&place.scope).and_then(|entry| entry.kept.as_ref());
            if kept.is_some_and(|kept| kept.number == place.number) {
                self.entries.remove(&place.scope);
            }
        }
        if share.queue.is_empty() {
            self.shares.remove(&lane);
        }
    }
}

pub(super) fn expired(at: Millis, now: Millis) -> bool {
    now.saturating_sub(at) >= ANSWERS_AGE_MS
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    fn answer(bytes: usize) -> Answer {
        Answer { status: StatusCode::ACCEPTED, body: vec![b'x'; bytes].into() }
    }

    /// Which of these keys are answered; looking changes nothing.
    fn known(table: &mut Table, scopes: std::ops::Range<u128>) -> Vec<u128> {
        let mut known = Vec::new();
        for scope in scopes {
            match table.claim(scope, 1, 0) {
                Found::Answered(_) => known.push(scope),
                _ => table.free(scope),
            }
        }
        known
    }

    #[test]
    fn a_key_is_new_in_use_answered_and_new_again() {
        let mut table = Table::default();
        assert_eq!(table.claim(7, 1, 0), Found::New);
        assert_eq!((table.claim(7, 1, 0), table.claim(7, 2, 0)), (Found::InUse, Found::Reused));
        table.free(7);
        assert_eq!(table.claim(7, 2, 0), Found::New);
        table.keep(0, (7, 2), 100, answer(1));
        table.free(7);
        assert_eq!(table.claim(7, 2, 100 + ANSWERS_AGE_MS - 1), Found::Answered(answer(1)));
        assert_eq!(table.claim(7, 1, 100), Found::Reused);
        // Expired: it may be used for anything, and its old place takes nothing of the new answer away.
        let later = 100 + ANSWERS_AGE_MS;
        assert_eq!(table.claim(7, 1, later), Found::New);
        table.keep(0, (7, 1), later, answer(2));
        assert_eq!(table.claim(7, 1, later), Found::Answered(answer(2)));
        assert_eq!((table.answers, table.bytes, table.entries.len()), (1, 2 + ENTRY_BYTES, 1));
    }

    #[test]
    fn answers_are_bounded_in_number_and_bytes_and_the_oldest_go() {
        let mut table = Table::within(3, usize::MAX);
        (0..5).for_each(|scope| table.keep(0, (scope, 1), 0, answer(1)));
        assert_eq!(known(&mut table, 0..6), [2, 3, 4]);
        let mut table = Table::within(usize::MAX, 3 * (100 + ENTRY_BYTES));
        (0..5).for_each(|scope| table.keep(0, (scope, 1), 0, answer(100)));
        assert_eq!(known(&mut table, 0..6), [2, 3, 4]);
        table.keep(0, (5, 1), 0, answer(200));
        assert_eq!(known(&mut table, 0..6), [4, 5]);
        assert_eq!((table.entries.len(), table.bytes), (2, 300 + 2 * ENTRY_BYTES));
        table.keep(0, (6, 1), ANSWERS_AGE_MS, answer(1));
        assert_eq!((table.entries.len(), table.answers), (1, 1), "what has expired goes first");
    }

    #[test]
    fn a_tenant_that_floods_drives_out_its_own_answers_only() {
        let mut table = Table::within(10, usize::MAX);
        (0..3).for_each(|scope| table.keep(1, (scope, 1), 0, answer(1)));
        (3..100).for_each(|scope| table.keep(2, (scope, 1), 0, answer(1)));
        assert_eq!(known(&mut table, 0..3), [0, 1, 2]);
        assert_eq!(known(&mut table, 3..100).len(), 7);
    }
}
