//! The lane of all streams: results of windows, appended as events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use event::{Batch, Catalog, DeliveryChange, DeliveryStatus, Draft, Span, StreamId, headers, limits, partition_of};
use log::{Log, LogError};
use sha2::{Digest, Sha256};
use store::query::WindowRow;

use super::Parts;
use super::ledger::Ledger;
use crate::body;

/// Bytes of a hash that stand for what is cut off.
const HASH_BYTES: usize = 16;

pub(super) struct Streams {
    log: Arc<dyn Log>,
    catalog: Arc<Catalog>,
    ledger: Arc<Ledger>,
    busy: Arc<AtomicBool>,
    /// Whether the log took nothing the last time: said once, not at each try.
    away: AtomicBool,
}

/// The row of a result in the outbox, and the result.
type Row = (i64, WindowRow);

impl Streams {
    pub(super) fn new(parts: &Parts, ledger: Arc<Ledger>) -> Self {
        Self {
            log: parts.log.clone(),
            catalog: parts.catalog.clone(),
            ledger,
            busy: Arc::default(),
            away: AtomicBool::new(false),
        }
    }

    pub(super) fn lane(&self) -> &Arc<AtomicBool> {
        &self.busy
    }

    pub(super) fn is_free(&self) -> bool {
        !self.busy.load(Ordering::Acquire)
    }

    /// Appends what is for each stream, durably, and then writes down that it was.
    pub(super) async fn deliver(&self, windows: Vec<(i64, String, WindowRow)>) {
        let mut by_stream: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for (row, to, window) in windows {
            by_stream.entry(to).or_default().push((row, window));
        }
        for (to, results) in by_stream {
            let failed = match self.catalog.find(&to) {
                Some(stream) => self.append(stream, &results).await.err(),
                None => {
                    tracing::error!(
                        stream = to,
                        "no such stream is configured: results of windows for it are given up"
                    );
                    Some(Trouble::NoStream)
                }
            };
            let (status, error) = match failed {
                None => (DeliveryStatus::Delivered, String::new()),
                Some(Trouble::NoStream) => (DeliveryStatus::Failed, "its stream is not configured any more".to_owned()),
                Some(Trouble::Log) => {
                    // They stay due; no try of theirs is spent on a log that takes nothing from anybody.
                    self.ledger.pause().await;
                    continue;
                }
            };
            let at = self.ledger.now();
            let change = |(row, _): &Row| DeliveryChange { row: *row, at, status, error: error.clone(), next_at: at };
            if !self.ledger.keep(results.iter().map(change).collect()).await {
                return;
            }
        }
    }

    async fn append(&self, stream: StreamId, results: &[Row]) -> Result<(), Trouble> {
        let batch = self.batch(stream, results);
        let appended = async {
            let pending = self.log.publish(batch)?;
            pending.wait().await.map(drop)
        };
        let appended: Result<(), LogError> = appended.await;
        let was_away = self.away.swap(appended.is_err(), Ordering::AcqRel);
        match &appended {
            Err(error) if !was_away => tracing::warn!(%error, "results of windows cannot be appended; tried again"),
            Ok(()) if was_away => tracing::info!("results of windows are appended again"),
            _ => {}
        }
        appended.map_err(|_| Trouble::Log)
    }

    /// Each result is one event: its key is the group, its type the name of the window, its time the window's end.
    fn batch(&self, stream: StreamId, results: &[Row]) -> Batch {
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        for (_, row) in results {
            let text = body::of_window(row);
            spans.push(Span::shared(bytes.len(), text.len()));
            bytes.extend_from_slice(text.as_bytes());
        }
        let mut batch = Batch::new(stream, Bytes::from(bytes));
        let partitions = self.catalog.get(stream).partitions;
        for ((_, row), data) in results.iter().zip(spans) {
            let mut hasher = self.log.id_hasher();
            let mut list = Vec::new();
            if !row.id.tenant.is_empty() {
                hasher = hasher.scoped(row.id.tenant.as_bytes());
                headers::put(&mut list, headers::TENANT, row.id.tenant.as_bytes());
            }
            let (id, key, kind) = (event_id(row), short(row.id.key.clone()), short(row.id.window.clone()));
            let draft = Draft {
                partition: partition_of(key.as_bytes(), partitions),
                time: row.end,
                id_hash: hasher.hash(id.as_bytes()),
                data,
                key: batch.put_side(key.as_bytes()),
                kind: batch.put_side(kind.as_bytes()),
                id: batch.put_side(id.as_bytes()),
                headers: if list.is_empty() { Span::EMPTY } else { batch.put_side(&list) },
            };
            batch.drafts.push(draft);
        }
        batch
    }
}

enum Trouble {
    NoStream,
    Log,
}

/// `<stream>/<window>/<length>/<start>/<group>#<definition>.<revision>`, the definition in hexadecimal: the same result has
/// the same id, a changed one another. A definition that is computed anew may count its revisions from the beginning.
fn event_id(row: &WindowRow) -> String {
    let id = &row.id;
    let place = format!("{}/{}/{}/{}/{}", id.stream, id.window, id.size_ms, id.start, id.key);
    short(format!("{place}#{:x}.{}", row.definition, row.revision))
}

/// A text as long as keys, types and ids may be: of a longer one the beginning, and a hash of all of it.
fn short(text: String) -> String {
    if text.len() <= limits::KEY_BYTES_MAX {
        return text;
    }
    let hash = hex(&Sha256::digest(text.as_bytes())[..HASH_BYTES]);
    let keep = limits::KEY_BYTES_MAX - hash.len() - 1;
    let end = (0..=keep).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}~{hash}", &text[..end])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_stays_its_own() {
        let long = |end: &str| short(format!("{}{end}", "é".repeat(200)));
        assert_eq!(short("x".repeat(256)), "x".repeat(256));
        assert!(long("a").len() <= 256 && long("a").starts_with("éé"), "{}", long("a"));
        assert_ne!(long("a"), long("b"));
        assert_eq!(long("a"), long("a"));
    }
}
