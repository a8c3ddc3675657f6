//! Opening a stream's folder: what is there, what is missing, where the next record goes. Needs nobody, deletes nothing.
//!
//! A finished segment with a fitting sidecar is believed; any other is walked frame by frame, bodies included. At the
//! end of the newest one an unfinished write is cut: nothing acknowledged is in it, since an answer waits for the sync.

use std::io;
use std::path::Path;

use event::{Millis, limits};

use super::format::{FrameHead, SegmentHead};
use super::index::SegmentIndex;
use super::manifest::{Manifest, read_all};
use super::shared::{Segment, View, index_file, segment_file, segment_seq};
use super::walk::{Step, Walk};
use crate::disk_port::{Disk, DiskFile};
use crate::{Damage, DamageKind};

/// Which stream's folder is to be read, and how.
pub(super) struct Ask<'a> {
    pub(super) name: &'a str,
    pub(super) partitions: u32,
    /// Offsets that consumers have seen, by partition: the end is never before them.
    pub(super) known: &'a [u64],
    /// Whether a sidecar is believed instead of walking its segment.
    pub(super) believe: bool,
}

/// A stream's folder, read.
pub(super) struct Recovered {
    pub(super) view: View,
    pub(super) damage: Vec<Damage>,
    /// The segments that were walked.
    pub(super) walked: Vec<u64>,
}

/// Reads a stream's folder; `each` gets the length of every segment file once it is read.
pub(super) fn recover(disk: &dyn Disk, dir: &Path, ask: &Ask<'_>, each: &mut dyn FnMut(u64)) -> io::Result<Recovered> {
    // The newest is looked up before the files and the oldest after them: the doctor reads logs that are written and
    // trimmed meanwhile, and no segment may look missing for that.
    let last = Manifest::load(disk, dir).map(|m| m.last_seq);
    let mut seqs: Vec<u64> = disk.list(dir)?.iter().filter_map(|f| segment_seq(f)).collect();
    let first = Manifest::load(disk, dir).map(|m| m.first_seq);
    seqs.sort_unstable();
    while let Some(seq) = seqs.last()
        && is_half_made(disk, &dir.join(segment_file(*seq)), ask.partitions)?
    {
        seqs.pop();
    }
    let mut report = Report { stream: ask.name, damage: Vec::new() };
    let (mut segments, mut walked): (Vec<Segment>, Vec<u64>) = Default::default();
    let mut next = vec![0; ask.partitions as usize];
    let mut expected = first.or(seqs.first().copied()).unwrap_or(0);
    // Whether zeros lie behind the frames of the segment before.
    let mut zeros = false;
    for (i, seq) in seqs.iter().copied().enumerate() {
        let missing = expected..seq;
        // A file before the manifest's first is one that retention could not remove.
        expected = expected.max(seq + 1);
        let newest = i + 1 == seqs.len();
        let Some(opened) = open_segment(disk, dir, seq, &next, newest, ask.believe, &mut report)? else {
            report.missing(missing, 0);
            continue;
        };
        each(opened.file_len);
        let lost = opened.segment.base.iter().zip(&next).map(|(base, end)| base.saturating_sub(*end)).sum();
        match segments.last() {
            Some(before) if missing.is_empty() => report.lost_at_end(before, zeros, lost),
            _ => report.missing(missing, lost),
        }
        zeros = opened.file_len > opened.segment.index.len;
        walked.extend(opened.walked.then_some(seq));
        next.clone_from(&opened.segment.index.next);
        segments.push(opened.segment);
    }
    let beyond: u64 = next.iter().zip(ask.known).map(|(end, seen)| seen.saturating_sub(*end)).sum();
    report.missing(expected..last.map_or(0, |last| last + 1), beyond);
    next.iter_mut().zip(ask.known).for_each(|(end, seen)| *end = (*end).max(*seen));
    Ok(Recovered { view: View { segments, next }, damage: report.damage, walked })
}

/// With how many partitions a stream was made: by its manifest, or by the first segment's head that can be read.
pub(super) fn partitions_on_disk(disk: &dyn Disk, dir: &Path) -> io::Result<Option<u32>> {
    if let Some(manifest) = Manifest::load(disk, dir) {
        return Ok(Some(manifest.partitions));
    }
    let mut bytes = vec![0; SegmentHead::len(limits::PARTITIONS_MAX as usize) as usize];
    for file in disk.list(dir)?.iter().filter(|f| segment_seq(f).is_some()) {
        let got = disk.open(&dir.join(file))?.read_at(&mut bytes, 0)?;
        if let Some(head) = SegmentHead::decode(&bytes[..got]) {
            return Ok(Some(head.base.len() as u32));
        }
    }
    Ok(None)
}

/// Whether a crash left this file as it was being made. A head is durable before any frame is, so nothing is in it.
fn is_half_made(disk: &dyn Disk, path: &Path, partitions: u32) -> io::Result<bool> {
    let Some(file) = open_if_there(disk, path)? else { return Ok(true) };
    Ok(file.len()? <= SegmentHead::len(partitions as usize) && read_head(file.as_ref(), partitions as usize)?.is_none())
}

/// Opens a file; `None` when retention was faster.
fn open_if_there(disk: &dyn Disk, path: &Path) -> io::Result<Option<Box<dyn DiskFile>>> {
    match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

fn read_head(file: &dyn DiskFile, partitions: usize) -> io::Result<Option<SegmentHead>> {
    let mut bytes = vec![0; SegmentHead::len(partitions) as usize];
    let got = file.read_at(&mut bytes, 0)?;
    Ok(SegmentHead::decode(&bytes[..got]).filter(|head| head.base.len() == partitions))
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

    /// Counts records to the last damage of a file that has no number of its own; false when there is none.
    fn last_lost(&mut self, file: &str, records: u64) -> bool {
        let last = self.damage.iter_mut().rev().find(|d| d.file == file && d.kind != DamageKind::CorruptFrame);
        last.map(|damage| damage.records_lost += records).is_some()
    }

    /// Records that should be at the end of a segment, by the head of the next. A gap without any damage is none: an end
    /// that was moved up for a consumer.
    fn lost_at_end(&mut self, segment: &Segment, zeros: bool, records: u64) {
        let file = segment_file(segment.seq);
        if records > 0 && !self.last_lost(&file, records) && zeros {
            self.add(file, segment.index.len, DamageKind::Garbage, records);
        }
    }
}

/// A segment, read.
struct Opened {
    segment: Segment,
    file_len: u64,
    walked: bool,
}

/// Opens one segment; `None` when nothing is in it, or it is gone.
fn open_segment(
    disk: &dyn Disk,
    dir: &Path,
    seq: u64,
    next: &[u64],
    newest: bool,
    believe: bool,
    report: &mut Report<'_>,
) -> io::Result<Option<Opened>> {
    let Some(file) = open_if_there(disk, &dir.join(segment_file(seq)))? else { return Ok(None) };
    let file_len = file.len()?;
    let head_len = SegmentHead::len(next.len());
    let head = read_head(file.as_ref(), next.len())?;
    if head.is_none() && file_len == 0 {
        return Ok(None);
    }
    if head.is_none() {
        report.add(segment_file(seq), 0, DamageKind::BadSegmentHeader, 0);
    }
    let base = head.map_or_else(|| next.to_vec(), |h| h.base);
    let sidecar = read_all(disk, &dir.join(index_file(seq))).ok();
    let sidecar = sidecar.and_then(|bytes| SegmentIndex::decode(&bytes, next.len())).filter(|i| i.len == file_len);
    if let (true, Some(index)) = (believe, &sidecar) {
        let segment = Segment { seq, base, index: index.clone() };
        return Ok(Some(Opened { segment, file_len, walked: false }));
    }
    let walk = Walk::new(file, next.len() as u32, head_len, file_len);
    let mut index = walk_segment(walk, seq, &base, newest, report)?;
    if let Some(sidecar) = sidecar.filter(|sidecar| sidecar.records > index.records) {
        // Zeros in place of the last frames look like the reserve; the sidecar knows better.
        let lost = sidecar.next.iter().zip(&index.next).map(|(all, end)| all.saturating_sub(*end)).sum();
        report.lost_at_end(&Segment { seq, base: base.clone(), index: index.clone() }, true, lost);
        index.next = sidecar.next;
    }
    Ok(Some(Opened { segment: Segment { seq, base, index }, file_len, walked: true }))
}

/// Walks a whole segment and checks every body.
fn walk_segment(
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
/// `ids_max` or a little more. Not those of a frame whose body is known to be lost: it may never have been answered, and
/// must be taken when it is sent again.
pub(super) fn recent_ids(
    disk: &dyn Disk,
    dir: &Path,
    recovered: &Recovered,
    since: Millis,
    ids_max: u64,
    mut each: impl FnMut(u128, Millis),
) -> io::Result<()> {
    let view = &recovered.view;
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
        let name = segment_file(segment.seq);
        let lost = recovered.damage.iter().filter(|d| d.file == name && d.kind == DamageKind::CorruptFrame);
        let lost: Vec<u64> = lost.map(|d| d.offset).collect();
        let file = disk.open(&dir.join(name))?;
        let mut walk = Walk::new(file, partitions as u32, SegmentHead::len(partitions), segment.index.len);
        loop {
            match walk.step()? {
                Step::Frame { at, head } if head.appended_at >= since && lost.binary_search(&at).is_err() => {
                    walk.ids(at, &head)?.filter(|id| *id != 0).for_each(|id| each(id, head.appended_at));
                }
                Step::Frame { .. } | Step::Garbage { .. } => {}
                Step::Tail { .. } | Step::End { .. } => break,
            }
        }
    }
    Ok(())
}
