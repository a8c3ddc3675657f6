//! The log doctor: reads a folder without opening it for writing, says what is there and what is broken.

use std::io;
use std::path::Path;

use event::Millis;

use super::format::SegmentHead;
use super::manifest::{self, Manifest};
use super::recover::{self, Report};
use super::shared::segment_file;
use super::walk::Walk;
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
    for (stream, manifest) in streams(disk, dir)? {
        let known = vec![0; manifest.partitions as usize];
        let recovered = recover::recover(disk, &dir.join(&stream), &stream, manifest.partitions, &known)?;
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

/// Reads every byte of a log and checks every checksum; believes no sidecar. `progress` gets bytes done and in all.
///
/// # Errors
/// When the folder cannot be read.
pub fn verify(disk: &dyn Disk, dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> io::Result<Verification> {
    let mut out = Verification::default();
    let streams = streams(disk, dir)?;
    let consumers = manifest::load_consumers(disk, dir);
    let total = total_bytes(disk, dir, &streams)?;
    for (stream, manifest) in streams {
        let stream_dir = dir.join(&stream);
        let mut seen = vec![0; manifest.partitions as usize];
        for (partition, offset) in consumers.values().filter_map(|s| s.get(&stream)).flatten() {
            if let Some(slot) = seen.get_mut(*partition as usize) {
                *slot = (*slot).max(*offset);
            }
        }
        let recovered = recover::recover(disk, &stream_dir, &stream, manifest.partitions, &seen)?;
        // What is missing as a whole comes from there; what is broken inside, from walking every segment anew.
        let whole = |d: &Damage| matches!(d.kind, DamageKind::MissingSegment | DamageKind::BadSegmentHeader);
        out.damaged.extend(recovered.damage.into_iter().filter(whole));
        let newest = recovered.view.segments.last().map(|s| s.seq);
        for segment in recovered.view.segments {
            let file = disk.open(&stream_dir.join(segment_file(segment.seq)))?;
            let len = file.len()?;
            let walk = Walk::new(file, manifest.partitions, SegmentHead::len(segment.base.len()), len);
            let mut report = Report { stream: &stream, damage: Vec::new() };
            let index =
                recover::walk_segment(walk, segment.seq, &segment.base, newest == Some(segment.seq), &mut report)?;
            let corrupt = report.damage.iter().filter(|d| d.kind == DamageKind::CorruptFrame);
            out.records += index.records - corrupt.map(|d| d.records_lost).sum::<u64>();
            out.segments += 1;
            out.bytes += index.len;
            out.damaged.extend(report.damage);
            progress(out.bytes, total);
        }
    }
    Ok(out)
}

fn total_bytes(disk: &dyn Disk, dir: &Path, streams: &[(String, Manifest)]) -> io::Result<u64> {
    let mut total = 0;
    for (stream, _) in streams {
        let dir = dir.join(stream);
        for file in disk.list(&dir)?.iter().filter(|f| f.ends_with(".seg")) {
            total += disk.open(&dir.join(file))?.len()?;
        }
    }
    Ok(total)
}

/// The streams that a folder holds: every folder in it with a manifest.
fn streams(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<(String, Manifest)>> {
    let names = disk.list(dir)?.into_iter();
    Ok(names.filter_map(|name| Some((name.clone(), Manifest::load(disk, &dir.join(&name))?))).collect())
}
