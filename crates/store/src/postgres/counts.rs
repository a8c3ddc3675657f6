//! How many event rows there are, without counting them: a commit adds its rows to the cells of the hour of their receipt, and
//! a total is the sum of cells. What cells cannot tell, because a question's time cuts through them, is counted in the hours
//! concerned.
//!
//! A cell is one of a stream, hour, partition, tenant and type, so that two processes never write the same one. A commit
//! that would touch very many cells adds to cells of [`MANY`] instead: then a question for one tenant or type counts the
//! rows of that hour.

use std::collections::HashMap;

use event::{Catalog, Millis};

use super::fault::Fault;
use super::filters::Filters;
use super::pool::Tx;
use super::text::to_text;
use crate::Commit;

/// Milliseconds of an hour.
pub(super) const HOUR_MS: Millis = 3_600_000;
/// Stands for any tenant or type; [`to_text`] gives this to none.
pub(super) const MANY: &str = "\u{1}";
/// Cells that one commit touches, about.
const CELLS: usize = 256;
/// Spans of hours that are counted beside the cells; with more, all rows are counted.
const SPANS: usize = 24;

/// Stream, hour, partition, tenant, type.
type Name<'a> = (&'a str, i64, u32, &'a [u8], &'a [u8]);

/// What is in a cell.
#[derive(Clone, Copy)]
struct Cell {
    rows: i64,
    first: Millis,
    last: Millis,
}

impl Cell {
    fn add(&mut self, more: Self) {
        self.rows += more.rows;
        self.first = self.first.min(more.first);
        self.last = self.last.max(more.last);
    }
}

/// Adds the rows of a commit to their cells.
pub(super) fn note(tx: &mut Tx<'_>, catalog: &Catalog, commit: &Commit<'_>) -> Result<(), Fault> {
    let mut cells = cells_of(catalog, commit);
    // First the types are not told apart any more, then the tenants.
    for coarse in [
        |(stream, hour, partition, tenant, _): Name<'_>| (stream, hour, partition, tenant, MANY.as_bytes()),
        |(stream, hour, partition, ..): Name<'_>| (stream, hour, partition, MANY.as_bytes(), MANY.as_bytes()),
    ] as [for<'a> fn(Name<'a>) -> Name<'a>; 2]
    {
        if cells.len() > CELLS {
            let mut fewer = HashMap::new();
            cells.drain().for_each(|(name, cell)| put(&mut fewer, coarse(name), cell));
            cells = fewer;
        }
    }
    if cells.is_empty() {
        return Ok(());
    }
    let text = |of: fn(&Name<'_>) -> Vec<u8>| -> Vec<String> {
        // What stands for many is no text of somebody's.
        let text =
            |bytes: Vec<u8>| if bytes == MANY.as_bytes() { MANY.to_owned() } else { to_text(&bytes).into_owned() };
        cells.keys().map(|name| text(of(name))).collect()
    };
    let (streams, tenants, kinds) =
        (text(|name| name.0.into()), text(|name| name.3.into()), text(|name| name.4.into()));
    let hours: Vec<i64> = cells.keys().map(|name| name.1).collect();
    let partitions: Vec<i32> = cells.keys().map(|name| name.2 as i32).collect();
    let number = |of: fn(&Cell) -> i64| -> Vec<i64> { cells.values().map(of).collect() };
    let (rows, first, last) = (number(|cell| cell.rows), number(|cell| cell.first), number(|cell| cell.last));
    let sql = "INSERT INTO event_counts AS c (stream, hour, partition, tenant, kind, rows, first_time, last_time)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::int[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
           $8::bigint[])
         ON CONFLICT (stream, hour, partition, tenant, kind) DO UPDATE SET rows = c.rows + excluded.rows,
           first_time = least(c.first_time, excluded.first_time), last_time = greatest(c.last_time, excluded.last_time)";
    tx.execute(sql, &[&streams, &hours, &partitions, &tenants, &kinds, &rows, &first, &last])?;
    Ok(())
}

fn put<'a>(cells: &mut HashMap<Name<'a>, Cell>, name: Name<'a>, cell: Cell) {
    cells.entry(name).and_modify(|there| there.add(cell)).or_insert(cell);
}

fn cells_of<'a>(catalog: &'a Catalog, commit: &Commit<'a>) -> HashMap<Name<'a>, Cell> {
    let mut cells = HashMap::new();
    for block in commit.blocks {
        let (stream, hour) = (catalog.get(block.stream).name.as_str(), block.appended_at.div_euclid(HOUR_MS));
        for record in block.records() {
            let name = (stream, hour, block.partition, record.tenant(), record.kind);
            put(&mut cells, name, Cell { rows: 1, first: record.time, last: record.time });
        }
    }
    cells
}

/// What is known of the rows that a question lets through.
pub(super) struct Known {
    /// As many as this are in the cells that are told by themselves.
    pub(super) rows: u64,
    /// Spans of receipt, from and before, whose rows must be counted. `None` when those of all must.
    pub(super) rest: Option<Vec<(Millis, Millis)>>,
}

/// Looks the rows of streams up, of a tenant and a type if they are given, between two event times.
pub(super) fn look_up(
    tx: &mut Tx<'_>,
    streams: Vec<String>,
    (tenant, kind): (Option<&str>, Option<&str>),
    (from, to): (Millis, Millis),
) -> Result<Known, Fault> {
    let mut filters = Filters::default();
    let (streams, from, to) = (filters.bind(streams), filters.bind(from), filters.bind(to));
    filters.add(format!("stream = ANY ({streams})"));
    let mut cut = vec![format!(
        "last_time >= {from} AND first_time <= {to} AND NOT ({from} <= first_time AND last_time <= {to})"
    )];
    for (column, value) in [("tenant", tenant), ("kind", kind)] {
        if let Some(value) = value {
            let (value, many) = (filters.bind_text(value), filters.bind(MANY));
            filters.add(format!("{column} IN ({value}, {many})"));
            cut.push(format!("{column} = {many}"));
        }
    }
    let sql = format!(
        "SELECT coalesce(sum(rows) FILTER (WHERE NOT cut), 0)::bigint,
           coalesce(array_agg(hour ORDER BY hour) FILTER (WHERE cut), '{{}}')
         FROM (SELECT hour, sum(rows) FILTER (WHERE {from} <= first_time AND last_time <= {to}) AS rows,
           bool_or({}) AS cut FROM event_counts WHERE {} GROUP BY hour) AS hours",
        cut.join(" OR "),
        filters.sql()
    );
    let row = tx.query_one(&sql, &filters.values())?;
    let hours: Vec<i64> = row.try_get(1)?;
    let mut rest: Vec<(Millis, Millis)> = Vec::new();
    for hour in hours {
        let (first, behind) = (hour.saturating_mul(HOUR_MS), (hour + 1).saturating_mul(HOUR_MS));
        match rest.last_mut() {
            Some(span) if span.1 == first => span.1 = behind,
            _ => rest.push((first, behind)),
        }
    }
    Ok(Known { rows: row.try_get::<_, i64>(0)? as u64, rest: Some(rest).filter(|rest| rest.len() <= SPANS) })
}

/// Forgets the cells of a stream's hours, whose rows were dropped.
pub(super) fn forget(tx: &mut Tx<'_>, stream: &str, first: Millis, behind: Millis) -> Result<(), Fault> {
    let sql = "DELETE FROM event_counts WHERE stream = $1 AND hour >= $2 AND hour < $3";
    let (first, behind) = (first.div_euclid(HOUR_MS), behind.div_euclid(HOUR_MS));
    tx.execute(sql, &[&stream, &first, &behind])?;
    Ok(())
}
