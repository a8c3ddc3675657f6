//! The same questions, answered by plain loops over a vector: what the answers of a back end are compared with.

use std::collections::BTreeMap;

use event::Block;
use store::query::{EventPage, EventQuery, EventRow, Order, Start, Summary};

use crate::data::{NAMES, tenant_of};

/// All rows, in no order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) rows: Vec<EventRow>,
}

impl Model {
    pub(crate) fn add(&mut self, block: &Block) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.rows.extend(block.records().map(|record| EventRow {
            stream: NAMES[usize::from(block.stream.0)].to_owned(),
            partition: block.partition,
            offset: record.offset,
            time: record.time,
            received_at: record.received_at,
            stored_at: 0,
            key: text(record.key),
            kind: text(record.kind),
            id: text(record.id),
            data: record.data.to_vec(),
            headers: record.headers.to_vec(),
        }));
    }

    pub(crate) fn events(&self, query: &EventQuery) -> EventPage {
        let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|w| w == value);
        let mut rows: Vec<&EventRow> = self
            .rows
            .iter()
            .filter(|r| is(&query.stream, &r.stream) && is(&query.key, &r.key) && is(&query.kind, &r.kind))
            .filter(|r| is(&query.id, &r.id) && is(&query.tenant, tenant_of(&r.headers)))
            .filter(|r| query.from.is_none_or(|t| r.time >= t) && query.to.is_none_or(|t| r.time <= t))
            .collect();
        let total = rows.len() as u64;
        let order = |r: &EventRow| (r.time, r.stream.clone(), r.partition, r.offset);
        rows.sort_by_key(|r| order(r));
        if query.order == Order::Descending {
            rows.reverse();
        }
        let start = match &query.start {
            Start::Skip(n) => *n as usize,
            Start::After(a) => {
                let after = (a.time, a.stream.clone(), a.partition, a.offset);
                let seen = |r: &&&EventRow| match query.order {
                    Order::Ascending => order(r) <= after,
                    Order::Descending => order(r) >= after,
                };
                rows.iter().filter(seen).count()
            }
        };
        let rest = rows.get(start..).unwrap_or_default();
        let rows = rest.iter().take(query.limit).map(|r| (*r).clone()).collect();
        EventPage { rows, more: rest.len() > query.limit, total: query.count.then_some(total) }
    }

    pub(crate) fn summary(&self, stream: &str, tenant: Option<&str>, since: i64) -> Summary {
        let own = |r: &&EventRow| tenant.is_none_or(|tenant| tenant == tenant_of(&r.headers));
        let rows = || self.rows.iter().filter(|r| r.stream == stream && r.received_at >= since).filter(own);
        let mut top_keys = counted(rows().map(|r| &r.key).filter(|key| !key.is_empty()));
        top_keys.truncate(10);
        Summary {
            events: rows().count() as u64,
            events_by_kind: counted(rows().map(|r| &r.kind)),
            top_keys,
            ..Summary::default()
        }
    }
}

/// How often each value occurs, most first, then by value.
fn counted<'a>(values: impl Iterator<Item = &'a String>) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    values.for_each(|value| *counts.entry(value.clone()).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}
