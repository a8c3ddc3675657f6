//! What a commit tells of itself: how many rows of what, see [`counts`], and how long it took, by the minute, which the view
//! `processing_stats` shows.

use event::{Catalog, Millis};

use super::counts;
use super::fault::Fault;
use super::pool::Tx;
use crate::Commit;

/// Adds a commit to its minute, as the last thing that it does. The row is that of the first partition that it moves, so two
/// processes never wait for each other here. A commit without rows or moves is no batch.
pub(super) fn note(tx: &mut Tx<'_>, catalog: &Catalog, commit: &Commit<'_>, now: Millis) -> Result<(), Fault> {
    counts::note(tx, catalog, commit)?;
    let rows: usize = commit.blocks.iter().map(event::Block::len).sum();
    let Some(first) = commit.moves.first().filter(|_| rows > 0) else { return Ok(()) };
    let stream = &catalog.get(first.from.stream).name;
    let (minute, partition, rows) = (now.div_euclid(60_000), first.from.partition as i32, rows as i64);
    let sql = "INSERT INTO batch_stats AS s
         SELECT $1, $2, $3, 1, $4, extract(epoch FROM clock_timestamp() - transaction_timestamp()) * 1000
         ON CONFLICT (minute, stream, partition) DO UPDATE SET batches = s.batches + 1, rows = s.rows + excluded.rows,
           took_ms = s.took_ms + excluded.took_ms";
    tx.execute(sql, &[&minute, &stream, &partition, &rows])?;
    Ok(())
}
