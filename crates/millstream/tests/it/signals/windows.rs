//! The windows of the pack against SQL: every row that the read API gives is recomputed from the event rows, with
//! `json_extract` and `GROUP BY`, by the definition of what is late.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::product::Product;

/// A definition, as far as the recomputation depends on it.
#[derive(Clone, Copy)]
pub(crate) struct Definition {
    name: &'static str,
    sizes: &'static [i64],
    /// Whether late events are in their windows, or only counted.
    corrected: bool,
}

/// The pack's definition, whose windows late events correct, and one where they do not.
pub(crate) const DEFINITIONS: [Definition; 2] = [
    Definition { name: "signals_by_type", sizes: &[60_000, 300_000, 3_600_000, 86_400_000], corrected: true },
    Definition { name: "on_time", sizes: &[60_000, 3_600_000], corrected: false },
];

/// The second of them, for a configuration; and besides, what only `verify` recomputes: the other kinds of windows, and of
/// rules.
pub(crate) const CONFIGURATION: &str = r#"
windows:
  - name: on_time
    stream: signals
    sizes: [1m, 1h]
    by: [type]
    lateness: 10s
    late: count
    measures:
      count: count()
      amount: sum(payload.amount)
      users: distinct(user_id)
      p95: quantile(payload.response_time_ms, 0.95)
  - name: sliding
    stream: signals
    size: 10m
    every: 2m
    when: type == "api_call"
    by: [payload.status_code]
    measures: { count: count(), slowest: max(payload.response_time_ms), mean: mean(payload.response_time_ms) }
  - name: visits
    stream: signals
    session: { gap: 5m }
    by: [user_id]
    measures: { acts: count() }
rules:
  - name: unusual_amount
    stream: signals
    when: type == "purchase"
    deviation: { of: payload.amount, z: 2, span: 20, warm_up: 5 }
  - name: silent_user
    stream: signals
    when: type == "login"
    absence: { after: 1h }
  - name: login_then_purchase
    stream: signals
    when: type == "login"
    sequence: { then: type == "purchase", within: 1m }
"#;

/// How far behind the newest event time a partition's watermark is, in both.
const LATENESS: i64 = 10_000;
/// Up to here a distinct count is exact but for one pair of hashes that are alike.
const DISTINCT_EXACT: f64 = 768.0;
/// Three standard errors of a distinct count above that, and the error of a quantile.
const DISTINCT_ERROR: f64 = 3.0 * 0.016;
const QUANTILE_ERROR: f64 = 0.01;

/// Length, beginning, type.
type Window = (i64, i64, String);

/// What a window holds, measured here or there.
#[derive(Debug, Default)]
pub(crate) struct Row {
    events: i64,
    amount: Option<f64>,
    users: f64,
    p95: Option<f64>,
    late: i64,
}

/// All rows of one definition as the product tells them.
pub(crate) fn read(product: &Product, definition: Definition) -> BTreeMap<Window, Row> {
    let mut rows = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = product.ask(&format!("/v1/windows?stream=signals&window={}&limit=1000{cursor}", definition.name));
        for row in page["windows"].as_array().expect("windows") {
            let (measures, whole) = (&row["values"], |name: &str| row[name].as_i64().expect("a number"));
            let kind = row["key"]["type"].as_str().expect("a type").to_owned();
            let id = (whole("size_ms"), whole("start_ms"), kind);
            let told = Row {
                events: row["events"].as_i64().expect("a count"),
                amount: measures["amount"].as_f64(),
                users: measures["users"].as_f64().expect("a number"),
                p95: measures["p95"].as_f64(),
                late: row["late"].as_i64().expect("a count"),
            };
            assert_eq!(measures["count"].as_i64(), Some(told.events), "{row}");
            assert!(rows.insert(id, told).is_none(), "told twice: {row}");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

/// Compares the rows of closed windows with their recomputation.
pub(crate) fn check(store: &Connection, definition: Definition, told: &BTreeMap<Window, Row>) {
    let closed_before: i64 = store
        .query_row("SELECT min(clock) FROM (SELECT max(own) AS clock FROM seen GROUP BY part)", [], |row| row.get(0))
        .unwrap();
    let closed = |(size, start, _): &Window| start + size <= closed_before - LATENESS;
    let (mut windows, mut late) = (0, 0);
    for &size in definition.sizes {
        let expected = recompute(store, size, definition.corrected);
        for id in told.keys().filter(|id| id.0 == size && closed(id)) {
            assert!(expected.contains_key(id), "a window of nothing: {id:?} {:?}", told[id]);
        }
        for (id, row) in expected.iter().filter(|(id, row)| closed(id) && row.events > 0) {
            let found = told.get(id).unwrap_or_else(|| panic!("no row of {id:?}, which has {row:?}"));
            compare(id, found, row);
            windows += 1;
            late += row.late;
        }
    }
    // All minutes of the night in all five types, and some of the events that came minutes late.
    assert!(windows > 5 * 600 && late > 0, "{windows} windows and {late} late events are too few to show anything");
}

fn compare(id: &Window, found: &Row, expected: &Row) {
    assert_eq!((found.events, found.late), (expected.events, expected.late), "{id:?}: events, late");
    match (found.amount, expected.amount) {
        (Some(found), Some(exact)) => {
            let allowed = 1e-9_f64.max(exact.abs() * f64::EPSILON);
            assert!((found - exact).abs() <= allowed, "{id:?}: amount {found}, by SQL {exact}");
        }
        (found, None) => assert_eq!(found.unwrap_or(0.0), 0.0, "{id:?}: an amount of nothing"),
        (None, Some(exact)) => panic!("{id:?}: no amount, by SQL {exact}"),
    }
    let allowed = if expected.users <= DISTINCT_EXACT { 1.0 } else { expected.users * DISTINCT_ERROR };
    assert!(
        (found.users - expected.users).abs() <= allowed,
        "{id:?}: {} users, by SQL {}",
        found.users,
        expected.users
    );
    match (found.p95, expected.p95) {
        (Some(found), Some(exact)) => {
            assert!((found - exact).abs() <= exact * QUANTILE_ERROR + 1e-9, "{id:?}: p95 {found}, by SQL {exact}");
        }
        (found, expected) => assert_eq!(found, expected, "{id:?}: p95"),
    }
}

/// Puts what the windows measure into a table, each event with its partition's clock before it. Money in cents: whole
/// numbers add up exactly.
pub(crate) fn gather(store: &Connection) {
    store
        .execute_batch(
            "PRAGMA temp_store = MEMORY;
             CREATE TEMP TABLE seen AS
             SELECT part, off, time, type, min(time, received) AS own,
               json_extract(data, '$.user_id') AS user,
               CAST(round(json_extract(data, '$.payload.amount') * 100) AS INTEGER) AS cents,
               json_extract(data, '$.payload.response_time_ms') AS took,
               max(min(time, received)) OVER (PARTITION BY part ORDER BY off ROWS BETWEEN UNBOUNDED PRECEDING
                 AND 1 PRECEDING) AS clock
             FROM events WHERE stream = 'signals'",
        )
        .unwrap();
}

fn recompute(store: &Connection, size: i64, corrected: bool) -> BTreeMap<Window, Row> {
    let sql = format!(
        "WITH placed AS (
           SELECT *, time - time % {size} AS start,
             clock IS NOT NULL AND time - time % {size} + {size} <= clock - {LATENESS} AS late FROM seen)
         SELECT start, type, count(*) FILTER (WHERE {corrected} OR NOT late),
           sum(cents) FILTER (WHERE {corrected} OR NOT late), count(DISTINCT user) FILTER (WHERE {corrected} OR NOT late),
           sum(late)
         FROM placed GROUP BY start, type"
    );
    let mut statement = store.prepare(&sql).unwrap();
    let rows = statement.query_map([], |row| {
        let cents: Option<i64> = row.get(3)?;
        let measured = Row {
            events: row.get(2)?,
            amount: cents.map(|cents| cents as f64 / 100.0),
            users: row.get(4)?,
            p95: None,
            late: row.get(5)?,
        };
        Ok(((size, row.get(0)?, row.get(1)?), measured))
    });
    let mut rows: BTreeMap<Window, Row> = rows.unwrap().map(Result::unwrap).collect();
    for (id, values) in response_times(store, size, corrected) {
        rows.get_mut(&id).expect("counted above").p95 = Some(quantile(&values, 0.95));
    }
    rows
}

/// The values of each window in ascending order.
fn response_times(store: &Connection, size: i64, corrected: bool) -> BTreeMap<Window, Vec<f64>> {
    let sql = format!(
        "SELECT time - time % {size}, type, took FROM seen WHERE took IS NOT NULL
           AND ({corrected} OR clock IS NULL OR time - time % {size} + {size} > clock - {LATENESS}) ORDER BY 3"
    );
    let mut values: BTreeMap<Window, Vec<f64>> = BTreeMap::new();
    let mut statement = store.prepare(&sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        values.entry((size, row.get(0).unwrap(), row.get(1).unwrap())).or_default().push(row.get(2).unwrap());
    }
    values
}

/// The value of rank `⌊part × (n − 1)⌋`, as the documents have it.
fn quantile(ascending: &[f64], part: f64) -> f64 {
    ascending[(part * (ascending.len() - 1) as f64) as usize]
}
