//! A reader of some partitions of a topic: records as blocks, in the order of the log.
//!
//! It begins [`LOOKBACK`] offsets early and only takes note of identities there. It is at the end when it has passed every
//! offset that is known to be there, and not when nothing comes.

use std::sync::Arc;
use std::time::Duration;

use event::{Block, Millis, StreamId};
use metrics::Counter;
use rdkafka::error::RDKafkaErrorCode;

use super::decode::Decoder;
use super::fetch::{Fetch, Fetched, Message};
use super::lookback::{LOOKBACK, Lookback};
use super::shared::Shared;
use crate::{Cursor, LogError};

/// How long the library is waited for before the end and the cluster are looked at again.
const WAIT: Duration = Duration::from_millis(20);
/// How long nothing may come that should be there, while the cluster answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages that are passed before the clock is looked at again.
const PASSED_MAX: usize = 16_384;
/// How long records that are not handed out are passed before it is told.
const PASSING: Duration = Duration::from_millis(500);

/// A cursor over some partitions of one stream.
pub(super) struct KafkaCursor {
    shared: Arc<Shared>,
    stream: StreamId,
    within: Option<Millis>,
    fetch: Fetch,
    decoder: Decoder,
    /// By partition; `None` where it is not read.
    places: Vec<Option<Place>>,
    dropped: Counter,
    /// What was wrong last, until something comes.
    trouble: Option<RDKafkaErrorCode>,
}

/// How far a partition is read.
struct Place {
    /// The first offset to hand out.
    from: u64,
    /// Everything before it is passed.
    at: u64,
    /// What the reader's owner knows: the next offset after the last block.
    told: u64,
    /// When the last record was appended.
    time: Millis,
    /// `None` when duplicates are handed out, too.
    lookback: Option<Lookback>,
    /// Whether the offset was not there when it was asked for.
    lost: bool,
}

impl KafkaCursor {
    /// See `Log::read`.
    ///
    /// # Errors
    /// [`LogError::Refused`] when the settings are not the library's.
    pub(super) fn open(shared: &Arc<Shared>, stream: StreamId, from: &[(u32, u64)]) -> Result<Self, LogError> {
        Self::start(shared, stream, from, true)
    }

    /// The same with duplicates in it, and without the reading of what lies before.
    ///
    /// # Errors
    /// As [`KafkaCursor::open`].
    pub(super) fn plain(shared: &Arc<Shared>, stream: StreamId, from: &[(u32, u64)]) -> Result<Self, LogError> {
        Self::start(shared, stream, from, false)
    }

    fn start(shared: &Arc<Shared>, stream: StreamId, from: &[(u32, u64)], exact: bool) -> Result<Self, LogError> {
        let definition = shared.catalog.get(stream);
        let firsts = shared.extents.of(stream);
        let mut places: Vec<Option<Place>> = (0..definition.partitions).map(|_| None).collect();
        for (partition, offset) in from {
            let p = *partition as usize;
            if let Some(place) = places.get_mut(p) {
                let back = if exact { LOOKBACK } else { 0 };
                let at = offset.saturating_sub(back).max(firsts[p].first);
                let lookback = exact.then(Lookback::default);
                *place = Some(Place { from: *offset, at, told: *offset, time: 0, lookback, lost: false });
            }
        }
        let decoder = Decoder::new(stream, shared.catalog.clone(), shared.settings.describe.clone());
        let awake = {
            let shared = shared.clone();
            move || shared.publish()
        };
        let fetch = Fetch::open(&shared.settings, shared.topic(stream), &starts(&places), awake)?;
        let name = definition.name.clone();
        let dropped = metrics::counter!("millstream_log_duplicates_dropped_total", "stream" => name);
        let within = definition.dedup.map(|dedup| dedup.within_ms);
        Ok(Self { shared: shared.clone(), stream, within, fetch, decoder, places, dropped, trouble: None })
    }

    /// Takes what is there, about `bytes_max` of blocks; whether anything was.
    fn take(&mut self, bytes_max: usize, out: &mut Vec<Block>) -> bool {
        let Self { within, fetch, decoder, places, dropped, stream, shared, trouble } = self;
        let (mut bytes, mut any, mut drops, mut passed) = (0, false, 0, 0);
        while bytes + decoder.weight() < bytes_max && passed < PASSED_MAX {
            let Some(fetched) = fetch.first(Duration::ZERO) else { break };
            match fetched {
                Fetched::Message(message) => {
                    (any, *trouble) = (true, None);
                    if let Some(Some(place)) = places.get_mut(message.partition as usize) {
                        match place.pass(&message, decoder, *within) {
                            Passed::Before => {}
                            Passed::Dropped => drops += 1,
                            Passed::Given => {
                                if !decoder.continues(&message) {
                                    bytes += decoder.finish().map_or(0, |block| give(block, places, out));
                                }
                                decoder.push(&message);
                            }
                        }
                    }
                }
                Fetched::End(partition, offset) => {
                    if let Some(Some(place)) = places.get_mut(partition as usize) {
                        any |= place.at < offset;
                        place.at = place.at.max(offset);
                        if offset < place.from {
                            let stream = &shared.catalog.get(*stream).name;
                            let from = place.from;
                            tracing::warn!(stream, partition, offset, from, "the log ends before what was read of it");
                        }
                    }
                }
                Fetched::OutOfRange(partition) => {
                    if let Some(Some(place)) = places.get_mut(partition as usize) {
                        place.lost = true;
                    }
                }
                Fetched::Trouble(code) => *trouble = Some(code),
            }
            fetch.pass();
            passed += 1;
        }
        if let Some(block) = decoder.finish() {
            give(block, places, out);
        }
        dropped.increment(drops);
        any
    }

    /// Adds an empty block for every partition of which more was passed than handed out: for those at their ends, or for
    /// all.
    fn tell(&mut self, all: bool, out: &mut Vec<Block>) {
        let ends = self.shared.extents.of(self.stream);
        for (partition, place) in self.places.iter_mut().enumerate() {
            if let Some(place) = place
                && place.at > place.told
                && (all || place.at >= ends[partition].next)
                && let Some(block) = self.decoder.nothing(partition as u32, place.at, place.time)
            {
                place.told = place.at;
                out.push(block);
            }
        }
    }

    /// Whether everything that is known to be there was passed.
    fn at_end(&self) -> bool {
        let Some(ends) = self.shared.extents.known(self.stream) else { return false };
        self.places.iter().zip(ends).all(|(place, end)| place.as_ref().is_none_or(|place| place.at >= end.next))
    }

    /// Finds partitions again whose offsets were not there: those before the oldest move up to it, those after the newest
    /// wait until it has come to them.
    fn find_lost(&mut self) -> Result<(), LogError> {
        let Some(ends) = self.shared.extents.known(self.stream) else { return Ok(()) };
        let mut found = false;
        for (partition, (place, end)) in self.places.iter_mut().zip(ends).enumerate() {
            let Some(place) = place.as_mut().filter(|place| place.lost && place.at <= end.next) else { continue };
            let (from, first) = (place.from.max(place.at), end.first);
            if first > from {
                let stream = &self.shared.catalog.get(self.stream).name;
                tracing::info!(stream, partition, from, first, "the oldest records are gone; reading what is left");
            }
            (place.at, place.lost, found) = (place.at.max(end.first), false, true);
        }
        if found { self.fetch.assign(&starts(&self.places)) } else { Ok(()) }
    }

    fn away(&self) -> LogError {
        let topic = self.shared.topic(self.stream);
        let said = self.shared.extents.away().or_else(|| self.shared.link.away());
        let said = said.or_else(|| Some(format!("topic `{topic}`: {}", self.trouble?)));
        LogError::Away(said.unwrap_or_else(|| format!("records of topic `{topic}` do not come")))
    }
}

/// Where reading goes on.
fn starts(places: &[Option<Place>]) -> Vec<(u32, u64)> {
    let start = |(p, place): (usize, &Option<Place>)| Some((p as u32, place.as_ref().filter(|place| !place.lost)?.at));
    places.iter().enumerate().filter_map(start).collect()
}

/// Hands a block out; gives its bytes.
fn give(block: Block, places: &mut [Option<Place>], out: &mut Vec<Block>) -> usize {
    if let Some(Some(place)) = places.get_mut(block.partition as usize) {
        place.told = block.next_offset();
    }
    let bytes = block.weight();
    out.push(block);
    bytes
}

enum Passed {
    Before,
    Dropped,
    Given,
}

impl Place {
    /// Takes note of a record.
    fn pass(&mut self, message: &Message<'_>, decoder: &mut Decoder, within: Option<Millis>) -> Passed {
        if message.offset < self.at {
            return Passed::Before;
        }
        let time = message.time();
        (self.at, self.time) = (message.offset + 1, time);
        let drops = match &mut self.lookback {
            Some(lookback) => {
                decoder.identity(message).is_some_and(|identity| lookback.drops(message.offset, time, identity, within))
            }
            None => false,
        };
        match (message.offset < self.from, drops) {
            (true, _) => Passed::Before,
            (false, true) => Passed::Dropped,
            (false, false) => Passed::Given,
        }
    }
}

impl Cursor for KafkaCursor {
    fn next(&mut self, bytes_max: usize) -> Result<Vec<Block>, LogError> {
        let clock = self.shared.clock.clone();
        let start = clock.elapsed();
        let (mut moved, mut out) = (start, Vec::new());
        loop {
            let any = self.take(bytes_max.max(1), &mut out);
            let now = clock.elapsed();
            if any {
                moved = now;
            }
            self.find_lost()?;
            let end = self.at_end();
            self.tell(out.is_empty() && now.saturating_sub(start) >= PASSING, &mut out);
            if !out.is_empty() || end {
                return Ok(out);
            }
            if self.shared.is_closed() {
                return Err(LogError::Closed);
            }
            let patience = match self.shared.extents.away() {
                Some(_) => self.shared.settings.delivery_timeout.min(PATIENCE),
                None => PATIENCE,
            };
            if now.saturating_sub(moved) >= patience {
                return Err(self.away());
            }
            self.fetch.first(WAIT);
        }
    }
}
