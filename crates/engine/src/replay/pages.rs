//! Anomalies and windows of a stream, one after the other in an order that two stores have in common, a page in memory.

use std::cmp::{Ordering, Reverse};
use std::collections::VecDeque;
use std::ops::Range;

use event::{Anomaly, Millis, WindowId};
use store::query::{AnomalyQuery, WindowQuery, WindowRow};
use store::{Store, StoreError};

/// Rows that are read at once.
const PAGE: usize = 500;

/// A stream's anomalies by event time, newest first. Those of one time come together: their order is each store's own.
pub(super) struct Anomalies<'a> {
    store: &'a dyn Store,
    query: AnomalyQuery,
    rows: VecDeque<Anomaly>,
    over: bool,
}

impl<'a> Anomalies<'a> {
    pub(super) fn of(store: &'a dyn Store, stream: &str) -> Self {
        let query = AnomalyQuery { stream: Some(stream.to_owned()), limit: PAGE, ..AnomalyQuery::default() };
        Self { store, query, rows: VecDeque::new(), over: false }
    }

    /// The time of the next ones; `None` at the end.
    pub(super) fn time(&mut self) -> Result<Option<Millis>, StoreError> {
        while self.rows.is_empty() && !self.over {
            self.read()?;
        }
        Ok(self.rows.front().map(|row| row.time))
    }

    /// All of the next time.
    pub(super) fn take(&mut self) -> Result<Vec<Anomaly>, StoreError> {
        let mut taken = Vec::new();
        let Some(time) = self.time()? else { return Ok(taken) };
        loop {
            while self.rows.front().is_some_and(|row| row.time == time) {
                taken.extend(self.rows.pop_front());
            }
            if !self.rows.is_empty() || self.over {
                return Ok(taken);
            }
            self.read()?;
        }
    }

    /// A page goes on behind the last time seen, so that rows which are added meanwhile do not shift it.
    fn read(&mut self) -> Result<(), StoreError> {
        let rows = self.store.anomalies(&self.query)?.rows;
        self.over = rows.len() < PAGE;
        if let Some(last) = rows.last() {
            let time = last.anomaly.time;
            let here = rows.iter().rev().take_while(|row| row.anomaly.time == time).count() as u64;
            let before = if self.query.to == Some(time) { self.query.skip } else { 0 };
            (self.query.to, self.query.skip) = (Some(time), before + here);
        }
        self.rows.extend(rows.into_iter().map(|row| row.anomaly));
        Ok(())
    }
}

/// A stream's windows in the order of [`order`].
pub(super) struct Windows<'a> {
    store: &'a dyn Store,
    query: WindowQuery,
    rows: VecDeque<WindowRow>,
    over: bool,
}

impl<'a> Windows<'a> {
    /// Those that begin within a range.
    pub(super) fn of(store: &'a dyn Store, stream: &str, range: &Range<Millis>) -> Self {
        let (from, to) = (Some(range.start), Some(range.end - 1));
        let query = WindowQuery { stream: Some(stream.to_owned()), from, to, limit: PAGE, ..WindowQuery::default() };
        Self { store, query, rows: VecDeque::new(), over: false }
    }

    /// The next one, still to come.
    pub(super) fn peek(&mut self) -> Result<Option<&WindowRow>, StoreError> {
        while self.rows.is_empty() && !self.over {
            let page = self.store.windows(&self.query)?;
            self.over = !page.more || page.rows.is_empty();
            if let Some(last) = page.rows.last() {
                self.query.after = Some(last.id.clone());
            }
            self.rows.extend(page.rows);
        }
        Ok(self.rows.front())
    }

    /// The next one.
    pub(super) fn take(&mut self) -> Option<WindowRow> {
        self.rows.pop_front()
    }
}

/// The order in which stores give windows.
pub(super) fn order(a: &WindowId, b: &WindowId) -> Ordering {
    let rank = |id: &WindowId| {
        let WindowId { tenant, stream, window, size_ms, start, key } = id.clone();
        (Reverse(start), window, size_ms, key, stream, tenant)
    };
    rank(a).cmp(&rank(b))
}
