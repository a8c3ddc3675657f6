//! A thread that copies the write-ahead log into the file, so that no commit waits for it (or for its two fsyncs).
//!
//! SQLite would do it inside of a commit. Here most of it is copied while commits go on; only the rest, what was
//! committed meanwhile, is copied while the writer is held. After that the next commit begins the log anew: the log
//! stays bounded, whatever the load, unless a reader holds on to an old state of the store.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::StoreError;

/// Copies made while commits go on, before the writer is held. The second takes what was committed during the first;
/// under a load that the disk cannot follow, a third would not bring the end nearer.
const PASSES: usize = 2;

/// The thread and what it shares with the commits.
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    after_bytes: u64,
}

#[derive(Default)]
struct State {
    written_bytes: u64,
    stop: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is enough to copy; `false` when it is time to stop.
    fn wait(&self) -> bool {
        let mut state = self.state();
        while !state.stop && state.written_bytes < self.after_bytes {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.written_bytes = 0;
        !state.stop
    }
}

impl Checkpointer {
    /// Starts the thread. It copies whenever about `after_bytes` were written since it last began to.
    pub(super) fn start(path: &Path, writer: Arc<Mutex<Connection>>, after_bytes: u64) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), after_bytes });
        let conn = Connection::open(path)?;
        conn.pragma_update(None, "synchronous", "NORMAL")?;
        let seen = Arc::clone(&shared);
        let run = move || {
            while seen.wait() {
                if let Err(error) = checkpoint(&conn, &writer) {
                    tracing::warn!(%error, "copying the write-ahead log into the store failed; it will be tried again");
                }
            }
        };
        let thread = std::thread::Builder::new().name("store-checkpoint".to_owned()).spawn(run);
        let thread = thread.map_err(|e| StoreError::Unavailable(format!("a thread cannot be started: {e}")))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Tells that about so many bytes were written.
    pub(super) fn wrote(&self, bytes: u64) {
        let mut state = self.shared.state();
        state.written_bytes += bytes;
        if state.written_bytes >= self.shared.after_bytes {
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.shared.state().stop = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the thread itself; what it left undone is done at the next open.
            let _ = thread.join();
        }
    }
}

fn checkpoint(conn: &Connection, writer: &Mutex<Connection>) -> Result<(), StoreError> {
    for _ in 0..PASSES {
        copy(conn)?;
    }
    let _held = writer.lock().unwrap_or_else(PoisonError::into_inner);
    copy(conn)
}

/// Copies what was committed up to now and no reader stands before.
fn copy(conn: &Connection) -> Result<(), StoreError> {
    Ok(conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?)
}
