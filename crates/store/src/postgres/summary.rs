//! Counts since a time. Types are added up from what commits counted; keys are too many for that: the rows are read, but
//! none of days before, and the server adds up, in parallel where it may.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use event::Millis;

use super::counts::{HOUR_MS, MANY};
use super::fault::Fault;
use super::filters::Filters;
use super::pool::Tx;
use super::read_facts::{count, scope};
use super::rows::Cells;
use crate::query::Summary;

/// Keys in the lists of the greatest.
const TOP: usize = 10;
/// Values that other lists tell apart; what comes beyond is not listed, but counted.
const LISTED: usize = 1_000;

/// Answers [`crate::Answers::summary`].
pub(super) fn summary(tx: &mut Tx<'_>, stream: &str, tenant: Option<&str>, since: Millis) -> Result<Summary, Fault> {
    let of = |table: &str| {
        let mut filters = Filters::default();
        filters.add_text("stream =", Some(stream));
        scope(&mut filters, table, tenant, table != "events");
        filters.add_number("received_at >=", Some(since));
        filters
    };
    let (mut events, anomalies) = (of("events"), of("anomaly"));
    let events_by_kind = kinds(tx, stream, tenant, since, &events)?;
    events.add("key <> ''");
    let top_keys = grouped(tx, "events", "key", &events, TOP)?;
    let anomalies_by_severity = grouped(tx, "anomaly", "severity", &anomalies, LISTED)?;
    Ok(Summary {
        events: events_by_kind.all,
        events_by_kind: events_by_kind.most,
        top_keys: top_keys.most,
        anomalies: anomalies_by_severity.all,
        anomalies_by_rule: grouped(tx, "anomaly", "rule", &anomalies, LISTED)?.most,
        anomalies_by_severity: anomalies_by_severity.most,
        top_keys_by_anomalies: grouped(tx, "anomaly", "key", &anomalies, TOP)?.most,
        dead_letters: count(tx, "dead_letter", &of("dead_letter"))?,
    })
}

/// How often each type occurs: from the cells of whole hours, and counted in the hour that the time cuts through.
fn kinds(
    tx: &mut Tx<'_>,
    stream: &str,
    tenant: Option<&str>,
    since: Millis,
    events: &Filters,
) -> Result<Grouped, Fault> {
    let cut = since.div_euclid(HOUR_MS);
    let mut cells = Filters::default();
    cells.add_text("stream =", Some(stream));
    cells.add_number("hour >", Some(cut));
    if let Some(tenant) = tenant {
        let (tenant, many) = (cells.bind_text(tenant), cells.bind(MANY));
        cells.add(format!("tenant IN ({tenant}, {many})"));
    }
    let many = cells.bind(MANY);
    let mixed = if tenant.is_some() { "kind, tenant" } else { "kind" };
    let sql = format!(
        "SELECT kind, sum(rows)::bigint, {many} IN ({mixed}) FROM event_counts WHERE {} GROUP BY {mixed}",
        cells.sql()
    );
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for row in tx.query(&sql, &cells.values())? {
        let mut cells = Cells::of(&row);
        let (kind, rows) = (cells.text()?, cells.count()?);
        if cells.raw::<bool>()? {
            return grouped(tx, "events", "kind", events, LISTED);
        }
        *kinds.entry(kind).or_default() += rows;
    }
    let mut first = Filters::default();
    first.add_text("stream =", Some(stream));
    first.add_text("tenant =", tenant);
    first.add_number("received_at >=", Some(since));
    first.add_number("received_at <", cut.checked_add(1).and_then(|hour| hour.checked_mul(HOUR_MS)));
    let sql = format!("SELECT kind, count(*) FROM events WHERE {} GROUP BY kind", first.sql());
    for row in tx.query(&sql, &first.values())? {
        let mut cells = Cells::of(&row);
        let (kind, rows) = (cells.text()?, cells.count()?);
        *kinds.entry(kind).or_default() += rows;
    }
    let mut most: Vec<_> = kinds.into_iter().collect();
    most.sort_by_key(|(_, rows)| Reverse(*rows));
    let all = most.iter().map(|(_, rows)| rows).sum();
    most.truncate(LISTED);
    Ok(Grouped { all, most })
}

/// How often values occur.
#[derive(Default)]
struct Grouped {
    all: u64,
    /// Most first, equal ones by value.
    most: Vec<(String, u64)>,
}

fn grouped(tx: &mut Tx<'_>, table: &str, column: &str, filters: &Filters, limit: usize) -> Result<Grouped, Fault> {
    let sql = format!(
        "SELECT {column}, count(*), (sum(count(*)) OVER ())::bigint FROM {table} WHERE {} GROUP BY {column}
         ORDER BY count(*) DESC, {column} LIMIT {limit}",
        filters.sql()
    );
    let mut grouped = Grouped::default();
    for row in tx.query(&sql, &filters.values())? {
        let mut cells = Cells::of(&row);
        grouped.most.push((cells.text()?, cells.count()?));
        grouped.all = cells.count()?;
    }
    Ok(grouped)
}
