//! Pages of events, and all of a stream.
//!
//! Rows of one stream and tenant lie in order of time behind their key, their type, or alone in an index of every leaf
//! table. A page over several streams or tenants takes a page of each, which all come from these indexes, and merges them:
//! the work follows the page, and not the table.

use std::ops::ControlFlow;

use postgres::Row;

use super::counts;
use super::fault::Fault;
use super::filters::{Filters, bound};
use super::pool::Tx;
use super::rows::Cells;
use super::text;
use crate::query::{EventPage, EventQuery, EventRow, Order, Start};
use crate::{ScanFn, Scanned, StoreError};

/// Payload bytes after which a page ends early, so that a page of the largest events does not fill the memory.
const PAGE_BYTES: usize = 32 << 20;

const COLUMNS: &str = r#"e.stream, e.partition, e."offset", e.event_time, e.received_at, e.stored_at, e.key, e.kind, e.id,
    e.headers, e.data, e.data_raw"#;

/// Streams with their tenants, as texts of the database.
type Places = Vec<(String, String)>;

/// Answers an [`EventQuery`].
pub(super) fn page(tx: &mut Tx<'_>, query: &EventQuery) -> Result<EventPage, Fault> {
    let places = places(tx, query)?;
    let mut page = EventPage { total: query.count.then_some(0), ..EventPage::default() };
    if places.is_empty() {
        return Ok(page);
    }
    if query.count {
        page.total = Some(count(tx, query, &places)?);
    }
    let (sql, filters) = page_sql(query, &places);
    let mut bytes = 0;
    tx.each(&sql, &filters.values(), &mut |row| {
        if page.rows.len() >= query.limit || bytes > PAGE_BYTES {
            page.more = true;
            return Ok(ControlFlow::Break(()));
        }
        let row = event(&row)?;
        bytes += row.data.len() + row.headers.len();
        page.rows.push(row);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(page)
}

/// Whose rows are asked for, of the streams and tenants that there are.
fn places(tx: &mut Tx<'_>, query: &EventQuery) -> Result<Places, Fault> {
    let mut filters = Filters::default();
    filters.add_text("stream =", query.stream.as_deref());
    filters.add_text("tenant =", query.tenant.as_deref());
    let sql = format!("SELECT stream, tenant FROM owners WHERE {} ORDER BY stream, tenant", filters.sql());
    let rows = tx.query(&sql, &filters.values())?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The columns that narrow a page down, but for stream and tenant.
fn narrow(filters: &mut Filters, query: &EventQuery) {
    filters.add_text("e.id =", query.id.as_deref());
    if query.id.as_ref().is_some_and(|id| !id.is_empty()) {
        filters.add("e.id <> ''");
    }
    filters.add_text("e.key =", query.key.as_deref());
    filters.add_text("e.kind =", query.kind.as_deref());
    filters.add_number("e.event_time >=", query.from);
    filters.add_number("e.event_time <=", query.to);
}

/// Streams and tenants as conditions of the table: each is a list, as they were asked for one by one.
fn of_places(filters: &mut Filters, places: &Places) {
    let mut streams: Vec<_> = places.iter().map(|(stream, _)| stream.clone()).collect();
    let mut tenants: Vec<_> = places.iter().map(|(_, tenant)| tenant.clone()).collect();
    for (column, names) in [("e.stream", &mut streams), ("e.tenant", &mut tenants)] {
        names.sort_unstable();
        names.dedup();
        let term = match &names[..] {
            [one] => format!("{column} = {}", filters.bind(one.clone())),
            _ => format!("{column} = ANY ({})", filters.bind(std::mem::take(names))),
        };
        filters.add(term);
    }
}

fn count(tx: &mut Tx<'_>, query: &EventQuery, places: &Places) -> Result<u64, Fault> {
    let mut known = counts::Known { rows: 0, rest: None };
    if query.id.is_none() && query.key.is_none() {
        let mut streams: Vec<_> = places.iter().map(|(stream, _)| stream.clone()).collect();
        streams.dedup();
        let time = (query.from.unwrap_or(i64::MIN), query.to.unwrap_or(i64::MAX));
        known = counts::look_up(tx, streams, (query.tenant.as_deref(), query.kind.as_deref()), time)?;
    }
    let mut filters = Filters::default();
    of_places(&mut filters, places);
    narrow(&mut filters, query);
    let mut rows = 0;
    if let Some(rest) = known.rest {
        if rest.is_empty() {
            return Ok(known.rows);
        }
        rows = known.rows;
        let span = |(first, behind)| {
            let (first, behind) = (filters.bind(first), filters.bind(behind));
            format!("e.received_at >= {first} AND e.received_at < {behind}")
        };
        let spans: Vec<_> = rest.into_iter().map(span).collect();
        filters.add(format!("({})", spans.join(" OR ")));
    }
    let sql = format!("SELECT count(*) FROM events AS e WHERE {}", filters.sql());
    Ok(rows + tx.query_one(&sql, &filters.values())?.try_get::<_, i64>(0)? as u64)
}

/// The rows of a page, and one more.
fn page_sql(query: &EventQuery, places: &Places) -> (String, Filters) {
    let mut filters = Filters::default();
    let by_id = query.id.as_ref().is_some_and(|id| !id.is_empty());
    let lateral = places.len() > 1 && !by_id;
    if lateral {
        filters.add("e.stream = o.stream AND e.tenant = o.tenant");
    } else {
        of_places(&mut filters, places);
    }
    narrow(&mut filters, query);
    let (skip, direction) = after(&mut filters, query);
    let wanted = bound(query.limit as u64).saturating_add(1);
    let order =
        ["event_time", "stream", "partition", "\"offset\""].map(|column| format!("e.{column}{direction}")).join(", ");
    let each = wanted.saturating_add(skip);
    let (wanted, skip) = (filters.bind(wanted), filters.bind(skip));
    let rows = format!("SELECT {COLUMNS} FROM events AS e WHERE {} ORDER BY {order}", filters.sql());
    let sql = if lateral {
        let (streams, tenants): (Vec<_>, Vec<_>) = places.iter().cloned().unzip();
        let (streams, tenants, each) = (filters.bind(streams), filters.bind(tenants), filters.bind(each));
        format!(
            r#"SELECT {COLUMNS} FROM unnest({streams}::text[], {tenants}::text[]) AS o (stream, tenant)
            CROSS JOIN LATERAL ({rows} LIMIT {each}) AS e ORDER BY {order} LIMIT {wanted} OFFSET {skip}"#
        )
    } else {
        format!("{rows} LIMIT {wanted} OFFSET {skip}")
    };
    (sql, filters)
}

/// Where the page starts: a condition, or rows to skip; and the direction of its order.
fn after(filters: &mut Filters, query: &EventQuery) -> (i64, &'static str) {
    let (direction, compare) = match query.order {
        Order::Ascending => ("", ">"),
        Order::Descending => (" DESC", "<"),
    };
    let after = match &query.start {
        Start::Skip(rows) => return (bound(*rows), direction),
        Start::After(after) => after,
    };
    let (time, stream) = (filters.bind(after.time), filters.bind_text(&after.stream));
    let (partition, offset) = (filters.bind(i64::from(after.partition)), filters.bind(bound(after.offset)));
    // The first condition leads to the index, the second is exact.
    filters.add(format!(
        r#"e.event_time {compare}= {time} AND (e.event_time, e.stream, e.partition::int8, e."offset") {compare}
        ({time}, {stream}, {partition}, {offset})"#
    ));
    (0, direction)
}

fn event(row: &Row) -> Result<EventRow, Fault> {
    let mut cells = Cells::of(row);
    Ok(EventRow {
        stream: cells.text()?,
        partition: cells.small()?,
        offset: cells.count()?,
        time: cells.number()?,
        received_at: cells.number()?,
        stored_at: cells.number()?,
        key: cells.text()?,
        kind: cells.text()?,
        id: cells.text()?,
        headers: cells.bytes()?,
        data: cells.payload()?,
    })
}

/// Rows that a scan takes at once.
const PIECE: &str = "FETCH 1000 FROM scan";

/// Calls `each` for every row of a stream. The server sorts them, on its disk when they are many; here there is never more
/// than a piece of them.
pub(super) fn scan(tx: &mut Tx<'_>, stream: &str, each: ScanFn<'_>) -> Result<(), Fault> {
    // Sorting may take longer than a question may, and so may what is done with a piece.
    tx.batch("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = '10min'")?;
    let sql = r#"DECLARE scan NO SCROLL CURSOR FOR
        SELECT partition, "offset", event_time, received_at, key, kind, id, tenant, headers, data, data_raw
        FROM events WHERE stream = $1 ORDER BY partition, "offset""#;
    tx.execute(sql, &[&text::to_text(stream.as_bytes())])?;
    let mut given = false;
    let mut goes_on = true;
    while goes_on {
        goes_on = false;
        let piece = tx.each(PIECE, &[], &mut |row| {
            given = true;
            let flow = each_row(&row, each)?;
            goes_on = flow.is_continue();
            Ok(flow)
        });
        // Rows that were given are not given again: the caller may ask again, but not this by itself.
        piece.map_err(|fault| if given { StoreError::from(fault).into() } else { fault })?;
    }
    Ok(())
}

fn each_row(row: &Row, each: ScanFn<'_>) -> Result<ControlFlow<()>, Fault> {
    let mut cells = Cells::of(row);
    let (partition, offset, time, received_at) = (cells.small()?, cells.count()?, cells.number()?, cells.number()?);
    let mut bytes = || Ok::<_, Fault>(text::to_bytes(cells.raw()?));
    let (key, kind, id, tenant) = (bytes()?, bytes()?, bytes()?, bytes()?);
    let headers = cells.raw::<Option<&[u8]>>()?.unwrap_or_default();
    let data = cells.maybe_payload()?.unwrap_or_default();
    let record = event::Record { offset, time, received_at, key: &key, kind: &kind, id: &id, data, headers };
    Ok(each(&Scanned { partition, tenant: &tenant, record }))
}
