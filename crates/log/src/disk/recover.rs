//! Opening a stream's folder: what is there, what is missing, where the next record goes. Needs nobody, deletes nothing.
//!
//! A finished segment with a fitting sidecar is believed; any other is walked frame by frame, bodies included. At the
//! end of the newest one an unfinished write is cut: nothing acknowledged is in it, since an answer waits for the sync.

use std::io;
use std::path::Path;

use event::Millis;

use super::format::{FrameHead, SegmentHead};
use super::index::SegmentIndex;
use super::manifest::{Manifest, read_all};
use super::shared::{Segment, View, index_file, segment_file};
use super::walk::{Step, Walk};
use crate::disk_port::Disk;
use crate::{Damage, DamageKind};

/// A stream's folder, read.
pub(super) struct Recovered {
    pub(super) view: View,
    pub(super) damage: Vec<Damage>,
}

/// Reads a stream's folder. `known` are offsets that consumers have seen: the end is never before them.
pub(super) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    name: &str,
    partitions: u32,
    known: &[u64],
) -> io::Result<Recovered> {
    let manifest = Manifest::load(disk, dir);
    let mut seqs: Vec<u64> = disk.list(dir)?.iter().filter_map(|f| f.strip_suffix(".seg")?.parse().ok()).collect();
    seqs.sort_unstable();
    let mut report = Report { stream: name, damage: Vec::new() };
    let mut segments: Vec<Segment> = Vec::new();
    let mut next = vec![0; partitions as usize];
    let mut expected = manifest.map_or_else(|| seqs.first().copied().unwrap_or(0), |m| m.first_seq);
    for (i, seq) in seqs.iter().copied().enumerate() {
        let newest = i + 1 == seqs.len();
        let missing = expected..seq;
        expected = seq + 1;
        let Some(segment) = open_segment(disk, dir, seq, &next, newest, &mut report)? else { continue };
        let lost = segment.base.iter().zip(&next).map(|(base, end)| base.saturating_sub(*end)).sum();
        report.missing(missing, lost);
        next.clone_from(&segment.index.next);
        segments.push(segment);
    }
    let beyond: u64 = next.iter().zip(known).map(|(end, seen)| seen.saturating_sub(*end)).sum();
    report.missing(expected..manifest.map_or(0, |m| m.last_seq + 1), beyond);
    next.iter_mut().zip(known).for_each(|(end, seen)| *end = (*end).max(*seen));
    Ok(Recovered { view: View { segments, next }, damage: report.damage })
}

/// What was found broken.
pub(super) struct Report<'a> {
    pub(super) stream: &'a str,
    pub(super) damage: Vec<Damage>,
}

impl Report<'_> {
    fn add(&mut self, file: String, offset: u64, kind: DamageKind, records_lost: u64) {
        self.damage.push(Damage { stream: self.stream.to_owned(), file, offset, kind, records_lost });
    }

    /// Missing segments; the records lost are told on the last of them.
    fn missing(&mut self, seqs: std::ops::Range<u64>, records_lost: u64) {
        for seq in seqs.clone() {
            let lost = if seq + 1 == seqs.end { records_lost } else { 0 };
            self.add(segment_file(seq), 0, DamageKind::MissingSegment, lost);
        }
    }

    fn last_lost(&mut self, file: &str, records: u64) {
        if let Some(last) = self.damage.iter_mut().rev().find(|d| d.file == file && d.kind != DamageKind::CorruptFrame)
        {
            last.records_lost += records;
        }
    }
}

/// Opens one segment; `None` when nothing in it can be used (an empty file of a crash while it was made).
fn open_segment(
    disk: &dyn Disk,
    dir: &Path,
    seq: u64,
    next: &[u64],
    newest: bool,
    report: &mut Report<'_>,
) -> io::Result<Option<Segment>> {
    let file = disk.open(&dir.join(segment_file(seq)))?;
    let len = file.len()?;
    let head_len = SegmentHead::len(next.len());
    let mut bytes = vec![0; head_len as usize];
    let got = file.read_at(&mut bytes, 0)?;
    let head = SegmentHead::decode(&bytes[..got]).filter(|h| h.base.len() == next.len());
    if head.is_none() && bytes[..got].iter().all(|b| *b == 0) && len <= head_len {
        return Ok(None);
    }
    if head.is_none() {
        report.add(segment_file(seq), 0, DamageKind::BadSegmentHeader, 0);
    }
    let base = head.map_or_else(|| next.to_vec(), |h| h.base);
    let sidecar = read_all(disk, &dir.join(index_file(seq))).ok();
    if let Some(index) = sidecar.and_then(|bytes| SegmentIndex::decode(&bytes, next.len())).filter(|i| i.len == len) {
        return Ok(Some(Segment { seq, base, index }));
    }
    let walk = Walk::new(file, next.len() as u32, head_len, len);
    let index = walk_segment(walk, seq, &base, newest, report)?;
    Ok(Some(Segment { seq, base, index }))
}

/// Walks a whole segment and checks every body.
pub(super) fn walk_segment(
    mut walk: Walk,
    seq: u64,
    base: &[u64],
    newest: bool,
    report: &mut Report<'_>,
) -> io::Result<SegmentIndex> {
    let file = segment_file(seq);
    let mut index = SegmentIndex::new(walk.at(), base);
    let mut after_garbage = false;
    loop {
        match walk.step()? {
            Step::Frame { at, head } => {
                let sound = walk.body(at, &head)?.is_some();
                if !sound && is_torn(&mut walk, at, &head)? {
                    cut(&mut index, at, newest, &file, report);
                    return Ok(index);
                }
                let gap = head.base_offset.saturating_sub(index.next[head.partition as usize]);
                if after_garbage && gap > 0 {
                    report.last_lost(&file, gap);
                }
                if !sound {
                    report.add(file.clone(), at, DamageKind::CorruptFrame, u64::from(head.count));
                }
                index.add(at, &head);
            }
            Step::Garbage { at, .. } => {
                after_garbage = true;
                report.add(file.clone(), at, DamageKind::Garbage, 0);
            }
            Step::Tail { at } => {
                cut(&mut index, at, newest, &file, report);
                return Ok(index);
            }
            Step::End { .. } => return Ok(index),
        }
    }
}

/// In the newest segment the tail is an unfinished write: the next append writes over it. In an older one it is damage.
fn cut(index: &mut SegmentIndex, at: u64, newest: bool, file: &str, report: &mut Report<'_>) {
    let kind = if newest { DamageKind::TornTail } else { DamageKind::Garbage };
    report.add(file.to_owned(), at, kind, 0);
    index.len = index.len.max(at);
}

/// Whether a frame with a bad body is an unfinished write: its end was never written, nor anything behind it. A whole
/// body never ends in a zero (`event::Block`), so a changed byte is not mistaken for it.
fn is_torn(walk: &mut Walk, at: u64, head: &FrameHead) -> io::Result<bool> {
    let end = at + head.frame_len();
    let last_is_zero = walk.is_zero(end - 1, end)?;
    Ok(last_is_zero && walk.rest_is_zero(end)?)
}

/// The ids appended since `since` (by time of append), oldest first, to fill a duplicate table; at most the newest
/// `ids_max` or a little more.
pub(super) fn recent_ids(
    disk: &dyn Disk,
    dir: &Path,
    view: &View,
    since: Millis,
    ids_max: u64,
    mut each: impl FnMut(u128, Millis),
) -> io::Result<()> {
    let mut start = view.segments.len();
    let mut records = 0;
    // A segment without records (the disk filled up as it was made) says nothing about those before it.
    let recent = |s: &Segment| s.index.records == 0 || s.index.last_appended >= since;
    while start > 0 && records < ids_max && recent(&view.segments[start - 1]) {
        start -= 1;
        records += view.segments[start].index.records;
    }
    for segment in &view.segments[start..] {
        let partitions = segment.base.len();
        let file = disk.open(&dir.join(segment_file(segment.seq)))?;
        let mut walk = Walk::new(file, partitions as u32, SegmentHead::len(partitions), segment.index.len);
        loop {
            match walk.step()? {
                Step::Frame { at, head } if head.appended_at >= since => {
                    walk.ids(at, &head)?.filter(|id| *id != 0).for_each(|id| each(id, head.appended_at));
                }
                Step::Frame { .. } | Step::Garbage { .. } => {}
                Step::Tail { .. } | Step::End { .. } => break,
            }
        }
    }
    Ok(())
}
