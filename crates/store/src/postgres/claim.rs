//! Claims: who may move a partition.

use super::fault::Fault;
use super::pool::{Attempt, Pool, begin_write};
use crate::StoreError;

/// How long a claim waits for a commit of an earlier claimant, in milliseconds, before it ends that one's session: a
/// process that stands still in the middle of a commit would hold its partitions for as long as it likes.
const WAIT_MS: u32 = 2_000;
/// How often that is tried.
const TRIES: usize = 5;

/// Writes the claimant's token into the rows of its partitions. Whoever holds their locks ends first, and whoever comes
/// later finds the token.
pub(super) fn claim(pool: &Pool, consumer: &str, owner: u64, partitions: &[(String, u32)]) -> Result<(), StoreError> {
    let mut wanted: Vec<(&str, i32)> = partitions.iter().map(|(stream, n)| (stream.as_str(), *n as i32)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let (streams, numbers): (Vec<&str>, Vec<i32>) = wanted.into_iter().unzip();
    for _ in 0..TRIES {
        let mut is_held = false;
        let done = pool.again(|conn| {
            let mut tx = begin_write(conn)?;
            let mut put = || {
                tx.batch(&format!("SET LOCAL lock_timeout = {WAIT_MS}"))?;
                let sql = "INSERT INTO positions AS p (consumer, stream, partition, next, owner)
                    SELECT $1, w.stream, w.partition, NULL, $4
                    FROM unnest($2::text[], $3::int[]) WITH ORDINALITY AS w (stream, partition, at) ORDER BY w.at
                    ON CONFLICT (consumer, stream, partition) DO UPDATE SET owner = excluded.owner";
                tx.execute(sql, &[&consumer, &streams, &numbers, &(owner as i64)])
            };
            match put().and_then(|_| conn.commit()) {
                Ok(()) => Ok(()),
                Err(fault) => {
                    conn.rollback();
                    is_held = matches!(fault, Fault::Locked(_));
                    // To claim twice is to claim once, so it may be tried again whatever became of it.
                    Err(if matches!(fault, Fault::Lost(_)) { Attempt::Undone(fault) } else { Attempt::Failed(fault) })
                }
            }
        });
        if !is_held {
            return done;
        }
        let ended = pool.write(|tx| end_holders(tx, consumer, &streams, &numbers))?;
        tracing::warn!(ended, "a commit of an earlier claimant stood still; its session was ended");
    }
    Err(StoreError::Unavailable("partitions are held by a session that cannot be ended".to_owned()))
}

/// Ends the sessions whose transactions hold these rows: the row names its transaction, and the transaction's lock on
/// itself names the session.
fn end_holders(tx: &mut super::pool::Tx<'_>, consumer: &str, streams: &[&str], numbers: &[i32]) -> Result<i64, Fault> {
    let sql = "SELECT count(pg_terminate_backend(held.pid)) FROM (SELECT DISTINCT l.pid FROM positions p
        JOIN unnest($2::text[], $3::int[]) AS w (stream, partition) ON p.stream = w.stream AND p.partition = w.partition
        JOIN pg_locks l ON l.locktype = 'transactionid' AND l.granted AND l.transactionid = p.xmax
        WHERE p.consumer = $1 AND l.pid <> pg_backend_pid()) AS held";
    Ok(tx.query_one(sql, &[&consumer, &streams, &numbers])?.try_get(0)?)
}
