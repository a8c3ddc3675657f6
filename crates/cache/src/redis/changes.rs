//! Changes on their way to Redis: queued by whoever makes them, sent many at once by one thread. While Redis is away the
//! newest of them wait; what has outlived its time meanwhile is not sent. What Redis refuses for good is given up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use redis::{Connection, Pipeline, RedisError, RedisResult, ServerErrorKind};

use super::Shared;

/// Changes that wait at the most; then the oldest go, and are counted.
const WAITING_MAX: usize = 16_384;
/// Changes that are sent at once.
const AT_ONCE: usize = 512;
/// How often Redis is looked for while it is away or nothing changes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Puts a member on a list until a time, by the clock of Redis.
const ENLIST: &str = "local t = redis.call('TIME')
local until_ms = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2]
redis.call('ZADD', KEYS[1], string.format('%.0f', until_ms), ARGV[1])
redis.call('PEXPIRE', KEYS[1], math.max(ARGV[2], redis.call('PTTL', KEYS[1])))";

/// One change.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Put { key: String, fields: Vec<(String, String)>, ttl: Duration },
    Add { key: String, fields: Vec<(String, i64)>, ttl: Duration },
    Enlist { list: String, member: String, ttl: Duration },
    Publish { channel: String, signed: Vec<u8> },
}

impl Change {
    /// How long it is worth sending. News are of the moment.
    fn lives(&self) -> Duration {
        match self {
            Self::Put { ttl, .. } | Self::Add { ttl, .. } | Self::Enlist { ttl, .. } => *ttl,
            Self::Publish { .. } => Duration::from_secs(1),
        }
    }

    /// Puts it into a pipeline. `age` is how long it has waited.
    fn send(&self, age: Duration, pipe: &mut Pipeline) {
        let left = (self.lives().saturating_sub(age).as_millis() as u64).max(1);
        match self {
            Self::Put { key, fields, .. } => {
                let put = pipe.cmd("HSET").arg(key);
                for (name, value) in fields {
                    put.arg(name).arg(value);
                }
                pipe.ignore().cmd("PEXPIRE").arg(key).arg(left).ignore();
            }
            Self::Add { key, fields, .. } => {
                for (name, by) in fields {
                    pipe.cmd("HINCRBY").arg(key).arg(name).arg(by).ignore();
                }
                pipe.cmd("PEXPIRE").arg(key).arg(left).ignore();
            }
            Self::Enlist { list, member, .. } => {
                pipe.cmd("EVAL").arg(ENLIST).arg(1).arg(list).arg(member).arg(left).ignore();
            }
            Self::Publish { channel, signed } => {
                pipe.cmd("PUBLISH").arg(channel).arg(signed).ignore();
            }
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Put { fields, .. } if fields.is_empty())
    }
}

#[derive(Default)]
struct Waiting {
    /// Each with the time at which it was made.
    queue: VecDeque<(Duration, Change)>,
    /// How many were ever queued, and of those sent or given up.
    queued: u64,
    done: u64,
    dropped: u64,
}

/// The queue.
#[derive(Default)]
pub(super) struct Changes {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    emptied: Condvar,
}

impl Changes {
    pub(super) fn push(&self, now: Duration, change: Change) {
        if change.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        if waiting.queue.len() >= WAITING_MAX {
            waiting.queue.pop_front();
            waiting.done += 1;
            waiting.dropped += 1;
        }
        waiting.queue.push_back((now, change));
        waiting.queued += 1;
        drop(waiting);
        self.filled.notify_one();
    }

    /// Waits until what was queued so far is done; false when it takes longer.
    pub(super) fn wait_done(&self, within: Duration) -> bool {
        let mut waiting = self.waiting.lock();
        let upto = waiting.queued;
        if waiting.done < upto {
            self.emptied.wait_while_for(&mut waiting, |waiting| waiting.done < upto, within);
        }
        waiting.done >= upto
    }

    /// How many wait, and how many were dropped.
    pub(super) fn load(&self) -> (usize, u64) {
        let waiting = self.waiting.lock();
        (waiting.queue.len(), waiting.dropped)
    }

    pub(super) fn wake(&self) {
        self.filled.notify_all();
    }

    fn take(&self) -> Vec<(Duration, Change)> {
        let mut waiting = self.waiting.lock();
        let len = waiting.queue.len().min(AT_ONCE);
        waiting.queue.drain(..len).collect()
    }

    /// Puts back what could not be sent, before what came meanwhile.
    fn put_back(&self, changes: Vec<(Duration, Change)>) {
        let mut waiting = self.waiting.lock();
        changes.into_iter().rev().for_each(|change| waiting.queue.push_front(change));
        let over = waiting.queue.len().saturating_sub(WAITING_MAX);
        waiting.queue.drain(..over);
        waiting.done += over as u64;
        waiting.dropped += over as u64;
    }

    /// So many were sent or given up; `refused` of them Redis does not take.
    fn done(&self, changes: usize, refused: usize) {
        let mut waiting = self.waiting.lock();
        waiting.done += changes as u64;
        waiting.dropped += refused as u64;
        drop(waiting);
        self.emptied.notify_all();
    }

    fn wait(&self) {
        let mut waiting = self.waiting.lock();
        if waiting.queue.is_empty() {
            self.filled.wait_for(&mut waiting, LOOK_EVERY);
        }
    }
}

/// Sends changes until the cache closes; looks for Redis while it is away.
pub(super) fn send(shared: &Arc<Shared>) {
    let mut connection: Option<Connection> = None;
    loop {
        if shared.away.lock().is_none() {
            shared.changes.wait();
        }
        let closed = shared.is_closed();
        let taken = shared.changes.take();
        if connection.is_none() {
            match shared.connect() {
                Ok(fresh) => connection = Some(fresh),
                Err(error) => {
                    shared.changes.put_back(taken);
                    shared.lost(&error);
                    if closed {
                        return;
                    }
                    shared.pause(LOOK_EVERY);
                    continue;
                }
            }
        }
        let Some(open) = &mut connection else { continue };
        match round(shared, open, &taken) {
            Ok(refused) => {
                shared.changes.done(taken.len(), refused);
                shared.reached();
            }
            Err(error) => {
                connection = None;
                // What was sent may have arrived although the answer did not. Twice is worse than not at all, except for
                // what is the same twice.
                let (lost, kept): (Vec<_>, Vec<_>) =
                    taken.into_iter().partition(|(_, change)| !matches!(change, Change::Put { .. }));
                shared.changes.done(lost.len(), 0);
                shared.changes.put_back(kept);
                shared.lost(&error);
                if closed {
                    return;
                }
                shared.pause(LOOK_EVERY);
            }
        }
        if closed && shared.changes.load().0 == 0 {
            return;
        }
    }
}

/// Sends changes; gives how many of them Redis refuses for good.
fn round(shared: &Shared, connection: &mut Connection, changes: &[(Duration, Change)]) -> RedisResult<usize> {
    let now = (shared.now)();
    let mut pipe = redis::pipe();
    pipe.cmd("PING").ignore();
    let mut ends = Vec::with_capacity(changes.len());
    for (made, change) in changes {
        let age = now.saturating_sub(*made);
        if age < change.lives() {
            change.send(age, &mut pipe);
        }
        ends.push(pipe.len());
    }
    let Err(error) = pipe.exec(connection) else { return Ok(0) };
    let commands = refused(&error).ok_or_else(|| error.clone())?;
    let mut refused: Vec<usize> = commands.iter().map(|command| ends.partition_point(|end| end <= command)).collect();
    refused.dedup();
    tracing::warn!(%error, changes = refused.len(), "Redis refuses changes of live values: they are dropped");
    Ok(refused.len())
}

/// Which commands Redis refuses for good, in order; `None` when it cannot be reached or serve just now.
fn refused(error: &RedisError) -> Option<Vec<usize>> {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
    let errors = error.clone().into_server_errors()?;
    let passes = |kind| matches!(kind, BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain);
    let for_good = !errors.iter().any(|(_, error)| error.kind().is_some_and(passes));
    for_good.then(|| errors.iter().map(|(command, _)| *command).collect())
}
