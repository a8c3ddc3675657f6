//! Positions: who may move them, and from where. Their rows are locked in a fixed order (stream, partition), so that two
//! commits never wait for each other.

use std::collections::{BTreeMap, HashMap};

use event::Catalog;

use super::fault::Fault;
use super::pool::Tx;
use super::text::to_sql;
use crate::{Commit, StoreError};

/// What a row says: the next offset, unless it never moved, and who claimed it, 0 for nobody.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) next: Option<u64>,
    pub(super) owner: u64,
}

type Key<'a> = (&'a str, u32);

/// Refuses what no store would take, before anything is asked.
pub(super) fn check(commit: &Commit<'_>) -> Result<(), StoreError> {
    for step in &commit.moves {
        if step.to < step.from.offset {
            let from = step.from.offset;
            return Err(StoreError::Refused(format!("a position moves back from {from} to {}", step.to)));
        }
        to_sql(step.to)?;
    }
    Ok(())
}

/// Locks the positions of a commit, checks that they are the caller's and where it believes, and moves them.
pub(super) fn advance(tx: &mut Tx<'_>, catalog: &Catalog, commit: &Commit<'_>) -> Result<(), Fault> {
    let mut wanted: BTreeMap<Key<'_>, Option<Place>> = BTreeMap::new();
    for step in &commit.moves {
        wanted.insert((&catalog.get(step.from.stream).name, step.from.partition), None);
    }
    // A snapshot of a partition that is another's by now would set that one's state back.
    if commit.owner != 0 {
        wanted.extend(commit.snapshots.iter().map(|s| ((s.position.stream.as_str(), s.position.partition), None)));
    }
    if wanted.is_empty() {
        return if is_nothing(commit) { wait_for_others(tx) } else { Ok(()) };
    }
    lock(tx, commit.consumer, &mut wanted)?;
    for (key, place) in &wanted {
        check_owner(commit, catalog, *key, *place)?;
    }
    let mut moved: BTreeMap<Key<'_>, u64> = BTreeMap::new();
    for step in &commit.moves {
        let key = (catalog.get(step.from.stream).name.as_str(), step.from.partition);
        let stored = wanted.get(&key).copied().flatten().and_then(|place| place.next);
        // No position yet: the log may begin anywhere, its oldest records may be gone already.
        if let Some(found) = moved.get(&key).copied().or(stored).filter(|found| *found != step.from.offset) {
            let (stream, partition, expected) = (key.0.to_owned(), key.1, step.from.offset);
            return Err(StoreError::Fenced { stream, partition, found, expected }.into());
        }
        moved.insert(key, step.to);
    }
    write(tx, commit.consumer, &wanted, &moved)
}

fn is_nothing(commit: &Commit<'_>) -> bool {
    commit.blocks.is_empty()
        && commit.snapshots.is_empty()
        && commit.late.is_empty()
        && commit.alerts.is_empty()
        && commit.dead_letters.is_empty()
        && commit.letter_changes.is_empty()
        && commit.deliveries.is_empty()
        && commit.retract.is_empty()
        && commit.windows.is_empty()
        && commit.anomalies.is_empty()
}

/// A commit of nothing is one's turn after all commits that are under way: they have their positions locked until they end.
fn wait_for_others(tx: &mut Tx<'_>) -> Result<(), Fault> {
    tx.query("SELECT 1 FROM positions ORDER BY consumer, stream, partition FOR SHARE", &[]).map(drop)
}

/// The positions of a commit as they are, without a lock: for one whose end is in doubt.
pub(super) fn are_at_end(tx: &mut Tx<'_>, catalog: &Catalog, commit: &Commit<'_>) -> Result<bool, Fault> {
    let ends: BTreeMap<Key<'_>, u64> = commit
        .moves
        .iter()
        .map(|step| ((catalog.get(step.from.stream).name.as_str(), step.from.partition), step.to))
        .collect();
    for ((stream, partition), to) in &ends {
        let sql = "SELECT 1 FROM positions WHERE consumer = $1 AND stream = $2 AND partition = $3 AND next = $4 AND owner = $5";
        let found = tx
            .query_opt(sql, &[&commit.consumer, stream, &(*partition as i32), &to_sql(*to)?, &(commit.owner as i64)])?;
        if found.is_none() {
            return Ok(false);
        }
    }
    Ok(!ends.is_empty() && commit.owner != 0)
}

fn lock(tx: &mut Tx<'_>, consumer: &str, wanted: &mut BTreeMap<Key<'_>, Option<Place>>) -> Result<(), Fault> {
    let (streams, partitions) = columns(wanted.keys());
    let sql = "SELECT w.at, p.next, p.owner FROM positions p
        JOIN unnest($2::text[], $3::int[]) WITH ORDINALITY AS w (stream, partition, at)
          ON p.stream = w.stream AND p.partition = w.partition
        WHERE p.consumer = $1 ORDER BY p.stream, p.partition FOR UPDATE OF p";
    let mut found = HashMap::new();
    for row in tx.query(sql, &[&consumer, &streams, &partitions])? {
        let next = row.try_get::<_, Option<i64>>(1)?.map(|next| next as u64);
        found.insert(row.try_get::<_, i64>(0)?, Place { next, owner: row.try_get::<_, i64>(2)? as u64 });
    }
    for (place, at) in wanted.values_mut().zip(1..) {
        *place = found.remove(&at);
    }
    Ok(())
}

fn columns<'a>(keys: impl Iterator<Item = &'a Key<'a>>) -> (Vec<&'a str>, Vec<i32>) {
    keys.map(|(stream, partition)| (*stream, *partition as i32)).unzip()
}

/// A partition that the caller claimed has a row, unless the database is an older one than it was.
fn check_owner(commit: &Commit<'_>, catalog: &Catalog, key: Key<'_>, place: Option<Place>) -> Result<(), StoreError> {
    let is_moved =
        commit.moves.iter().any(|step| (catalog.get(step.from.stream).name.as_str(), step.from.partition) == key);
    let is_ours = match place {
        Some(place) => place.owner == commit.owner,
        None => commit.owner == 0 || !is_moved,
    };
    if is_ours { Ok(()) } else { Err(StoreError::Claimed { stream: key.0.to_owned(), partition: key.1 }) }
}

fn write(
    tx: &mut Tx<'_>,
    consumer: &str,
    found: &BTreeMap<Key<'_>, Option<Place>>,
    moved: &BTreeMap<Key<'_>, u64>,
) -> Result<(), Fault> {
    for is_new in [false, true] {
        let part: Vec<_> =
            moved.iter().filter(|(key, _)| found.get(*key).is_none_or(Option::is_none) == is_new).collect();
        if part.is_empty() {
            continue;
        }
        let (streams, partitions) = columns(part.iter().map(|(key, _)| *key));
        let nexts = part.iter().map(|(_, next)| to_sql(**next)).collect::<Result<Vec<_>, _>>()?;
        let sql = if is_new {
            "INSERT INTO positions (consumer, stream, partition, next, owner)
             SELECT $1, w.stream, w.partition, w.next, 0
             FROM unnest($2::text[], $3::int[], $4::bigint[]) AS w (stream, partition, next)
             ORDER BY w.stream COLLATE \"C\", w.partition ON CONFLICT DO NOTHING"
        } else {
            "UPDATE positions p SET next = w.next
             FROM unnest($2::text[], $3::int[], $4::bigint[]) AS w (stream, partition, next)
             WHERE p.consumer = $1 AND p.stream = w.stream AND p.partition = w.partition"
        };
        let written = tx.execute(sql, &[&consumer, &streams, &partitions, &nexts])?;
        if written != part.len() as u64 {
            // Somebody made the row between our look and our write: the next try meets it.
            return Err(Fault::Again("a position was made by another process at the same time".to_owned()));
        }
    }
    Ok(())
}
