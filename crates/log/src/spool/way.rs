//! Which way requests go: to the broker, or to the disk while something there has not reached the broker yet.
//!
//! A request is kept until its answer is there. When the broker is away, none of those on their way to it is passed on until
//! all of them have an answer; then those without a certain one go to the disk first, in the order in which they came, and
//! what came since behind them. In the other direction nothing goes to the broker before the disk is empty and everything
//! from there is acknowledged. In both cases what comes meanwhile waits in memory: for milliseconds, bounded.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use event::{Ack, Millis, StreamId, limits};
use tokio::sync::oneshot;

use super::floors::Floors;
use crate::{Append, LogError, Pending, Placed};

/// What a request is answered with.
pub(super) type Answer = Result<Vec<Placed>, LogError>;

/// Where requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Broker,
    Disk,
}

/// A request that has no answer yet.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) append: Append,
    /// Bytes of memory.
    pub(super) weight: usize,
    /// Bytes of disk at the most.
    pub(super) disk_bytes: u64,
    pub(super) since: Duration,
    /// Whether it was sent to the broker, which may have it and has not said so.
    pub(super) tried: bool,
    pub(super) reply: oneshot::Sender<Answer>,
}

impl Request {
    /// The same request, to be sent. It is always followed to its end, so one that asks for less gets more.
    pub(super) fn copy(&self) -> Append {
        Append { batches: self.append.batches.clone(), lane: self.append.lane, ack: Ack::Durable }
    }

    pub(super) fn answer(self, answer: Answer) {
        let answer = match answer {
            // It may be with the broker all the same.
            Err(LogError::Full(reason) | LogError::Poisoned(reason)) if self.tried => Err(LogError::Away(reason)),
            Err(LogError::Busy) if self.tried => Err(LogError::Away("the spool is busy".to_owned())),
            answer => answer,
        };
        // Whoever went away does not want it.
        let _ = self.reply.send(answer);
    }
}

/// A request on its way.
pub(super) struct Sent {
    pub(super) way: Way,
    pub(super) request: Request,
    coming: oneshot::Receiver<Answer>,
    answer: Option<Answer>,
}

impl Sent {
    /// Whether its answer is there; when it is not, the waker is called once it is.
    pub(super) fn is_answered(&mut self, waker: &Waker) -> bool {
        if self.answer.is_none()
            && let Poll::Ready(answer) = Pin::new(&mut self.coming).poll(&mut Context::from_waker(waker))
        {
            self.answer = Some(answer.unwrap_or(Err(LogError::Closed)));
        }
        self.answer.is_some()
    }

    /// The request with its answer.
    pub(super) fn into_parts(self) -> (Request, Answer) {
        (self.request, self.answer.unwrap_or(Err(LogError::Closed)))
    }
}

/// What is on its way, and what waits.
pub(super) struct State {
    pub(super) way: Way,
    /// Whether what waits may go; while the way changes it may not.
    pub(super) open: bool,
    pub(super) waiting: VecDeque<Request>,
    waiting_bytes: usize,
    /// By the order in which they were sent.
    pub(super) sent: BTreeMap<u64, Sent>,
    pub(super) to_broker: usize,
    pub(super) to_disk: usize,
    /// Bytes that what is on its way to the disk takes at the most.
    pub(super) disk_bytes: u64,
    /// What the disk held when it was last asked, and what was sent there since.
    pub(super) disk_used: (u64, u64),
    /// Those that the broker may have.
    pub(super) unknown: BTreeMap<u64, Request>,
    /// The number of the next request.
    pub(super) next: u64,
    pub(super) floors: Floors,
    /// By stream: no record that waits on disk was taken before.
    pub(super) oldest: Vec<Option<Millis>>,
    pub(super) draining: bool,
    pub(super) closed: bool,
    /// Whether the drain shall end.
    pub(super) stopped: bool,
}

impl State {
    pub(super) fn new(way: Way, floors: Floors, oldest: Vec<Option<Millis>>) -> Self {
        let (waiting, sent, unknown) = Default::default();
        Self {
            way,
            open: true,
            waiting,
            waiting_bytes: 0,
            sent,
            to_broker: 0,
            to_disk: 0,
            disk_bytes: 0,
            disk_used: (u64::MAX, 0),
            unknown,
            next: 0,
            floors,
            oldest,
            draining: false,
            closed: false,
            stopped: false,
        }
    }

    /// Whether a request may go at once.
    pub(super) fn is_free(&self) -> bool {
        self.open && self.waiting.is_empty()
    }

    /// Whether no request is without its answer.
    pub(super) fn is_idle(&self) -> bool {
        self.sent.is_empty() && self.waiting.is_empty() && self.unknown.is_empty()
    }

    /// Lets a request wait.
    pub(super) fn hold(&mut self, request: Request) -> Result<(), LogError> {
        let full = self.waiting_bytes + request.weight > limits::APPEND_QUEUE_BYTES;
        if !self.waiting.is_empty() && (full || self.waiting.len() >= limits::APPEND_QUEUE_LEN) {
            return Err(LogError::Busy);
        }
        self.waiting_bytes += request.weight;
        self.waiting.push_back(request);
        Ok(())
    }

    /// Lets a request wait before all others.
    pub(super) fn hold_first(&mut self, request: Request) {
        self.waiting_bytes += request.weight;
        self.waiting.push_front(request);
    }

    /// The next one that waits.
    pub(super) fn next_waiting(&mut self) -> Option<Request> {
        let request = self.waiting.pop_front()?;
        self.waiting_bytes -= request.weight;
        Some(request)
    }

    /// Takes note of a request that was sent; gives its number.
    pub(super) fn sent(&mut self, way: Way, mut request: Request, pending: Pending) -> u64 {
        let number = self.next;
        self.next += 1;
        match way {
            Way::Broker => self.to_broker += 1,
            Way::Disk => {
                self.to_disk += 1;
                self.disk_bytes += request.disk_bytes;
                self.disk_used.1 += request.disk_bytes;
                // What it was is on its way; only whom to answer is still needed.
                request.append.batches = Vec::new();
            }
        }
        self.sent.insert(number, Sent { way, request, coming: pending.0, answer: None });
        number
    }

    /// Takes a request out that has its answer.
    pub(super) fn arrived(&mut self, number: u64) -> Option<Sent> {
        let sent = self.sent.remove(&number)?;
        match sent.way {
            Way::Broker => self.to_broker -= 1,
            Way::Disk => {
                self.to_disk -= 1;
                self.disk_bytes -= sent.request.disk_bytes;
            }
        }
        Some(sent)
    }

    /// The requests whose end is not known, and how many records of theirs go where, stream and partition.
    pub(super) fn take_unknown(&mut self) -> BTreeMap<(StreamId, u32), u64> {
        let mut tried = BTreeMap::new();
        for (_, request) in std::mem::take(&mut self.unknown).into_iter().rev() {
            for batch in &request.append.batches {
                for draft in &batch.drafts {
                    *tried.entry((batch.stream, draft.partition)).or_insert(0) += 1;
                }
            }
            self.hold_first(request);
        }
        tried
    }

    /// How many requests wait in memory, their bytes, and since when the oldest of all has waited.
    pub(super) fn load(&self) -> (usize, usize, Option<Duration>) {
        let oldest = self.waiting.front().map(|request| request.since);
        let oldest = oldest.into_iter().chain(self.sent.first_key_value().map(|(_, sent)| sent.request.since)).min();
        (self.waiting.len(), self.waiting_bytes, oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_may_have_is_never_said_to_be_taken_by_nobody() {
        let answered = |tried, error| {
            let (reply, mut answer) = oneshot::channel();
            let append = Append { batches: Vec::new(), lane: 0, ack: Ack::Durable };
            let (weight, disk_bytes, since) = Default::default();
            Request { append, weight, disk_bytes, since, tried, reply }.answer(Err(error));
            answer.try_recv().unwrap().unwrap_err()
        };
        let full = || LogError::Full("why".to_owned());
        let poisoned = || LogError::Poisoned("why".to_owned());
        for error in [LogError::Busy, full(), poisoned()] {
            assert_eq!(answered(false, error.clone()), error);
            assert!(matches!(answered(true, error), LogError::Away(_)));
        }
    }
}
