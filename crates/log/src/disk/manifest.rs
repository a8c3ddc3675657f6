//! The small files beside the segments: `meta` (the log's seed), `consumers` (how far they have come), and in each
//! stream's folder `stream` (which segments should be there). Text, one fact a line, replaced whole.

use std::io;
use std::path::Path;

use super::shared::Consumers;
use crate::disk_port::Disk;

/// Which segments of a stream should be there, and how many partitions it was made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) partitions: u32,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
}

impl Manifest {
    const FILE: &str = "stream";

    pub(super) fn store(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let Self { partitions, first_seq, last_seq } = self;
        let text = format!("partitions {partitions}\nfirst_segment {first_seq}\nlast_segment {last_seq}\n");
        disk.replace(&dir.join(Self::FILE), text.as_bytes())
    }

    /// `None` when it is not there or cannot be read.
    pub(super) fn load(disk: &dyn Disk, dir: &Path) -> Option<Self> {
        let text = read_text(disk, &dir.join(Self::FILE))?;
        let number = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        Some(Self {
            partitions: u32::try_from(number("partitions ")?).ok()?,
            first_seq: number("first_segment ")?,
            last_seq: number("last_segment ")?,
        })
    }
}

const META: &str = "meta";
const CONSUMERS: &str = "consumers";

/// The seed of the log's id hashes; makes one when the log is new. When the file was lost, ids of before are merely not
/// known any more.
pub(super) fn seed(disk: &dyn Disk, dir: &Path, fresh: impl FnOnce() -> u64) -> io::Result<u64> {
    let path = dir.join(META);
    let known = read_text(disk, &path)
        .and_then(|text| text.lines().find_map(|l| l.strip_prefix("id_seed ")?.trim().parse().ok()));
    if let Some(seed) = known {
        return Ok(seed);
    }
    let seed = fresh();
    disk.replace(&path, format!("format 1\nid_seed {seed}\n").as_bytes())?;
    disk.sync_dir(dir)?;
    Ok(seed)
}

/// Reads the consumers' positions; what cannot be read is left out, since the store knows them better.
pub(super) fn load_consumers(disk: &dyn Disk, dir: &Path) -> Consumers {
    let mut consumers = Consumers::new();
    for line in read_text(disk, &dir.join(CONSUMERS)).unwrap_or_default().lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let [consumer, stream, partition, offset] = words[..]
            && let (Ok(partition), Ok(offset)) = (partition.parse(), offset.parse())
        {
            consumers
                .entry(consumer.to_owned())
                .or_default()
                .entry(stream.to_owned())
                .or_default()
                .insert(partition, offset);
        }
    }
    consumers
}

pub(super) fn store_consumers(disk: &dyn Disk, dir: &Path, consumers: &Consumers) -> io::Result<()> {
    let mut text = String::new();
    for (consumer, streams) in consumers {
        for (stream, partitions) in streams {
            for (partition, offset) in partitions {
                text.push_str(&format!("{consumer} {stream} {partition} {offset}\n"));
            }
        }
    }
    disk.replace(&dir.join(CONSUMERS), text.as_bytes())
}

/// Longer than any small file is; one that claims more is damaged.
const SMALL_FILE_BYTES_MAX: u64 = 64 << 20;

/// The whole of a small file.
pub(super) fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let len = file.len()?;
    if len > SMALL_FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; len as usize];
    let got = file.read_at(&mut bytes, 0)?;
    bytes.truncate(got);
    Ok(bytes)
}

fn read_text(disk: &dyn Disk, path: &Path) -> Option<String> {
    String::from_utf8(read_all(disk, path).ok()?).ok()
}
