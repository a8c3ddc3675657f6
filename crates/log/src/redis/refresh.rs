//! What is known of Redis is brought up to date: ends, begins, bytes and positions of all streams in one go.

use std::collections::{HashMap, HashSet};

use event::StreamId;
use redis::{Connection, RedisResult};

use super::shared::{Known, Shared};
use crate::Extent;

type Hash = HashMap<String, String>;

type Place = (StreamId, u32);

/// Reads everything; raises ends that Redis has lost, and tells it the positions again then.
pub(super) fn refresh(shared: &Shared, connection: &mut Connection) -> RedisResult<()> {
    let _saving = shared.saving.lock();
    let mut pipe = redis::pipe();
    for (_, stream) in shared.catalog.iter() {
        pipe.cmd("HGETALL").arg(shared.keys.of_stream(&stream.name, "meta"));
        pipe.cmd("HGETALL").arg(shared.keys.of_stream(&stream.name, "positions"));
    }
    let hashes: Vec<Hash> = pipe.query(connection)?;
    let mut lost = false;
    let mut consumers = HashSet::new();
    for ((id, stream), pair) in shared.catalog.iter().zip(hashes.chunks_exact(2)) {
        let heard = known(&pair[0], stream.partitions);
        {
            let mut all = shared.known.lock();
            let mine = &mut all[usize::from(id.0)];
            for (mine, heard) in mine.extents.iter_mut().zip(&heard.extents) {
                lost |= heard.next < mine.next;
                mine.first = mine.first.max(heard.first);
                mine.next = mine.next.max(heard.next);
            }
            (mine.bytes, mine.oldest) = (heard.bytes, heard.oldest);
        }
        let mut by_consumer: HashMap<&str, Vec<(Place, u64)>> = HashMap::new();
        for (field, offset) in &pair[1] {
            if let (Some((consumer, partition)), Ok(offset)) = (field.rsplit_once('/'), offset.parse())
                && let Ok(partition) = partition.parse()
            {
                by_consumer.entry(consumer).or_default().push(((id, partition), offset));
            }
        }
        for (consumer, heard) in by_consumer {
            shared.note_positions(consumer, heard.into_iter());
            consumers.insert(consumer);
        }
    }
    if lost {
        raise_known(shared, connection)?;
        shared.save_again();
    } else {
        shared.retain_consumers(|name| consumers.contains(name));
    }
    shared.publish();
    Ok(())
}

/// Where Redis has lost its end, ends move up to what was handed out: no offset is handed out twice.
pub(super) fn raise_known(shared: &Shared, connection: &mut Connection) -> RedisResult<()> {
    for (id, stream) in shared.catalog.iter() {
        let ends: Vec<(u32, u64)> = {
            let known = shared.known.lock();
            let extents = &known[usize::from(id.0)].extents;
            (0_u32..).zip(extents).filter(|(_, extent)| extent.next > 0).map(|(p, extent)| (p, extent.next)).collect()
        };
        raise(shared, connection, &stream.name, &ends)?;
    }
    Ok(())
}

/// Moves ends up; those that are there already stay.
pub(super) fn raise(
    shared: &Shared,
    connection: &mut Connection,
    stream: &str,
    ends: &[(u32, u64)],
) -> RedisResult<()> {
    if ends.is_empty() {
        return Ok(());
    }
    let mut call = shared.scripts.raise.prepare_invoke();
    call.key(&shared.keys.prefix).arg(stream);
    for (partition, next) in ends {
        call.arg(partition).arg(next);
    }
    let raised: u64 = call.invoke(connection)?;
    if raised > 0 {
        tracing::warn!(stream, partitions = raised, "Redis has lost records that were handed out; the ends move up");
    }
    Ok(())
}

fn known(meta: &Hash, partitions: u32) -> Known {
    let number = |field: String| meta.get(&field).and_then(|text| text.parse().ok());
    let extent = |p| {
        let (first, next) = (number(format!("f{p}")).unwrap_or(0), number(format!("n{p}")).unwrap_or(0));
        Extent { first: first.min(next), next }
    };
    Known {
        extents: (0..partitions).map(extent).collect(),
        bytes: number("bytes".to_owned()).unwrap_or(0),
        oldest: (0..partitions).filter_map(|p| meta.get(&format!("o{p}"))?.parse().ok()).min(),
    }
}

/// The begin and the end of partitions, as they are this moment.
pub(super) fn extents(
    shared: &Shared,
    connection: &mut Connection,
    stream: &str,
    partitions: &[u32],
) -> RedisResult<Vec<Extent>> {
    let mut ask = redis::cmd("HMGET");
    ask.arg(shared.keys.of_stream(stream, "meta"));
    for p in partitions {
        ask.arg(format!("f{p}")).arg(format!("n{p}"));
    }
    let found: Vec<Option<u64>> = ask.query(connection)?;
    let pairs = found.chunks_exact(2).map(|pair| (pair[0].unwrap_or(0), pair[1].unwrap_or(0)));
    Ok(pairs.map(|(first, next)| Extent { first: first.min(next), next }).collect())
}
