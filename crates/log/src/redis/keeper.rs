//! Two threads that keep this process and Redis in step: one writes positions and looks after everything once a second, the
//! other hears news.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{Connection, RedisResult};

use super::refresh;
use super::shared::{Positions, Shared};
use crate::LogError;

/// How often everything is looked at, however quiet it is.
const EVERY: Duration = Duration::from_secs(1);
/// Positions wait this long for more of them.
const GATHER: Duration = Duration::from_millis(10);
/// Times that positions are written between two looks at everything.
const WRITES: usize = 64;
/// Until the next try.
const AGAIN: Duration = Duration::from_millis(250);

/// Writes positions as they come, refreshes what is known.
pub(super) fn keep(shared: &Shared) {
    let mut writes = 0;
    loop {
        let timed_out = {
            let mut due = shared.due.lock();
            let timed_out = !*due && shared.work.wait_for(&mut due, EVERY).timed_out();
            *due = false;
            timed_out
        };
        let closed = shared.is_closed();
        let written = save(shared);
        writes += 1;
        let mut done = written.map(drop);
        if done.is_ok() && !closed && (timed_out || writes >= WRITES || shared.link.away().is_some()) {
            writes = 0;
            done = shared.link.call(|connection| refresh::refresh(shared, connection));
        }
        if done.is_ok() && shared.gave_up.swap(false, Ordering::Relaxed) {
            shared.publish();
        }
        if closed {
            return;
        }
        if done.is_err() {
            shared.wake_keeper();
        }
        shared.pause(if done.is_ok() { GATHER } else { AGAIN });
    }
}

/// Writes the positions that are not in Redis yet.
fn save(shared: &Shared) -> Result<(), LogError> {
    let _saving = shared.saving.lock();
    let unsaved = std::mem::take(&mut *shared.unsaved.lock());
    if unsaved.is_empty() {
        return Ok(());
    }
    let saved = shared.link.call(|connection| write(shared, connection, &unsaved));
    if saved.is_err() {
        let mut newer = shared.unsaved.lock();
        for (consumer, positions) in unsaved {
            let of = newer.entry(consumer).or_default();
            for (place, offset) in positions {
                of.entry(place).or_insert(offset);
            }
        }
    }
    saved
}

fn write(shared: &Shared, connection: &mut Connection, unsaved: &Positions) -> RedisResult<()> {
    for (consumer, positions) in unsaved {
        for (id, stream) in shared.catalog.iter() {
            let of: Vec<_> = positions.range((id, 0)..=(id, u32::MAX)).collect();
            if of.is_empty() {
                continue;
            }
            let mut call = shared.scripts.commit.prepare_invoke();
            call.key(&shared.keys.prefix).arg(&shared.token).arg(consumer).arg(&stream.name);
            for ((_, partition), offset) in of {
                call.arg(partition).arg(offset);
            }
            call.invoke::<()>(connection)?;
        }
    }
    Ok(())
}

/// Hears what others append and commit, until the log closes.
pub(super) fn hear(shared: &Arc<Shared>) {
    while !shared.is_closed() {
        let Ok(mut connection) = shared.link.connect() else {
            shared.pause(AGAIN);
            continue;
        };
        if let Err(error) = listen(shared, &mut connection)
            && !shared.is_closed()
        {
            shared.link.note(&error);
            shared.pause(AGAIN);
        }
    }
}

fn listen(shared: &Shared, connection: &mut Connection) -> RedisResult<()> {
    let mut news = connection.as_pubsub();
    news.subscribe(shared.keys.global("news"))?;
    news.set_read_timeout(Some(EVERY))?;
    // What was said while nobody listened.
    shared.wake_keeper();
    shared.rouse(None);
    if let Err(error) = shared.link.call(|connection| refresh::refresh(shared, connection)) {
        tracing::debug!(%error, "the log was not looked at");
    }
    while !shared.is_closed() {
        match news.get_message() {
            Ok(message) => take_note(shared, &String::from_utf8_lossy(message.get_payload_bytes())),
            Err(error) if error.is_timeout() => {
                news.ping::<redis::Value>()?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn take_note(shared: &Shared, news: &str) {
    let mut words = news.split('\n');
    match words.next() {
        Some("a") => {
            let Some(stream) = words.next().and_then(|name| shared.catalog.find(name)) else { return };
            shared.note_ends(stream, pairs(words));
        }
        Some("c") if words.next().is_some_and(|process| process != shared.token) => {
            let (Some(consumer), Some(name)) = (words.next(), words.next()) else { return };
            let Some(stream) = shared.catalog.find(name) else { return };
            shared.note_positions(consumer, pairs(words).map(|(partition, offset)| ((stream, partition), offset)));
        }
        Some("f") => {
            if let Some(consumer) = words.next() {
                shared.positions.lock().remove(consumer);
            }
        }
        Some("g") => shared.rouse(words.next()),
        _ => {}
    }
}

fn pairs<'a>(mut words: impl Iterator<Item = &'a str>) -> impl Iterator<Item = (u32, u64)> {
    std::iter::from_fn(move || Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?)))
}
