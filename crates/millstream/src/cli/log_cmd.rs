//! `millstream log inspect|verify`: the log doctor. Reads the folder, writes nothing, needs no configuration.

use std::path::{Path, PathBuf};

use anyhow::Context;
use api::time::to_rfc3339;
use clap::Subcommand;
use log::disk::{inspect, verify};
use log::disk_port::RealDisk;
use serde_json::json;

use super::Verdict;
use crate::output::{Output, progress, table, thousands};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List segments and consumers.
    Inspect(Place),
    /// Read every byte, check every checksum, name what is lost.
    Verify(Place),
}

#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The folder of the log and the store.
    #[arg(long, value_name = "DIR", default_value = "millstream-data", env = "MILLSTREAM__DATA_DIR")]
    data_dir: PathBuf,
}

impl Place {
    fn log_dir(&self) -> anyhow::Result<PathBuf> {
        let dir = self.data_dir.join("log");
        anyhow::ensure!(dir.is_dir(), "there is no log in {}", self.data_dir.display());
        Ok(dir)
    }
}

pub(super) fn run(verb: &Verb, output: Output) -> Verdict {
    match verb {
        Verb::Inspect(place) => inspected(&place.log_dir()?, output),
        Verb::Verify(place) => verified(&place.log_dir()?, output),
    }
}

fn inspected(dir: &Path, output: Output) -> Verdict {
    let found = inspect(&RealDisk, dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let time = |ms: i64| to_rfc3339(ms);
    let segments: Vec<_> = found
        .segments
        .iter()
        .map(|s| {
            json!({
                "stream": s.stream, "file": s.file, "bytes": s.bytes, "records": s.records,
                "offsets": s.offsets.iter().map(|(first, next)| [first, next]).collect::<Vec<_>>(),
                "first_appended": s.appended.map(|(first, _)| time(first)),
                "last_appended": s.appended.map(|(_, last)| time(last)),
            })
        })
        .collect();
    let consumers: Vec<_> = found
        .consumers
        .iter()
        .map(|(consumer, stream, partition, next)| {
            json!({ "consumer": consumer, "stream": stream, "partition": partition, "next_offset": next })
        })
        .collect();
    output.print(&json!({ "segments": segments, "consumers": consumers }), || {
        let rows = found.segments.iter().map(|s| {
            let (first, last) = s.appended.map_or_else(Default::default, |(a, b)| (time(a), time(b)));
            vec![s.stream.clone(), s.file.clone(), thousands(s.records), thousands(s.bytes), first, last]
        });
        let segments = table(&["stream", "file", "records", "bytes", "first", "last"], &rows.collect::<Vec<_>>());
        let rows = found.consumers.iter().map(|(consumer, stream, partition, next)| {
            vec![consumer.clone(), stream.clone(), partition.to_string(), next.to_string()]
        });
        let consumers = table(&["consumer", "stream", "partition", "next offset"], &rows.collect::<Vec<_>>());
        format!("{segments}\n{consumers}")
    });
    Ok(true)
}

fn verified(dir: &Path, output: Output) -> Verdict {
    let bar = progress(1, "{bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
    let found = verify(&RealDisk, dir, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let found = found.with_context(|| format!("cannot read {}", dir.display()))?;
    let damaged: Vec<_> = found
        .damaged
        .iter()
        .map(|d| {
            json!({
                "stream": d.stream, "file": d.file, "offset": d.offset, "kind": d.kind.as_str(),
                "records_lost": d.records_lost,
            })
        })
        .collect();
    let document = json!({
        "segments": found.segments, "records": found.records, "bytes": found.bytes, "damaged": damaged,
    });
    output.print(&document, || {
        let mut text = format!(
            "{} segments, {} records, {} bytes; {} damaged places\n",
            found.segments,
            thousands(found.records),
            thousands(found.bytes),
            found.damaged.len(),
        );
        if !found.damaged.is_empty() {
            let rows = found.damaged.iter().map(|d| {
                let (offset, lost) = (d.offset.to_string(), d.records_lost.to_string());
                vec![d.stream.clone(), d.file.clone(), offset, d.kind.as_str().to_owned(), lost]
            });
            text += &table(&["stream", "file", "byte", "kind", "records lost"], &rows.collect::<Vec<_>>());
        }
        text
    });
    Ok(found.damaged.is_empty())
}
