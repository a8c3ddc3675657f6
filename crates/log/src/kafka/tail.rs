//! Which records have arrived at the end of a partition: asked before they are sent once more.

use std::collections::HashSet;
use std::time::Duration;

use event::StreamId;

use super::KafkaLog;
use super::decode::Decoder;
use super::fetch::{Fetch, Fetched};
use crate::LogError;
use crate::spool::{Identity, Tail};

/// How long nothing may come that should be there.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the library is waited for at once.
const WAIT: Duration = Duration::from_millis(100);
/// Offsets that are looked at, at the most.
const OFFSETS_MAX: u64 = 4 << 20;

impl Tail for KafkaLog {
    fn arrived(
        &self,
        stream: StreamId,
        partition: u32,
        since: u64,
        wanted: &HashSet<Identity>,
    ) -> Result<HashSet<Identity>, LogError> {
        let shared = &self.shared;
        let mut arrived = HashSet::new();
        if wanted.is_empty() {
            return Ok(arrived);
        }
        // What is known of the end may be older than the outage.
        shared.extents.refresh(shared, &[stream], true)?;
        let extents = shared.extents.of(stream);
        let Some(extent) = extents.get(partition as usize) else { return Ok(arrived) };
        let mut at = since.max(extent.first).max(extent.next.saturating_sub(OFFSETS_MAX));
        let mut decoder = Decoder::new(stream, shared.catalog.clone(), shared.settings.describe.clone());
        let mut fetch = Fetch::open(&shared.settings, shared.topic(stream), &[(partition, at)], || ())?;
        let mut moved = shared.clock.elapsed();
        while at < extent.next && arrived.len() < wanted.len() {
            match fetch.first(WAIT) {
                Some(Fetched::Message(message)) => {
                    at = message.offset + 1;
                    arrived.extend(decoder.identity(&message).filter(|identity| wanted.contains(identity)));
                    moved = shared.clock.elapsed();
                }
                Some(Fetched::End(_, offset)) => at = at.max(offset),
                Some(Fetched::OutOfRange(_)) => return Err(LogError::Away("the end of the log moves".to_owned())),
                Some(Fetched::Trouble(_)) | None => {
                    if shared.is_closed() {
                        return Err(LogError::Closed);
                    }
                    if shared.clock.elapsed().saturating_sub(moved) > PATIENCE {
                        return Err(LogError::Away("the newest records do not come".to_owned()));
                    }
                }
            }
            fetch.pass();
        }
        Ok(arrived)
    }
}
