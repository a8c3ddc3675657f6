//! Chunks that TimescaleDB has compressed: read, counted and dropped as before, and more rows come beside them.

use store::query::EventQuery;
use store::{Answers, Store};

use crate::data::*;
use crate::servers::Live;

const DAY_MS: i64 = 86_400_000;

/// Five hundred rows from this offset on, received then.
fn commit(database: &Live, offset: u64, received: i64) {
    let rows: Vec<_> = (0..500).map(row).collect();
    commit_blocks(&database.store(), &[block(SIGNALS, 1, offset, received, &rows)]);
}

#[test]
fn rows_in_compressed_chunks_are_as_they_were() {
    let database = Live::timescale();
    (0..3).for_each(|day| commit(&database, 500 * day, 1_000 + DAY_MS * day as i64));
    let before = scanned(&database.store(), "signals");
    assert_eq!(before.len(), 1_500);

    let compress = "SELECT count(compress_chunk(c)) FROM show_chunks('events', older_than => $1::bigint) c";
    let compressed: i64 = database.shell().query_one(compress, &[&(2 * DAY_MS)]).unwrap().get(0);
    assert_eq!(compressed, 2);
    assert_eq!(scanned(&database.store(), "signals"), before);

    // More for a day that is compressed already, as after a long time without the store.
    commit(&database, 1_500, 2_000);
    let store = database.store();
    assert_eq!(scanned(&store, "signals").len(), 2_000);
    let query = EventQuery { stream: Some("signals".to_owned()), limit: 1, count: true, ..EventQuery::default() };
    assert_eq!(store.events(&query).unwrap().total, Some(2_000));
    assert_eq!(store.expire("signals", DAY_MS).unwrap(), 1_000, "the first day, with what came to it later");
    assert_eq!(scanned(&store, "signals"), before[500..]);
}
