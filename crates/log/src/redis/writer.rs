//! The one writer: takes what waits in groups, sends them one behind the other without waiting in between, answers.
//!
//! A group has a number. When the connection breaks before the answer, it is sent again under the same number, and the
//! script knows whether it was appended: so a restart of Redis costs time, and neither loses nor doubles anything. After
//! [`TRIES`] it is given up, with all that waits, until Redis answers again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics::Histogram;
use redis::{Connection, RedisError, RedisResult, Value};
use tokio::sync::oneshot;

use super::link;
use super::pack::{self, Bounds};
use super::refresh;
use super::shared::Shared;
use crate::queue::Request;
use crate::{Append, LogError, Placed};

/// Records of one script, about: nothing else runs in Redis meanwhile. A larger request has a script of its own.
const SCRIPT_RECORDS: usize = 2_000;
/// Bytes of one script, about.
const SCRIPT_BYTES: usize = 512 << 10;
/// How often a group is sent: with the pauses, about 3 s of a Redis that refuses connections.
const TRIES: usize = 30;
const PAUSE: Duration = Duration::from_millis(100);

type Reply = oneshot::Sender<Result<Vec<Placed>, LogError>>;

/// Requests that go in one script.
struct Group {
    call: Vec<u8>,
    requests: Vec<(Vec<Meant>, Reply)>,
}

/// The stream of a batch.
type Meant = event::StreamId;

pub(super) struct Writer {
    shared: Arc<Shared>,
    connection: Option<Connection>,
    /// The number of the next group.
    number: u64,
    seconds: Histogram,
    size: Histogram,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let seconds = metrics::histogram!("millstream_log_fsync_seconds");
        let size = metrics::histogram!("millstream_log_group_requests");
        Self { shared, connection: None, number: 1, seconds, size }
    }

    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let shared = self.shared.clone();
        let mut taken = Vec::new();
        while shared.queue.wait().is_some() {
            shared.queue.take(0, shared.clock.elapsed(), &mut taken);
            self.size.record(taken.len() as f64);
            let begun = shared.clock.elapsed();
            let groups = self.encode(std::mem::take(&mut taken));
            self.deliver(groups);
            self.seconds.record(shared.clock.elapsed().saturating_sub(begun));
            shared.queue.answered();
        }
    }

    fn encode(&mut self, taken: Vec<Request>) -> VecDeque<Group> {
        let mut groups = VecDeque::new();
        let (mut appends, mut requests) = (Vec::new(), Vec::new());
        let (mut records, mut bytes) = (0, 0);
        for Request { append, weight, reply, .. } in taken {
            let more: usize = append.batches.iter().map(|batch| batch.drafts.len()).sum();
            if !appends.is_empty() && (records + more > SCRIPT_RECORDS || bytes + weight > SCRIPT_BYTES) {
                groups.push_back(self.group(&std::mem::take(&mut appends), std::mem::take(&mut requests)));
                (records, bytes) = (0, 0);
            }
            (records, bytes) = (records + more, bytes + weight);
            requests.push((append.batches.iter().map(|batch| batch.stream).collect(), reply));
            appends.push(append);
        }
        if !appends.is_empty() {
            groups.push_back(self.group(&appends, requests));
        }
        groups
    }

    fn group(&mut self, appends: &[Append], requests: Vec<(Vec<Meant>, Reply)>) -> Group {
        let Shared { catalog, settings, keys, scripts, token, clock, .. } = &*self.shared;
        let bounds = Bounds { catalog, max_len: settings.max_len };
        let hash = scripts.append.get_hash();
        let call = pack::encode(hash, &keys.prefix, token, self.number, clock.now(), &bounds, appends);
        self.number += 1;
        Group { call, requests }
    }

    /// Sends all groups and answers each, in order.
    fn deliver(&mut self, mut groups: VecDeque<Group>) {
        let mut tries = 0;
        while !groups.is_empty() {
            let before = groups.len();
            let Err(error) = self.round(&mut groups) else { break };
            self.connection = None;
            let told = self.shared.link.note(&error);
            tries = if groups.len() < before { 0 } else { tries + 1 };
            if tries >= TRIES || error.is_timeout() || self.shared.is_closed() || !link::is_away(&error) {
                return self.give_up(groups, &told);
            }
            // A connection that broke is made anew at once; a server that is away is not pressed.
            if tries > 1 {
                self.shared.pause(PAUSE);
            }
        }
        self.shared.link.reached();
        self.shared.gave_up.store(false, Ordering::Relaxed);
    }

    /// One try; groups that were answered are taken out.
    fn round(&mut self, groups: &mut VecDeque<Group>) -> RedisResult<()> {
        let shared = self.shared.clone();
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => empty.insert(ready(&shared)?),
        };
        for group in &*groups {
            connection.send_packed_command(&group.call)?;
        }
        while !groups.is_empty() {
            let answer = connection.recv_response()?;
            let settled = match answer.extract_error() {
                Err(error) if link::is_away(&error) => return Err(error),
                settled => settled,
            };
            if let Some(group) = groups.pop_front() {
                settle(&shared, group, settled);
            }
        }
        Ok(())
    }

    /// What became of them is not known, and what waits would wait as long: all are told.
    fn give_up(&mut self, groups: VecDeque<Group>, told: &LogError) {
        if matches!(told, LogError::Away(_)) {
            self.shared.gave_up.store(true, Ordering::Relaxed);
        }
        let mut waiting = Vec::new();
        loop {
            let before = waiting.len();
            self.shared.queue.take(0, self.shared.clock.elapsed(), &mut waiting);
            if waiting.len() == before {
                break;
            }
        }
        let replies = groups.into_iter().flat_map(|group| group.requests.into_iter().map(|(_, reply)| reply));
        for reply in replies.chain(waiting.into_iter().map(|request| request.reply)) {
            answer(reply, Err(told.clone()));
        }
        self.shared.wake_keeper();
    }
}

/// A connection that knows the script, to a Redis that knows how far we had come.
fn ready(shared: &Shared) -> RedisResult<Connection> {
    let mut connection = shared.link.connect().map_err(|error| {
        let text = error.to_string();
        RedisError::from(std::io::Error::new(std::io::ErrorKind::NotConnected, text))
    })?;
    shared.scripts.append.load(&mut connection)?;
    refresh::raise_known(shared, &mut connection)?;
    Ok(connection)
}

fn settle(shared: &Shared, group: Group, answered: RedisResult<Value>) {
    let decoded = answered.and_then(|value| {
        let text: String = redis::from_redis_value(value)?;
        let decoded = pack::decode(&text).filter(|all| all.len() == group.requests.len());
        decoded.ok_or_else(|| (redis::ErrorKind::UnexpectedReturnType, "the script's answer is not one").into())
    });
    let all = match decoded {
        Ok(all) => all,
        Err(error) => {
            let told = link::told(&error);
            tracing::error!(%error, requests = group.requests.len(), "Redis refused a write; the requests are refused");
            return group.requests.into_iter().for_each(|(_, reply)| answer(reply, Err(told.clone())));
        }
    };
    for (placed, (streams, _)) in all.iter().zip(&group.requests) {
        for (batch, stream) in placed.iter().flatten().zip(streams) {
            if !batch.ranges.is_empty() {
                shared.note_ends(*stream, batch.ranges.iter().map(|range| (range.partition, range.last + 1)));
            }
        }
    }
    for (placed, (_, reply)) in all.into_iter().zip(group.requests) {
        answer(reply, placed.ok_or(LogError::Busy));
    }
}

/// A sender that went away does not want the answer.
fn answer(reply: Reply, value: Result<Vec<Placed>, LogError>) {
    let _ = reply.send(value);
}

impl Drop for Writer {
    /// A panic ends the thread: whoever waits hears that the log is closed.
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.queue.abandon();
    }
}
