//! The SQLite back end: it conforms, and what is its own: the file, its versions, its size.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use store::query::{EventQuery, WindowQuery};
use store::sqlite::{SqliteSettings, SqliteStore};
use store::{Answers, Commit, Store, StoreError};

use crate::data::*;
use crate::{conformance, expiry, letters, outbox, pages, tenants, windows};

/// A file in a folder that goes away with it.
pub(crate) struct File {
    folder: tempfile::TempDir,
    settings: SqliteSettings,
}

impl File {
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    pub(crate) fn store(&self) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(&self.path(), catalog(), self.settings.clone())
    }

    /// Another program's connection to the file.
    pub(crate) fn shell(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
}

impl Database for File {
    fn open(&self) -> Box<dyn Store> {
        Box::new(self.store().unwrap())
    }
}

pub(crate) fn file(shape: Shape) -> File {
    let settings = SqliteSettings {
        chunk_rows: shape.chunk_rows,
        index_after_ms: if shape.index_early { 0 } else { i64::MAX },
        busy_timeout_ms: 0,
        ..SqliteSettings::default()
    };
    File { folder: tempfile::tempdir().unwrap(), settings }
}

fn new(shape: Shape) -> Box<dyn Database> {
    Box::new(file(shape))
}

macro_rules! conforms {
    ($($suite:ident: $($name:ident)*;)*) => {
        $($(#[test] fn $name() { $suite::$name(new); })*)*
    };
}

conforms! {
    conformance:
        a_commit_is_there_whole_and_still_after_reopening
        a_refused_commit_leaves_nothing
        a_position_that_is_elsewhere_fences
        positions_are_of_one_consumer_and_may_begin_anywhere
        a_snapshot_replaces_the_one_before
        anomalies_are_kept_once_and_found_by_every_filter
        every_byte_comes_back
        a_scan_goes_up_in_every_partition_and_stops_when_told
        questions_may_be_asked_while_rows_are_committed;
    letters:
        dead_letters_are_kept_once_and_found_by_every_filter
        every_part_of_a_dead_letter_comes_back
        what_happens_to_a_dead_letter_follows_from_its_status
        a_failed_replay_counts_and_the_fourth_quarantines
        an_edited_letter_keeps_what_the_sender_sent
        changes_are_of_one_tenants_letter_and_may_come_with_it;
    windows:
        pieces_in_any_order_and_any_commits_give_equal_rows
        any_page_of_windows_is_answered_as_by_the_model
        a_page_goes_through_a_start_with_many_groups
        a_piece_of_another_definition_replaces_the_row
        a_retracted_window_goes_and_one_that_comes_again_goes_on
        late_events_are_counted_with_and_without_their_window;
    outbox:
        an_alert_is_kept_when_its_anomaly_is_new
        alerts_are_found_by_every_filter
        what_is_due_is_told_until_it_is_done
        what_waits_for_one_target_hides_nothing_for_another
        a_windows_result_is_told_as_it_is_and_again_when_it_changes;
    expiry:
        expiry_drops_whole_chunks_only
        anomalies_go_with_their_stream
        windows_go_when_they_ended_before_and_have_not_changed_since
        what_was_told_goes_and_what_waits_stays
        settled_dead_letters_go_with_the_log_that_holds_them;
    pages:
        any_question_is_answered_as_by_the_model
        a_stream_of_many_types_is_still_in_order
        runs_longer_than_one_reading_are_whole;
    tenants:
        tenants_with_equal_keys_types_and_ids_see_only_their_own
        more_tenants_than_are_merged_are_still_in_order_and_apart
        a_commit_that_fails_gives_no_tenant_the_number_of_another;
}

#[test]
fn a_file_of_another_program_is_refused_and_left_alone() {
    let check = |make: &dyn Fn(&Path)| {
        let file = file(SMALL);
        make(&file.path());
        let before = std::fs::read_to_string(file.path()).unwrap_or_default();
        assert!(
            matches!(file.store(), Err(StoreError::Incompatible(why)) if why.contains("not a store of Millstream"))
        );
        assert_eq!(std::fs::read_to_string(file.path()).unwrap_or_default(), before);
        assert_eq!(std::fs::read_dir(file.folder.path()).unwrap().count(), 1, "no log was made beside it");
    };
    check(&|path| Connection::open(path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap());
    check(&|path| Connection::open(path).unwrap().pragma_update(None, "application_id", 77).unwrap());
    #[expect(clippy::disallowed_methods, reason = "a test writes a file that is no database")]
    check(&|path| std::fs::write(path, "dear diary, ".repeat(1_000)).unwrap());
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let file = file(SMALL);
    fill(&file.store().unwrap(), 3, 3);
    file.shell().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(file.store(), Err(StoreError::Incompatible(why)) if why.contains("newer")));
    file.shell().pragma_update(None, "user_version", 3).unwrap();
    assert_eq!(scanned(&file.store().unwrap(), "signals").len(), 3);
}

#[test]
fn a_file_that_cannot_be_made_is_unavailable() {
    let settings = SqliteSettings::default();
    let opened = SqliteStore::open(Path::new("/nonexistent/store.db"), catalog(), settings);
    assert!(matches!(opened, Err(StoreError::Unavailable(_))));
}

#[test]
fn a_commit_while_another_process_writes_is_unavailable_and_may_be_retried() {
    let file = file(SMALL);
    let store = file.store().unwrap();
    let other = file.shell();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let commit = Commit { consumer: "engine", moves: vec![step(SIGNALS, 0, 0, 1)], ..Commit::default() };
    assert!(matches!(store.commit(&commit), Err(StoreError::Unavailable(_))));
    assert!(store.positions("engine").unwrap().is_empty(), "reading goes on meanwhile");
    other.execute_batch("ROLLBACK").unwrap();
    store.commit(&commit).unwrap();
}

/// A commit with a row and a window.
fn commit_both(store: &SqliteStore, from: u64) -> Result<(), StoreError> {
    let blocks = [block(SIGNALS, 0, from, 1, &[row(from as i64)])];
    let windows = [piece(window("w", 0, "a"), &[1])];
    let moves = vec![step(SIGNALS, 0, from, from + 1)];
    store.commit(&Commit { consumer: "engine", moves, blocks: &blocks, windows: &windows, ..Commit::default() })
}

#[test]
fn a_row_that_a_trigger_refuses_is_refused() {
    let file = file(SMALL);
    let store = file.store().unwrap();
    commit_both(&store, 0).unwrap();
    let refuse =
        "CREATE TRIGGER no BEFORE INSERT ON events_1 WHEN NEW.id = 'id-1' BEGIN SELECT RAISE(ABORT, 'no'); END";
    file.shell().execute_batch(refuse).unwrap();
    assert!(matches!(commit_both(&store, 1), Err(StoreError::Refused(why)) if why.contains("no")));
    assert_eq!(store.windows(&WindowQuery { limit: 1, ..WindowQuery::default() }).unwrap().rows[0].revision, 1);
    file.shell().execute_batch("DROP TRIGGER no").unwrap();
    commit_both(&store, 1).unwrap();
}

#[test]
fn trouble_with_the_file_makes_no_record_a_bad_one() {
    let check = |spoil: &str, mend: &str| {
        let file = file(SMALL);
        let store = file.store().unwrap();
        commit_both(&store, 0).unwrap();
        file.shell().execute_batch(spoil).unwrap();
        let told = commit_both(&store, 1);
        assert!(matches!(told, Err(StoreError::Unavailable(_))), "{spoil}: {told:?}");
        file.shell().execute_batch(mend).unwrap();
        commit_both(&store, 1).unwrap();
    };
    check("ALTER TABLE windows RENAME TO gone", "ALTER TABLE gone RENAME TO windows");
    check("ALTER TABLE events_1 RENAME COLUMN data TO gone", "ALTER TABLE events_1 RENAME COLUMN gone TO data");
    check("UPDATE windows SET measures = x'0100'", "DELETE FROM windows");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test damages a file")]
fn a_damaged_file_is_unavailable() {
    let file = file(SMALL);
    let store = file.store().unwrap();
    fill(&store, 100, 10);
    commit_both(&store, 100).unwrap();
    drop(store);
    let mut bytes = std::fs::read(file.path()).unwrap();
    let page = 16 << 10;
    // All but the page that says what tables there are.
    bytes[page..].iter_mut().for_each(|byte| *byte = 0xaa);
    std::fs::write(file.path(), &bytes).unwrap();
    let told = file.store().and_then(|store| commit_both(&store, 101));
    assert!(matches!(told, Err(StoreError::Unavailable(_))), "{told:?}");
}

#[test]
fn chunks_are_sealed_when_full_and_indexed_step_by_step() {
    let file = file(SMALL);
    let store = file.store().unwrap();
    fill(&store, 25, 5);
    let chunks = || -> Vec<(i64, i64, i64)> {
        let shell = file.shell();
        let mut statement = shell.prepare("SELECT rows, sealed, prepared FROM chunks ORDER BY n").unwrap();
        let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    assert_eq!(chunks().iter().map(|c| (c.0, c.1)).collect::<Vec<_>>(), [(10, 1), (10, 1), (5, 0)]);
    store.expire("signals", 0).unwrap();
    assert_eq!(chunks(), [(10, 1, 5), (10, 1, 5), (5, 0, 0)], "the calm moment finished what was sealed");
    let counts: i64 = file.shell().query_row("SELECT sum(rows) FROM chunk_counts", [], |r| r.get(0)).unwrap();
    assert_eq!(counts, 40, "20 rows counted by type and by key");
}

#[test]
fn an_old_chunk_is_sealed_before_it_is_full() {
    let mut file = file(SMALL);
    file.settings.chunk_age_ms = -1;
    fill(&file.store().unwrap(), 6, 2);
    let chunks: i64 = file.shell().query_row("SELECT count(*) FROM chunks WHERE rows = 2", [], |r| r.get(0)).unwrap();
    assert_eq!(chunks, 3);
}

#[test]
fn the_view_shows_all_rows_to_a_shell() {
    let file = file(SMALL);
    let store = file.store().unwrap();
    let count = |sql: &str| file.shell().query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM events"), 0);
    fill(&store, 25, 5);
    assert_eq!(count("SELECT count(*) FROM events WHERE stream = 'signals' AND type = 'kind-1'"), 12);
    assert_eq!(count("SELECT sum(data ->> '$.n') FROM events WHERE key = 'key-0'"), (0..25).step_by(3).sum::<i64>());
    store.expire("signals", i64::MAX).unwrap();
    assert_eq!(count("SELECT count(*) FROM events"), 0);
}

#[test]
fn chunks_know_tenants_from_the_first_one_on() {
    let file = file(Shape { chunk_rows: 100, index_early: true });
    let store = file.store().unwrap();
    let chunks = || -> Vec<(i64, bool)> {
        let shell = file.shell();
        let mut statement = shell.prepare("SELECT rows, tenants FROM chunks ORDER BY n").unwrap();
        let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    fill(&store, 7, 7);
    assert_eq!(chunks(), [(7, false)]);
    let rows: Vec<Row> = (0..9).map(|n| of(["", "", "a"][n % 3], row(n as i64))).collect();
    commit_blocks(&store, &[block(SIGNALS, 0, 7, 1, &rows)]);
    commit_blocks(&store, &[block(SIGNALS, 0, 16, 1, &[row(1)])]);
    assert_eq!(chunks(), [(9, false), (8, true)], "the first row of a tenant began a new one");
    let view = "SELECT tenant, count(*), min(off) FROM events GROUP BY tenant ORDER BY tenant";
    let shell = file.shell();
    let mut statement = shell.prepare(view).unwrap();
    let rows = statement.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get(1)?, r.get(2)?))).unwrap();
    assert_eq!(rows.map(Result::unwrap).collect::<Vec<_>>(), [(String::new(), 14, 0), ("a".to_owned(), 3, 9)]);
}

#[test]
fn dropped_chunks_give_their_space_to_new_rows() {
    let mut file = file(Shape { chunk_rows: 500, index_early: false });
    file.settings.checkpoint_bytes = 1 << 20;
    let store = file.store().unwrap();
    let mut sizes = Vec::new();
    for round in 0..12_i64 {
        let rows: Vec<Row> = (0..1_000).map(|n| Row { data: vec![b'x'; 2_000], ..row(n) }).collect();
        commit_blocks(&store, &[block(SIGNALS, 0, round as u64 * 1_000, round, &rows)]);
        store.expire("signals", round - 1).unwrap();
        let pages: i64 = file.shell().query_row("PRAGMA page_count", [], |r| r.get(0)).unwrap();
        sizes.push(pages);
    }
    assert!(sizes[11] <= sizes[3] * 11 / 10, "the file grows: {sizes:?}");
}

#[test]
fn the_write_ahead_log_stays_bounded() {
    let mut file = file(Shape { chunk_rows: 2_000, index_early: false });
    file.settings.checkpoint_bytes = 1 << 20;
    let store = file.store().unwrap();
    let rows: Vec<Row> = (0..250).map(|n| Row { data: vec![b'x'; 2_000], ..row(n) }).collect();
    for commit in 0..120 {
        commit_blocks(&store, &[block(SIGNALS, 0, commit * 250, 1, &rows)]);
    }
    let log = std::fs::metadata(file.path().with_extension("db-wal")).unwrap().len();
    assert!(log < 24 << 20, "{log} bytes of log for 60 MB of rows");
    let query = EventQuery { limit: 1, count: true, ..EventQuery::default() };
    assert_eq!(store.events(&query).unwrap().total, Some(30_000));
}

#[test]
fn a_page_of_huge_events_ends_early_and_says_so() {
    let file = file(SMALL);
    let store = file.store().unwrap();
    let rows: Vec<Row> = (0..50).map(|n| Row { data: vec![b'x'; 1 << 20], ..row(n) }).collect();
    commit_blocks(&store, &[block(SIGNALS, 0, 0, 1, &rows)]);
    let page = store.events(&EventQuery { limit: 50, ..EventQuery::default() }).unwrap();
    assert!(page.more && (30..40).contains(&page.rows.len()), "{} rows", page.rows.len());
}

#[test]
fn the_page_about_the_file_names_every_table_and_column() {
    let page = include_str!("../../../../docs/store.md");
    let file = file(Shape { chunk_rows: 10, index_early: true });
    commit_blocks(&file.store().unwrap(), &[block(SIGNALS, 0, 0, 1, &[of("a", row(1))])]);
    let shell = file.shell();
    let sql = "SELECT t.name, c.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c
               WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite%'";
    let mut statement = shell.prepare(sql).unwrap();
    let columns = statement.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?))).unwrap();
    let columns: Vec<_> = columns.map(Result::unwrap).collect();
    assert!(columns.len() > 60, "{columns:?}");
    for (table, column) in columns {
        assert!(page.contains(&format!("`{table}`")), "{table}");
        assert!(page.contains(&format!("`{column}`")), "{table}.{column}");
    }
    let version: i64 = shell.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
    assert!(page.contains(&format!("now {version}. ")) && page.contains(&format!("| {version} | ")), "{version}");
}
