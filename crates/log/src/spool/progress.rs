//! How far the drain has come, as it must survive a kill: one small text file, replaced whole.
//!
//! For each partition: `drained`, the spool's offset before which everything is with the broker; `tried`, the offset before
//! which something may be there already, because it was sent and no answer came; `since`, a broker's offset before which
//! nothing of that lies. It is written before anything is sent that it does not cover. So whoever starts after a kill looks,
//! for the records from `drained` to `tried`, into the broker from `since` on, and sends what is not there.

use std::io;
use std::path::{Path, PathBuf};

use event::{Catalog, Position, StreamId};

use crate::disk_port::Disk;

/// One partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) drained: u64,
    pub(super) tried: u64,
    /// `None`: not known, and then the broker is not looked into.
    pub(super) since: Option<u64>,
}

/// All partitions.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    parts: Vec<Vec<Part>>,
    /// Lines about streams that are not configured now, kept as they are.
    foreign: Vec<String>,
}

impl Progress {
    /// As the file says; the start of everything for what it does not speak of.
    pub(super) fn load(disk: &dyn Disk, dir: &Path, catalog: &Catalog) -> Self {
        let parts = catalog.iter().map(|(_, stream)| vec![Part::default(); stream.partitions as usize]).collect();
        let mut progress = Self { parts, foreign: Vec::new() };
        for line in read_text(disk, &file(dir)).unwrap_or_default().lines() {
            progress.take(line, catalog);
        }
        progress
    }

    fn take(&mut self, line: &str, catalog: &Catalog) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [stream, partition, drained, tried, since] = words[..] else { return };
        let Some(stream) = catalog.find(stream) else { return self.foreign.push(line.to_owned()) };
        if let (Ok(partition), Ok(drained), Ok(tried)) = (partition.parse::<usize>(), drained.parse(), tried.parse())
            && let Some(part) = self.parts[usize::from(stream.0)].get_mut(partition)
        {
            *part = Part { drained, tried, since: since.parse().ok() };
        }
    }

    /// Its text.
    pub(super) fn text(&self, catalog: &Catalog) -> String {
        let mut text = String::new();
        for (id, stream) in catalog.iter() {
            for (partition, part) in self.parts[usize::from(id.0)].iter().enumerate() {
                if *part != Part::default() {
                    let Part { drained, tried, since } = part;
                    let since = since.map_or_else(|| "-".to_owned(), |since| since.to_string());
                    text.push_str(&format!("{} {partition} {drained} {tried} {since}\n", stream.name));
                }
            }
        }
        self.foreign.iter().for_each(|line| text.extend([line, "\n"]));
        text
    }

    /// Changes one; partitions that the stream does not have are passed over.
    pub(super) fn change(&mut self, stream: StreamId, partition: u32, change: impl FnOnce(&mut Part)) {
        if let Some(part) = self.parts[usize::from(stream.0)].get_mut(partition as usize) {
            change(part);
        }
    }

    /// Every partition of a stream.
    pub(super) fn of(&self, stream: StreamId) -> impl Iterator<Item = (u32, Part)> + '_ {
        self.parts[usize::from(stream.0)].iter().enumerate().map(|(p, part)| (p as u32, *part))
    }

    /// What is drained, as positions in the spool.
    pub(super) fn positions(&self) -> Vec<Position> {
        let of = |(stream, parts): (usize, &Vec<Part>)| {
            let stream = StreamId(stream as u16);
            let at = |(p, part): (usize, &Part)| Position { stream, partition: p as u32, offset: part.drained };
            parts.iter().enumerate().map(at).collect::<Vec<_>>()
        };
        self.parts.iter().enumerate().flat_map(of).collect()
    }
}

/// Writes the text, so that neither a kill nor a power cut brings an older one back.
pub(super) fn store(disk: &dyn Disk, dir: &Path, text: &str) -> io::Result<()> {
    disk.replace(&file(dir), text.as_bytes())?;
    disk.sync_dir(dir)
}

/// Beside the folders of the streams, whose names have no such letter.
fn file(dir: &Path) -> PathBuf {
    dir.join("drain+")
}

fn read_text(disk: &dyn Disk, path: &Path) -> Option<String> {
    let file = disk.open(path).ok()?;
    let mut bytes = vec![0; usize::try_from(file.len().ok()?).ok()?.min(16 << 20)];
    let got = file.read_at(&mut bytes, 0).ok()?;
    bytes.truncate(got);
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use event::{Retention, Stream};

    use super::*;
    use crate::RealDisk;

    fn catalog(name: &str) -> Catalog {
        let retention = Retention { age_ms: None, size_bytes: None };
        let name = name.to_owned();
        let (key, time, id, kind, require, dedup) = Default::default();
        Catalog::new(vec![Stream { name, partitions: 2, key, time, id, kind, require, dedup, retention }]).unwrap()
    }

    #[test]
    fn what_is_kept_comes_back_and_other_streams_are_not_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (catalog("old"), catalog("new"));
        let load = |catalog: &Catalog| Progress::load(&RealDisk, dir.path(), catalog);
        let mut progress = load(&old);
        let part = Part { drained: 7, tried: 9, since: Some(3) };
        progress.change(StreamId(0), 1, |p| *p = part);
        progress.change(StreamId(0), 2, |_| unreachable!());
        store(&RealDisk, dir.path(), &progress.text(&old)).unwrap();
        let mut other = load(&new);
        assert!(other.of(StreamId(0)).all(|(_, part)| part == Part::default()));
        other.change(StreamId(0), 0, |p| p.drained = 1);
        store(&RealDisk, dir.path(), &other.text(&new)).unwrap();
        assert_eq!(load(&old).of(StreamId(0)).nth(1), Some((1, part)));
        assert_eq!(load(&new).of(StreamId(0)).next(), Some((0, Part { drained: 1, tried: 0, since: None })));
    }
}
