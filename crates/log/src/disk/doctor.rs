//! The log doctor: reads a folder without opening it for writing, says what is there and what is broken.

use std::io;
use std::path::Path;

use event::Millis;

use super::manifest;
use super::recover::{self, Ask};
use super::shared::{segment_file, segment_seq};
use crate::disk_port::Disk;
use crate::{Damage, DamageKind};

/// One segment file, from outside.
#[derive(Clone, Debug)]
pub struct SegmentReport {
    /// Its stream.
    pub stream: String,
    /// Its file name.
    pub file: String,
    /// Bytes that hold frames.
    pub bytes: u64,
    /// Records in it.
    pub records: u64,
    /// For every partition its first offset here, and the offset after its last.
    pub offsets: Vec<(u64, u64)>,
    /// When its first and last frames were appended; `None` when it has none.
    pub appended: Option<(Millis, Millis)>,
}

/// What a log holds.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// Its segments, by stream, oldest first.
    pub segments: Vec<SegmentReport>,
    /// Its consumers: name, stream, partition, next offset.
    pub consumers: Vec<(String, String, u32, u64)>,
}

/// What a full check found.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// Segments read.
    pub segments: u64,
    /// Records in sound frames.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Every damaged place.
    pub damaged: Vec<Damage>,
}

/// Says what a log holds. Believes sidecars, so it is quick.
///
/// # Errors
/// When the folder cannot be read.
pub fn inspect(disk: &dyn Disk, dir: &Path) -> io::Result<Inspection> {
    let mut out = Inspection::default();
    for (stream, partitions) in streams(disk, dir)? {
        let known = vec![0; partitions as usize];
        let ask = Ask { name: &stream, partitions, known: &known, believe: true };
        let recovered = recover::recover(disk, &dir.join(&stream), &ask, &mut |_| ())?;
        for segment in recovered.view.segments {
            let index = &segment.index;
            out.segments.push(SegmentReport {
                stream: stream.clone(),
                file: segment_file(segment.seq),
                bytes: index.len,
                records: index.records,
                offsets: segment.base.iter().copied().zip(index.next.iter().copied()).collect(),
                appended: (index.records > 0).then_some((index.first_appended, index.last_appended)),
            });
        }
    }
    for (consumer, streams) in manifest::load_consumers(disk, dir) {
        for (stream, partitions) in streams {
            out.consumers
                .extend(partitions.into_iter().map(|(p, offset)| (consumer.clone(), stream.clone(), p, offset)));
        }
    }
    Ok(out)
}

/// Reads every byte of a log and checks every checksum; believes no sidecar. `progress` gets bytes done and in all. The
/// log may be open elsewhere, being written.
///
/// # Errors
/// When the folder cannot be read.
pub fn verify(disk: &dyn Disk, dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> io::Result<Verification> {
    let mut out = Verification::default();
    let streams = streams(disk, dir)?;
    let consumers = manifest::load_consumers(disk, dir);
    let live = disk.lock(&dir.join("lock")).is_ok_and(|free| free.is_none());
    let (mut done, total) = (0, total_bytes(disk, dir, &streams)?);
    for (stream, partitions) in streams {
        let mut known = vec![0; partitions as usize];
        for (partition, offset) in consumers.values().filter_map(|s| s.get(&stream)).flatten() {
            if let Some(slot) = known.get_mut(*partition as usize) {
                *slot = (*slot).max(*offset);
            }
        }
        let ask = Ask { name: &stream, partitions, known: &known, believe: false };
        let mut each = |bytes| {
            done += bytes;
            progress(done, total.max(done));
        };
        let mut read = recover::recover(disk, &dir.join(&stream), &ask, &mut each)?;
        if live && !read.damage.is_empty() {
            // What is being written looks broken for a moment: only what is broken twice is, and no tail is torn yet.
            let again = recover::recover(disk, &dir.join(&stream), &ask, &mut |_| ())?.damage;
            let same = |d: &Damage| again.iter().any(|a| (&a.file, a.offset, a.kind) == (&d.file, d.offset, d.kind));
            read.damage.retain(|d| d.kind != DamageKind::TornTail && same(d));
        }
        let corrupt = read.damage.iter().filter(|d| d.kind == DamageKind::CorruptFrame);
        let lost = corrupt.map(|d| d.records_lost).sum::<u64>();
        out.records += read.view.segments.iter().map(|s| s.index.records).sum::<u64>().saturating_sub(lost);
        out.segments += read.view.segments.len() as u64;
        out.bytes += read.view.segments.iter().map(|s| s.index.len).sum::<u64>();
        out.damaged.extend(read.damage);
    }
    Ok(out)
}

fn total_bytes(disk: &dyn Disk, dir: &Path, streams: &[(String, u32)]) -> io::Result<u64> {
    let mut total = 0;
    for (stream, _) in streams {
        let dir = dir.join(stream);
        for file in disk.list(&dir)?.iter().filter(|f| segment_seq(f).is_some()) {
            // One that retention removes meanwhile counts for nothing.
            total += disk.open(&dir.join(file)).and_then(|file| file.len()).unwrap_or(0);
        }
    }
    Ok(total)
}

/// The streams that a folder holds, with their numbers of partitions.
fn streams(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<(String, u32)>> {
    let partitions = |name: &str| recover::partitions_on_disk(disk, &dir.join(name)).ok().flatten();
    let names = disk.list(dir)?.into_iter();
    Ok(names.filter_map(|name| partitions(&name).map(|partitions| (name, partitions))).collect())
}
