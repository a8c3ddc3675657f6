//! Pages of windows.
//!
//! In the index a definition's rows lie as a page wants them, newest start first. So a page takes a page of each definition
//! that there is, and merges them; a page of one group takes the group's rows, by an index of their own.

use event::WindowId;

use super::fault::Fault;
use super::filters::{Filters, bound};
use super::pool::Tx;
use super::read_facts::tenants_of;
use super::rows::Cells;
use crate::query::{WindowPage, WindowQuery, WindowRow};
use crate::sqlite::measures;

/// The columns of a window, as [`window`] reads them.
pub(super) const COLUMNS: &str =
    "w.tenant, w.stream, w.name, w.size, w.start_at, w.key, w.end_at, w.definition, w.measures,
    w.events, w.revision, coalesce(l.events, 0), w.created, w.updated";

/// The count of late events of a window.
pub(super) const WITH_LATE: &str = "LEFT JOIN late_events AS l ON l.tenant = w.tenant AND l.stream = w.stream
    AND l.name = w.name AND l.size = w.size AND l.start_at = w.start_at AND l.key = w.key";

/// The order of a page.
const ORDER: &str = "w.start_at DESC, w.name, w.size, w.key, w.stream, w.tenant";

/// All definitions that a table has rows of, as `d`: from one to the next through the index, a look-up each.
pub(super) fn definitions(table: &str, filter: &str) -> String {
    format!(
        "WITH RECURSIVE d AS (
           (SELECT tenant, stream, name, size FROM {table} WHERE {filter} ORDER BY tenant, stream, name, size LIMIT 1)
           UNION ALL
           SELECT n.* FROM d CROSS JOIN LATERAL (
             SELECT t.tenant, t.stream, t.name, t.size FROM {table} AS t
             WHERE {filter} AND (t.tenant, t.stream, t.name, t.size) > (d.tenant, d.stream, d.name, d.size)
             ORDER BY t.tenant, t.stream, t.name, t.size LIMIT 1) AS n)"
    )
}

/// Answers a [`WindowQuery`].
pub(super) fn page(tx: &mut Tx<'_>, query: &WindowQuery) -> Result<WindowPage, Fault> {
    let mut filters = Filters::default();
    let wanted = filters.bind(bound(query.limit as u64).saturating_add(1));
    let (with, picked) = match &query.key {
        Some(_) => (String::new(), of_group(&mut filters, query)),
        None => of_definitions(&mut filters, query, &wanted),
    };
    let sql = format!(
        "{with} SELECT {COLUMNS} FROM (SELECT w.n FROM {picked} ORDER BY {ORDER} LIMIT {wanted}) AS p
         JOIN windows AS w ON w.n = p.n {WITH_LATE} ORDER BY {ORDER}"
    );
    let rows = tx.query(&sql, &filters.values())?;
    let more = rows.len() > query.limit;
    let rows = rows.iter().take(query.limit).map(|row| window(&mut Cells::of(row))).collect::<Result<_, _>>()?;
    Ok(WindowPage { rows, more })
}

/// One group's windows: they are few enough to be sorted.
fn of_group(filters: &mut Filters, query: &WindowQuery) -> String {
    filters.add_text("w.tenant =", query.tenant.as_deref());
    if query.tenant.is_none() {
        filters.add(format!("w.tenant IN ({})", tenants_of("windows")));
    }
    filters.add_text("w.key =", query.key.as_deref());
    filters.add_text("w.stream =", query.stream.as_deref());
    filters.add_text("w.name =", query.window.as_deref());
    filters.add_number("w.size =", query.size_ms);
    bounds(filters, query);
    if let Some(last) = &query.after {
        let cursor = Cursor::bind(filters, last);
        let Cursor { start, name, size, key, stream, tenant } = &cursor;
        filters.add(format!(
            "w.start_at <= {start} AND (w.start_at < {start} OR (w.name, w.size, w.key, w.stream, w.tenant)
             > ({name}, {size}, {key}, {stream}, {tenant}))"
        ));
    }
    format!("windows AS w WHERE {}", filters.sql())
}

fn bounds(filters: &mut Filters, query: &WindowQuery) {
    filters.add_number("w.start_at >=", query.from);
    filters.add_number("w.start_at <=", query.to);
}

/// A page of each definition; a cursor's start is looked at apart from the earlier ones, so that both begin in the index
/// where the page begins.
fn of_definitions(filters: &mut Filters, query: &WindowQuery, wanted: &str) -> (String, String) {
    let tenant = query.tenant.as_deref().map(|tenant| format!("tenant = {}", filters.bind_text(tenant)));
    let with = definitions("windows", tenant.as_deref().unwrap_or("true"));
    let mut lanes = vec!["true".to_owned()];
    for (column, value) in [("d.stream", &query.stream), ("d.name", &query.window)] {
        lanes.extend(value.as_ref().map(|value| format!("{column} = {}", filters.bind_text(value))));
    }
    lanes.extend(query.size_ms.map(|size| format!("d.size = {}", filters.bind(size))));
    bounds(filters, query);
    let of = "w.tenant = d.tenant AND w.stream = d.stream AND w.name = d.name AND w.size = d.size";
    let within = filters.sql();
    let part = |also: &str, order: &str| {
        format!(
            "(SELECT w.n, w.start_at, w.name, w.size, w.key, w.stream, w.tenant FROM windows AS w
             WHERE {of} AND {within} AND {also} ORDER BY {order} LIMIT {wanted})"
        )
    };
    let rows = match &query.after {
        None => part("true", "w.start_at DESC, w.key"),
        Some(last) => {
            let Cursor { start, name, size, key, stream, tenant } = Cursor::bind(filters, last);
            let at = format!("w.start_at = {start}");
            [
                part(&format!("{at} AND (d.name, d.size) > ({name}, {size})"), "w.key"),
                part(
                    &format!(
                        "{at} AND (d.name, d.size) = ({name}, {size}) AND w.key >= {key}
                         AND (w.key > {key} OR (d.stream, d.tenant) > ({stream}, {tenant}))"
                    ),
                    "w.key",
                ),
                part(&format!("w.start_at < {start}"), "w.start_at DESC, w.key"),
            ]
            .join(" UNION ALL ")
        }
    };
    let lanes = lanes.join(" AND ");
    (with, format!("(SELECT * FROM d WHERE {lanes}) AS d CROSS JOIN LATERAL ({rows}) AS w"))
}

/// The parameters of a page's first place.
struct Cursor {
    start: String,
    name: String,
    size: String,
    key: String,
    stream: String,
    tenant: String,
}

impl Cursor {
    fn bind(filters: &mut Filters, last: &WindowId) -> Self {
        Self {
            start: filters.bind(last.start),
            name: filters.bind_text(&last.window),
            size: filters.bind(last.size_ms),
            key: filters.bind_text(&last.key),
            stream: filters.bind_text(&last.stream),
            tenant: filters.bind_text(&last.tenant),
        }
    }
}

/// Reads [`COLUMNS`].
pub(super) fn window(cells: &mut Cells<'_>) -> Result<WindowRow, Fault> {
    Ok(WindowRow {
        id: WindowId {
            tenant: cells.text()?,
            stream: cells.text()?,
            window: cells.text()?,
            size_ms: cells.number()?,
            start: cells.number()?,
            key: cells.text()?,
        },
        end: cells.number()?,
        definition: cells.count()?,
        measures: measures::decode(cells.raw()?)?,
        events: cells.count()?,
        revision: cells.count()?,
        late: cells.count()?,
        created_at: cells.number()?,
        updated_at: cells.number()?,
    })
}
