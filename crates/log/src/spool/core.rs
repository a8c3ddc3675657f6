//! The parts that the doors' side, the relay and the drain of a spool share, and how a request goes its way.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use event::{Catalog, Millis, StreamId};
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::bounds::{self, Ages};
use super::identity::{Origins, Tail};
use super::progress::{self, Progress};
use super::ready::Ready;
use super::way::{Answer, Request, Sent, State, Way};
use super::{SpoolSettings, figures::Figures};
use crate::disk::DiskLog;
use crate::{Append, Clock, Disk, Log, LogError, Pending};

/// What the file beside a segment takes, and what is lost at the ends of both.
const SIDECAR_BYTES: u64 = 8 << 10;

/// The shared parts of a spool.
pub(super) struct Core {
    pub(super) inner: Arc<dyn Log>,
    pub(super) tail: Arc<dyn Tail>,
    pub(super) spool: DiskLog,
    pub(super) catalog: Arc<Catalog>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: SpoolSettings,
    pub(super) origins: Origins,
    pub(super) ages: Ages,
    pub(super) figures: Figures,
    pub(super) state: Mutex<State>,
    /// Requests have been answered.
    pub(super) moved: Condvar,
    /// There is something to drain, or nothing any more.
    pub(super) roused: Condvar,
    pub(super) ready: Arc<Ready>,
    /// Changed by the relay when the broker goes away and by the drain after that, never by both.
    pub(super) progress: Mutex<Progress>,
}

impl Core {
    /// Takes a request: sends it its way, or lets it wait while that changes.
    pub(super) fn append(&self, mut append: Append) -> Result<Pending, LogError> {
        for batch in &mut append.batches {
            self.origins.mark(batch, self.catalog.get(batch.stream));
        }
        let weight = append.batches.iter().map(event::Batch::weight).sum();
        let disk_bytes = append.batches.iter().map(bounds::weight).sum();
        let (reply, answer) = oneshot::channel();
        let request = Request { append, weight, disk_bytes, since: self.clock.elapsed(), tried: false, reply };
        let mut state = self.state.lock();
        if state.closed {
            return Err(LogError::Closed);
        }
        if !state.is_free() {
            state.hold(request)?;
        } else if let Err(back) = self.send(&mut state, request) {
            match *back {
                (request, LogError::Away(reason)) => {
                    self.turn(&mut state, &reason);
                    state.hold(request)?;
                }
                (_, error) => return Err(error),
            }
        }
        Ok(Pending(answer))
    }

    /// Sends a request its way; gives it back when it was not taken.
    fn send(&self, state: &mut State, request: Request) -> Result<(), Box<(Request, LogError)>> {
        if state.way == Way::Broker {
            // Was the broker away since, and is it back? Then what it lost comes first.
            self.settle(state);
            if state.way != Way::Broker {
                return Err(Box::new((request, LogError::Away("it was away a moment ago".to_owned()))));
            }
        }
        let sent = match state.way {
            Way::Broker => self.inner.append(request.copy()),
            Way::Disk => self.room(state, request.disk_bytes).and_then(|()| self.spool.append(request.copy())),
        };
        let pending = match sent {
            Ok(pending) => pending,
            Err(error) => return Err(Box::new((request, error))),
        };
        if state.way == Way::Disk {
            let now = self.ages.now(&*self.clock);
            for batch in &request.append.batches {
                state.oldest[usize::from(batch.stream.0)].get_or_insert(now);
            }
        }
        let number = state.sent(state.way, request, pending);
        if self.is_answered(state, number) {
            self.ready.push(number);
        }
        Ok(())
    }

    /// Whether the spool takes this many bytes more.
    fn room(&self, state: &mut State, bytes: u64) -> Result<(), LogError> {
        if !state.draining
            && let Some(oldest) = state.oldest.iter().flatten().min()
        {
            let age = self.ages.now(&*self.clock) - oldest;
            if age > self.settings.age_max_ms {
                return Err(self.settings.too_old(age));
            }
        }
        let used = |state: &State| state.disk_used.0.saturating_add(state.disk_used.1);
        if used(state).saturating_add(bytes) > self.settings.bytes_max {
            state.disk_used = (self.disk_used(), state.disk_bytes);
        }
        if used(state).saturating_add(bytes) > self.settings.bytes_max {
            return Err(self.settings.full(used(state)));
        }
        Ok(())
    }

    /// The bytes that the spool takes on disk, with what is set aside for each of its streams, and small files.
    fn disk_used(&self) -> u64 {
        let begun = |id| self.spool.extents(id).iter().any(|extent| extent.next > 0);
        let streams = self.catalog.iter().filter(|(id, _)| begun(*id)).count() as u64;
        let status = self.spool.status();
        status.bytes + status.segments * SIDECAR_BYTES + streams * self.settings.segment_bytes()
    }

    /// Whether a request has its answer; when it has not, its number comes to `ready` once it has.
    fn is_answered(&self, state: &mut State, number: u64) -> bool {
        state.sent.get_mut(&number).is_some_and(|sent| sent.is_answered(&self.ready.waker(number)))
    }

    /// The broker is away: what comes waits until everything on its way there has an answer, and then goes to the disk.
    fn turn(&self, state: &mut State, reason: &str) {
        if state.way == Way::Disk {
            return;
        }
        tracing::warn!(reason, "the broker is away: events go to the spool until it is back");
        (state.way, state.open) = (Way::Disk, false);
        self.ready.kick();
    }

    /// Passes on the answers that are there.
    pub(super) fn settle(&self, state: &mut State) {
        for number in self.ready.take() {
            // A waker may call twice; a request that is gone had its answer.
            if self.is_answered(state, number)
                && let Some(sent) = state.arrived(number)
                && let Some((request, answer)) = self.take(state, number, sent)
            {
                request.answer(answer);
            }
        }
        let (oldest, next) = (state.sent.first_key_value().map_or(state.next, |(number, _)| *number), state.next);
        if state.way == Way::Broker {
            state.floors.settle(oldest, next);
        }
        if state.to_disk == 0 || state.is_idle() {
            self.moved.notify_all();
        }
    }

    /// What a request's answer means; gives what is to be passed on.
    fn take(&self, state: &mut State, number: u64, sent: Sent) -> Option<(Request, Answer)> {
        let way = sent.way;
        let (mut request, answer) = sent.into_parts();
        match (way, answer) {
            (Way::Broker, Err(LogError::Away(reason))) => {
                self.turn(state, &reason);
                request.tried = true;
                state.unknown.insert(number, request);
                None
            }
            (Way::Broker, Ok(placed)) => {
                if state.way == Way::Broker {
                    state.floors.acked(request.append.batches.iter().map(|batch| batch.stream), &placed);
                }
                Some((request, Ok(placed)))
            }
            (Way::Disk, Ok(mut placed)) => {
                // Where they will be is not known yet.
                placed.iter_mut().for_each(|placed| placed.ranges.clear());
                Some((request, Ok(placed)))
            }
            (_, answer) => Some((request, answer)),
        }
    }

    /// Lets what waits go, where it may.
    pub(super) fn pump(&self) {
        let mut state = self.state.lock();
        if state.way == Way::Disk && !state.open {
            if state.to_broker > 0 {
                return;
            }
            let tried = state.take_unknown();
            self.begin(&mut state, &tried);
        }
        while state.open {
            let Some(request) = state.next_waiting() else { break };
            let Err(back) = self.send(&mut state, request) else { continue };
            match *back {
                (request, LogError::Busy) if !state.sent.is_empty() => {
                    state.hold_first(request);
                    break;
                }
                (request, LogError::Away(reason)) => {
                    state.hold_first(request);
                    self.turn(&mut state, &reason);
                }
                (request, error) => request.answer(Err(error)),
            }
        }
        self.moved.notify_all();
    }

    /// Opens the way to the disk, once it is kept there what the broker may have already.
    fn begin(&self, state: &mut MutexGuard<'_, State>, tried: &BTreeMap<(StreamId, u32), u64>) {
        let text = {
            let mut progress = self.progress.lock();
            for ((stream, partition), records) in tried {
                let next = self.spool.extents(*stream).get(*partition as usize).map_or(0, |extent| extent.next);
                let floor = state.floors.floor()[usize::from(stream.0)].get(*partition as usize).copied().flatten();
                progress.change(*stream, *partition, |part| {
                    part.tried = part.tried.max(next + records);
                    part.since = floor;
                });
            }
            progress.text(&self.catalog)
        };
        // Nobody changes the way meanwhile: the drain rests, and what comes waits.
        if !tried.is_empty() {
            MutexGuard::unlocked(state, || self.keep(&text));
        }
        state.open = true;
        self.roused.notify_all();
    }

    /// Keeps the progress. Without it a kill costs duplicates in the broker, which readers leave out as far as they see.
    pub(super) fn keep(&self, text: &str) {
        if let Err(error) = progress::store(&*self.disk, &self.dir, text) {
            tracing::warn!(%error, "how far the spool is drained could not be kept");
        }
    }

    /// Holds back what comes, so that the spool runs empty.
    pub(super) fn hold(&self) {
        let mut state = self.state.lock();
        (state.way, state.open) = (Way::Broker, false);
    }

    /// Lets go what was held back.
    pub(super) fn release(&self, way: Way) {
        let mut state = self.state.lock();
        (state.way, state.open) = (way, true);
        drop(state);
        self.ready.kick();
    }

    /// Records that have not reached the broker.
    pub(super) fn undrained(&self) -> u64 {
        let progress = self.progress.lock();
        let of = |id| {
            let next = self.spool.extents(id).into_iter().map(|extent| extent.next);
            next.zip(progress.of(id)).map(|(next, (_, part))| next.saturating_sub(part.drained)).sum::<u64>()
        };
        self.catalog.iter().map(|(id, _)| of(id)).sum()
    }

    /// When the oldest record that waits was taken.
    pub(super) fn oldest(&self) -> Option<Millis> {
        self.state.lock().oldest.iter().flatten().min().copied()
    }
}
