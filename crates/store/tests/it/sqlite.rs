//! What is the SQLite back end's own: the file, its versions, its size.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use store::query::{EventQuery, WindowQuery};
use store::sqlite::{SqliteSettings, SqliteStore};
use store::{Answers, Commit, Store, StoreError};

use crate::data::*;
use crate::expiry;

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

pub(crate) fn new(shape: Shape) -> Box<dyn Database> {
    Box::new(file(shape))
}

#[test]
fn expiry_drops_whole_chunks_only() {
    expiry::expiry_drops_whole_chunks_only(new);
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
